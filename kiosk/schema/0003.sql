-- Old events live in archives, which are whole copies of the journal as it was. What stands here is what the events that left
-- add up to, so that the rest can still be checked: where the chain goes on, and the stock that they left behind.
CREATE TABLE archived (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    last_id  INTEGER NOT NULL,
    hash     BLOB NOT NULL,
    at       INTEGER NOT NULL
) STRICT;

CREATE TABLE archived_stock (
    slot        TEXT PRIMARY KEY,
    stock_delta INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The technician's lists and sums: of a product, of a day, of what was paid and what was paid back.
CREATE INDEX orders_by_product_alone ON orders (product_id);
CREATE INDEX orders_by_creation ON orders (created_at);
CREATE INDEX orders_by_payment ON orders (paid_at, product_id, paid_fen) WHERE paid_at IS NOT NULL;
CREATE INDEX orders_by_refund ON orders (finished_at, product_id, paid_fen) WHERE state = 'refunded';

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

-- The technician's lists and sums: of a product, of a day, by the code that a customer reads aloud; what was paid, and paid back.
CREATE INDEX orders_by_product_alone ON orders (product_id);
CREATE INDEX orders_by_creation ON orders (created_at);
CREATE INDEX orders_by_claim_code ON orders (substr(out_trade_no, -6));
CREATE INDEX orders_by_payment ON orders (confirmed_at, product_id, paid_fen) WHERE confirmed_at IS NOT NULL;
CREATE INDEX orders_by_refund ON orders (finished_at, product_id, paid_fen) WHERE state = 'refunded';
-- What technicians and the machine itself did: few events among those of orders.
CREATE INDEX events_of_machine ON events (at, kind) WHERE out_trade_no IS NULL;

-- Days that were closed, with what they added up to then.
CREATE TABLE closed_days (
    number    INTEGER PRIMARY KEY,
    day       TEXT NOT NULL UNIQUE,
    closed_at INTEGER NOT NULL,
    who       TEXT NOT NULL,
    totals    TEXT NOT NULL
) STRICT;

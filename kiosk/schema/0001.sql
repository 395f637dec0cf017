-- Orders as they stand. Money in fen; times as microseconds since 1970 UTC, so that they sort and subtract.
CREATE TABLE orders (
    id             INTEGER PRIMARY KEY,
    out_trade_no   TEXT NOT NULL UNIQUE,
    channel        TEXT NOT NULL,
    product_id     TEXT NOT NULL,
    product_name   TEXT NOT NULL,
    amount_fen     INTEGER NOT NULL CHECK (amount_fen > 0),
    app_id         TEXT NOT NULL,
    state          TEXT NOT NULL,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    openid         TEXT,
    scan_nonce     TEXT UNIQUE,
    prepay_id      TEXT,
    code_url       TEXT,
    transaction_id TEXT UNIQUE,
    paid_fen       INTEGER,
    paid_at        INTEGER,
    confirmed_at   INTEGER,
    slot           TEXT,
    attempts       INTEGER NOT NULL DEFAULT 0,
    evidence       TEXT,
    refund_serial  INTEGER NOT NULL DEFAULT 0,
    reason         TEXT,
    finished_at    INTEGER
) STRICT;

CREATE INDEX orders_by_state ON orders (state, id);
-- What holds stock back are few rows among many: found without reading the others.
CREATE INDEX orders_by_product ON orders (product_id, state);

-- How many orders stand in each state, kept by triggers: a status page must not count a million rows.
CREATE TABLE order_counts (
    state TEXT PRIMARY KEY,
    count INTEGER NOT NULL CHECK (count >= 0)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER count_new_order AFTER INSERT ON orders BEGIN
    INSERT INTO order_counts VALUES (NEW.state, 1) ON CONFLICT (state) DO UPDATE SET count = count + 1;
END;
CREATE TRIGGER count_changed_order AFTER UPDATE OF state ON orders WHEN OLD.state <> NEW.state BEGIN
    UPDATE order_counts SET count = count - 1 WHERE state = OLD.state;
    INSERT INTO order_counts VALUES (NEW.state, 1) ON CONFLICT (state) DO UPDATE SET count = count + 1;
END;

-- Stock of each slot that ever was in the planogram. `fault`: why a technician has to look before it sells again.
CREATE TABLE slots (
    id         TEXT PRIMARY KEY,
    stock      INTEGER NOT NULL CHECK (stock >= 0),
    disabled   INTEGER NOT NULL DEFAULT 0,
    fault      TEXT,
    changed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Everything that happened, in order: to an order, to a slot, or to the machine. `hash` chains each event to the one before
-- it (SHA-256 of that hash and of the event's own columns), so that a gap or an edit shows.
CREATE TABLE events (
    id           INTEGER PRIMARY KEY,
    at           INTEGER NOT NULL,
    kind         TEXT NOT NULL,
    out_trade_no TEXT,
    slot         TEXT,
    stock_delta  INTEGER NOT NULL DEFAULT 0,
    detail       TEXT NOT NULL,
    hash         BLOB NOT NULL
) STRICT;

CREATE INDEX events_by_order ON events (out_trade_no, id) WHERE out_trade_no IS NOT NULL;
CREATE INDEX events_by_slot ON events (slot, id) WHERE slot IS NOT NULL;

-- Settings that are made at run time and survive a restart, such as the out-of-service switch.
CREATE TABLE switches (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

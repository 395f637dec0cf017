-- The mini-program: its customers, their log-ins, and the address that an order's announcement repeats unchanged.
ALTER TABLE orders ADD COLUMN client_ip TEXT;
CREATE INDEX orders_by_customer ON orders (openid, id) WHERE channel = 'miniprogram';

CREATE TABLE customers (
    openid         TEXT PRIMARY KEY,
    first_login_at INTEGER NOT NULL,
    last_login_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Bearer tokens. Only their hashes are kept: who reads this file cannot be anybody.
CREATE TABLE customer_sessions (
    token_hash BLOB PRIMARY KEY,
    openid     TEXT NOT NULL REFERENCES customers (openid),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX customer_sessions_by_customer ON customer_sessions (openid, created_at);
CREATE INDEX customer_sessions_by_end ON customer_sessions (expires_at);

BEGIN TRANSACTION;
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
CREATE TABLE closed_days (
    number    INTEGER PRIMARY KEY,
    day       TEXT NOT NULL UNIQUE,
    closed_at INTEGER NOT NULL,
    who       TEXT NOT NULL,
    totals    TEXT NOT NULL
) STRICT;
CREATE TABLE customer_sessions (
    token_hash BLOB PRIMARY KEY,
    openid     TEXT NOT NULL REFERENCES customers (openid),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE customers (
    openid         TEXT PRIMARY KEY,
    first_login_at INTEGER NOT NULL,
    last_login_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
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
INSERT INTO "events" VALUES(1,1795485707508296,'slot_added',NULL,'11',3,'{"product": "cola", "stock": 3}',X'E57B2CC6B8ACAF50860BBDF67214F353172BC5ABD52A6FA774838935D86B07B2');
INSERT INTO "events" VALUES(2,1795485707508296,'slot_added',NULL,'12',2,'{"product": "cola", "stock": 2}',X'8FA9214E3BCE2E34D138055238233652124E1BD83A532FAAFFAADE0D2189356E');
INSERT INTO "events" VALUES(3,1795485707508296,'slot_added',NULL,'21',1,'{"product": "tea", "stock": 1}',X'69685BB767CD7B8067BEF5C23C3D737B6CF1980FAACF3DF366D1519776978773');
INSERT INTO "events" VALUES(4,1795485708711989,'created','lobby-1-261124020148-F3R2GS',NULL,0,'{"state": "created", "product": "cola", "amount_fen": 350, "channel": "native_one"}',X'FB9D7ADF5F39C2C006C61887561CC2939A7E1B99D8C1A449FB5D947D18F5C03F');
INSERT INTO "events" VALUES(5,1795485708726050,'awaiting_payment','lobby-1-261124020148-F3R2GS',NULL,0,'{"state": "awaiting_payment"}',X'63D6F8A89733DD5EF57A69F1F575AABE80700A1E01C2128841C040CACF1E6ACC');
INSERT INTO "events" VALUES(6,1795485708818041,'paid','lobby-1-261124020148-F3R2GS',NULL,0,'{"state": "paid", "paid_fen": 350, "transaction_id": "4200044896202611243324433972"}',X'27FA234E27746E9D3C04184C830CA5D4AAC942EF94597D16421EEB898871B81C');
INSERT INTO "events" VALUES(7,1795485708841452,'dispensing','lobby-1-261124020148-F3R2GS','11',-1,'{"state": "dispensing", "attempt": 1, "evidence": "{\"packno\":110,\"frame\":\"fafb06056e0100000b66\",\"count\":null}", "stock": 2}',X'BEBA8B23780260C3880AA8503CF9E3C984EE5FBAA7F0513175A30C057FE275F5');
INSERT INTO "events" VALUES(8,1795485708960786,'dispensed','lobby-1-261124020148-F3R2GS','11',0,'{"state": "dispensed", "outcome": "delivered", "board": "the board reports for selection 11: dispensed (02)", "proven": true, "stock": 2}',X'A96DE25ABF9DC1F0F5AB4DBB9DE71DD61EE4F11A55E218825915E0177C7F87EF');
INSERT INTO "events" VALUES(9,1795485708967337,'refund_requested','lobby-1-261124020148-F3R2GS',NULL,0,'{"state": "refunding", "who": "the technician"}',X'4FD197F6F47F621CEF3C15D4C9F112C6D1DE11202A3ED088A2F435ABFAC5460A');
INSERT INTO "events" VALUES(10,1795485709035812,'refunded','lobby-1-261124020148-F3R2GS',NULL,0,'{"state": "refunded", "refund_id": "50425336202611246577039157285"}',X'AB423EF4B76312D53A7E6726E42B8F46FD2B4A4B0E4501A5E00445FCD03B4253');
INSERT INTO "events" VALUES(11,1795485709048271,'created','lobby-1-261124020149-R7D9SC',NULL,0,'{"state": "created", "product": "cola", "amount_fen": 350, "channel": "native_one"}',X'EA2E8964C0CE27ACB16130CDC267979F43944DA4E17BE85B6CB9E8D0800C0A6C');
INSERT INTO "events" VALUES(12,1795485709060175,'awaiting_payment','lobby-1-261124020149-R7D9SC',NULL,0,'{"state": "awaiting_payment"}',X'7064E17A614D4BAD6EDFA798FF2AE6AD24444F45374D419751AA712CB5AFBA26');
INSERT INTO "events" VALUES(13,1795485709071574,'paid','lobby-1-261124020149-R7D9SC',NULL,0,'{"state": "paid", "paid_fen": 350, "transaction_id": "4200054574202611249004474397"}',X'6BFD636EBD59002805262D2B028E4A7A0000A8165B5E324DF7B0F4775CC5A177');
INSERT INTO "events" VALUES(14,1795485709089547,'dispensing','lobby-1-261124020149-R7D9SC','11',-1,'{"state": "dispensing", "attempt": 1, "evidence": "{\"packno\":113,\"frame\":\"fafb0605710100000b79\",\"count\":null}", "stock": 1}',X'53A4E27A794A1ACBC608761CD0B55346FFF0EFABF07ED9C0600C0FE7057F4116');
INSERT INTO "events" VALUES(15,1795485709169409,'not_delivered','lobby-1-261124020149-R7D9SC','11',1,'{"state": "dispensing", "outcome": "not_delivered", "board": "the board reports for selection 11: the selection is jammed (03)", "proven": false, "stock": 2, "fault": "the board reports for selection 11: the selection is jammed (03)"}',X'E4F2319A7265B6FEF03C0AB0206CF3AE3CEAAD017FB4718B83F80E7411F33E40');
INSERT INTO "events" VALUES(16,1795485709174766,'dispensing','lobby-1-261124020149-R7D9SC','12',-1,'{"state": "dispensing", "attempt": 2, "evidence": "{\"packno\":114,\"frame\":\"fafb0605720100000c7d\",\"count\":null}", "stock": 1}',X'E3DC204ABCC0EB6AB5575836A1F7A8116832A21178E9A32CD5E4C633C973818E');
INSERT INTO "events" VALUES(17,1795485709269178,'dispensed','lobby-1-261124020149-R7D9SC','12',0,'{"state": "dispensed", "outcome": "delivered", "board": "the board reports for selection 12: dispensed (02)", "proven": true, "stock": 1}',X'E64EF19CE2C65767C16E6304D55EF81B46BE65E5972906C09E9BD34D4119FE56');
INSERT INTO "events" VALUES(18,1795485709280668,'created','lobby-1-261124020149-J25SQC',NULL,0,'{"state": "created", "product": "cola", "amount_fen": 350, "channel": "native_one"}',X'554F966BE000E4549A38FAADE0FD43FED39D41EE8DD06B0FBCA7A620ACE89BCF');
INSERT INTO "events" VALUES(19,1795485709294045,'awaiting_payment','lobby-1-261124020149-J25SQC',NULL,0,'{"state": "awaiting_payment"}',X'1C3FDF68F88673B7A9178626F38646861880E2AE67B4BADAA8C199CDADAC61C9');
INSERT INTO "events" VALUES(20,1795485709306103,'paid','lobby-1-261124020149-J25SQC',NULL,0,'{"state": "paid", "paid_fen": 350, "transaction_id": "4200010248202611249867030320"}',X'7CF30C852801788EE5EAE61F9AB2C0E4D0F8DD396D99AF35DD438D3911F72067');
INSERT INTO "events" VALUES(21,1795485709332352,'dispensing','lobby-1-261124020149-J25SQC','12',-1,'{"state": "dispensing", "attempt": 1, "evidence": "{\"packno\":115,\"frame\":\"fafb0605730100000c7c\",\"count\":null}", "stock": 0}',X'1501907A008A9432B933700C487A4786B64659A0D562221AEA7DB66118AE4478');
INSERT INTO "events" VALUES(22,1795485709463872,'not_delivered','lobby-1-261124020149-J25SQC','12',1,'{"state": "dispensing", "outcome": "not_delivered", "board": "the board reports for selection 12: the selection is jammed (03)", "proven": false, "stock": 1, "fault": "the board reports for selection 12: the selection is jammed (03)"}',X'EC7A5E3FA782B71696276B18EFFF87A34E0D6F09D1D496941A65236B6E6DF1D4');
INSERT INTO "events" VALUES(23,1795485709466509,'refunding','lobby-1-261124020149-J25SQC',NULL,0,'{"state": "refunding", "reason": "no slot could deliver it"}',X'CD339D76CE8F10DF2E9B5AFD019EF4164669BE0488F7599E354AE287BF5B0158');
INSERT INTO "events" VALUES(24,1795485709531859,'refunded','lobby-1-261124020149-J25SQC',NULL,0,'{"state": "refunded", "refund_id": "50757627202611245903294845181"}',X'2F9E658B1A5459DD3D4B3DDEC96FC4413B933F593261C6CA27AA6095D3F399E5');
INSERT INTO "events" VALUES(25,1795485709540826,'restock',NULL,'11',1,'{"who": "technician", "stock": 3}',X'F1E4061D27DA976313BE25D48A6E8A73CAB29119B6A295E33AAD63E0C0D98E0B');
INSERT INTO "events" VALUES(26,1795485709542758,'enable',NULL,'12',0,'{"who": "technician", "stock": 1}',X'E556D0921DE07F88607991894517D08997246DA73CDB69CEAE098032DC31B719');
INSERT INTO "events" VALUES(27,1795485710549319,'created','lobby-1-261124020150-NJ75NF',NULL,0,'{"state": "created", "product": "cola", "amount_fen": 350, "channel": "native_one"}',X'3F36EA7E56D22380AD7465F01FF7662C97B1FEF27FCA1C40BD121BB5CA6DDA43');
INSERT INTO "events" VALUES(28,1795485710559245,'awaiting_payment','lobby-1-261124020150-NJ75NF',NULL,0,'{"state": "awaiting_payment"}',X'4152094E60D76C05E873CA2AD285F087719E0274A5D513435D9F9C5E16E8F082');
INSERT INTO "events" VALUES(29,1795485710567441,'created','lobby-1-261124020150-YY7FJW',NULL,0,'{"state": "created", "product": "tea", "amount_fen": 300, "channel": "native_one"}',X'52B2AA69E054909E550C3B1D46A11149807E3C9D65BA60C718699CD2687A98FE');
INSERT INTO "events" VALUES(30,1795485710574931,'awaiting_payment','lobby-1-261124020150-YY7FJW',NULL,0,'{"state": "awaiting_payment"}',X'5CEFD371ABE33709264247D0EC79C6C99EB0889127BE39748179319BD9D2A80B');
INSERT INTO "events" VALUES(31,1795485710585715,'paid','lobby-1-261124020150-YY7FJW',NULL,0,'{"state": "paid", "paid_fen": 300, "transaction_id": "4200016931202611245823531125"}',X'B6886154565F236373F8AA95E3282EBFCA97C9886C7C3840C8B30DEC815F0360');
INSERT INTO "events" VALUES(32,1795485710597377,'dispensing','lobby-1-261124020150-YY7FJW','21',-1,'{"state": "dispensing", "attempt": 1, "evidence": "{\"packno\":116,\"frame\":\"fafb0605740100001562\",\"count\":null}", "stock": 0}',X'40D8F72EA6AF8A320253A1B162F429743267F44EF066477E3AF5B2C59037AD81');
INSERT INTO "events" VALUES(33,1795485712600335,'in_doubt','lobby-1-261124020150-YY7FJW','21',0,'{"state": "in_doubt", "outcome": "unknown", "board": "the board began to dispense, and no result for selection 21 came within 2 s", "proven": false, "stock": 0, "fault": "in_doubt"}',X'98418AAA31A91D93AE05797A7EAF83EA7F3C668B7B3DFEB80455C6740E471FB1');
CREATE TABLE order_counts (
    state TEXT PRIMARY KEY,
    count INTEGER NOT NULL CHECK (count >= 0)
) STRICT, WITHOUT ROWID;
INSERT INTO "order_counts" VALUES('awaiting_payment',1);
INSERT INTO "order_counts" VALUES('created',0);
INSERT INTO "order_counts" VALUES('dispensed',1);
INSERT INTO "order_counts" VALUES('dispensing',0);
INSERT INTO "order_counts" VALUES('in_doubt',1);
INSERT INTO "order_counts" VALUES('paid',0);
INSERT INTO "order_counts" VALUES('refunded',2);
INSERT INTO "order_counts" VALUES('refunding',0);
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
, client_ip TEXT) STRICT;
INSERT INTO "orders" VALUES(1,'lobby-1-261124020148-F3R2GS','native_one','cola','可口可乐',350,'wx8888888888888888','refunded',1795485708711989,1795486008711989,1795485709035812,'o-anna','9444bbc3c4274b5d65f01fd9ebf80d14','wx202611241001482b65e3118c68ddb89169','weixin://wxpay/bizpayurl?pr=-qQ6Y1cR5zz','4200044896202611243324433972',350,1795485708000000,1795485708811769,'11',1,'{"packno":110,"frame":"fafb06056e0100000b66","count":null}',1,'asked for by the technician',1795485709035812,NULL);
INSERT INTO "orders" VALUES(2,'lobby-1-261124020149-R7D9SC','native_one','cola','可口可乐',350,'wx8888888888888888','dispensed',1795485709048271,1795486009048271,1795485709269178,'o-ben','1659ebc514b24ba96223e23328f45383','wx20261124100149d10df51d58c2e98882b3','weixin://wxpay/bizpayurl?pr=Yfr-J_jOHzz','4200054574202611249004474397',350,1795485709000000,1795485709071172,'12',2,'{"packno":114,"frame":"fafb0605720100000c7d","count":null}',0,NULL,1795485709269178,NULL);
INSERT INTO "orders" VALUES(3,'lobby-1-261124020149-J25SQC','native_one','cola','可口可乐',350,'wx8888888888888888','refunded',1795485709280668,1795486009280668,1795485709531859,'o-cleo','fa265277d7ba1d4ba59b4e3a00b44a1e','wx20261124100149640671b831195186042b','weixin://wxpay/bizpayurl?pr=YdnBaviA2zz','4200010248202611249867030320',350,1795485709000000,1795485709305161,NULL,1,NULL,1,'no slot could deliver it',1795485709531859,NULL);
INSERT INTO "orders" VALUES(4,'lobby-1-261124020150-NJ75NF','native_one','cola','可口可乐',350,'wx8888888888888888','awaiting_payment',1795485710549319,1795486010549319,1795485710559245,'o-dan','dafb20eac9fa2eb4df453b07e2cf3fbb','wx20261124100150a344ddecd458ed059a0b','weixin://wxpay/bizpayurl?pr=-lA8WXp5Tzz',NULL,NULL,NULL,NULL,NULL,0,NULL,0,NULL,NULL,NULL);
INSERT INTO "orders" VALUES(5,'lobby-1-261124020150-YY7FJW','native_one','tea','冰红茶',300,'wx8888888888888888','in_doubt',1795485710567441,1795486010567441,1795485712600335,'o-eve','a3870d3c0e9dcec1529665b9305a8602','wx20261124100150d9ac48f966950552bf30','weixin://wxpay/bizpayurl?pr=CEBK1xfhZzz','4200016931202611245823531125',300,1795485710000000,1795485710585439,'21',1,'{"packno":116,"frame":"fafb0605740100001562","count":null}',0,'the board began to dispense, and no result for selection 21 came within 2 s',NULL,NULL);
CREATE TABLE slots (
    id         TEXT PRIMARY KEY,
    stock      INTEGER NOT NULL CHECK (stock >= 0),
    disabled   INTEGER NOT NULL DEFAULT 0,
    fault      TEXT,
    changed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "slots" VALUES('11',3,0,NULL,1795485709540826);
INSERT INTO "slots" VALUES('12',1,0,NULL,1795485709542758);
INSERT INTO "slots" VALUES('21',0,0,'in_doubt',1795485712600335);
CREATE TABLE switches (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX orders_by_state ON orders (state, id);
CREATE INDEX orders_by_product ON orders (product_id, state);
CREATE TRIGGER count_new_order AFTER INSERT ON orders BEGIN
    INSERT INTO order_counts VALUES (NEW.state, 1) ON CONFLICT (state) DO UPDATE SET count = count + 1;
END;
CREATE TRIGGER count_changed_order AFTER UPDATE OF state ON orders WHEN OLD.state <> NEW.state BEGIN
    UPDATE order_counts SET count = count - 1 WHERE state = OLD.state;
    INSERT INTO order_counts VALUES (NEW.state, 1) ON CONFLICT (state) DO UPDATE SET count = count + 1;
END;
CREATE INDEX events_by_order ON events (out_trade_no, id) WHERE out_trade_no IS NOT NULL;
CREATE INDEX events_by_slot ON events (slot, id) WHERE slot IS NOT NULL;
CREATE INDEX orders_by_customer ON orders (openid, id) WHERE channel = 'miniprogram';
CREATE INDEX customer_sessions_by_customer ON customer_sessions (openid, created_at);
CREATE INDEX customer_sessions_by_end ON customer_sessions (expires_at);
CREATE INDEX orders_by_product_alone ON orders (product_id);
CREATE INDEX orders_by_creation ON orders (created_at);
CREATE INDEX orders_by_claim_code ON orders (substr(out_trade_no, -6));
CREATE INDEX orders_by_payment ON orders (confirmed_at, product_id, paid_fen) WHERE confirmed_at IS NOT NULL;
CREATE INDEX orders_by_refund ON orders (finished_at, product_id, paid_fen) WHERE state = 'refunded';
CREATE INDEX events_of_machine ON events (at, kind) WHERE out_trade_no IS NULL;
COMMIT;
PRAGMA user_version = 3;

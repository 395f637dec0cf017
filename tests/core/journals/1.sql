BEGIN TRANSACTION;
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
INSERT INTO "events" VALUES(1,1795485701331132,'slot_added',NULL,'11',3,'{"product": "cola", "stock": 3}',X'892C1AAD552151990270A36A15E115CF876D5C1D171E6A3ABEC126EDD3D317A1');
INSERT INTO "events" VALUES(2,1795485701331132,'slot_added',NULL,'12',2,'{"product": "cola", "stock": 2}',X'66C2122247B3AEF95B2663CCB6E132338DA0275898F20BD80E752648FA794AE2');
INSERT INTO "events" VALUES(3,1795485701331132,'slot_added',NULL,'21',1,'{"product": "tea", "stock": 1}',X'AAE83D96B2947D79B4AD787A9D9A1E5FA4492E35546EF426E587E902F5307847');
INSERT INTO "events" VALUES(4,1795485702575803,'created','lobby-1-261124020142-DGPWX2',NULL,0,'{"state": "created", "product": "cola", "amount_fen": 350, "channel": "native_one"}',X'9B8A8314703A89EEF006978D2F135FD94AC4180A0545A91D8CE85C6A7C661CEC');
INSERT INTO "events" VALUES(5,1795485702671579,'awaiting_payment','lobby-1-261124020142-DGPWX2',NULL,0,'{"state": "awaiting_payment"}',X'1219BC1FC44C512B7B1ADDECFA3C78F360A905EF351A9E93E70109992496DA57');
INSERT INTO "events" VALUES(6,1795485702735916,'paid','lobby-1-261124020142-DGPWX2',NULL,0,'{"state": "paid", "paid_fen": 350, "transaction_id": "4200005301202611242142986038"}',X'FCD7B85BC7913FF027E6403EA6B7AE1CE28609D39BC294361413D7A8BEBF66C5');
INSERT INTO "events" VALUES(7,1795485702765737,'dispensing','lobby-1-261124020142-DGPWX2','11',-1,'{"state": "dispensing", "attempt": 1, "evidence": "{\"packno\":104,\"frame\":\"fafb0605680100000b60\",\"count\":null}", "stock": 2}',X'CE494DA7C711A233F48F2383AD3DA97FB88F8DF75354CBFAB9433BA64DEB5D27');
INSERT INTO "events" VALUES(8,1795485702924074,'dispensed','lobby-1-261124020142-DGPWX2','11',0,'{"state": "dispensed", "outcome": "delivered", "board": "the board reports for selection 11: dispensed (02)", "proven": true, "stock": 2}',X'23A6758CF27FC3CD5BD9296DB5F1D67CF41851F2D5E0A44156180FF54118EAF6');
INSERT INTO "events" VALUES(9,1795485702930789,'refund_requested','lobby-1-261124020142-DGPWX2',NULL,0,'{"state": "refunding", "who": "the technician"}',X'6ABF644F34BFFBEA875B0F899D39CEC5C2C74E249BD1A77A16B19AFA40B6C057');
INSERT INTO "events" VALUES(10,1795485702995867,'refunded','lobby-1-261124020142-DGPWX2',NULL,0,'{"state": "refunded", "refund_id": "50981853202611248758913158009"}',X'CE0D06BE2A64618EAA491E5C860D8330198145E92DCF48FE28348536CE957438');
INSERT INTO "events" VALUES(11,1795485703004027,'created','lobby-1-261124020143-FNZ95J',NULL,0,'{"state": "created", "product": "cola", "amount_fen": 350, "channel": "native_one"}',X'955EBE96D889371C603484C6486BC1476B620A3D3833B043B177EC69BC35A0DA');
INSERT INTO "events" VALUES(12,1795485703013364,'awaiting_payment','lobby-1-261124020143-FNZ95J',NULL,0,'{"state": "awaiting_payment"}',X'C13BA0624980233E1F1BA5E208DA2D148C174704F08B0ADAC4F4E24D9E6AF7CE');
INSERT INTO "events" VALUES(13,1795485703030964,'paid','lobby-1-261124020143-FNZ95J',NULL,0,'{"state": "paid", "paid_fen": 350, "transaction_id": "4200078793202611245159699666"}',X'0123B42BF42FD3910D8E50213C5BE7574DC729CF96AF86600DA0ED86373FA737');
INSERT INTO "events" VALUES(14,1795485703047488,'dispensing','lobby-1-261124020143-FNZ95J','11',-1,'{"state": "dispensing", "attempt": 1, "evidence": "{\"packno\":107,\"frame\":\"fafb06056b0100000b63\",\"count\":null}", "stock": 1}',X'C077B44A6A9D83E59C9360827227FA7D4FCE99DD61874535D4AB58E65A4622F8');
INSERT INTO "events" VALUES(15,1795485703122591,'not_delivered','lobby-1-261124020143-FNZ95J','11',1,'{"state": "dispensing", "outcome": "not_delivered", "board": "the board reports for selection 11: the selection is jammed (03)", "proven": false, "stock": 2, "fault": "the board reports for selection 11: the selection is jammed (03)"}',X'D56F0D9D0D509471C48DEE621BAF0B923D45DB00FBDD466C5F708F9A01035D8D');
INSERT INTO "events" VALUES(16,1795485703126858,'dispensing','lobby-1-261124020143-FNZ95J','12',-1,'{"state": "dispensing", "attempt": 2, "evidence": "{\"packno\":108,\"frame\":\"fafb06056c0100000c63\",\"count\":null}", "stock": 1}',X'556D346FB0AD7ABF70F5F33FBB43BF30FEC914C8B42595F29044B99035145513');
INSERT INTO "events" VALUES(17,1795485703224748,'dispensed','lobby-1-261124020143-FNZ95J','12',0,'{"state": "dispensed", "outcome": "delivered", "board": "the board reports for selection 12: dispensed (02)", "proven": true, "stock": 1}',X'2FD0563356BC842E07F08AB5D0A682FBBEDEE9D3F4CE170BBDF25804E3ACAA17');
INSERT INTO "events" VALUES(18,1795485703233723,'created','lobby-1-261124020143-73Z7W5',NULL,0,'{"state": "created", "product": "cola", "amount_fen": 350, "channel": "native_one"}',X'F4F8D715EEA4E1263794F596A6F2F6B18A26445AF0D927FC730B8FC0F426B5E5');
INSERT INTO "events" VALUES(19,1795485703244739,'awaiting_payment','lobby-1-261124020143-73Z7W5',NULL,0,'{"state": "awaiting_payment"}',X'D71D596C3A1FAC3B3CB18B20E474F8EAD23AB2AB3698EFBFC4957D5B3B1B8A4F');
INSERT INTO "events" VALUES(20,1795485703254504,'paid','lobby-1-261124020143-73Z7W5',NULL,0,'{"state": "paid", "paid_fen": 350, "transaction_id": "4200030302202611246610385779"}',X'4F180643E7FE4F54E8D800071CFE77C18FA80766A6F194169BA633280D5C086D');
INSERT INTO "events" VALUES(21,1795485703271355,'dispensing','lobby-1-261124020143-73Z7W5','12',-1,'{"state": "dispensing", "attempt": 1, "evidence": "{\"packno\":109,\"frame\":\"fafb06056d0100000c62\",\"count\":null}", "stock": 0}',X'D9FCF1D2E4B24314BA13D7DA1270AAD04E94CEBD1FAAC86BA962BF1873860B59');
INSERT INTO "events" VALUES(22,1795485703435629,'not_delivered','lobby-1-261124020143-73Z7W5','12',1,'{"state": "dispensing", "outcome": "not_delivered", "board": "the board reports for selection 12: the selection is jammed (03)", "proven": false, "stock": 1, "fault": "the board reports for selection 12: the selection is jammed (03)"}',X'6B109650FF559373B61FCAA8A0B43088703F0293F13FCB8D219ED1364FC72F24');
INSERT INTO "events" VALUES(23,1795485703438188,'refunding','lobby-1-261124020143-73Z7W5',NULL,0,'{"state": "refunding", "reason": "no slot could deliver it"}',X'3E585039935CE65058E0199E8B91807E3CBFC8DD225DFF127F367017CCAE29FC');
INSERT INTO "events" VALUES(24,1795485703505518,'refunded','lobby-1-261124020143-73Z7W5',NULL,0,'{"state": "refunded", "refund_id": "50876418202611244786021785898"}',X'97FDA6DF089D33B2ED0DC60325AEAA90E61C5E0AAE80A1303EA91546C1E8818A');
INSERT INTO "events" VALUES(25,1795485703515389,'restock',NULL,'11',1,'{"who": "technician", "stock": 3}',X'D90DD9DD06F4F0A8356D17293D241A3C9BD5E4433383DFD812AB4C9195084D7C');
INSERT INTO "events" VALUES(26,1795485703516878,'enable',NULL,'12',0,'{"who": "technician", "stock": 1}',X'3B087154720D5669032A8791E4692FDE17A67ACFCCF929E6F448A1534769B405');
INSERT INTO "events" VALUES(27,1795485704522850,'created','lobby-1-261124020144-4MFY5M',NULL,0,'{"state": "created", "product": "cola", "amount_fen": 350, "channel": "native_one"}',X'10C483053D26E9161397F1FAA9CA2E9C0B259FD63C694A929B6CD182F8499536');
INSERT INTO "events" VALUES(28,1795485704533787,'awaiting_payment','lobby-1-261124020144-4MFY5M',NULL,0,'{"state": "awaiting_payment"}',X'417E6ECD1D135E5EE27762BB053D17003CFA21003B3735AE1319C255BF7FCB2F');
INSERT INTO "events" VALUES(29,1795485704547371,'created','lobby-1-261124020144-8TQQC9',NULL,0,'{"state": "created", "product": "tea", "amount_fen": 300, "channel": "native_one"}',X'A9E8B65CAF9D79174FEEC3C137BE45692997EA8F66CFF12A027298EA290962FC');
INSERT INTO "events" VALUES(30,1795485704559980,'awaiting_payment','lobby-1-261124020144-8TQQC9',NULL,0,'{"state": "awaiting_payment"}',X'D1B429A1C33ADA7DEFEE79B75E83B9BEC6E06FB9EA604B4A560D2C4F96865CF9');
INSERT INTO "events" VALUES(31,1795485704572343,'paid','lobby-1-261124020144-8TQQC9',NULL,0,'{"state": "paid", "paid_fen": 300, "transaction_id": "4200021275202611247734997102"}',X'55E8A7D3898AA8D6CF5744A31A0188A3B9D0E21038A3E0B7EA73AF4AC768F35B');
INSERT INTO "events" VALUES(32,1795485704582041,'dispensing','lobby-1-261124020144-8TQQC9','21',-1,'{"state": "dispensing", "attempt": 1, "evidence": "{\"packno\":110,\"frame\":\"fafb06056e0100001578\",\"count\":null}", "stock": 0}',X'BF16E63E3178A6A7E99540B188067876941FCA1A5F0C26B2257369B886A42D7A');
INSERT INTO "events" VALUES(33,1795485706586264,'in_doubt','lobby-1-261124020144-8TQQC9','21',0,'{"state": "in_doubt", "outcome": "unknown", "board": "the board began to dispense, and no result for selection 21 came within 2 s", "proven": false, "stock": 0, "fault": "in_doubt"}',X'2935900DAAC3C9D8EF1D718A365379E5D5A85EE824EDE0B180A1316B802D908A');
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
) STRICT;
INSERT INTO "orders" VALUES(1,'lobby-1-261124020142-DGPWX2','native_one','cola','可口可乐',350,'wx8888888888888888','refunded',1795485702575803,1795486002575803,1795485702995867,'o-anna','3ade54835cb916899bc5cb26c7bd478d','wx202611241001424d8cc14050a7819a01ec','weixin://wxpay/bizpayurl?pr=2c_OhbPdPzz','4200005301202611242142986038',350,1795485702000000,1795485702730526,'11',1,'{"packno":104,"frame":"fafb0605680100000b60","count":null}',1,'asked for by the technician',1795485702995867);
INSERT INTO "orders" VALUES(2,'lobby-1-261124020143-FNZ95J','native_one','cola','可口可乐',350,'wx8888888888888888','dispensed',1795485703004027,1795486003004027,1795485703224748,'o-ben','7d6681f69b3ac061f811caca87300b06','wx2026112410014308f67c44dcac2cc51832','weixin://wxpay/bizpayurl?pr=_ezYvNcADzz','4200078793202611245159699666',350,1795485703000000,1795485703030667,'12',2,'{"packno":108,"frame":"fafb06056c0100000c63","count":null}',0,NULL,1795485703224748);
INSERT INTO "orders" VALUES(3,'lobby-1-261124020143-73Z7W5','native_one','cola','可口可乐',350,'wx8888888888888888','refunded',1795485703233723,1795486003233723,1795485703505518,'o-cleo','76ccb040ec9ce057adbbeab9356440f3','wx20261124100143f68d4ba38be7ac3f0682','weixin://wxpay/bizpayurl?pr=oLIz2Quepzz','4200030302202611246610385779',350,1795485703000000,1795485703254281,NULL,1,NULL,1,'no slot could deliver it',1795485703505518);
INSERT INTO "orders" VALUES(4,'lobby-1-261124020144-4MFY5M','native_one','cola','可口可乐',350,'wx8888888888888888','awaiting_payment',1795485704522850,1795486004522850,1795485704533787,'o-dan','86c2f8d073f1c6d6eb6870b64733479c','wx20261124100144da145b7b99fe6fd57983','weixin://wxpay/bizpayurl?pr=T7Nm3AIw1zz',NULL,NULL,NULL,NULL,NULL,0,NULL,0,NULL,NULL);
INSERT INTO "orders" VALUES(5,'lobby-1-261124020144-8TQQC9','native_one','tea','冰红茶',300,'wx8888888888888888','in_doubt',1795485704547371,1795486004547371,1795485706586264,'o-eve','9437b7c582d8edb2cca46a6805eac48a','wx20261124100144c647e11a897c934fac85','weixin://wxpay/bizpayurl?pr=n_q8KIeIxzz','4200021275202611247734997102',300,1795485704000000,1795485704572114,'21',1,'{"packno":110,"frame":"fafb06056e0100001578","count":null}',0,'the board began to dispense, and no result for selection 21 came within 2 s',NULL);
CREATE TABLE slots (
    id         TEXT PRIMARY KEY,
    stock      INTEGER NOT NULL CHECK (stock >= 0),
    disabled   INTEGER NOT NULL DEFAULT 0,
    fault      TEXT,
    changed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "slots" VALUES('11',3,0,NULL,1795485703515389);
INSERT INTO "slots" VALUES('12',1,0,NULL,1795485703516878);
INSERT INTO "slots" VALUES('21',0,0,'in_doubt',1795485706586264);
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
COMMIT;
PRAGMA user_version = 1;

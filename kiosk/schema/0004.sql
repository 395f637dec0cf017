-- Orders that count as dispensed by a rule and without the machine's word (MDB): few, found without reading the others.
CREATE INDEX orders_to_review ON orders (id) WHERE state = 'dispensed' AND reason IS NOT NULL;

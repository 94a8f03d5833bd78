-- A customer's own database with one of everything that a tenant can carry, extensions in `public` among it.
SET check_function_bodies = off;
CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION pg_trgm; CREATE EXTENSION btree_gist;
CREATE EXTENSION moddatetime; CREATE EXTENSION "uuid-ossp";
CREATE TYPE kind AS ENUM ('a', 'public', 'it''s');
CREATE TYPE price AS (amount numeric(12, 2), currency citext);
CREATE TYPE span AS RANGE (subtype = float8);
CREATE DOMAIN mail AS citext CHECK (VALUE ~ '@');
CREATE SEQUENCE numbers START 7;
SELECT nextval('numbers'), nextval('numbers');
CREATE FUNCTION next_number() RETURNS bigint LANGUAGE sql AS $$ SELECT nextval('numbers') $$;
CREATE FUNCTION with_path() RETURNS bigint LANGUAGE sql SET search_path TO public, pg_temp
    AS $$ SELECT count(*) FROM customer WHERE nick = 'BOB1' $$;
CREATE FUNCTION plain() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT count(*) FROM customer); END $$;
CREATE FUNCTION told(kind) RETURNS citext LANGUAGE sql IMMUTABLE AS $$ SELECT 'told ' || $1::text $$;
CREATE CAST (kind AS citext) WITH FUNCTION told(kind);
CREATE FUNCTION first_of(citext, citext) RETURNS citext LANGUAGE sql IMMUTABLE AS 'SELECT coalesce($1, $2)';
CREATE AGGREGATE first_nick(citext) (SFUNC = first_of, STYPE = citext);
CREATE TABLE customer (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, mail mail UNIQUE, nick citext NOT NULL,
    attributes hstore DEFAULT ''::hstore, kind kind DEFAULT 'public', price price, span span, tags citext[],
    uid uuid DEFAULT uuid_generate_v4(), updated timestamptz, public text DEFAULT 'public', n int DEFAULT next_number(),
    low text GENERATED ALWAYS AS (lower(nick::text)) STORED, numbers text, raw bytea
);
COMMENT ON TABLE customer IS 'all of public.customer';
COMMENT ON COLUMN customer.nick IS 'é';
CREATE INDEX ON customer USING gin (nick gin_trgm_ops);
CREATE INDEX ON customer (low) WHERE kind <> 'a';
CREATE TABLE booking (
    id serial PRIMARY KEY, customer bigint REFERENCES customer ON DELETE CASCADE DEFERRABLE, room int, during tsrange,
    EXCLUDE USING gist (room WITH =, during WITH &&)
);
CREATE TABLE event (id bigint, day date, kind kind, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE event_old PARTITION OF event FOR VALUES FROM (MINVALUE) TO ('2024-01-01');
CREATE TABLE event_new PARTITION OF event DEFAULT;
CREATE TABLE hashed (kind kind, n int) PARTITION BY HASH (kind);
CREATE TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE hashed_1 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE FUNCTION is_known(int) RETURNS boolean LANGUAGE sql AS 'SELECT EXISTS (SELECT FROM known WHERE id = $1)';
CREATE TABLE asks (id int CHECK (is_known(id)));
CREATE TABLE known (id int);
CREATE TABLE public (id int, public text);
CREATE TABLE nothing ();
CREATE TABLE "Odd ""one" ("a b" int, r regclass, t regtype);
CREATE TABLE guarded (id int, who text);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON guarded FOR SELECT USING (who = current_user);
CREATE VIEW v AS SELECT c.id, c.attributes -> 'x' AS x, c.nick = 'bob' AS is_bob, similarity(c.nick::text, 'bob') AS s,
    c.kind::citext AS k FROM public.customer AS c;
CREATE MATERIALIZED VIEW z_first AS SELECT kind, count(*) AS n FROM customer GROUP BY kind;
CREATE MATERIALIZED VIEW a_second AS SELECT sum(n) AS n FROM z_first;
CREATE MATERIALIZED VIEW empty AS SELECT n FROM a_second WITH NO DATA;
CREATE FUNCTION atomic() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM customer WHERE nick = 'BOB2'; END;
CREATE TRIGGER modified BEFORE UPDATE ON customer FOR EACH ROW EXECUTE FUNCTION moddatetime(updated);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
CREATE TRIGGER refused BEFORE INSERT ON known FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER off BEFORE INSERT ON asks FOR EACH ROW EXECUTE FUNCTION refuse();
ALTER TABLE asks DISABLE TRIGGER off;
CREATE RULE noted AS ON INSERT TO nothing DO ALSO INSERT INTO known VALUES (-2);
CREATE STATISTICS stats ON kind, n FROM customer;

INSERT INTO customer (mail, nick, attributes, kind, price, span, tags, numbers, raw)
    SELECT 'u' || i || '@x.y', 'Bob' || i, 'x=>1', (enum_range(NULL::kind))[1 + i % 3], ROW(i, 'EUR')::price,
        span(0.1, i + 1), '{A,b}', CASE i WHEN 1 THEN NULL WHEN 2 THEN E'\\N' WHEN 3 THEN '\.' ELSE E'a\nb\t\\c' END,
        '\x00ff'
    FROM generate_series(1, 300) AS i;
INSERT INTO booking (customer, room, during) SELECT id, id, tsrange('2024-01-01', '2024-01-02') FROM customer;
INSERT INTO event SELECT i, '2023-12-01'::date + i, 'a' FROM generate_series(1, 60) AS i;
INSERT INTO hashed SELECT kind, n FROM unnest(enum_range(NULL::kind)) AS kind, generate_series(1, 5) AS n;
ALTER TABLE known DISABLE TRIGGER refused;
INSERT INTO known VALUES (1), (2);
ALTER TABLE known ENABLE TRIGGER refused;
INSERT INTO asks VALUES (1), (2);
INSERT INTO public VALUES (1, 'in public');
INSERT INTO "Odd ""one" VALUES (1, 'customer', 'citext');
INSERT INTO guarded VALUES (1, 'a');
REFRESH MATERIALIZED VIEW z_first;
REFRESH MATERIALIZED VIEW a_second;

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use sqlx::migrate::MigrationType;

use super::*;
use crate::migration::script::tests::{script, script_of};

/// Rules that many an example for another rule breaks as well.
const OFTEN: [&str; 5] =
    ["database-wide", "catalog-without-schema", "drop-table", "drop-column", "index-not-concurrent"];

mod citus;

/// Line and rule of each warning about a tenant's file, by rules that are not broken often.
fn judge_tenant(sql: &str) -> Vec<(usize, &'static str)> {
    let mut judged = judge_whole(sql);
    judged.retain(|(_, rule)| !OFTEN.contains(rule));
    judged
}

/// The same by all rules.
fn judge_whole(sql: &str) -> Vec<(usize, &'static str)> {
    let extensions = ["extensions", "ext"].map(|name| SchemaName::parse(name).unwrap());
    judge_in(sql, Home::Tenant { extensions: &extensions, server: TenantServer::Postgres })
}

/// Each text breaks this one rule, once, and `others` break none.
#[track_caller]
fn check_rule(rule: &str, statements: &[&str], others: &[&str]) {
    for sql in statements {
        assert_eq!(judge_whole(sql), [(1, rule)], "{sql}");
    }
    for sql in others {
        assert!(judge_whole(sql).iter().all(|(_, found)| *found != rule), "{sql}");
    }
}

fn judge_in(sql: &str, home: Home<'_>) -> Vec<(usize, &'static str)> {
    let warnings = lint(&script(sql).unwrap(), home);
    warnings.iter().map(|warning| (warning.line(), warning.rule().as_str())).collect()
}

/// Each text breaks this one rule, once, on its only line.
#[track_caller]
fn check(rule: &str, statements: &[&str]) {
    for sql in statements {
        assert_eq!(judge_tenant(sql), [(1, rule)], "{sql}");
    }
}

#[track_caller]
fn check_quiet(statements: &[&str]) {
    for sql in statements {
        assert_eq!(judge_tenant(sql), [], "{sql}");
    }
}

#[track_caller]
fn check_lines(sql: &str, expect: &[(usize, &str)]) {
    assert_eq!(judge_tenant(sql), expect, "{sql}");
}

#[test]
fn a_foreign_key_to_a_shared_table_is_found() {
    check(
        "shared-foreign-key",
        &[
            "CREATE TABLE a (b int REFERENCES public.plan)",
            "create table a (b int constraint c references Public . plan (id) on delete set null)",
            "CREATE TABLE a (b int, CONSTRAINT c FOREIGN KEY (b) REFERENCES \"public\".\"plan\" (id))",
            "ALTER TABLE a ADD CONSTRAINT b FOREIGN KEY (c) REFERENCES shared.plan NOT VALID",
            "ALTER TABLE a ADD COLUMN b int REFERENCES/* why */public/**/.plan",
            "CREATE TABLE a (b int REFERENCES tenantry.tenant (id))",
            "CREATE TABLE a (b int REFERENCES U&\"publi\\0063\".plan)",
            "CREATE TABLE a (b int REFERENCES db.public.plan)",
            "DO $$ BEGIN ALTER TABLE a ADD COLUMN b int REFERENCES public.plan; END $$",
        ],
    );
    check_quiet(&[
        "CREATE TABLE a (b int REFERENCES plan (id))",
        "CREATE TABLE a (\"references\" text DEFAULT 'REFERENCES public.plan') -- REFERENCES public.plan",
        "CREATE TABLE a (b text DEFAULT $$REFERENCES public.plan$$)",
        "GRANT REFERENCES ON a TO b",
    ]);
}

#[test]
fn a_definition_outside_is_found() {
    check(
        "outside-name",
        &[
            "CREATE TABLE public.a (b int)",
            "CREATE UNLOGGED TABLE IF NOT EXISTS public.a (b int)",
            "CREATE TABLE \"Public\".a (b int)",
            "CREATE TABLE a (LIKE public.a INCLUDING ALL)",
            "CREATE TABLE a PARTITION OF public.b DEFAULT",
            "CREATE TABLE a (b int) INHERITS (c, public.d)",
            "ALTER TABLE IF EXISTS ONLY public.a ADD COLUMN b int",
            "ALTER TABLE a SET SCHEMA public",
            "ALTER TABLE a ATTACH PARTITION public.b DEFAULT",
            "ALTER TABLE a NO INHERIT public.b",
            "DROP TABLE a, public.b",
            "DROP INDEX IF EXISTS public.a",
            "TRUNCATE public.a",
            "TRUNCATE TABLE ONLY a, public.b CASCADE",
            "LOCK TABLE public.a",
            "ANALYZE public.a",
            "CREATE INDEX a ON public.b (c)",
            "CREATE UNIQUE INDEX IF NOT EXISTS a ON ONLY public.b (c)",
            "CREATE OR REPLACE VIEW public.a AS SELECT 1",
            "REFRESH MATERIALIZED VIEW public.a",
            "CREATE SEQUENCE public.a",
            "ALTER SEQUENCE a OWNED BY public.b.c",
            "CREATE TYPE public.a AS ENUM ('b')",
            "ALTER TYPE public.a ADD VALUE 'b'",
            "DROP DOMAIN public.a",
            "CREATE OR REPLACE FUNCTION public.a() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "DROP FUNCTION a(int), public.b(int)",
            "CREATE FUNCTION a() RETURNS int LANGUAGE sql SET search_path = pg_catalog, public AS 'SELECT 1'",
            "ALTER FUNCTION a() SET search_path TO 'public', pg_temp",
            "CREATE TRIGGER a BEFORE UPDATE OF b ON public.c FOR EACH ROW EXECUTE FUNCTION d()",
            "CREATE TRIGGER a BEFORE INSERT ON c FOR EACH ROW EXECUTE FUNCTION public.d()",
            "DROP TRIGGER a ON public.b",
            "CREATE POLICY a ON public.b USING (true)",
            "CREATE RULE a AS ON INSERT TO public.b DO NOTHING",
            "COMMENT ON TABLE public.a IS 'b'",
            "COMMENT ON COLUMN public.a.b IS 'c'",
            "GRANT SELECT ON a, public.b TO c",
            "GRANT USAGE ON SCHEMA public TO a",
            "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM a",
            "CREATE SCHEMA a",
            "CREATE SCHEMA IF NOT EXISTS a",
            "DROP SCHEMA a CASCADE",
        ],
    );
}

#[test]
fn a_query_that_reaches_outside_is_found() {
    check(
        "outside-name",
        &[
            "INSERT INTO public.a VALUES (1)",
            "INSERT INTO a SELECT * FROM public.b",
            "INSERT INTO a SELECT * FROM b, public.c",
            "INSERT INTO a SELECT * FROM b AS d (e, f), LATERAL (SELECT 1) g, public.c",
            "INSERT INTO a SELECT * FROM (public.b JOIN c ON b.d = c.d)",
            "INSERT INTO a SELECT * FROM b JOIN c ON b.d = c.d, public.e WHERE true",
            "UPDATE public.a SET b = 1",
            "UPDATE ONLY a SET b = c.d FROM public.c WHERE a.e = c.e",
            "DELETE FROM public.a",
            "DELETE FROM a USING b, public.c WHERE a.d = c.d",
            "MERGE INTO a USING public.b ON a.c = b.c WHEN MATCHED THEN DELETE",
            "WITH a AS (DELETE FROM public.b RETURNING c) INSERT INTO d SELECT c FROM a",
            "WITH a AS (SELECT 1) UPDATE public.b SET c = 1",
            "CREATE VIEW a AS SELECT b.c FROM b LEFT JOIN public.d ON b.c = d.c",
            "CREATE VIEW a AS SELECT extract(epoch FROM b.c) FROM public.b",
            "CREATE VIEW a AS SELECT CASE WHEN b.c THEN b.d ELSE b.e END FROM public.b",
            "CREATE TABLE a AS TABLE public.b",
            "SELECT 1 INTO public.a",
            "SELECT * FROM tenantry.tenant_lookup",
            "SELECT * FROM public.a(1)",
            "SELECT public.a(b.c) FROM b",
            "SELECT b.c + public.a() FROM b",
            "CREATE TABLE a (b int DEFAULT public.next_number())",
            "CREATE INDEX a ON b (public.c(d))",
            "SELECT nextval('public.a')",
            "CREATE TABLE a (b int DEFAULT nextval('public.a_b_seq'::regclass))",
            "SELECT pg_catalog.setval('public.a', 1)",
            "SELECT '\"Public\".a'::regclass",
            "CREATE FUNCTION a() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT b FROM public.c; END",
        ],
    );
}

#[test]
fn a_point_is_no_schema_where_no_object_stands() {
    check_quiet(&[
        "SELECT a.b, \"a\".\"c\", a.* FROM a WHERE a.b = 1 GROUP BY a.b, a.c ORDER BY a.b, a.c",
        "SELECT a.b FROM a JOIN c ON a.b = c.b AND a.d IS NOT DISTINCT FROM c.d",
        "SELECT extract(epoch FROM a.b), substring(a.c FROM 1), trim(both ' ' FROM a.d) FROM a",
        "SELECT a.b IS DISTINCT FROM a.c FROM a",
        "SELECT max(a.b) FROM a HAVING count(a.b) > 1 WINDOW w AS (PARTITION BY a.b ORDER BY a.c)",
        "SELECT * FROM unnest(ARRAY[a.b, a.c], a.d) x, a FOR UPDATE OF a",
        "SELECT (a.b).c, (a.d).e FROM a WHERE a.b IN (1, 2) AND a.c = ANY (a.d)",
        "INSERT INTO a (b) VALUES (1) ON CONFLICT (b) DO UPDATE SET b = excluded.b, c = a.c + excluded.c",
        "UPDATE a SET b = c.b, d = c.d FROM c WHERE a.e = c.e RETURNING a.b, c.d",
        "DELETE FROM a USING b WHERE a.c = b.c",
        "MERGE INTO a USING b ON a.c = b.c WHEN NOT MATCHED THEN INSERT (c, d) VALUES (b.c, b.d)",
        "ALTER TABLE a ALTER b TYPE int USING a.b::int, ALTER COLUMN c SET DEFAULT 1.5",
        "ALTER TABLE a ALTER COLUMN type TYPE public.mood, ALTER COLUMN domain SET NOT NULL",
        "ALTER TABLE a RENAME COLUMN index TO sequence",
        "COMMENT ON COLUMN a.b IS 'public.a'",
        "ALTER SEQUENCE a OWNED BY b.c",
        "CREATE POLICY a ON b FOR DELETE USING (b.c = 1)",
        "CREATE POLICY a ON b FOR SELECT USING (EXISTS (SELECT FROM c JOIN d ON c.e = d.e WHERE c.f = b.f))",
        "CREATE TRIGGER a BEFORE UPDATE ON b FOR EACH ROW WHEN (OLD.c IS DISTINCT FROM NEW.c) EXECUTE FUNCTION d()",
        "CREATE RULE a AS ON UPDATE TO b DO ALSO INSERT INTO c VALUES (NEW.d, OLD.e)",
        "CREATE VIEW a AS SELECT b.c FROM b JOIN d ON b.c = d.c",
        "CREATE MATERIALIZED VIEW a AS SELECT type.c FROM type JOIN domain ON type.c = domain.c",
        "CREATE TABLE schema (schema text, type text, view text, function text)",
        "CREATE INDEX a ON schema (schema)",
        "CREATE TABLE a (b text CONSTRAINT c CHECK (b SIMILAR TO 'public.%' OR b LIKE 'x.y'))",
        "SELECT a.b, 'public.a', $$FROM public.a$$ /* FROM public.a /* FROM public.b */ */ FROM a -- JOIN public.b",
        "SELECT nextval('a_b_seq'), 'a'::regclass, 'public.a'::text",
        "INSERT INTO a VALUES ('FROM public.b', E'it''s FROM public.\\'b', U&'FROM public.a')",
        "COMMENT ON TABLE a IS $$see JOIN public.b$$",
        "EXPLAIN ANALYZE SELECT 1",
    ]);
}

#[test]
fn types_and_the_schemas_everybody_sees_are_fine() {
    check_quiet(&[
        "CREATE TABLE a (b pg_catalog.text, c public.mood, d extensions.citext, e public.geometry(Point, 4326))",
        "CREATE TABLE a (domain public.citext, type public.mood, index pg_catalog.int4)",
        "ALTER TABLE a ADD COLUMN b public.mood, ALTER COLUMN c TYPE public.vector(3) USING c::public.vector(3)",
        "CREATE FUNCTION a(b public.mood) RETURNS SETOF public.mood LANGUAGE sql AS 'SELECT b'",
        "CREATE INDEX a ON b USING gin (c extensions.gin_trgm_ops, d public.gin_trgm_ops)",
        "SELECT pg_catalog.now(), extensions.gen_random_uuid(), EXT.f(), \"ext\".g()",
        "SELECT * FROM information_schema.columns JOIN pg_catalog.pg_class ON relname = table_name",
        "CREATE TABLE pg_temp.a (b int)",
        "CREATE TABLE a (b tsvector DEFAULT pg_catalog.to_tsvector('a'))",
        "CREATE FUNCTION a() RETURNS int LANGUAGE sql SET search_path = '' AS 'SELECT 1'",
        "CREATE FUNCTION a() RETURNS int LANGUAGE sql SET search_path FROM CURRENT AS 'SELECT 1'",
        "ALTER FUNCTION a() SET search_path = pg_catalog, extensions, pg_temp",
        "ALTER FUNCTION a() SET search_path TO DEFAULT",
    ]);
    check("outside-name", &["SELECT * FROM \"EXT\".a"]);
}

#[test]
fn bodies_are_read_with_lines_of_the_file() {
    check_lines(
        "CREATE FUNCTION a() RETURNS trigger LANGUAGE plpgsql AS $body$
         DECLARE
             total public.note.total%TYPE := 0;
             r record;
         BEGIN
             SELECT count(*) INTO NEW.total FROM note WHERE note.id = NEW.id;
             SELECT b.c INTO STRICT r.c FROM public.b;
             IF NEW.a IS DISTINCT FROM OLD.a THEN
                 UPDATE public.c SET d = NEW.d;
             END IF;
             FOR r IN SELECT c.d, c.e FROM c JOIN d ON c.d = d.d LOOP
                 PERFORM public.f(r.d), g(r.e);
                 EXECUTE 'DELETE FROM public.x' USING r.d, r.e;
                 INSERT INTO d VALUES (r.d) RETURNING id INTO r.id;
             END LOOP;
             RETURN NEW;
         END
         $body$;
         SELECT 1 FROM public.late",
        &[(7, "outside-name"), (9, "outside-name"), (12, "outside-name"), (19, "outside-name")],
    );
    check_lines(
        "DO LANGUAGE plpgsql '\n IF true THEN CREATE TABLE public.a ();\n ELSE DROP TABLE b, public.c;\n END IF;'",
        &[(2, "outside-name"), (3, "outside-name")],
    );
    check_lines(
        "CREATE FUNCTION a() RETURNS int AS $$\n SELECT 1 FROM public.b $$ LANGUAGE sql",
        &[(2, "outside-name")],
    );
    check_quiet(&[
        "CREATE FUNCTION a() RETURNS int LANGUAGE plpython3u AS $$ select = 'FROM public.a'; from public.a import b $$",
        "CREATE FUNCTION a() RETURNS int LANGUAGE 'c' AS 'public.a', 'FROM public.b'",
        "DO $$ BEGIN IF a THEN lock := b.c; END IF; END $$",
        "DO $$ it's \" unfinished FROM public. $$",
    ]);
}

#[test]
fn an_unnamed_constraint_is_found() {
    check(
        "unnamed-constraint",
        &[
            "CREATE TABLE a (b int CHECK (b > 0))",
            "CREATE TABLE a (b int NOT NULL DEFAULT 1 check (b > 0) UNIQUE)",
            "CREATE TABLE a (b int CONSTRAINT c NOT NULL CHECK (b > 0))",
            "CREATE TABLE IF NOT EXISTS a (b numeric(10, 2), CHECK (b > 0))",
            "CREATE TABLE a (b int, c int, UNIQUE (b, c))",
            "CREATE TABLE a (b int, UNIQUE NULLS NOT DISTINCT (b))",
            "CREATE TABLE a (b int, FOREIGN KEY (b) REFERENCES c ON DELETE SET NULL (b))",
            "CREATE TABLE a (b int4range, EXCLUDE USING gist (b WITH &&))",
            "CREATE TABLE a (b int, CONSTRAINT c CHECK (b > 0), CHECK (b < 9))",
            "ALTER TABLE a ADD CHECK (b > 0)",
            "ALTER TABLE IF EXISTS ONLY a ADD UNIQUE (b)",
            "ALTER TABLE a DROP COLUMN c, ADD CONSTRAINT d UNIQUE (b), ADD FOREIGN KEY (b) REFERENCES c",
            "ALTER TABLE a ADD COLUMN IF NOT EXISTS b int CHECK (b > 0)",
            "ALTER TABLE a ADD b int DEFAULT f(1, 2) CHECK (b > 0), ADD c int",
            "DO $$ BEGIN IF a THEN ALTER TABLE a ADD CHECK (b > 0); END IF; END $$",
        ],
    );
    check_lines(
        "CREATE TABLE a (\n  b int CHECK (b > 0),\n  c text,\n  UNIQUE\n (b, c)\n)",
        &[(2, "unnamed-constraint"), (4, "unnamed-constraint")],
    );
}

#[test]
fn a_constraint_whose_name_is_certain_needs_none() {
    check_quiet(&[
        "CREATE TABLE a (b bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, c text NOT NULL UNIQUE)",
        "CREATE TABLE a (b int REFERENCES c (d) ON DELETE CASCADE DEFERRABLE, PRIMARY KEY (b, e))",
        "CREATE TABLE a (b int CONSTRAINT c CHECK (b > 0) CONSTRAINT d CHECK (b < 9))",
        "CREATE TABLE a (b int, CONSTRAINT c UNIQUE (b), CONSTRAINT d EXCLUDE USING gist (b WITH =))",
        "CREATE TABLE a (b text DEFAULT 'CHECK (b)', \"check\" text, exclude boolean, c text -- CHECK (c)\n)",
        "CREATE TEMP TABLE a (b int CHECK (b > 0)) ON COMMIT DROP",
        "CREATE TABLE a AS SELECT (1), (2)",
        "CREATE TABLE a PARTITION OF b FOR VALUES FROM (1) TO (2)",
        "ALTER TABLE a ADD PRIMARY KEY (b), ADD CONSTRAINT c CHECK (d IN (1, 2))",
        "ALTER TABLE a ADD UNIQUE USING INDEX b, ADD COLUMN c int UNIQUE REFERENCES d",
        "ALTER TABLE a ALTER COLUMN b ADD GENERATED ALWAYS AS IDENTITY",
        "ALTER TABLE a ALTER COLUMN b SET DEFAULT 'ADD CHECK (c)', VALIDATE CONSTRAINT d",
        "CREATE DOMAIN a AS int CHECK (VALUE > 0)",
        "CREATE POLICY a ON b WITH CHECK (c)",
        "CREATE VIEW a AS SELECT 1 WITH CHECK OPTION",
        "ALTER TYPE a ADD VALUE 'b'",
    ]);
}

#[test]
fn an_extension_belongs_to_the_master_with_a_schema() {
    check(
        "extension-schema",
        &[
            "CREATE EXTENSION citext",
            "create /* */ extension if not exists \"uuid-ossp\" with schema extensions",
            "DROP EXTENSION citext",
            "DO $$ BEGIN CREATE EXTENSION citext; END $$",
        ],
    );
    check_quiet(&["SELECT 'CREATE EXTENSION citext'", "COMMENT ON TABLE extension IS 'CREATE EXTENSION'"]);
    for (sql, expect) in [
        ("CREATE EXTENSION citext", &[(1, "extension-schema")][..]),
        ("\nCREATE EXTENSION IF NOT EXISTS citext CASCADE", &[(2, "extension-schema")]),
        ("CREATE EXTENSION citext -- SCHEMA extensions", &[(1, "extension-schema")]),
        ("CREATE EXTENSION citext WITH SCHEMA extensions", &[]),
        ("ALTER EXTENSION citext UPDATE", &[]),
        ("CREATE TABLE public.plan (a int CHECK (a > 0) REFERENCES shared.b)", &[]),
    ] {
        assert_eq!(judge_in(sql, Home::Master), expect, "{sql}");
    }
}

#[test]
fn what_the_database_shares_is_found() {
    check_rule(
        "database-wide",
        &[
            "CREATE ROLE a",
            "create user a",
            "ALTER ROLE a SET work_mem = '1MB'",
            "DROP GROUP a",
            "CREATE PUBLICATION a FOR TABLE b",
            "ALTER PUBLICATION a ADD TABLE b",
            "CREATE SUBSCRIPTION a CONNECTION 'b' PUBLICATION c WITH (connect = false)",
            "CREATE EVENT TRIGGER a ON ddl_command_start EXECUTE FUNCTION b()",
            "CREATE CAST (a AS b) WITH FUNCTION c(a)",
            "CREATE OR REPLACE TRUSTED LANGUAGE a",
            "CREATE SERVER a FOREIGN DATA WRAPPER b",
            "CREATE FOREIGN DATA WRAPPER a",
            "CREATE USER MAPPING FOR a SERVER b",
            "ALTER DATABASE a SET work_mem = '1MB'",
            "COMMENT ON DATABASE a IS 'b'",
            "GRANT a TO b",
            "REVOKE a FROM b",
            "GRANT CONNECT ON DATABASE a TO b",
            "GRANT USAGE ON FOREIGN SERVER a TO b",
            "REASSIGN OWNED BY a TO b",
            "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO a",
            "DO $$ BEGIN CREATE ROLE a; END $$",
            "DO $$ BEGIN IF a THEN GRANT a TO b; END IF; END $$",
        ],
        &[
            "GRANT SELECT ON a TO b",
            "REVOKE ALL ON FUNCTION a() FROM PUBLIC",
            "CREATE TABLE role (user_name text, language text)",
            "ALTER TABLE server ADD COLUMN role text",
            "CREATE TRIGGER a BEFORE UPDATE ON b EXECUTE FUNCTION c()",
            "CREATE FOREIGN TABLE a (b int) SERVER c",
            "COMMENT ON TABLE a IS 'CREATE ROLE b'",
        ],
    );
    assert_eq!(judge_whole("CREATE EXTENSION a"), [(1, "extension-schema"), (1, "database-wide")]);
    assert_eq!(judge_in("CREATE ROLE a; GRANT a TO b", Home::Master), []);
}

#[test]
fn a_look_into_the_catalogs_of_all_schemas_is_found() {
    check_rule(
        "catalog-without-schema",
        &[
            "SELECT 1 FROM pg_tables WHERE tablename = 'a'",
            "SELECT 1 FROM pg_catalog.pg_class c WHERE c.relname = 'a'",
            "SELECT 1 FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid WHERE t.typname = 'a'",
            "SELECT 1 FROM information_schema.columns WHERE table_name = 'a' AND column_name = 'b'",
            "SELECT 1 FROM information_schema.tables WHERE table_schema = 'public' AND table_name = 'a'",
            "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_constraint WHERE conname = 'a') THEN PERFORM 1; END IF; END $$",
            "CREATE FUNCTION a() RETURNS int LANGUAGE sql AS 'SELECT 1 FROM pg_indexes WHERE indexname = $$b$$'",
        ],
        &[
            "SELECT 1 FROM pg_tables WHERE tablename = 'a' AND schemaname = current_schema()",
            "SELECT 1 FROM pg_class WHERE oid = to_regclass('a')",
            "SELECT 1 FROM pg_attribute WHERE attrelid = 'a'::regclass AND attname = 'b'",
            "SELECT 1 FROM pg_type WHERE typname = 'a' AND pg_type_is_visible(oid)",
            "SELECT 1 FROM information_schema.tables WHERE table_schema = CURRENT_SCHEMA AND table_name = 'a'",
            "SELECT count(*) FROM pg_class",
            "SELECT 1 FROM pg_roles WHERE rolname = 'a'",
            "SELECT 1 FROM pg_extension WHERE extname = 'a'",
            "CREATE TABLE pg_tables_of_ours (a text DEFAULT 'pg_class')",
        ],
    );
}

#[test]
fn a_value_that_a_file_adds_to_an_enum_and_uses_is_found() {
    check_rule(
        "enum-value-used",
        &[
            "ALTER TYPE a ADD VALUE 'b'; UPDATE c SET d = 'b'",
            "ALTER TYPE a ADD VALUE IF NOT EXISTS 'b' AFTER 'c'; ALTER TABLE d ALTER COLUMN e SET DEFAULT 'b'",
            "ALTER TYPE a ADD VALUE 'b'; DO $$ BEGIN UPDATE c SET d = 'b'; END $$",
            "ALTER TYPE a ADD VALUE 'b'; ALTER TYPE a ADD VALUE 'c'; INSERT INTO d VALUES ('c')",
        ],
        &[
            "ALTER TYPE a ADD VALUE 'b'",
            "ALTER TYPE a ADD VALUE 'b' BEFORE 'c'; UPDATE d SET e = 'c'",
            "ALTER TYPE a ADD VALUE 'b'; ALTER TYPE a ADD VALUE 'c' AFTER 'b'",
            "UPDATE c SET d = 'b'; ALTER TYPE a ADD VALUE 'b'",
            "CREATE TYPE a AS ENUM (); ALTER TYPE a ADD VALUE 'b'; CREATE TABLE c (d a DEFAULT 'b')",
            "ALTER TYPE a RENAME VALUE 'b' TO 'c'; UPDATE d SET e = 'c'",
        ],
    );
}

#[test]
fn a_write_to_the_ledger_is_found() {
    check_rule(
        "ledger",
        &[
            "DELETE FROM _sqlx_migrations WHERE version = 1",
            "UPDATE \"_sqlx_migrations\" SET success = true",
            "WITH a AS (SELECT 1) INSERT INTO _sqlx_migrations SELECT * FROM a",
            "DO $$ BEGIN DELETE FROM _sqlx_migrations; END $$",
            "TRUNCATE _sqlx_migrations",
            "ALTER TABLE _sqlx_migrations ADD COLUMN a int",
        ],
        &["SELECT max(version) FROM _sqlx_migrations", "SELECT '_sqlx_migrations'", "DELETE FROM a"],
    );
    assert_eq!(judge_in("DELETE FROM public._sqlx_migrations", Home::Master), [(1, "ledger")]);
}

#[test]
fn what_live_tenants_would_feel_is_found() {
    check_rule(
        "drop-table",
        &["DROP TABLE a", "drop table if exists a, b cascade", "DO $$ BEGIN DROP TABLE a; END $$"],
        &[
            "CREATE TABLE a (); DROP TABLE a",
            "CREATE TEMP TABLE \"A\" (); DROP TABLE IF EXISTS \"A\"",
            "DROP VIEW a",
        ],
    );
    check_rule(
        "drop-column",
        &[
            "ALTER TABLE a DROP COLUMN b",
            "ALTER TABLE IF EXISTS ONLY a DROP COLUMN IF EXISTS b CASCADE",
            "alter table a drop b",
            "ALTER TABLE a ADD COLUMN c int, DROP COLUMN b",
        ],
        &[
            "ALTER TABLE a DROP CONSTRAINT b",
            "ALTER TABLE a ALTER COLUMN b DROP NOT NULL, ALTER c DROP DEFAULT",
            "CREATE TABLE a (b int, c int); ALTER TABLE a DROP COLUMN b",
            "ALTER TYPE a DROP ATTRIBUTE b",
        ],
    );
    check_rule(
        "not-null-without-default",
        &[
            "ALTER TABLE a ADD COLUMN b int NOT NULL",
            "ALTER TABLE a ADD b text COLLATE \"C\" NOT NULL, ADD c int",
            "ALTER TABLE a ADD COLUMN IF NOT EXISTS b uuid PRIMARY KEY",
        ],
        &[
            "ALTER TABLE a ADD COLUMN b int NOT NULL DEFAULT 0",
            "ALTER TABLE a ADD COLUMN b bigint GENERATED ALWAYS AS IDENTITY NOT NULL",
            "ALTER TABLE a ADD COLUMN b bigserial NOT NULL",
            "ALTER TABLE a ADD COLUMN b int, ALTER COLUMN b SET NOT NULL",
            "ALTER TABLE a ADD CONSTRAINT b CHECK (c IS NOT NULL)",
            "CREATE TABLE a (); ALTER TABLE a ADD COLUMN b int NOT NULL",
        ],
    );
    check_rule(
        "index-not-concurrent",
        &["CREATE INDEX ON a (b)", "CREATE UNIQUE INDEX IF NOT EXISTS i ON ONLY a USING btree (b)"],
        &[
            "CREATE TABLE a (b int); CREATE INDEX i ON a (b)",
            "CREATE TABLE A (b int); CREATE INDEX i ON a (b)",
            "CREATE STATISTICS s ON a, b FROM c",
        ],
    );
    let down =
        script_of(1, MigrationType::ReversibleDown, "DROP TABLE a; ALTER TABLE b DROP COLUMN c").unwrap();
    assert_eq!(lint(&down, Home::Tenant { extensions: &[], server: TenantServer::Postgres }), []);
}

#[test]
fn a_comment_silences_a_rule_for_its_statement() {
    check_quiet(&[
        "-- lint: allow outside-name\nDROP TABLE public.a",
        "DROP TABLE public.a; -- lint: allow outside-name",
        "DROP TABLE -- lint: allow outside-name\n public.a;",
        "DROP TABLE public.a;--lint:allow outside-name because it is gone",
        "-- lint: allow outside-name , unnamed-constraint: both\nCREATE TABLE public.a (b int, UNIQUE (b))",
        "DO $$ BEGIN\n -- lint: allow outside-name\n DROP TABLE public.a; DROP TABLE public.b; END $$",
    ]);
    check_lines(
        "DROP TABLE public.a; -- lint: allow outside-name\nDROP TABLE public.b;\n",
        &[(2, "outside-name")],
    );
    check_lines(
        "-- lint: allow outside-name\nDROP TABLE public.a; DROP TABLE public.b;\nDROP TABLE public.c;",
        &[(2, "outside-name"), (3, "outside-name")],
    );
    check_lines(
        "DROP TABLE public.a; DROP TABLE public.b; -- lint: allow outside-name",
        &[(1, "outside-name")],
    );
    check_lines("-- lint: allow extension-schema\nDROP TABLE public.a", &[(2, "outside-name")]);
    check_lines("SELECT '-- lint: allow outside-name'; DROP TABLE public.a", &[(1, "outside-name")]);
}

#[test]
fn a_comment_that_silences_nothing_is_found() {
    check_lines("SELECT 1;\n-- lint: allow outside-names\nSELECT 2", &[(2, "unknown-rule")]);
    check_lines("-- lint: allow outside-name, nonsense\nDROP TABLE public.a", &[(1, "unknown-rule")]);
    check_lines("-- lint: deny outside-name", &[(1, "unknown-rule")]);
    check_lines("-- lint: allow", &[(1, "unknown-rule")]);
    check_lines("-- lint: allow ,", &[(1, "unknown-rule"), (1, "unknown-rule")]);
    check_lines("DO $$ BEGIN\n -- lint: allow x\n END $$", &[(2, "unknown-rule")]);
    assert_eq!(judge_in("-- lint: allow x", Home::Master), [(1, "unknown-rule")]);
    check_quiet(&["-- lint this", "-- lint: allow outside-name", "SELECT $$ -- lint: allow x $$"]);
}

#[test]
fn a_warning_says_where_what_and_what_to_do() {
    let script = script_of(7, MigrationType::ReversibleUp, "SELECT 1;\n  DROP TABLE ä, public.a;").unwrap();
    let mut warnings = lint(&script, Home::Tenant { extensions: &[], server: TenantServer::Postgres });
    warnings.retain(|warning| warning.rule() == Rule::OutsideName);
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    assert_eq!(
        warning.to_string(),
        "7_a.up.sql:2: outside-name: `public.a` is outside of the tenant's schema"
    );
    assert_eq!((warning.version(), warning.line(), warning.column()), (7, 2, 17));
    let json = serde_json::to_value(warning).unwrap();
    let keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["column", "file", "hint", "line", "message", "rule"]);
    assert_eq!(json["rule"], "outside-name");
}

/// Line and rule of each warning by the rules for Citus alone.
fn judge_on_citus(sql: &str) -> Vec<(usize, &'static str)> {
    let extensions = [SchemaName::parse("extensions").unwrap()];
    let server = TenantServer::Citus { reference_tables: &["plan".to_owned()] };
    let mut judged = judge_in(sql, Home::Tenant { extensions: &extensions, server });
    judged.retain(|(_, rule)| rule.starts_with("citus-"));
    judged
}

fn judge_down(sql: &str) -> Vec<(usize, &'static str)> {
    let script = script_of(1, MigrationType::ReversibleDown, sql).unwrap();
    let warnings = lint(&script, Home::Tenant { extensions: &[], server: TenantServer::Postgres });
    warnings.iter().map(|warning| (warning.line(), warning.rule().as_str())).collect()
}

/// The examples in the documentation of [`Rule`]: text by rule and by whether it is bad.
fn documented() -> BTreeMap<(String, bool), String> {
    let mut examples = BTreeMap::new();
    let (mut rule, mut is_bad, mut in_block) = (String::new(), None, false);
    for line in include_str!("rule.rs").lines().filter_map(|line| line.trim_start().strip_prefix("/// ")) {
        if let Some((name, _)) = line.strip_prefix('`').and_then(|line| line.split_once("`: ")) {
            (rule, is_bad) = (name.to_owned(), None);
        }
        in_block ^= line.starts_with("```");
        match line {
            _ if !in_block || line.starts_with("```") || rule.is_empty() => {}
            line if line.starts_with("-- bad") => is_bad = Some(true),
            line if line.starts_with("-- good") => is_bad = Some(false),
            line => *examples.entry((rule.clone(), is_bad.unwrap())).or_insert_with(String::new) += line,
        }
    }
    examples
}

#[test]
fn the_documented_examples_are_bad_and_good() {
    let examples = documented();
    assert_eq!(examples.len(), 2 * Rule::ALL.len());
    for ((rule, is_bad), sql) in examples {
        let mut rules: Vec<_> = match rule.as_str() {
            "extension-schema" => judge_in(&sql, Home::Master),
            "empty-down" => judge_down(&sql),
            // The first line is one that the documentation leaves out.
            "citus-detach-concurrently" => {
                let judged = judge_on_citus(&format!("-- no-transaction\n{sql}"));
                judged.into_iter().map(|(line, rule)| (line - 1, rule)).collect()
            }
            rule if rule.starts_with("citus-") => judge_on_citus(&sql),
            _ => judge_whole(&sql),
        };
        // What is silenced under a wrong name is still there.
        rules.retain(|(_, found)| rule != "unknown-rule" || *found != "unnamed-constraint");
        let expect = if is_bad { vec![(1, rule.as_str())] } else { Vec::new() };
        assert_eq!(rules, expect, "{sql}");
    }
}

/// Words and whole statements, of which some break rules.
fn soup() -> impl Strategy<Value = String> {
    let words = "(CREATE|ALTER|DROP|TABLE|INDEX|FUNCTION|TRIGGER|EXTENSION|SCHEMA|ADD|CHECK|UNIQUE|FOREIGN KEY\
        |CONSTRAINT|REFERENCES|SELECT|FROM|JOIN|ON|INTO|UPDATE|DELETE|USING|AS|DO|LANGUAGE|sql|THEN|SET search_path =\
        |public|\\.|public\\.a|\"ü\"|ä|,|\\(|\\)|\\[|;|::regclass|'public\\.a'|nextval|U&\"a\"|=|/\\* \\*/|\n|1\\.5\
        |-- lint: allow x\n|-- lint: allow outside-name\n|;\nDROP TABLE public\\.ä;\
        |; CREATE TABLE a \\(CHECK \\(b\\)\\);|;DO \\$\\$\n BEGIN\n DELETE FROM public\\.a; END \\$\\$;)";
    prop::collection::vec(words, 0..20).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn any_file_is_judged_and_every_place_exists(any: String, soup in soup()) {
        let extensions = [SchemaName::parse("extensions").unwrap()];
        for text in [any, soup] {
            let Ok(script) = script(&text) else { continue };
            let text = text.replace("\r\n", "\n").replace('\r', "\n");
            let lines: Vec<_> = text.split('\n').collect();
            for home in [Home::Master, Home::Tenant { extensions: &extensions, server: TenantServer::Postgres }] {
                let warnings = lint(&script, home);
                prop_assert!(warnings.is_sorted_by_key(|warning| (warning.line(), warning.column())));
                for warning in warnings {
                    let line = lines.get(warning.line() - 1);
                    prop_assert!(line.is_some_and(|line| warning.column() <= line.chars().count()), "{warning}");
                }
            }
        }
    }

    #[test]
    fn lines_before_a_file_move_its_warnings(soup in soup(), count in 1_usize..4) {
        let (Ok(_), Ok(_)) = (script(&soup), script(&format!("\n{soup}"))) else { return Ok(()) };
        let moved = judge_tenant(&format!("{}{soup}", "\n".repeat(count)));
        let expect: Vec<_> = judge_tenant(&soup).into_iter().map(|(line, rule)| (line + count, rule)).collect();
        prop_assert_eq!(moved, expect);
    }
}

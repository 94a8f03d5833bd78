#![allow(clippy::unwrap_used)]

use super::*;
use crate::sql::lexer::Lexer;
use crate::structure::ExtensionMember;

fn renamed(schema: &str, sql: &str) -> Option<String> {
    let schema = SchemaName::parse(schema).unwrap();
    let tokens: Vec<_> = Lexer::new(sql).map(Result::unwrap).collect();
    OwnNames { schema: &schema, own_role: Some("app_acme"), origin: None }.replaced(sql, &tokens)
}

#[test]
fn a_name_is_replaced_where_it_is_the_schema() {
    for (schema, sql, expect) in [
        ("acme", "CREATE TABLE acme.acme (acme text)", "CREATE TABLE __tenant__.acme (acme text)"),
        ("Ac\"me", "CREATE TABLE \"Ac\"\"me\".t ()", "CREATE TABLE __tenant__.t ()"),
        ("acme", "COMMENT ON SCHEMA acme IS 'acme.x'", "COMMENT ON SCHEMA __tenant__ IS 'acme.x'"),
        (
            "acme",
            "CREATE FUNCTION acme.f() SET search_path TO 'extensions', 'acme', 'pg_temp' AS $$SELECT 1$$",
            "CREATE FUNCTION __tenant__.f() SET search_path TO 'extensions', '__tenant_name__', 'pg_temp' \
             AS $$SELECT 1$$",
        ),
        (
            "acme",
            "ALTER TABLE acme.t ALTER id SET DEFAULT nextval('acme.s'::regclass)",
            "ALTER TABLE __tenant__.t ALTER id SET DEFAULT nextval('__tenant_text__.s'::regclass)",
        ),
        (
            "It's",
            "SELECT nextval('\"It''s\".s'::pg_catalog.regclass)",
            "SELECT nextval('__tenant_text__.s'::pg_catalog.regclass)",
        ),
        (
            "acme",
            "GRANT SELECT ON TABLE acme.t TO app_acme",
            "GRANT SELECT ON TABLE __tenant__.t TO __tenant_role__",
        ),
        (
            "acme",
            "CREATE VIEW acme.v AS SELECT t.acme FROM acme.t",
            "CREATE VIEW __tenant__.v AS SELECT t.acme FROM __tenant__.t",
        ),
        (
            "acme",
            "CREATE MATERIALIZED VIEW acme.v AS SELECT t.id AS acme, s.acme AS x FROM acme.t, ( SELECT 1 AS acme) s",
            "CREATE MATERIALIZED VIEW __tenant__.v AS SELECT t.id AS acme, s.acme AS x FROM __tenant__.t, \
             ( SELECT 1 AS acme) s",
        ),
        (
            "acme",
            "CREATE VIEW acme.v AS SELECT id, acme, (acme + 1) AS x FROM acme.t WHERE acme > 0 ORDER BY acme, id",
            "CREATE VIEW __tenant__.v AS SELECT id, acme, (acme + 1) AS x FROM __tenant__.t WHERE acme > 0 \
             ORDER BY acme, id",
        ),
        (
            "acme",
            "CREATE FUNCTION acme.f() RETURNS int BEGIN ATOMIC SELECT max(acme) FROM acme.t; END",
            "CREATE FUNCTION __tenant__.f() RETURNS int BEGIN ATOMIC SELECT max(acme) FROM __tenant__.t; END",
        ),
        (
            "acme",
            "CREATE POLICY p ON acme.t USING ((acme = 1))",
            "CREATE POLICY p ON __tenant__.t USING ((acme = 1))",
        ),
        ("acme", "ALTER TABLE t ADD app_acme int", "ALTER TABLE t ADD app_acme int"),
        (
            "acme",
            "ALTER TABLE acme.t ALTER a SET DEFAULT 'acme'",
            "ALTER TABLE __tenant__.t ALTER a SET DEFAULT 'acme'",
        ),
    ] {
        assert_eq!(renamed(schema, sql).as_deref(), Some(expect), "{sql}");
    }
}

#[test]
fn a_name_that_only_a_run_would_find_is_refused() {
    for sql in [
        "CREATE FUNCTION acme.f() RETURNS int AS $$SELECT count(*) FROM acme.t$$",
        "CREATE FUNCTION acme.f() RETURNS int AS $$SELECT count(*) FROM ACME . t$$",
        "CREATE FUNCTION acme.f() RETURNS int AS $$SELECT set_config('search_path', 'acme', true)$$",
        "CREATE FUNCTION acme.f() RETURNS int AS 'SELECT 1 FROM \"acme\".t'",
        "ALTER TABLE acme.t ALTER id SET DEFAULT nextval(('acme.s'::text)::regclass)",
        "CREATE VIEW acme.v AS SELECT acme.id FROM acme.t acme",
        "CREATE VIEW acme.v AS SELECT acme.id FROM acme.acme",
        "CREATE VIEW acme.v AS WITH acme AS (SELECT 1) SELECT 1",
        "CREATE VIEW acme.v AS WITH other AS (SELECT 1), acme AS (SELECT 1 AS x) SELECT acme.x FROM other, acme",
        "CREATE VIEW acme.v AS SELECT acme.x FROM (acme.t JOIN acme.s acme ON (true))",
        "CREATE VIEW acme.v AS SELECT acme.x FROM ( SELECT 1 AS x) acme",
        "CREATE RULE r AS ON INSERT TO acme.v DO INSTEAD INSERT INTO acme.t AS acme VALUES (1)",
    ] {
        assert_eq!(renamed("acme", sql), None, "{sql}");
    }
    for sql in [
        "CREATE FUNCTION acme.f() RETURNS int AS $$SELECT 1 -- of acme, our customer$$",
        "CREATE FUNCTION acme.f() RETURNS int AS $$SELECT 1 FROM big_acme.t$$",
    ] {
        assert!(renamed("acme", sql).is_some(), "{sql}");
    }
}

#[test]
fn what_an_extension_has_is_found_where_the_extension_is_here() {
    let member = |schema: &str, name: &str| ExtensionMember {
        schema: schema.to_owned(),
        name: name.to_owned(),
        home: "extensions".to_owned(),
    };
    let members = [member("public", "citext"), member("public", "="), member("ext", "Odd")];
    let origin = DumpOrigin::new(members, vec!["extensions".to_owned()], []);
    let schema = SchemaName::parse("public").unwrap();
    let names = OwnNames { schema: &schema, own_role: None, origin: Some(&origin) };
    for (sql, expect) in [
        (
            "CREATE TABLE public.public (public public.citext[], b public.mail)",
            Some("CREATE TABLE __tenant__.public (public \"extensions\".citext[], b __tenant__.mail)"),
        ),
        (
            "CREATE DOMAIN public.mail CHECK (VALUE OPERATOR(public.=) 'x'::public.citext)",
            Some(
                "CREATE DOMAIN __tenant__.mail CHECK (VALUE OPERATOR(\"extensions\".=) 'x'::\"extensions\".citext)",
            ),
        ),
        ("SELECT ext.\"Odd\"(1), ext.odd(1)", Some("SELECT \"extensions\".\"Odd\"(1), ext.odd(1)")),
        (
            "SELECT 'public.citext[]'::regtype, 'public.t'::regclass, 'ext.\"Odd\"'::regtype",
            Some(
                "SELECT '\"extensions\".citext[]'::regtype, '__tenant_text__.t'::regclass, \
                 '\"extensions\".\"Odd\"'::regtype",
            ),
        ),
        (
            "CREATE FUNCTION public.f() SET search_path TO 'public', 'pg_temp' AS $$SELECT 1$$",
            Some(
                "CREATE FUNCTION __tenant__.f() SET search_path TO '__tenant_name__', 'extensions', 'pg_temp' \
                 AS $$SELECT 1$$",
            ),
        ),
        ("CREATE FUNCTION public.f() AS $$SELECT ext.odd(1)$$", None),
        ("CREATE FUNCTION public.f() AS $$SELECT FROM public.t$$", None),
        (
            "CREATE FUNCTION public.f() AS $$SELECT 'republic.t'$$",
            Some("CREATE FUNCTION __tenant__.f() AS $$SELECT 'republic.t'$$"),
        ),
    ] {
        let tokens: Vec<_> = Lexer::new(sql).map(Result::unwrap).collect();
        assert_eq!(names.replaced(sql, &tokens).as_deref(), expect, "{sql}");
    }
}

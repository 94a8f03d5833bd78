use super::{installation, source, tenants};

#[tokio::test]
async fn what_cannot_be_carried_is_named_before_anything_is_made() {
    let project = installation().await;
    let body = "CREATE TABLE t (id int); CREATE FUNCTION f() RETURNS bigint LANGUAGE sql
                AS 'SELECT count(*) FROM public.t'";
    for (sql, says, hint) in [
        (body, "`CREATE FUNCTION public.f()", "unqualified names"),
        (
            "CREATE TABLE t (id int); CREATE VIEW v AS SELECT public.id FROM t AS public",
            "`CREATE VIEW public.v",
            "",
        ),
        (
            "CREATE SEQUENCE s; CREATE TABLE t (id bigint DEFAULT nextval('public.s'::text::regclass))",
            "public.t",
            "",
        ),
        (
            "CREATE EXTENSION ltree; CREATE TABLE t (p ltree)",
            "extension `ltree` is not installed here",
            "CREATE EXTENSION",
        ),
        ("CREATE EXTENSION ltree; CREATE TABLE t (p ltree[])", "extension `ltree` is not installed here", ""),
        (
            "CREATE EXTENSION citext; CREATE FUNCTION citextin(int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "`citextin` is its own and one of extension `citext`",
            "rename",
        ),
        ("SELECT lo_from_bytea(0, 'x')", "1 large objects", ""),
        (
            "CREATE SCHEMA other; CREATE TABLE other.t (id int PRIMARY KEY);
             CREATE TABLE t (id int REFERENCES other.t)",
            "depends on",
            "",
        ),
        (
            "CREATE SCHEMA other; CREATE TABLE t (id int) PARTITION BY LIST (id);
             CREATE TABLE other.t1 PARTITION OF t DEFAULT",
            "is a part of `t`",
            "",
        ),
        (
            "CREATE TABLE t (id int); ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY",
            "may not see the rows of table `t`",
            "BYPASSRLS",
        ),
        ("CREATE TABLE _sqlx_migrations (id int)", "`_sqlx_migrations` is no ledger", ""),
        (
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE internal AS 'suppress_redundant_updates_trigger'",
            "`f()` is written in internal",
            "",
        ),
        ("DROP SCHEMA public", "no schema `public`", ""),
    ] {
        let source = source(sql).await;
        let refused = project.refused(1, &["import", "--from", source.superuser_url(), "acme"]);
        assert!(refused.contains(says) && refused.contains(hint), "{sql}: {refused}");
        assert_eq!(tenants(&project).await, 0, "{sql}");
        if sql == body {
            let found = project.run(&["import", "--from", source.superuser_url(), "acme", "--dry-run"]);
            assert!(found.code == 3 && found.stdout.contains(says), "{}{}", found.stdout, found.stderr);
        }
    }
    let source = source("SELECT lo_from_bytea(0, 'x'); CREATE TABLE t (file oid)").await;
    let url = source.superuser_url();
    let json = project.json(&["import", "--from", url, "acme", "--without-large-objects"]);
    assert!(json["notes"][0].as_str().unwrap().contains("`t.file` is an oid"), "{json}");
}

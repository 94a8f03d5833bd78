use super::{installation, run, source, superuser};

#[tokio::test]
async fn a_login_that_may_only_read_is_enough() {
    let project = installation().await;
    let source = source(
        "CREATE TABLE t (id serial PRIMARY KEY, secret text); INSERT INTO t (secret) VALUES ('a'), ('b');
         CREATE SCHEMA other; CREATE TABLE other.t (id int REFERENCES public.t);
         CREATE FUNCTION definer() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
         CREATE SUBSCRIPTION feed CONNECTION '' PUBLICATION p WITH (connect = false, slot_name = NONE);
         SET allow_system_table_mods TO on;
         INSERT INTO pg_seclabel (objoid, classoid, objsubid, provider, label)
             SELECT 't'::regclass, 'pg_class'::regclass, number, 'dummy', 'x' FROM generate_series(0, 1) AS number",
    )
    .await;
    let reader = format!("{}_reader", source.name());
    let make = format!("CREATE ROLE {reader} LOGIN PASSWORD 'hidden-word'; GRANT SELECT ON t TO {reader}");
    run(source.superuser_url(), &make).await;
    let (_, place) = source.superuser_url().rsplit_once('@').unwrap();
    let mut project = project;
    project.variables.push(("CUSTOMER", format!("postgres://{reader}:hidden-word@{place}")));
    let arguments = ["import", "--from", "env:CUSTOMER", "acme"];
    let refused = project.refused(1, &arguments);
    assert!(
        refused.contains("may not read sequence `t_id_seq`") && !refused.contains("hidden-word"),
        "{refused}"
    );
    run(source.superuser_url(), &format!("GRANT SELECT ON t_id_seq TO {reader}")).await;
    let refused = project.refused(1, &arguments);
    assert!(refused.contains("schema `other` in it has 1 tables"), "{refused}");
    let done = project.run(&[&arguments[..], &["--without-other-schemas"]].concat());
    assert_eq!(done.code, 0, "{}", done.stderr);
    for says in [
        "schema `other` is left out",
        "foreign key `t_id_fkey` of table `other.t`",
        "function `definer()` runs as its owner",
        "subscription `feed` is left out",
        "security labels of provider `dummy` are left out, of 1 objects",
        "imported tenant acme, 2 rows",
    ] {
        assert!(done.stderr.contains(says), "{says}: {}", done.stderr);
    }
    assert!(!done.stderr.contains("hidden-word") && !done.stdout.contains("hidden-word"));
    let wrong =
        project.refused(1, &["import", "--from", &format!("postgres://{reader}:other-word@{place}"), "b"]);
    assert!(wrong.contains("cannot be opened") && !wrong.contains("other-word"), "{wrong}");
    // It is here as well, so what it may there it may here.
    run(superuser(&project), &format!("DROP OWNED BY {reader}")).await;
    run(
        source.superuser_url(),
        &format!("DROP OWNED BY {reader}; DROP ROLE {reader}; DROP SUBSCRIPTION feed"),
    )
    .await;
}

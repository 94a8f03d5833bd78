//! Tenants that cannot be cloned, and what of them is named.

use tenantry::pool::Role;
use tenantry::tenant::SchemaName;
use tenantry::{CloneOptions, ErrorKind, NewTenant};

use super::{acme_with, clone_as, dump};
use crate::roles::two_logins;
use crate::support::{Client, NOTHING, check_error, tenant_files};

#[tokio::test]
async fn what_a_clone_could_not_carry_is_named() {
    let (database, tenancy, acme) = acme_with("").await;
    let schema = acme.schema();
    let other = format!("{}_other", database.name());
    let mut superuser = Client::superuser(&database).await;
    superuser
        .run(&format!(
            "CREATE ROLE {other}; CREATE SCHEMA extensions2; CREATE EXTENSION lo SCHEMA extensions2;
                 GRANT USAGE ON SCHEMA extensions2 TO PUBLIC"
        ))
        .await;
    let globex = tenancy.create(NewTenant::new("globex")).await.unwrap();
    let mut owner = Client::owner(&database).await;
    let enter = format!("SET check_function_bodies = off; SET search_path TO {schema}, extensions2");
    for (make, says, unmake) in unclonable(schema, globex.schema(), &other) {
        let (by_owner, by_superuser) = match make.split_once('|') {
            None if make.contains(&other) => ("SELECT 1", &*make),
            None => (&*make, "SELECT 1"),
            Some(both) => both,
        };
        owner.run(&format!("{enter}; {by_owner}")).await;
        superuser.run(&format!("{enter}; {by_superuser}")).await;
        let refused = clone_as(&database, &tenancy, "copy", CloneOptions::default()).await;
        check_error(refused, ErrorKind::Unsupported, &[says]);
        assert_eq!(superuser.traces("copy").await, NOTHING, "{make}");
        superuser.run(&format!("{enter}; {unmake}")).await;
    }
    superuser.run(&format!("DROP OWNED BY {other}; DROP ROLE {other}")).await;
    superuser.run("DROP EXTENSION lo").await;
}

/// Statements that make what cannot be cloned, with a part of the refusal, and statements that remove it.
fn unclonable(
    schema: &SchemaName,
    globex: &SchemaName,
    other: &str,
) -> [(String, &'static str, &'static str); 14] {
    [
        ("CREATE EXTENSION hstore".to_owned(), "extension `hstore`", "DROP EXTENSION hstore"),
        (format!("ALTER TABLE note OWNER TO {other}"), "`note` belongs to role", "DROP TABLE note"),
        (
            "CREATE TABLE a (id int); ALTER TABLE a ENABLE ROW LEVEL SECURITY; ALTER TABLE a FORCE ROW LEVEL SECURITY"
                .to_owned(),
            "rows of table `a`",
            "DROP TABLE a",
        ),
        (
            "CREATE TABLE p (id int) PARTITION BY LIST (id); CREATE TABLE public.p_1 PARTITION OF p DEFAULT".to_owned(),
            "is a part of `p`, and is not in it",
            "DROP TABLE p",
        ),
        (
            format!(
                "CREATE TABLE c (); GRANT USAGE ON SCHEMA {schema} TO {other}; \
                 GRANT SELECT ON c TO {other} WITH GRANT OPTION \
                 | SET ROLE {other}; GRANT SELECT ON c TO PUBLIC; RESET ROLE"
            ),
            "has passed on a privilege on `c`",
            "DROP TABLE c",
        ),
        (
            "CREATE TABLE a (file oid); \
             CREATE TRIGGER t BEFORE UPDATE ON a FOR EACH ROW EXECUTE FUNCTION lo_manage(file)"
                .to_owned(),
            "trigger `t` of table `a` removes large objects",
            "DROP TABLE a",
        ),
        ("CREATE TABLE a (file lo)".to_owned(), "column `a.file` holds large objects", "DROP TABLE a"),
        (
            format!("CREATE TABLE a (id int REFERENCES {globex}.note)"),
            "depends on table",
            "DROP TABLE a",
        ),
        (
            "CREATE TABLE public.base (id int); CREATE TABLE a () INHERITS (public.base)".to_owned(),
            "table `a` inherits from",
            "DROP TABLE public.base CASCADE",
        ),
        (
            format!("CREATE FUNCTION a() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM {schema}.b'"),
            "CREATE FUNCTION",
            "DROP FUNCTION a",
        ),
        (
            format!("CREATE SEQUENCE s; CREATE TABLE a (id int DEFAULT nextval(('{schema}.s'::text)::regclass))"),
            "in a body, a string or an alias",
            "DROP TABLE a; DROP SEQUENCE s",
        ),
        (
            "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int REFERENCES a) \
             | ALTER TABLE b DISABLE TRIGGER ALL"
                .to_owned(),
            "foreign keys are switched off",
            "DROP TABLE a, b",
        ),
        // A dump does not keep the order of its columns.
        (
            "CREATE TABLE a (x int); CREATE TABLE b (y int, x int); ALTER TABLE b INHERIT a".to_owned(),
            "would differ from it in column `b.x`",
            "DROP TABLE b, a",
        ),
        (
            format!("ALTER DEFAULT PRIVILEGES FOR ROLE {other} IN SCHEMA {schema} GRANT SELECT ON TABLES TO PUBLIC"),
            "default privileges",
            "SELECT 1",
        ),
    ]
}

#[tokio::test]
async fn a_column_of_a_view_may_be_called_like_the_schema() {
    let (database, tenancy, acme) = acme_with("CREATE TABLE a (id int); INSERT INTO a VALUES (7)").await;
    let (schema, mut owner) = (acme.schema(), Client::owner(&database).await);
    let view = format!(
        "CREATE VIEW {schema}.v AS SELECT s.{schema} + 1 AS {schema} FROM (SELECT id AS {schema} FROM {schema}.a) s"
    );
    owner.run(&view).await;
    let cloned = clone_as(&database, &tenancy, "copy", CloneOptions::default()).await.unwrap();
    owner.run(&format!("DROP SCHEMA {schema} CASCADE")).await;
    let seen = format!("SELECT {schema} FROM {}.v", cloned.tenant.schema());
    assert_eq!(owner.value::<i32>(&seen).await, 8);
}

#[tokio::test]
async fn what_a_clone_is_without_is_said() {
    let (database, tenancy, acme) =
        acme_with("CREATE TABLE a (id int, o oid); INSERT INTO a VALUES (1, 0), (1, 0)").await;
    let table = format!("{}.a", acme.schema());
    let index = format!("CREATE UNIQUE INDEX CONCURRENTLY twice ON {table} (id)");
    assert!(Client::owner(&database).await.try_run(&index).await.is_err());
    let publish =
        format!("CREATE PUBLICATION everything FOR ALL TABLES; CREATE PUBLICATION one FOR TABLE {table}");
    let mut superuser = Client::superuser(&database).await;
    superuser.run(&publish).await;
    superuser
        .run(
            "CREATE FUNCTION public.watched() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
             CREATE EVENT TRIGGER watches ON ddl_command_start EXECUTE FUNCTION public.watched()",
        )
        .await;
    // Without a provider, nobody else gives one.
    superuser
        .run(&format!(
            "SET allow_system_table_mods = on; INSERT INTO pg_seclabel (objoid, classoid, objsubid, provider, label)
             VALUES ('{table}'::regclass, 'pg_class'::regclass, 1, 'dummy', 'secret')"
        ))
        .await;
    let cloned = clone_as(&database, &tenancy, "copy", CloneOptions::default()).await.unwrap();
    for part in [
        "index `twice` is not valid",
        "publication `one`, its copy is not",
        "publication `everything` is for all tables",
        "column `a.o` is an oid",
        "event trigger `watches` runs",
        "security label `secret` of column id of table",
    ] {
        assert!(cloned.notes.iter().any(|note| note.contains(part)), "{part}: {:?}", cloned.notes);
    }
    assert_eq!(cloned.notes.len(), 6, "{:?}", cloned.notes);
}

#[tokio::test]
async fn a_source_that_is_being_migrated_or_is_not_whole_is_refused() {
    let (database, tenancy, acme) = acme_with("").await;
    let mut owner = Client::owner(&database).await;
    owner.run(&format!("UPDATE {}._sqlx_migrations SET success = false", acme.schema())).await;
    let refused = clone_as(&database, &tenancy, "copy", CloneOptions::default()).await;
    check_error(refused, ErrorKind::Migration, &["migration 1 was interrupted"]);
    owner.run(&format!("UPDATE {}._sqlx_migrations SET success = true", acme.schema())).await;
    owner.run("UPDATE tenantry.tenant SET status = 'deleted'").await;
    let refused = clone_as(&database, &tenancy, "copy", CloneOptions::default()).await;
    check_error(refused, ErrorKind::TenantUnavailable, &["is deleted"]);
    assert_eq!(owner.traces("copy").await, NOTHING);
}

#[tokio::test]
async fn each_clone_has_a_role_of_its_own_where_tenants_have() {
    let logins = two_logins().await;
    let allow = format!("ALTER ROLE {} CREATEROLE", logins.database.name());
    Client::superuser(&logins.database).await.run(&allow).await;
    let sql = "CREATE TABLE note (id bigserial PRIMARY KEY, title text);
               ALTER TABLE note ENABLE ROW LEVEL SECURITY; CREATE POLICY all_rows ON note USING (true)";
    let tenancy = logins
        .builder()
        .migrations(tenant_files(&[sql]))
        .role_per_tenant(Role::of(logins.database.name()))
        .connect()
        .await
        .unwrap();
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let insert = "INSERT INTO note (title) VALUES ('one')";
    sqlx::query(insert).execute(&tenancy.db(&acme).unwrap()).await.unwrap();
    let dump = async |arguments: &[String]| Ok::<_, tenantry::Error>(dump(&logins.database, arguments));
    let cloned =
        tenancy.clone_tenant(&acme, NewTenant::new("copy"), CloneOptions::default(), dump).await.unwrap();
    let db = tenancy.db(&cloned.tenant).unwrap();
    sqlx::query(insert).execute(&db).await.unwrap();
    let (count, role): (i64, String) =
        sqlx::query_as("SELECT count(*), current_user::text FROM note").fetch_one(&db).await.unwrap();
    assert_eq!((count, role.contains("copy")), (2, true), "{role}");
    let mut owner = Client::owner(&logins.database).await;
    let acl =
        format!("SELECT relacl::text FROM pg_class WHERE oid = '{}.note'::regclass", cloned.tenant.schema());
    let acl = owner.value::<String>(&acl).await;
    assert!(!acl.contains("acme"), "{acl}");
    assert_eq!(owner.count("tenantry.structure").await, 1);
}

#[tokio::test]
async fn rows_that_policies_hide_from_their_owner_are_read_by_a_role_that_sees_them() {
    let sql = "CREATE TABLE guarded (id int PRIMARY KEY, tenant text);
               INSERT INTO guarded VALUES (1, 'a'), (2, 'b'), (3, 'c');
               CREATE POLICY own_rows ON guarded USING (tenant = 'a');
               ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; ALTER TABLE guarded FORCE ROW LEVEL SECURITY";
    let (database, tenancy, acme) = acme_with(sql).await;
    let refused = clone_as(&database, &tenancy, "copy", CloneOptions::default()).await;
    check_error(refused, ErrorKind::Unsupported, &["policies hide rows of table `guarded`"]);
    let (owner, all) = (database.name(), format!("{}_all", database.name()));
    let mut superuser = Client::superuser(&database).await;
    superuser
        .run(&format!(
            "CREATE ROLE {all} NOLOGIN BYPASSRLS; GRANT pg_read_all_data TO {all}; GRANT {all} TO {owner}"
        ))
        .await;
    let cloned = clone_as(&database, &tenancy, "copy", CloneOptions::default()).await.unwrap();
    assert_eq!(cloned.rows, 3);
    for tenant in [&acme, &cloned.tenant] {
        let rows = format!("{}.guarded", tenant.schema());
        assert_eq!(superuser.count(&rows).await, 3);
        assert_eq!(Client::owner(&database).await.count(&rows).await, 1, "policies are as they were");
    }
    // What would miss some of them fails.
    let hide = CloneOptions::default().anonymize("hide.sql", "UPDATE guarded SET tenant = 'x'");
    let refused = clone_as(&database, &tenancy, "other", hide).await;
    check_error(refused, ErrorKind::Migration, &["row-level security policy for table \"guarded\""]);
    assert_eq!(superuser.traces("other").await, NOTHING);
    superuser.run(&format!("DROP OWNED BY {all}; DROP ROLE {all}")).await;
}

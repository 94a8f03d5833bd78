//! Owners and privileges of tenants against what their files make.

use tenantry::NewTenant;
use tenantry::doctor::Check;
use tenantry::pool::Role;
use tenantry::tenant::Tenant;

use crate::doctor::{check, check_findings, close_public};
use crate::roles::{TwoLogins, two_logins};
use crate::support::{Client, tenant_files};

const NOTE: &str = "CREATE TABLE note (id bigserial PRIMARY KEY, title text);
    CREATE VIEW titles AS SELECT title FROM note; CREATE SEQUENCE number;
    CREATE FUNCTION notes() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM note';
    CREATE TYPE mood AS ENUM ('good'); CREATE TYPE span AS RANGE (SUBTYPE = int)";

/// Privileges that files can give and take without the name of an installation in them.
const GRANTS: &str = "GRANT SELECT ON note, titles TO pg_monitor; GRANT UPDATE (title) ON note TO pg_monitor;
    GRANT SELECT (title) ON titles TO pg_signal_backend; REVOKE UPDATE ON note FROM CURRENT_USER;
    GRANT USAGE ON SEQUENCE number TO pg_monitor; REVOKE EXECUTE ON FUNCTION notes() FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION notes() TO pg_monitor; GRANT USAGE ON TYPE mood TO pg_monitor;
    DO $$ BEGIN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO pg_monitor', current_schema());
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT ON TABLES TO pg_monitor', current_schema());
    END $$";

/// Changes that somebody makes by hand, and what is told of them.
const CHANGES: &[(&str, &str)] = &[
    ("REVOKE SELECT ON note FROM pg_monitor", "grant `SELECT on note to pg_monitor` is missing"),
    ("GRANT DELETE ON titles TO PUBLIC", "grant `DELETE on titles to PUBLIC` is extra"),
    (
        "GRANT SELECT ON note TO pg_monitor WITH GRANT OPTION",
        "is `SELECT WITH GRANT OPTION` instead of `SELECT`",
    ),
    ("REVOKE INSERT ON note FROM APP", "grant `INSERT on note to the application` is missing"),
    ("GRANT TRUNCATE ON note TO APP", "grant `TRUNCATE on note to the application` is extra"),
    ("GRANT UPDATE ON note TO CURRENT_USER", "grant `UPDATE on note to the owner` is extra"),
    ("REVOKE DELETE ON note FROM CURRENT_USER", "grant `DELETE on note to the owner` is missing"),
    (
        "REVOKE UPDATE (title) ON note FROM pg_monitor",
        "`UPDATE (title) on note.title to pg_monitor` is missing",
    ),
    (
        "GRANT SELECT (id) ON note TO pg_signal_backend",
        "grant `SELECT (id) on note.id to pg_signal_backend` is extra",
    ),
    (
        "REVOKE SELECT (title) ON titles FROM pg_signal_backend",
        "on titles.title to pg_signal_backend` is missing",
    ),
    ("REVOKE USAGE ON SEQUENCE number FROM pg_monitor", "grant `USAGE on number to pg_monitor` is missing"),
    ("GRANT SELECT ON SEQUENCE note_id_seq TO pg_monitor", "`SELECT on note_id_seq to pg_monitor` is extra"),
    ("REVOKE EXECUTE ON FUNCTION notes() FROM APP", "`EXECUTE on notes() to the application` is missing"),
    ("GRANT EXECUTE ON FUNCTION notes() TO PUBLIC", "grant `EXECUTE on notes() to PUBLIC` is extra"),
    ("REVOKE USAGE ON TYPE mood FROM pg_monitor", "grant `USAGE on mood to pg_monitor` is missing"),
    ("REVOKE USAGE ON TYPE span FROM PUBLIC", "grant `USAGE on span to PUBLIC` is missing"),
    ("GRANT USAGE ON TYPE span TO pg_monitor", "grant `USAGE on span to pg_monitor` is extra"),
    ("REVOKE USAGE ON SCHEMA OWN FROM pg_monitor", "grant `USAGE on the schema to pg_monitor` is missing"),
    ("GRANT CREATE ON SCHEMA OWN TO pg_monitor", "grant `CREATE on the schema to pg_monitor` is extra"),
    (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA OWN REVOKE SELECT ON TABLES FROM pg_monitor",
        "grant `SELECT on tables to come to pg_monitor` is missing",
    ),
    (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA OWN REVOKE ALL ON SEQUENCES FROM APP",
        "grant `SELECT, UPDATE, USAGE on sequences to come to the application` is missing",
    ),
    (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA OWN GRANT USAGE ON TYPES TO pg_monitor",
        "grant `USAGE on types to come to pg_monitor` is extra",
    ),
];

fn with_names(sql: &str, tenant: &Tenant, logins: &TwoLogins) -> String {
    let sql = sql.replace("OWN ", &format!("{} ", tenant.schema()));
    let sql = sql.replace(" APP", &format!(" {}", logins.application));
    format!("SET search_path TO {}; {sql}; RESET search_path", tenant.schema())
}

#[tokio::test]
async fn privileges_that_no_file_makes_and_those_that_are_missing_are_found_and_mended() {
    let logins = two_logins().await;
    close_public(&logins.database).await;
    let tenancy = logins.builder().migrations(tenant_files(&[NOTE, GRANTS])).connect().await.unwrap();
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    check_findings(&tenancy.doctor_replaying(()).await, &[]);
    let mut owner = Client::owner(&logins.database).await;
    for (change, told) in CHANGES {
        owner.run(&with_names(change, &acme, &logins)).await;
        let findings = check(&tenancy, &[(Check::Drift, told)]).await;
        assert!(
            findings[0].what.starts_with("tenant `acme` differs from what the files make at version 2: ")
        );
        assert!(!findings[0].what.contains(';'), "nothing else differs: {}", findings[0].what);
        owner.run(&findings[0].mend).await;
        check(&tenancy, &[]).await;
    }
}

#[tokio::test]
async fn what_belongs_to_another_role_than_the_files_make_it_belong_to_is_found_and_mended() {
    let logins = two_logins().await;
    close_public(&logins.database).await;
    let (owner, group) = (logins.database.name(), format!("{}_group", logins.database.name()));
    let mut superuser = Client::superuser(&logins.database).await;
    superuser.run(&format!("CREATE ROLE {group}; GRANT {group} TO {owner}")).await;
    let given = format!(
        "CREATE TABLE given (id int);
         DO $$ BEGIN EXECUTE format('GRANT CREATE ON SCHEMA %I TO {group}', current_schema()); END $$;
         ALTER TABLE given OWNER TO {group}"
    );
    let tenancy = logins.builder().migrations(tenant_files(&[NOTE, &given])).connect().await.unwrap();
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    check_findings(&tenancy.doctor_replaying(()).await, &[]);
    let belongs = |what: &str| format!("{what} belongs to role `{group}` instead of who migrates");
    let mut login = Client::owner(&logins.database).await;
    for (change, told) in [
        ("ALTER TABLE note OWNER TO", belongs("`note`")),
        ("ALTER VIEW titles OWNER TO", belongs("`titles`")),
        ("ALTER SEQUENCE number OWNER TO", belongs("`number`")),
        ("ALTER FUNCTION notes() OWNER TO", belongs("`notes()`")),
        ("ALTER TYPE mood OWNER TO", belongs("`mood`")),
        ("ALTER SCHEMA OWN OWNER TO", belongs("the schema")),
        ("ALTER TABLE given OWNER TO", format!("`given` belongs to who migrates instead of role `{group}`")),
    ] {
        let to = if change.contains("given") { owner } else { &group };
        superuser.run(&with_names(&format!("{change} {to}"), &acme, &logins)).await;
        let findings = check(&tenancy, &[(Check::Drift, &told)]).await;
        login.run(&findings[0].mend).await;
        check(&tenancy, &[]).await;
    }
    // No migration could change it: that is told once.
    superuser.run(&with_names("ALTER TABLE note OWNER TO postgres", &acme, &logins)).await;
    check(&tenancy, &[(Check::ForeignOwner, "table ")]).await;
}

#[tokio::test]
async fn the_role_of_a_tenant_has_what_each_has() {
    let logins = two_logins().await;
    close_public(&logins.database).await;
    let allow = format!("ALTER ROLE {} CREATEROLE", logins.database.name());
    Client::superuser(&logins.database).await.run(&allow).await;
    let role = Role::of(logins.database.name());
    let builder = logins
        .builder()
        .role_per_tenant(Role::of(logins.database.name()))
        .migrations(tenant_files(&[NOTE, GRANTS]));
    let tenancy = builder.connect().await.unwrap();
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    check_findings(&tenancy.doctor_replaying(()).await, &[]);
    let mut owner = Client::owner(&logins.database).await;
    for (change, told) in [
        ("REVOKE INSERT ON note FROM", "grant `INSERT on note to the role of the tenant` is missing"),
        ("GRANT TRUNCATE ON note TO", "grant `TRUNCATE on note to the role of the tenant` is extra"),
    ] {
        let change = format!("{change} {}", role.name_for(acme.schema()));
        owner.run(&with_names(&change, &acme, &logins)).await;
        let findings = check(&tenancy, &[(Check::Drift, told)]).await;
        owner.run(&findings[0].mend).await;
        check(&tenancy, &[]).await;
    }
}

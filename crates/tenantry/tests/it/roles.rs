//! Privileges of the owner, the application, and a role per tenant.

use tenantry::pool::Role;
use tenantry::tenant::{SchemaName, Tenant};
use tenantry::{Builder, DatabaseConfig, ErrorKind, Fleet, NewTenant, Tenancy};
use tenantry_embedded::ScratchDatabase;
use tokio::task::JoinSet;

use crate::support::{
    Client, Folder, NOTHING, ONE_TENANT, Traces, builder, check_error, database, table, tenant_files,
    unobserved,
};

const NOTE: &str = "CREATE TABLE note (id bigserial PRIMARY KEY, title text NOT NULL);
                    CREATE FUNCTION notes() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM note'";

/// The password `app`, as the server stores it: with one iteration instead of 4096, which a client that was not
/// optimised spends 40 ms on.
pub(crate) const PASSWORD: &str = concat!(
    "PASSWORD 'SCRAM-SHA-256$1:MDEyMzQ1Njc4OWFiY2RlZg==",
    "$iqIG4fkoAjLGeMPc/7CfYcdt4SwX0cvLq4EyUpH4pcM=:mkaJfwWe2Yc+CK41I0YB89+dBxxOqEN/OgRQUA0QdzQ='"
);

/// The URL of the database for another login.
pub(crate) fn url_as(database: &ScratchDatabase, role: &str, password: &str) -> String {
    let (_, place) = database.url().split_once('@').unwrap();
    format!("postgres://{role}:{password}@{place}")
}

/// A database with a login that may do nothing but what it is granted.
pub(crate) struct TwoLogins {
    pub(crate) database: ScratchDatabase,
    pub(crate) application: String,
}

pub(crate) async fn two_logins() -> TwoLogins {
    let database = database().await;
    let application = format!("{}_app", database.name());
    let create = format!("CREATE ROLE {application} LOGIN {PASSWORD}");
    Client::superuser(&database).await.run(&create).await;
    TwoLogins { database, application }
}

impl TwoLogins {
    pub(crate) fn builder(&self) -> Builder {
        let application = url_as(&self.database, &self.application, "app");
        let config = DatabaseConfig::from_url(&application).unwrap().owner_url(self.database.url()).unwrap();
        Tenancy::builder().database(config).install(true)
    }

    async fn application(&self) -> Client {
        Client::connect(&url_as(&self.database, &self.application, "app")).await
    }
}

#[track_caller]
fn check_denied<T: std::fmt::Debug>(result: Result<T, sqlx::Error>) {
    let error = result.expect_err("nobody granted this");
    let code = error.as_database_error().and_then(|error| error.code().map(std::borrow::Cow::into_owned));
    assert_eq!(code.as_deref(), Some("42501"), "{error}");
}

#[tokio::test]
async fn the_application_works_with_rows_but_not_with_tables() {
    let logins = two_logins().await;
    let tenancy = logins.builder().migrations(tenant_files(&[NOTE])).connect().await.unwrap();
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let db = tenancy.db(&acme).unwrap();
    for statement in [
        "INSERT INTO note (title) VALUES ('one'), ('two')",
        "UPDATE note SET title = 'three' WHERE title = 'two'",
        "DELETE FROM note WHERE title = 'one'",
        "SELECT nextval('note_id_seq'), setval('note_id_seq', 40)",
        "SELECT notes()",
    ] {
        sqlx::query(statement).execute(&db).await.unwrap();
    }
    for statement in [
        "CREATE TABLE other (id int)",
        "ALTER TABLE note ADD COLUMN body text",
        "DROP TABLE note",
        "TRUNCATE note",
        "CREATE INDEX ON note (title)",
        "SELECT * FROM _sqlx_migrations",
        "DELETE FROM _sqlx_migrations",
        "UPDATE tenantry.tenant SET status = 'suspended'",
        "DELETE FROM tenantry.applied",
        "CREATE SCHEMA mine",
    ] {
        check_denied(sqlx::query(statement).execute(&db).await);
    }
    let left: Vec<(i64, String)> = sqlx::query_as("SELECT id, title FROM note").fetch_all(&db).await.unwrap();
    assert_eq!(left, [(2, "three".to_owned())]);
}

#[tokio::test]
async fn what_later_migrations_create_is_the_applications_too() {
    let logins = two_logins().await;
    let folder = Folder::of(&[NOTE]);
    folder.write("master/0001_plan.sql", "CREATE TABLE plan (id serial, name text)");
    let open = async || logins.builder().migrations(folder.migrations()).connect().await.unwrap();
    open().await.create(NewTenant::new("acme")).await.unwrap();
    folder.write("tenant/0002_tag.sql", "CREATE TABLE tag (id serial, name text)");
    let tenancy = open().await;
    tenancy.migrate(Fleet::all(), unobserved).await.unwrap();

    let db = tenancy.db(&tenancy.tenant("acme").await.unwrap()).unwrap();
    sqlx::query("INSERT INTO tag (name) VALUES ('red')").execute(&db).await.unwrap();
    sqlx::query("INSERT INTO plan (name) VALUES ('gold')").execute(&tenancy.master()).await.unwrap();
    for ledger in [
        "SELECT * FROM _sqlx_migrations",
        "DELETE FROM _sqlx_migrations",
        "INSERT INTO _sqlx_migrations SELECT 9, '', now(), true, '', 0",
    ] {
        check_denied(sqlx::query(ledger).execute(&db).await);
        check_denied(sqlx::query(ledger).execute(&tenancy.master()).await);
    }
    // Installing grants what was created since, except the ledger.
    let tenancy = open().await;
    check_denied(sqlx::query("SELECT * FROM _sqlx_migrations").execute(&tenancy.master()).await);
}

#[tokio::test]
async fn a_registered_schema_is_granted_without_its_ledger() {
    let logins = two_logins().await;
    let tenancy = logins.builder().migrations(tenant_files(&[NOTE])).connect().await.unwrap();
    let mut owner = Client::owner(&logins.database).await;
    owner.run("CREATE SCHEMA legacy; CREATE TABLE legacy.old AS SELECT 1 AS id").await;
    let legacy = SchemaName::parse("legacy").unwrap();
    let acme = tenancy.create(NewTenant::new("acme").existing_schema(legacy)).await.unwrap();
    tenancy.migrate(Fleet::all(), unobserved).await.unwrap();
    let db = tenancy.db(&acme).unwrap();
    sqlx::query("DELETE FROM old").execute(&db).await.unwrap();
    sqlx::query("INSERT INTO note (title) VALUES ('new')").execute(&db).await.unwrap();
    check_denied(sqlx::query("SELECT * FROM _sqlx_migrations").execute(&db).await);
}

#[tokio::test]
async fn the_registry_needs_usage_and_select_and_says_so_without() {
    let logins = two_logins().await;
    let tenancy = logins.builder().connect().await.unwrap();
    tenancy.create(NewTenant::new("acme")).await.unwrap();
    tenancy.tenant("acme").await.unwrap();
    let documented: Vec<(String,)> =
        logins.application().await.rows("SELECT slug FROM tenantry.tenant_lookup").await;
    assert_eq!(documented, [("acme".to_owned(),)]);

    let mut owner = Client::owner(&logins.database).await;
    let application = &logins.application;
    let connect = async || logins.builder().install(false).connect().await;
    let hint = "needs USAGE on the schema `tenantry` and SELECT on its tables";

    owner.run(&format!("REVOKE SELECT ON tenantry.tenant FROM {application}")).await;
    let deprived = connect().await.unwrap();
    let says = ["permission denied for table tenant", hint];
    check_error(deprived.tenant("acme").await, ErrorKind::Registry, &says);
    check_error(deprived.tenants_after("", 1).await, ErrorKind::Registry, &says);

    owner.run(&format!("REVOKE USAGE ON SCHEMA tenantry FROM {application}")).await;
    check_error(connect().await, ErrorKind::Registry, &["permission denied for schema tenantry", hint]);

    owner
        .run(&format!(
            "GRANT USAGE ON SCHEMA tenantry TO {application}; \
             GRANT SELECT ON ALL TABLES IN SCHEMA tenantry TO {application}"
        ))
        .await;
    connect().await.unwrap().tenant("acme").await.unwrap();
}

/// A role per tenant; the owner may create roles.
struct Isolated {
    logins: TwoLogins,
    tenancy: Tenancy,
}

async fn isolated(tenant_sql: &[&str]) -> Isolated {
    let logins = two_logins().await;
    let allow = format!("ALTER ROLE {} CREATEROLE", logins.database.name());
    Client::superuser(&logins.database).await.run(&allow).await;
    let tenancy = logins
        .builder()
        .role_per_tenant(Role::of(logins.database.name()))
        .migrations(tenant_files(tenant_sql))
        .connect()
        .await
        .unwrap();
    Isolated { logins, tenancy }
}

impl Isolated {
    async fn create(&self, slug: &str) -> Tenant {
        self.tenancy.create(NewTenant::new(slug)).await.unwrap()
    }
}

const ONE_ISOLATED: Traces = Traces { roles: 1, ..ONE_TENANT };

#[tokio::test]
async fn a_tenants_role_reaches_no_other_schema() {
    let isolated = isolated(&[NOTE]).await;
    let (acme, globex) = (isolated.create("acme").await, isolated.create("globex").await);
    for (tenant, other) in [(&acme, &globex), (&globex, &acme)] {
        let db = isolated.tenancy.db(tenant).unwrap();
        let role: String = sqlx::query_scalar("SELECT current_user::text").fetch_one(&db).await.unwrap();
        assert_eq!(role, format!("{}_{}", isolated.logins.database.name(), tenant.schema()));
        sqlx::query("INSERT INTO note (title) VALUES ('mine')").execute(&db).await.unwrap();
        sqlx::query("SELECT notes()").execute(&db).await.unwrap();
        for statement in ["SELECT * FROM {}", "INSERT INTO {} (title) VALUES ('theirs')", "DROP TABLE {}"] {
            let statement = statement.replace("{}", &table(other, "note"));
            check_denied(sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&db).await);
        }
        check_denied(sqlx::query("SELECT * FROM _sqlx_migrations").execute(&db).await);
        check_denied(sqlx::query("CREATE TABLE more (id int)").execute(&db).await);
        check_denied(sqlx::query("SELECT * FROM tenantry.tenant").execute(&db).await);
    }
    // The application itself is not the tenant.
    let role: String =
        sqlx::query_scalar("SELECT current_user::text").fetch_one(&isolated.tenancy.master()).await.unwrap();
    assert_eq!(role, isolated.logins.application);
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_made_at_the_same_time() {
    let isolated = isolated(&[NOTE]).await;
    let mut creations = JoinSet::new();
    for number in 0..10 {
        let tenancy = isolated.tenancy.clone();
        creations.spawn(async move { tenancy.create(NewTenant::new(format!("tenant-{number}"))).await });
    }
    for created in creations.join_all().await {
        let db = isolated.tenancy.db(&created.unwrap()).unwrap();
        sqlx::query("INSERT INTO note (title) VALUES ('mine')").execute(&db).await.unwrap();
    }
}

#[tokio::test]
async fn a_role_comes_and_goes_with_its_tenant() {
    let mut isolated = isolated(&[NOTE, "SELECT broken"]).await;
    let mut client = Client::owner(&isolated.logins.database).await;
    isolated.tenancy.create(NewTenant::new("acme")).await.unwrap_err();
    assert_eq!(client.traces("acme").await, NOTHING, "the role is part of the transaction");

    isolated.tenancy = isolated
        .logins
        .builder()
        .role_per_tenant(Role::of(isolated.logins.database.name()))
        .migrations(tenant_files(&[NOTE, "-- no-transaction\nSELECT broken"]))
        .connect()
        .await
        .unwrap();
    for _ in 0..2 {
        isolated.tenancy.create(NewTenant::new("acme")).await.unwrap_err();
        assert_eq!(client.traces("acme").await, ONE_ISOLATED);
        isolated.tenancy.abort_creation("acme").await.unwrap();
        assert_eq!(client.traces("acme").await, NOTHING);
    }
}

#[tokio::test]
async fn a_role_per_tenant_works_with_a_single_login_too() {
    let database = database().await;
    let allow = format!("ALTER ROLE {} CREATEROLE", database.name());
    Client::superuser(&database).await.run(&allow).await;
    let tenancy = builder(&database)
        .role_per_tenant(Role::of(database.name()))
        .migrations(tenant_files(&[NOTE]))
        .connect()
        .await
        .unwrap();
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let globex = tenancy.create(NewTenant::new("globex")).await.unwrap();
    let db = tenancy.db(&acme).unwrap();
    sqlx::query("INSERT INTO note (title) VALUES ('mine')").execute(&db).await.unwrap();
    let theirs = format!("SELECT * FROM {}", table(&globex, "note"));
    check_denied(sqlx::query(sqlx::AssertSqlSafe(theirs)).execute(&db).await);
}

#[tokio::test]
async fn an_owner_who_may_not_create_roles_is_told() {
    let logins = two_logins().await;
    let tenancy = logins.builder().role_per_tenant(Role::of(logins.database.name())).connect().await.unwrap();
    let created = tenancy.create(NewTenant::new("acme")).await;
    check_error(created, ErrorKind::Migration, &["permission denied to create role", "tenant `acme`"]);
    assert_eq!(Client::owner(&logins.database).await.traces("acme").await, NOTHING);
}

#[tokio::test]
async fn a_role_whose_name_postgresql_would_cut_is_refused() {
    let isolated = isolated(&[NOTE]).await;
    let tenancy = isolated
        .logins
        .builder()
        .role_per_tenant(Role::of("an-installation-with-a-long-name"))
        .connect()
        .await
        .unwrap();
    let created = tenancy.create(NewTenant::new("a".repeat(40))).await;
    check_error(created, ErrorKind::InvalidInput, &["bytes"]);
    assert_eq!(Client::owner(&isolated.logins.database).await.count("tenantry.tenant").await, 0);
}

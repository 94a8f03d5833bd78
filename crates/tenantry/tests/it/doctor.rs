//! Trouble is made, found, mended with what the finding says, and gone. What a `tenantry` command mends is
//! in the tests of the command line.

use std::sync::Mutex;

use tenantry::doctor::{Check, Finding, Severity};
use tenantry::observe::Step;
use tenantry::pool::Role;
use tenantry::tenant::{Alias, Status, Tenant};
use tenantry::{DatabaseConfig, Fleet, NewTenant, PoolConfig, Tenancy};
use tenantry_embedded::{ScratchDatabase, ScratchServer};

use crate::roles::two_logins;
use crate::support::{
    Client, Folder, builder, config, database, schema, table, tenancy, tenant_files, unobserved,
};

const NOTE: &str = "CREATE TABLE note (id bigserial PRIMARY KEY, title text NOT NULL)";

/// An installation in which nothing is wrong, and a client of the owner.
pub(crate) struct Fixture {
    pub(crate) tenancy: Tenancy,
    pub(crate) owner: Client,
    pub(crate) database: ScratchDatabase,
}

impl Fixture {
    pub(crate) async fn new(tenant_sql: &[&str]) -> Self {
        let database = database().await;
        close_public(&database).await;
        let tenancy = tenancy(&database, tenant_sql).await;
        Self { owner: Client::owner(&database).await, tenancy, database }
    }

    pub(crate) async fn create(&self, slug: &str) -> Tenant {
        self.tenancy.create(NewTenant::new(slug)).await.unwrap()
    }

    pub(crate) async fn check(&self, expected: &[(Check, &str)]) -> Vec<Finding> {
        check(&self.tenancy, expected).await
    }

    /// Runs the SQL that mends each finding, after which there is none.
    pub(crate) async fn mend(&mut self, findings: &[Finding]) {
        for finding in findings {
            self.owner.run(&finding.mend).await;
        }
        self.check(&[]).await;
    }
}

/// Closes `public` to all but the owner of the database, as it is by itself from PostgreSQL 15 on.
pub(crate) async fn close_public(database: &ScratchDatabase) {
    let close = "ALTER SCHEMA public OWNER TO pg_database_owner; REVOKE CREATE ON SCHEMA public FROM PUBLIC";
    Client::superuser(database).await.run(close).await;
}

/// The findings are these, in this order, and each says something of what and why and of what mends it.
#[track_caller]
pub(crate) fn check_findings(findings: &[Finding], expected: &[(Check, &str)]) {
    assert_eq!(findings.len(), expected.len(), "{findings:#?}");
    for (finding, (check, what)) in findings.iter().zip(expected) {
        assert_eq!(finding.check, *check, "{finding:#?}");
        assert!(finding.what.contains(what), "it does not say {what:?}: {finding:#?}");
        assert!(!finding.why.is_empty() && !finding.mend.is_empty(), "{finding:#?}");
    }
}

pub(crate) async fn check(tenancy: &Tenancy, expected: &[(Check, &str)]) -> Vec<Finding> {
    let findings = tenancy.doctor().await;
    check_findings(&findings, expected);
    findings
}

#[tokio::test]
async fn nothing_is_found_in_a_healthy_fleet() {
    let mut fixture = Fixture::new(&[NOTE]).await;
    for slug in ["acme", "globex", "initech"] {
        fixture.create(slug).await;
    }
    fixture.tenancy.fill_spares(2).await.unwrap();
    fixture.owner.run("CREATE SCHEMA legacy; CREATE SCHEMA somebodys; CREATE SCHEMA t_else").await;
    fixture.tenancy.create(NewTenant::new("legacy").existing_schema(schema("legacy"))).await.unwrap();
    fixture.tenancy.migrate(Fleet::all(), unobserved).await.unwrap();
    fixture.check(&[]).await;
}

#[cfg(feature = "tokio-postgres")]
#[tokio::test]
async fn a_way_that_only_one_of_the_drivers_can_go_is_named() {
    let fixture = Fixture::new(&[NOTE]).await;
    let proxy = crate::proxy::Proxy::to(fixture.database.url()).await;
    let config = DatabaseConfig::from_url(&proxy.url(fixture.database.url())).unwrap();
    let examine = async || Tenancy::builder().database(config.clone()).doctor().await;
    check_findings(&examine().await, &[]);
    // Only sqlx says so in its first message.
    proxy.turn_away_without("DateStyle");
    let findings = examine().await;
    check_findings(
        &findings,
        &[(Check::Unreachable, "tokio-postgres cannot go where sqlx can: `url` leads to")],
    );
    assert_eq!(findings[0].severity, Severity::Error);
}

#[tokio::test]
async fn it_tells_how_far_it_is() {
    let database = database().await;
    close_public(&database).await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    for slug in ["acme", "globex", "initech"] {
        tenancy.create(NewTenant::new(slug)).await.unwrap();
    }
    let told = Mutex::new(Vec::new());
    let steps = |step: Step<'_>| told.lock().unwrap().push((step.what.to_owned(), step.done, step.of));
    let findings = builder(&database).migrations(tenant_files(&[NOTE])).doctor_observed(steps).await;
    check_findings(&findings, &[]);
    let whole = |what: &str| (what.to_owned(), 3, Some(3));
    assert_eq!(told.into_inner().unwrap(), [whole("reading ledgers"), whole("comparing schemas")]);
}

#[tokio::test]
async fn a_schema_that_nobody_owns_is_found() {
    let mut fixture = Fixture::new(&[NOTE]).await;
    fixture.create("acme").await;
    fixture.tenancy.fill_spares(1).await.unwrap();
    fixture.owner.run("DELETE FROM tenantry.spare").await;
    fixture.owner.run("CREATE SCHEMA tenantry_baseline_0123456789abcdef0123456789abcdef").await;
    let found = [
        (Check::OrphanSchema, "no row of the registry owns the schema `tenantry_baseline_0123"),
        (Check::OrphanSchema, "no row of the registry owns the schema `tenantry_spare_"),
    ];
    let findings = fixture.check(&found).await;
    fixture.mend(&findings).await;
    assert_eq!(fixture.owner.count("pg_namespace WHERE nspname ~ '^tenantry_(spare|base)'").await, 0);
}

#[tokio::test]
async fn what_a_tenant_may_have_left_is_not_dropped_without_a_word() {
    let mut fixture = Fixture::new(&[NOTE]).await;
    let acme = fixture.create("acme-eu").await;
    fixture.owner.run("CREATE SCHEMA legacy").await;
    fixture.tenancy.create(NewTenant::new("legacy").existing_schema(schema("legacy"))).await.unwrap();
    fixture.owner.run("DELETE FROM tenantry.tenant").await;
    let findings =
        fixture.check(&[(Check::OrphanSchema, "`legacy`"), (Check::OrphanSchema, "`t_acme_eu_")]).await;
    let keeps = [("legacy", "SLUG"), (acme.schema().as_str(), "acme-eu")];
    for (finding, (schema, slug)) in findings.iter().zip(keeps) {
        let keep = format!("tenantry create {slug} --schema '{schema}'");
        assert!(finding.mend.starts_with(&keep), "{finding:#?}");
        let (_, drop) = finding.mend.split_once("rows: ").unwrap();
        fixture.owner.run(drop).await;
    }
    fixture.check(&[]).await;
}

#[tokio::test]
async fn a_row_without_a_schema_is_found() {
    let mut fixture = Fixture::new(&[NOTE]).await;
    let acme = fixture.create("acme").await;
    fixture.create("globex").await;
    fixture.tenancy.fill_spares(1).await.unwrap();
    let spare = fixture.tenancy.spares().await.unwrap().remove(0).schema;
    fixture.owner.run(&format!("DROP SCHEMA {spare} CASCADE; DROP SCHEMA {} CASCADE", acme.schema())).await;
    let found = [
        (Check::MissingSchema, "tenant `acme` has no schema: `t_acme_"),
        (Check::MissingSchema, "spare `tenantry_spare_"),
    ];
    let findings = fixture.check(&found).await;
    assert_eq!(findings[0].severity, Severity::Error);
    // The customer's row, its id and its domains stay; only the tables begin anew.
    let (_, begin_anew) = findings[0].mend.split_once("without rows: ").unwrap();
    let (sql, command) = begin_anew.split_once("; then ").unwrap();
    fixture.owner.run(sql).await;
    assert_eq!(command, "`tenantry create acme`");
    let again = fixture.create("acme").await;
    assert_eq!((again.id(), again.status()), (acme.id(), Status::Active));
    fixture.mend(&findings[1..]).await;
    let db = fixture.tenancy.db(&again).unwrap();
    sqlx::query("INSERT INTO note (title) VALUES ('new')").execute(&db).await.unwrap();
}

#[tokio::test]
async fn trouble_of_the_whole_fleet_is_told_of_ten() {
    let mut fixture = Fixture::new(&[]).await;
    for number in 0..13 {
        let tenant = fixture.create(&format!("tenant-{number}")).await;
        fixture.owner.run(&format!("DROP SCHEMA {} CASCADE", tenant.schema())).await;
    }
    let mut found = vec![(Check::MissingSchema, "has no schema"); 10];
    found.push((Check::MissingSchema, "3 more of the same"));
    fixture.check(&found).await;
}

#[tokio::test]
async fn a_summary_that_says_more_than_the_ledger_is_found() {
    let folder = Folder::of(&[NOTE]);
    let database = database().await;
    close_public(&database).await;
    let tenancy = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    tenancy.create(NewTenant::new("globex")).await.unwrap();
    tenancy.create(NewTenant::new("initech")).await.unwrap();
    let mut owner = Client::owner(&database).await;
    // As after a restore of the schema alone.
    let ledger = table(&acme, "_sqlx_migrations");
    owner.run(&format!("DROP TABLE {}; DELETE FROM {ledger}", table(&acme, "note"))).await;
    tenancy.migrate(Fleet::all(), unobserved).await.unwrap();
    assert_eq!(owner.count(&ledger).await, 0, "a run does not see it");

    let found =
        [(Check::Ledger, "the ledger of tenant `acme` and its row"), (Check::Drift, "tenant `acme` differs")];
    let findings = check(&tenancy, &found).await;
    owner.run(&findings[0].mend).await;
    check(&tenancy, &[(Check::Behind, "tenant `acme` has not applied all files, of which 1 is")]).await;
    let summary = tenancy.migrate(Fleet::all(), unobserved).await.unwrap();
    assert_eq!(summary.migrated, 1);
    assert_eq!(owner.count(&table(&acme, "note")).await, 0);
    check(&tenancy, &[]).await;
}

#[tokio::test]
async fn a_ledger_that_is_lost_is_found() {
    let logins = two_logins().await;
    close_public(&logins.database).await;
    let tenancy = logins.builder().migrations(tenant_files(&[NOTE])).connect().await.unwrap();
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let mut owner = Client::owner(&logins.database).await;
    let (ledger, elsewhere) = (table(&acme, "_sqlx_migrations"), table(&acme, "lost"));
    owner.run(&format!("ALTER TABLE {ledger} RENAME TO lost")).await;
    let found = [(Check::Ledger, "tenant `acme` has no ledger, and a row in")];
    let findings = check(&tenancy, &found).await;
    assert_eq!(findings[0].mend, format!("restore `{}._sqlx_migrations` from a backup", acme.schema()));
    owner.run(&format!("ALTER TABLE {elsewhere} RENAME TO _sqlx_migrations")).await;
    check(&tenancy, &[]).await;

    // What has applied the same has the same ledger.
    tenancy.create(NewTenant::new("globex")).await.unwrap();
    owner.run(&format!("DROP TABLE {ledger}")).await;
    let findings = check(&tenancy, &found).await;
    owner.run(&findings[0].mend).await;
    check(&tenancy, &[]).await;
    let summary = tenancy.migrate(Fleet::all(), unobserved).await.unwrap();
    assert_eq!((summary.migrated, summary.failed), (0, 0));
    let db = tenancy.db(&acme).unwrap();
    sqlx::query("SELECT * FROM _sqlx_migrations").execute(&db).await.unwrap_err();
}

#[tokio::test]
async fn a_foreign_key_to_another_tenant_is_an_error() {
    let mut fixture = Fixture::new(&[NOTE]).await;
    let (acme, globex) = (fixture.create("acme").await, fixture.create("globex").await);
    fixture.create("initech").await;
    let (from, to) = (table(&acme, "note"), table(&globex, "note"));
    fixture
        .owner
        .run(&format!("ALTER TABLE {from} ADD CONSTRAINT astray FOREIGN KEY (id) REFERENCES {to}"))
        .await;
    let says = format!("`astray` of `{}.note` leads to `{}.note`", acme.schema(), globex.schema());
    let found = [(Check::CrossingForeignKey, says.as_str()), (Check::Drift, "tenant `acme` differs")];
    let findings = fixture.check(&found).await;
    assert_eq!(findings[0].severity, Severity::Error);
    fixture.mend(&findings[..1]).await;
}

#[tokio::test]
async fn foreign_keys_to_shared_tables_are_one_warning() {
    let folder = Folder::of(&["CREATE TABLE note (id bigint PRIMARY KEY, plan bigint,
        CONSTRAINT note_plan FOREIGN KEY (plan) REFERENCES public.plan)"]);
    folder.write("master/0001_plan.sql", "CREATE TABLE plan (id bigint PRIMARY KEY)");
    let database = database().await;
    close_public(&database).await;
    let open = async || builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    let tenancy = open().await;
    tenancy.migrate(Fleet::all(), unobserved).await.unwrap();
    for slug in ["acme", "globex", "initech"] {
        tenancy.create(NewTenant::new(slug)).await.unwrap();
    }
    let findings =
        check(&tenancy, &[(Check::SharedForeignKey, "`note` to `public.plan` in 3 schemas")]).await;
    assert_eq!(findings[0].severity, Severity::Warning);
    let (_, migration) = findings[0].mend.split_once("tenants: ").unwrap();
    folder.write("tenant/0002_no_plan.sql", migration);
    let tenancy = open().await;
    tenancy.migrate(Fleet::all(), unobserved).await.unwrap();
    check(&tenancy, &[]).await;
}

#[tokio::test]
async fn what_the_application_needs_and_must_not_have_is_found() {
    let logins = two_logins().await;
    close_public(&logins.database).await;
    let tenancy = logins.builder().migrations(tenant_files(&[NOTE])).connect().await.unwrap();
    let mut tenants = Vec::new();
    for number in 0..5 {
        tenants.push(tenancy.create(NewTenant::new(format!("tenant-{number}"))).await.unwrap());
    }
    check(&tenancy, &[]).await;
    let role = &logins.application;
    let mut superuser = Client::superuser(&logins.database).await;
    for tenant in &tenants {
        let schema = tenant.schema();
        superuser.run(&format!("REVOKE ALL ON SCHEMA {schema} FROM {role}")).await;
        superuser.run(&format!("REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {role}")).await;
    }
    superuser
        .run(&format!(
            "GRANT CREATE ON SCHEMA {}, tenantry TO {role};
             REVOKE SELECT ON tenantry.tenant, tenantry.domain FROM {role};
             REVOKE USAGE ON SCHEMA extensions, tenantry_void FROM PUBLIC",
            tenants[1].schema(),
        ))
        .await;
    let found = [
        (Check::MayCreate, "may create in the schema `tenantry`"),
        (Check::MissingPrivilege, "may not read `domain`, `tenant` in the schema `tenantry`"),
        (Check::MissingPrivilege, "may not use the schema `extensions`"),
        (Check::MissingPrivilege, "may not use the schema `tenantry_void`"),
        (Check::MissingPrivilege, " and 2 more"),
        (Check::MayCreate, "may create in the schemas `t_tenant_1_"),
    ];
    let findings = check(&tenancy, &found).await;
    let mut owner = Client::owner(&logins.database).await;
    for finding in &findings {
        owner.run(&finding.mend).await;
    }
    check(&tenancy, &[]).await;
    // What was granted is what a tenant has from the beginning.
    let db = tenancy.db(&tenants[4]).unwrap();
    sqlx::query("INSERT INTO note (title) VALUES ('one')").execute(&db).await.unwrap();
    sqlx::query("SELECT * FROM _sqlx_migrations").execute(&db).await.unwrap_err();
}

#[tokio::test]
async fn tenants_without_a_role_of_their_own_are_found_where_each_should_have_one() {
    let logins = two_logins().await;
    close_public(&logins.database).await;
    let builder = || logins.builder().migrations(tenant_files(&[NOTE]));
    let tenancy = builder().connect().await.unwrap();
    tenancy.create(NewTenant::new("acme")).await.unwrap();
    tenancy.fill_spares(1).await.unwrap();
    let globex = tenancy.create(NewTenant::new("globex")).await.unwrap();
    check(&tenancy, &[]).await;

    let allow = format!("ALTER ROLE {} CREATEROLE", logins.database.name());
    Client::superuser(&logins.database).await.run(&allow).await;
    let role = Role::of(logins.database.name());
    let isolated = builder().role_per_tenant(role).connect().await.unwrap();
    isolated.create(NewTenant::new("initech")).await.unwrap();
    let db = isolated.db(&globex).unwrap();
    sqlx::query("SELECT * FROM note").execute(&db).await.unwrap_err();
    let says = "no role that the application may become can use the schemas `t_acme_";
    let findings = check(&isolated, &[(Check::MissingPrivilege, says)]).await;
    Client::owner(&logins.database).await.run(&findings[0].mend).await;
    check(&isolated, &[]).await;
    sqlx::query("INSERT INTO note (title) VALUES ('mine')").execute(&db).await.unwrap();
    sqlx::query("SELECT * FROM _sqlx_migrations").execute(&db).await.unwrap_err();
}

#[tokio::test]
async fn an_application_on_its_own_says_what_it_could_not_read() {
    let logins = two_logins().await;
    close_public(&logins.database).await;
    let tenancy = logins.builder().migrations(tenant_files(&[NOTE])).connect().await.unwrap();
    tenancy.create(NewTenant::new("acme")).await.unwrap();
    tenancy.create(NewTenant::new("globex")).await.unwrap();
    let url = crate::roles::url_as(&logins.database, &logins.application, "app");
    let alone = Tenancy::builder().database(DatabaseConfig::from_url(&url).unwrap());
    let says = "the ledgers of 2 schemas may not be read";
    check_findings(&alone.doctor().await, &[(Check::Unexamined, says)]);
    let mut owner = Client::owner(&logins.database).await;
    owner.run(&format!("REVOKE USAGE ON SCHEMA tenantry FROM {}", logins.application)).await;
    check_findings(&alone.doctor().await, &[(Check::MissingPrivilege, "may not read `applied`, `audit`")]);
}

#[tokio::test]
async fn tenants_of_another_database_are_looked_at_there() {
    let (first, second) = (database().await, database().await);
    close_public(&first).await;
    close_public(&second).await;
    let eu = Alias::parse("eu").unwrap();
    let tenancy = builder(&first)
        .database_as(eu.clone(), config(&second))
        .migrations(tenant_files(&[NOTE]))
        .connect()
        .await
        .unwrap();
    let acme = tenancy.create(NewTenant::new("acme").database(eu.clone())).await.unwrap();
    tenancy.create(NewTenant::new("globex").database(eu.clone())).await.unwrap();
    check(&tenancy, &[]).await;
    let mut there = Client::owner(&second).await;
    there.run(&format!("DROP SCHEMA {} CASCADE; CREATE SCHEMA t_left_0123456789", acme.schema())).await;
    let found = [(Check::OrphanSchema, "t_left_0123456789"), (Check::MissingSchema, "tenant `acme`")];
    for finding in check(&tenancy, &found).await {
        assert_eq!(finding.database, eu);
    }
    // The other databases of an installation are looked at whatever becomes of this one.
    drop(there);
    let gone = builder(&first)
        .database_as(eu.clone(), DatabaseConfig::from_url("postgres://a@127.0.0.1:1/b").unwrap());
    let findings = gone.doctor().await;
    check_findings(&findings, &[(Check::Unreachable, "127.0.0.1:1/b cannot be examined")]);
    assert_eq!(findings[0].database, eu);
}

#[tokio::test]
async fn a_schema_that_takes_more_than_half_of_all_locks_is_found() {
    // A server of its own: this takes a good part of what all tests share.
    let server = ScratchServer::start().await.unwrap();
    let database = server.database("crowded").await.unwrap();
    close_public(&database).await;
    let tenancy = tenancy(&database, &[MANY_KINDS]).await;
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    check(&tenancy, &[]).await;
    let mut owner = Client::owner(&database).await;
    let room: i64 = owner
        .value(
            "SELECT current_setting('max_locks_per_transaction')::bigint * (current_setting('max_connections')::bigint
                 + current_setting('max_prepared_transactions')::bigint)",
        )
        .await;
    // A type comes with the type of its arrays.
    let types = room / 4;
    let crowd = format!(
        "DO $$ BEGIN FOR number IN 1..{types} LOOP
             EXECUTE format('CREATE TYPE {}.kind_%s AS ENUM ()', number); END LOOP; END $$",
        acme.schema()
    );
    owner.run(&crowd).await;
    let findings = check(&tenancy, &[(Check::Locks, &format!("has room for {room} locks"))]).await;
    assert!(
        findings[0].mend.starts_with("ALTER SYSTEM SET max_locks_per_transaction = 512"),
        "{findings:#?}"
    );

    // What is counted is what the server locks.
    owner.run(&format!("BEGIN; DROP SCHEMA {} CASCADE", acme.schema())).await;
    let taken =
        owner.count("pg_locks WHERE pid = pg_backend_pid() AND locktype IN ('relation', 'object')").await;
    owner.run("ROLLBACK").await;
    let (_, rest) = findings[0].what.split_once(" has ").unwrap();
    let counted: i64 = rest.split_once(' ').unwrap().0.parse().unwrap();
    let (taken, counted) = (taken - 2 * types, counted - 2 * types);
    // Asking for the locks takes one, too.
    assert!((counted..=counted + 2).contains(&taken), "{taken} locks for {counted} objects");

    owner.run(&format!("DROP SCHEMA {} CASCADE; CREATE SCHEMA {0}", acme.schema())).await;
    owner.run("DELETE FROM tenantry.applied").await;
    check(&tenancy, &[]).await;
}

/// An object of every kind that a schema usually holds.
const MANY_KINDS: &str = "
    CREATE TYPE mood AS ENUM ('sad', 'ok');
    CREATE DOMAIN amount AS int CHECK (VALUE > 0);
    CREATE TABLE author (id bigserial PRIMARY KEY, name text NOT NULL UNIQUE, mood mood DEFAULT 'ok');
    CREATE TABLE note (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, author bigint NOT NULL,
        amount amount, title text CHECK (title <> ''),
        CONSTRAINT note_author FOREIGN KEY (author) REFERENCES author);
    CREATE INDEX note_title ON note (lower(title));
    CREATE VIEW titles AS SELECT title, name FROM note JOIN author ON author.id = author;
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER touched BEFORE UPDATE ON note FOR EACH ROW EXECUTE FUNCTION touch();
    ALTER TABLE note ENABLE ROW LEVEL SECURITY;
    CREATE POLICY everybody ON note USING (title IS NOT NULL)";

#[tokio::test]
async fn more_connections_than_the_server_takes_are_found() {
    let database = database().await;
    close_public(&database).await;
    let open = async |max_connections| {
        let pool = PoolConfig { max_connections, ..PoolConfig::default() };
        let open = Tenancy::builder().database(config(&database).pool(pool)).install(true).connect();
        open.await.unwrap()
    };
    let says = "the server's `max_connections` leaves ";
    let findings = check(&open(10_000).await, &[(Check::Connections, says)]).await;
    assert_eq!(findings[0].severity, Severity::Error);
    let (_, fits) = findings[0].mend.rsplit_once("TENANTRY_POOL_MAX_CONNECTIONS=").unwrap();
    let fits: u32 = fits.split_once(';').unwrap().0.parse().unwrap();
    check(&open(fits).await, &[]).await;
    let findings = check(&open(fits + 1).await, &[(Check::Connections, says)]).await;
    assert_eq!(findings[0].severity, Severity::Warning);

    let limit = format!("ALTER DATABASE {} CONNECTION LIMIT 11", database.name());
    Client::superuser(&database).await.run(&limit).await;
    check(&open(5).await, &[(Check::Connections, "the connection limit of the database leaves 11")]).await;
}

#[tokio::test]
async fn a_role_that_may_become_too_many_is_found() {
    let server = ScratchServer::start().await.unwrap();
    let database = server.database("isolated").await.unwrap();
    close_public(&database).await;
    let tenancy = tenancy(&database, &[]).await;
    let mut superuser = Client::connect(server.url()).await;
    if superuser.value::<i32>("SELECT current_setting('server_version_num')::int").await >= 170_000 {
        return;
    }
    superuser
        .run(
            "DO $$ BEGIN FOR number IN 1..1001 LOOP
            EXECUTE format('CREATE ROLE member_%s NOLOGIN; GRANT member_%s TO isolated', number, number);
        END LOOP; END $$",
        )
        .await;
    check(&tenancy, &[(Check::Memberships, "`isolated` is a member of 1001 roles")]).await;
    superuser.run("REVOKE member_7 FROM isolated").await;
    check(&tenancy, &[]).await;
}

/// A function whose settings name the schema it is made in.
const OWN_NAME: &str = "CREATE FUNCTION notes() RETURNS bigint LANGUAGE sql SET search_path FROM CURRENT
    AS 'SELECT count(*) FROM note'";

#[tokio::test]
async fn tenants_of_any_name_that_have_the_same_do_not_differ() {
    let mut fixture =
        Fixture::new(&[MANY_KINDS, OWN_NAME, "ALTER TABLE note ADD COLUMN a int, ADD COLUMN b int"]).await;
    for slug in ["acme", "globex", "note", "author"] {
        fixture.create(slug).await;
    }
    fixture.owner.run("CREATE SCHEMA note; CREATE SCHEMA \"An odd \"\"name\"\".\"").await;
    for (slug, name) in [("short", "note"), ("odd", "An odd \"name\".")] {
        fixture.tenancy.create(NewTenant::new(slug).existing_schema(schema(name))).await.unwrap();
    }
    fixture.tenancy.migrate(Fleet::all(), unobserved).await.unwrap();
    fixture.check(&[]).await;
}

/// One tenant of three is changed by hand; what is found is told, and mended by what the finding says.
async fn check_drift(change: &str, says: &[&str]) {
    let mut fixture = Fixture::new(&[MANY_KINDS, OWN_NAME]).await;
    let acme = fixture.create("acme").await;
    fixture.create("globex").await;
    fixture.create("initech").await;
    fixture.owner.run(&format!("SET search_path TO {}; {change}; RESET search_path", acme.schema())).await;
    let others = "tenant `globex`, tenant `initech`, which have applied the same: ";
    let begins = format!("tenant `acme` differs from {others}");
    let findings = fixture.check(&[(Check::Drift, &begins)]).await;
    for words in says {
        assert!(findings[0].what.contains(words), "it does not say {words:?}: {findings:#?}");
    }
    fixture.mend(&findings).await;
}

#[tokio::test]
async fn a_column_that_differs_is_found() {
    let says = ["column `note.extra` is extra", "column `note.title` is `text NOT NULL` instead of `text`"];
    check_drift("ALTER TABLE note ADD extra int, ALTER title SET NOT NULL", &says).await;
    check_drift("ALTER TABLE author DROP mood", &["column `author.mood` is missing"]).await;
    let says = ["column `author.name` is `character varying(80) NOT NULL` instead of `text NOT NULL`"];
    check_drift("DROP VIEW titles; ALTER TABLE author ALTER name TYPE varchar(80)", &says).await;
}

#[tokio::test]
async fn an_index_or_a_constraint_that_differs_is_found() {
    let change = "DROP INDEX note_title; CREATE INDEX hot ON note (author);
                  ALTER TABLE note DROP CONSTRAINT note_author, ADD CONSTRAINT small CHECK (id < 9)";
    let says = [
        "index `note_title` is missing",
        "index `hot` is extra",
        "constraint `note.note_author` is missing",
        "constraint `note.small` is extra",
    ];
    check_drift(change, &says).await;
    let change = "DROP INDEX note_title; CREATE INDEX note_title ON note (upper(title))";
    check_drift(change, &["index `note_title` is"]).await;
}

#[tokio::test]
async fn a_table_that_is_missing_or_extra_is_found() {
    let says = ["table `scratch` is extra", "sequence `scratch_id_seq` is extra"];
    check_drift("CREATE TABLE scratch (id serial PRIMARY KEY, text text)", &says).await;
    check_drift(
        "DROP VIEW titles; DROP TABLE note",
        &["table `note` is missing", "view `titles` is missing"],
    )
    .await;
}

#[tokio::test]
async fn a_function_a_trigger_a_view_a_policy_or_a_type_that_differs_is_found() {
    check_drift(
        "DROP TRIGGER touched ON note; CREATE FUNCTION mine(m mood) RETURNS int LANGUAGE sql AS 'SELECT 1';
         DROP FUNCTION notes()",
        &[
            "trigger `note.touched` is missing",
            "function `mine(m mood)` is extra",
            "function `notes()` is missing",
        ],
    )
    .await;
    let change =
        "CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'";
    check_drift(change, &["function `touch()` is another"]).await;
    check_drift(
        "CREATE OR REPLACE VIEW titles AS
             SELECT upper(title) AS title, name FROM note JOIN author ON author.id = author;
         DROP POLICY everybody ON note; CREATE TYPE colour AS ENUM ('red')",
        &["view `titles` is another", "policy `note.everybody` is missing", "type `colour` is extra"],
    )
    .await;
}

#[tokio::test]
async fn a_partition_of_another_table_and_an_aggregate_that_differs_are_found() {
    const KINDS: &str = "CREATE TABLE old (at int) PARTITION BY RANGE (at);
        CREATE TABLE new (LIKE old) PARTITION BY RANGE (at);
        CREATE TABLE part PARTITION OF old FOR VALUES FROM (1) TO (2);
        CREATE TABLE one (id int); CREATE TABLE other (id int); CREATE TABLE heir () INHERITS (one);
        CREATE FUNCTION plus(a int, b int) RETURNS int LANGUAGE sql AS 'SELECT a + b';
        CREATE AGGREGATE total(int) (SFUNC = plus, STYPE = int, INITCOND = '0');
        CREATE AGGREGATE many(*) (SFUNC = int8inc, STYPE = int8, INITCOND = '0', PARALLEL = SAFE);
        CREATE AGGREGATE most(int) (SFUNC = int4larger, STYPE = int, SORTOP = >)";
    let mut fixture = Fixture::new(&[KINDS]).await;
    let acme = fixture.create("acme").await;
    fixture.create("globex").await;
    fixture.create("initech").await;
    fixture.check(&[]).await;
    let path = format!("SET search_path TO {}", acme.schema());
    let attach = |from: &str, to: &str, one: &str, other: &str| {
        format!(
            "{path}; ALTER TABLE {from} DETACH PARTITION part;
             ALTER TABLE {to} ATTACH PARTITION part FOR VALUES FROM (1) TO (2);
             ALTER TABLE heir NO INHERIT {one}; ALTER TABLE heir INHERIT {other}"
        )
    };
    fixture.owner.run(&attach("old", "new", "one", "other")).await;
    let findings = fixture.check(&[(Check::Drift, "tenant `acme` differs from")]).await;
    for words in ["table `heir` is `INHERITS other` instead of `INHERITS one`", "table `part` is"] {
        assert!(findings[0].what.contains(words), "{findings:#?}");
    }
    assert!(findings[0].mend.contains("/* by hand: table \"part\" */"), "{findings:#?}");
    fixture.owner.run(&attach("new", "old", "other", "one")).await;
    fixture.check(&[]).await;

    for change in [
        "DROP AGGREGATE total(int); CREATE AGGREGATE total(int) (SFUNC = plus, STYPE = int, INITCOND = '1')",
        "DROP AGGREGATE total(int);
         CREATE AGGREGATE total(int) (SFUNC = int4larger, STYPE = int, INITCOND = '0')",
        "DROP AGGREGATE many(*); CREATE AGGREGATE many(*) (SFUNC = int8inc, STYPE = int8, INITCOND = '0')",
        "DROP AGGREGATE most(int); CREATE AGGREGATE most(int) (SFUNC = int4larger, STYPE = int)",
    ] {
        fixture.owner.run(&format!("{path}; {change}")).await;
        let findings = fixture.check(&[(Check::Drift, "tenant `acme` differs from")]).await;
        assert!(findings[0].what.contains("function `"), "{findings:#?}");
        fixture.mend(&findings).await;
    }
}

#[tokio::test]
async fn many_that_differ_in_the_same_way_are_one_finding() {
    let mut fixture = Fixture::new(&[NOTE]).await;
    for number in 0..11 {
        let tenant = fixture.create(&format!("tenant-{number:02}")).await;
        if number < 5 {
            fixture.owner.run(&format!("CREATE INDEX hot ON {} (title)", table(&tenant, "note"))).await;
        }
    }
    let begins = "tenant `tenant-00`, tenant `tenant-01`, tenant `tenant-02` and 2 more differ from tenant \
                  `tenant-05`, tenant `tenant-06`, tenant `tenant-07` and 3 more, which have applied the same: index \
                  `hot` is extra";
    let findings = fixture.check(&[(Check::Drift, begins)]).await;
    fixture.owner.run(&findings[0].mend).await;
    let rest = "tenant `tenant-03`, tenant `tenant-04` differ from";
    let findings = fixture.check(&[(Check::Drift, rest)]).await;
    fixture.mend(&findings).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_found_while_tenants_sign_up_and_are_migrated() {
    let folder = Folder::of(&[NOTE]);
    let database = database().await;
    close_public(&database).await;
    let open = async || builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    let tenancy = open().await;
    tenancy.create(NewTenant::new("first")).await.unwrap();
    tenancy.fill_spares(20).await.unwrap();
    let sign_ups = tokio::spawn(async move {
        for number in 0..40 {
            tenancy.create(NewTenant::new(format!("tenant-{number}"))).await.unwrap();
        }
    });
    let mut rounds = 0;
    let until = async |work: tokio::task::JoinHandle<()>, rounds: &mut usize| {
        while !work.is_finished() {
            let mut findings = open().await.doctor().await;
            // Before the run begins, and after it has ended for the fleet and not for the registry.
            findings.retain(|finding| finding.check != Check::Behind);
            check_findings(&findings, &[]);
            *rounds += 1;
        }
        work.await.unwrap();
    };
    until(sign_ups, &mut rounds).await;
    folder.write(
        "tenant/0002_tag.sql",
        "CREATE TABLE tag (id bigserial PRIMARY KEY); ALTER TABLE note ADD tag bigint",
    );
    folder
        .write("tenant/0003_tag.sql", "-- no-transaction\nCREATE INDEX CONCURRENTLY note_tag ON note (tag)");
    let behind = open().await;
    let migration = tokio::spawn(async move {
        behind.migrate(Fleet::all(), unobserved).await.unwrap();
    });
    until(migration, &mut rounds).await;
    assert!(rounds >= 4, "only {rounds} rounds while anything went on");
}

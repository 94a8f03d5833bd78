//! Tenants on Citus: one suite, which runs against an *emulation* in every test run, and against a real cluster by
//! `cargo xtask citus --url …`.

mod routes;

use std::env;

use tenantry::doctor::Check;
use tenantry::migrate::MigrateOptions;
use tenantry::registry::MoveMethod;
use tenantry::tenant::{Alias, Node, Status, Tenant};
use tenantry::{
    Builder, CloneOptions, DatabaseConfig, Engine, Error, ErrorKind, Fleet, NewTenant, PurgeOptions,
    SpareSummary, Tenancy,
};
use tenantry_embedded::ScratchDatabase;

use crate::support::{Client, Folder, check_error, database, ledger, table, unobserved};

const EMULATION: &str = include_str!("../citus/emulation.sql");

/// A coordinator, and the files of an installation on it.
struct Cluster {
    url: String,
    client: Client,
    folder: Folder,
}

impl Cluster {
    async fn at(url: &str) -> Self {
        let folder = Folder::new();
        let plan = "CREATE TABLE plan (id bigint PRIMARY KEY);\nSELECT create_reference_table('plan');";
        folder.write("master/0001_plan.sql", plan);
        folder.write(
            "tenant/0001_note.up.sql",
            "CREATE TYPE mood AS ENUM ('good', 'bad');
             CREATE TABLE note (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text NOT NULL, mood mood,
                                CONSTRAINT note_has_title CHECK (title <> ''));
             CREATE INDEX note_title ON note (title);
             INSERT INTO note (title) VALUES ('welcome')",
        );
        folder.write("tenant/0001_note.down.sql", "DROP TABLE note; DROP TYPE mood");
        Self { url: url.to_owned(), client: Client::connect(url).await, folder }
    }

    fn builder(&self, engine: Engine) -> Builder {
        let config = DatabaseConfig::from_url(&self.url).unwrap().engine(engine);
        Tenancy::builder().database(config).migrations(self.folder.migrations()).install(true)
    }

    async fn open(&self) -> Tenancy {
        self.builder(Engine::Citus).connect().await.unwrap()
    }

    /// Has statements go to the workers.
    async fn open_routed(&self) -> Tenancy {
        let config =
            DatabaseConfig::from_url(&self.url).unwrap().engine(Engine::Citus).route_to_workers(true);
        self.builder(Engine::Citus).database(config).connect().await.unwrap()
    }

    async fn is_distributed(&mut self, tenant: &Tenant) -> bool {
        let find =
            format!("pg_catalog.pg_dist_schema WHERE schemaid::regnamespace::text = '{}'", tenant.schema());
        self.client.count(&find).await == 1
    }

    async fn columns(&mut self, tenant: &Tenant, name: &str) -> i64 {
        let find = format!(
            "pg_attribute WHERE attrelid = '{}'::regclass AND attnum > 0 AND NOT attisdropped",
            table(tenant, name)
        );
        self.client.count(&find).await
    }
}

async fn migrate(tenancy: &Tenancy, options: impl Into<MigrateOptions>) -> (usize, usize) {
    let summary = tenancy.migrate(options, unobserved).await.unwrap();
    (summary.migrated, summary.failed)
}

/// A cluster that is really there, and one by the looks of it, whose workers nobody can reach.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Real,
    Emulated,
}

/// The suite. It leaves nothing in the database but what Tenantry installs.
async fn conforms(url: &str, kind: Kind) {
    let mut cluster = Cluster::at(url).await;
    let named = cluster.builder(Engine::Postgres).connect().await;
    check_error(
        named.map(drop),
        ErrorKind::Configuration,
        &["engine = \"postgres\"", "coordinator of Citus"],
    );
    let tenancy = cluster.open().await;
    migrate(&tenancy, Fleet::all()).await;
    makes_and_serves(&mut cluster, &tenancy).await;
    makes_step_by_step(&mut cluster).await;
    migrates_there_and_back(&mut cluster).await;
    says_which_line_fails(&mut cluster).await;
    refuses_what_it_cannot_do(&mut cluster).await;
    moves_between_nodes(&mut cluster).await;
    if kind == Kind::Real {
        routes::conforms(&mut cluster).await;
    }
    tells_what_is_wrong(&mut cluster).await;
    ends(&mut cluster).await;
}

async fn makes_and_serves(cluster: &mut Cluster, tenancy: &Tenancy) {
    // The first is made of a spare.
    assert_eq!(tenancy.fill_spares(1).await.unwrap(), SpareSummary { made: 1, removed: 0 });
    for slug in ["acme", "globex"] {
        let tenant = tenancy.create(NewTenant::new(slug)).await.unwrap();
        assert!(cluster.is_distributed(&tenant).await, "{slug}");
        let db = tenancy.db(&tenant).unwrap();
        sqlx::query("INSERT INTO note (title, mood) VALUES ($1, 'good')")
            .bind(slug)
            .execute(&db)
            .await
            .unwrap();
        let titles: Vec<String> =
            sqlx::query_scalar("SELECT title FROM note ORDER BY id").fetch_all(&db).await.unwrap();
        assert_eq!(titles, ["welcome", slug]);
        assert_eq!(ledger(&mut cluster.client, &tenant).await, [(1, true)]);
    }
}

async fn migrates_there_and_back(cluster: &mut Cluster) {
    let up = "ALTER TABLE note ADD COLUMN stars int NOT NULL DEFAULT 0;
              ALTER TABLE note ALTER COLUMN mood SET DEFAULT 'good';
              CREATE TABLE tag (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), plan bigint REFERENCES public.plan,
                                note bigint CONSTRAINT tag_of_note REFERENCES note); -- lint: allow shared-foreign-key
              CREATE INDEX tag_note ON tag (note);
              UPDATE note SET stars = 1;";
    cluster.folder.write("tenant/0003_tag.up.sql", up);
    let down =
        "DROP TABLE tag; ALTER TABLE note DROP COLUMN stars; ALTER TABLE note ALTER COLUMN mood DROP DEFAULT";
    cluster.folder.write("tenant/0003_tag.down.sql", down);
    let index = "-- no-transaction\nCREATE INDEX CONCURRENTLY note_mood ON note (mood)";
    cluster.folder.write("tenant/0004_mood.up.sql", index);
    cluster.folder.write("tenant/0004_mood.down.sql", "-- no-transaction\nDROP INDEX CONCURRENTLY note_mood");
    let tenancy = cluster.open().await;
    let acme = tenancy.tenant("acme").await.unwrap();
    let migrated = migrate(&tenancy, Fleet::all()).await;
    assert_eq!(migrated, (4, 0), "{:?}", tenancy.tenant("acme").await.unwrap().last_error());
    assert_eq!(ledger(&mut cluster.client, &acme).await, [1, 2, 3, 4].map(|version| (version, true)));
    assert_eq!(cluster.columns(&acme, "note").await, 4);
    let db = tenancy.db(&tenancy.tenant("acme").await.unwrap()).unwrap();
    let stars: i64 = sqlx::query_scalar("SELECT sum(stars) FROM note").fetch_one(&db).await.unwrap();
    assert_eq!(stars, 2, "the rows on the worker were changed");
    let back = MigrateOptions { to: Some(2), ..Fleet::all().into() };
    assert_eq!(migrate(&tenancy, back).await, (4, 0));
    let versions = ledger(&mut cluster.client, &acme).await;
    assert_eq!((versions, cluster.columns(&acme, "note").await), (vec![(1, true), (2, true)], 3));
    assert_eq!(migrate(&tenancy, Fleet::all()).await, (4, 0));
}

async fn says_which_line_fails(cluster: &mut Cluster) {
    cluster.folder.write(
        "tenant/0005_wrong.up.sql",
        "ALTER TABLE note ADD COLUMN a int;\n\nALTER TABLE note ADD b wrong;",
    );
    let tenancy = cluster.open().await;
    assert_eq!(migrate(&tenancy, Fleet::all()).await.0, 0);
    let acme = tenancy.tenant("acme").await.unwrap();
    let said = acme.last_error().unwrap();
    assert!(said.contains("0005_wrong.up.sql:3:") && said.contains("ALTER TABLE note ADD b wrong"), "{said}");
    assert_eq!(cluster.columns(&acme, "note").await, 4, "its first statement was undone");
    cluster.folder.remove("tenant/0005_wrong.up.sql");
}

async fn makes_step_by_step(cluster: &mut Cluster) {
    // An owner who is no superuser has this sequence distributed only once its schema is committed.
    cluster
        .folder
        .write("tenant/0002_visit.up.sql", "CREATE TABLE visit (id bigserial PRIMARY KEY, at timestamptz)");
    cluster.folder.write("tenant/0002_visit.down.sql", "DROP TABLE visit");
    let tenancy = cluster.open().await;
    assert_eq!(tenancy.fill_spares(1).await.unwrap(), SpareSummary { made: 1, removed: 0 });
    for slug in ["initech", "hooli"] {
        let tenant = tenancy.create(NewTenant::new(slug)).await.unwrap();
        assert_eq!(tenant.status(), Status::Active);
        assert!(cluster.is_distributed(&tenant).await, "{slug}");
        let db = tenancy.db(&tenant).unwrap();
        let insert = "INSERT INTO visit (at) VALUES (now()) RETURNING id";
        let id: i64 = sqlx::query_scalar(insert).fetch_one(&db).await.unwrap();
        assert_eq!(id, 1);
    }
    assert_eq!(migrate(&tenancy, Fleet::all()).await, (2, 0));
}

async fn refuses_what_it_cannot_do(cluster: &mut Cluster) {
    let tenancy = cluster.open().await;
    let acme = tenancy.tenant("acme").await.unwrap();
    let dump = async |_: &[String]| -> Result<String, Error> { panic!("nothing is read") };
    let cloned = tenancy.clone_tenant(&acme, NewTenant::new("copy"), CloneOptions::default(), dump).await;
    check_error(cloned.map(drop), ErrorKind::Unsupported, &["cloned on Citus", "hint: "]);
    let choice = tenantry::lifecycle::SchemaChoice::Like("x%".to_owned());
    check_error(
        tenancy.adoptable(&Alias::default(), &choice).await,
        ErrorKind::Unsupported,
        &["adopted on Citus"],
    );
    check_error(tenancy.tenant("copy").await, ErrorKind::UnknownTenant, &["copy"]);
}

async fn moves_between_nodes(cluster: &mut Cluster) {
    let tenancy = cluster.open().await;
    let nodes =
        "SELECT nodename::text, nodeport FROM pg_catalog.pg_dist_node WHERE shouldhaveshards ORDER BY 1, 2";
    let nodes: Vec<(String, i32)> = cluster.client.rows(nodes).await;
    let nodes: Vec<_> =
        nodes.into_iter().map(|(host, port)| Node::new(host, u16::try_from(port).unwrap())).collect();
    let [one, other] = [&nodes[0], &nodes[1]];
    for (slug, method) in [
        ("acme", MoveMethod::Online),
        ("globex", MoveMethod::Offline),
        ("initech", MoveMethod::Online),
        ("hooli", MoveMethod::Online),
    ] {
        let tenant = tenancy.tenant(slug).await.unwrap();
        let kept = tenancy.db(&tenant).unwrap();
        // There and back, so that each has left a node once.
        let first = tenancy.move_to_node(&tenant, other, method).await.unwrap();
        let back = tenancy.move_to_node(&tenant, one, method).await.unwrap();
        assert_eq!((back.from.as_ref(), &back.to), (Some(other), one), "{slug}: {first:?}");
        assert_eq!(tenancy.move_to_node(&tenant, one, method).await.unwrap().from, None);
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&kept).await.unwrap();
        assert_eq!(count, if matches!(slug, "acme" | "globex") { 2 } else { 1 }, "{slug}");
    }
    let acme = tenancy.tenant("acme").await.unwrap();
    let entered = tenancy.audit(acme.id(), 100).await.unwrap();
    assert!(entered.iter().any(|entry| entry.verb == "move"), "{entered:?}");
    let nowhere = Node::new(one.host(), 9);
    check_error(
        tenancy.move_to_node(&acme, &nowhere, MoveMethod::Online).await.map(drop),
        ErrorKind::InvalidInput,
        &[&nowhere.to_string(), "nodes that take them: ", &other.to_string()],
    );
    let plan = tenancy.plan_rebalance(&Alias::default()).await.unwrap();
    assert!(!plan.is_empty(), "all are on one node");
    for planned in plan {
        assert_eq!((&planned.from, &planned.to), (one, other), "{planned:?}");
        tenancy.move_to_node(&planned.tenant.unwrap(), &planned.to, MoveMethod::Online).await.unwrap();
    }
}

async fn tells_what_is_wrong(cluster: &mut Cluster) {
    let found = async |cluster: &Cluster, engine| {
        let mut findings = cluster.builder(engine).doctor().await;
        let is_ours = |check| {
            matches!(check, Check::Engine | Check::NotDistributed | Check::NoPrimaryKey | Check::Unexamined)
        };
        findings.retain(|finding| is_ours(finding.check));
        findings.into_iter().map(|finding| (finding.check, finding.what)).collect::<Vec<_>>()
    };
    assert_eq!(found(cluster, Engine::Auto).await, []);
    let named = found(cluster, Engine::Postgres).await;
    assert_eq!(named.iter().map(|(check, _)| *check).collect::<Vec<_>>(), [Check::Engine]);
    let acme = cluster.open().await.tenant("acme").await.unwrap();
    cluster.client.run("SET synchronous_commit TO on").await;
    cluster.client.run(&format!("CREATE TABLE {} (n int)", table(&acme, "log"))).await;
    let keys = found(cluster, Engine::Citus).await;
    assert!(keys.len() == 1 && keys[0].1.contains("`log` in 1 schemas"), "{keys:?}");
    cluster.client.run(&format!("DROP TABLE {}", table(&acme, "log"))).await;
}

async fn ends(cluster: &mut Cluster) {
    let tenancy = cluster.open().await;
    let acme = tenancy.tenant("acme").await.unwrap();
    tenancy.rename(&acme, "umbrella").await.unwrap();
    for slug in ["umbrella", "globex", "initech", "hooli"] {
        let tenant = tenancy.tenant(slug).await.unwrap();
        let deleted = tenancy.delete(&tenant).await.unwrap();
        tenancy.purge(&deleted, PurgeOptions { now: true, ..PurgeOptions::default() }).await.unwrap();
        assert!(!cluster.is_distributed(&tenant).await);
    }
    assert_eq!(cluster.client.count("pg_catalog.pg_dist_schema").await, 0);
}

#[tokio::test]
async fn the_suite_passes_on_the_emulation_or_on_the_cluster_that_is_named() {
    if let Ok(url) = env::var("TENANTRY_CITUS_URL") {
        return conforms(&url, Kind::Real).await;
    }
    let database = database().await;
    let of_another = Cluster::at(database.url()).await.builder(Engine::Citus).connect().await;
    check_error(
        of_another.map(drop),
        ErrorKind::Configuration,
        &["no coordinator of Citus", "CREATE EXTENSION"],
    );
    Client::superuser(&database).await.run(EMULATION).await;
    conforms(database.url(), Kind::Emulated).await;
    keeps_the_rules(&database).await;
}

/// Holds what was sent to distributed schemas against what Citus needs.
async fn keeps_the_rules(database: &ScratchDatabase) {
    let mut client = Client::superuser(database).await;
    let sent = |condition: &str| format!("pg_catalog.emulated_sent WHERE {condition}");
    assert!(
        client.count(&sent("tag IN ('ALTER TABLE', 'CREATE INDEX', 'UPDATE', 'DELETE', 'DISTRIBUTE')")).await
            > 10
    );
    let several: Vec<(String,)> = client
        .rows("SELECT message FROM pg_catalog.emulated_sent WHERE emulated.statements(message) > 1")
        .await;
    assert_eq!(several, [], "one statement a message");
    let unsafe_commits = "synchronous_commit <> 'on' AND message NOT LIKE '%CONCURRENTLY%'";
    let asynchronous: Vec<(String,)> =
        client.rows(&format!("SELECT message FROM {}", sent(unsafe_commits))).await;
    assert_eq!(asynchronous, [], "synchronous commit");
    let in_run = "tag = 'ALTER TABLE' AND message !~ 'DROP CONSTRAINT'
                  AND (lock_timeout <> '3s' OR statement_timeout <> '10min' OR propagated <> 'none')";
    let unlimited: Vec<(String,)> = client.rows(&format!("SELECT message FROM {}", sent(in_run))).await;
    assert_eq!(unlimited, [], "the limits of a run");
    let beside = "message ~* 'advisory|run_token|tenantry\\.' AND tag IN ('UPDATE', 'DELETE', 'INSERT')";
    let beside: Vec<(String,)> = client.rows(&format!("SELECT message FROM {}", sent(beside))).await;
    assert_eq!(beside, [], "nothing of the coordinator's beside a table of a tenant");
}

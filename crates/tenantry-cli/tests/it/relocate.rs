use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry::tenant::Alias;
use tenantry::{DatabaseConfig, PoolConfig, Tenancy};
use tenantry_embedded::{ScratchDatabase, ScratchServer};
use tokio::task::{JoinHandle, block_in_place};

use crate::bench::Project;

#[tokio::test]
async fn a_tenant_goes_to_another_database_and_its_copy_goes_in_time() {
    let project = Project::with_tenants().await;
    let eu = ScratchDatabase::create().await.unwrap();
    project.close_public().await;
    project.write("tenantry.toml", &format!("[databases.eu]\nurl = '{}'\n", eu.url()));
    project.ok(&["init"]);
    // First it says what that would cost, and nothing is done.
    let plan = project.ok(&["move", "acme", "--to", "eu"]);
    let [online, offline] = ["--online", "--offline"]
        .map(|way| plan.lines().find(|line| line.trim_start().starts_with(way)).unwrap_or_default());
    assert!(offline.contains(" possible: its checkouts would wait for about"), "{plan}");
    assert!(online.contains("not possible") && plan.contains("`wal_level` of its server is"), "{plan}");
    let refused = project.refused(1, &["move", "acme", "--to", "eu", "--online"]);
    assert!(refused.contains("`wal_level` of its server is"), "{refused}");
    project.refused(2, &["move", "acme", "--to", "eu", "--online", "--offline"]);
    assert_eq!(project.json(&["show", "acme"])["database"], "default");
    assert!(project.refused(1, &["move", "acme"]).contains("is not being moved"));
    project.refused(2, &["move", "acme", "--offline"]);
    assert!(project.refused(1, &["move", "acme", "--to", "mars", "--offline"]).contains("`mars`"));

    project.ok(&["database", "close", "eu"]);
    let plan = project.json(&["move", "acme", "--to", "eu"]);
    assert_eq!(plan["offline"]["is_possible"], false, "{plan}");
    let refused = project.refused(1, &["move", "acme", "--to", "eu", "--offline"]);
    let told = ["database `eu` is closed to new tenants", "hint: `tenantry database open eu` opens it again"];
    assert!(told.iter().all(|part| refused.contains(part)), "{refused}");
    project.ok(&["database", "open", "eu"]);

    let done = project.run(&["move", "acme", "--to", "eu", "--offline", "--keep", "0s"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stderr.contains("moved tenant acme from default to eu, 2 rows"), "{}", done.stderr);
    let notes = project.ok(&["exec", "--tenant", "acme", "SELECT title FROM note WHERE id = 1"]);
    assert!(notes.contains("of acme"), "{notes}");
    let again = project.json(&["move", "acme", "--to", "eu", "--offline"]);
    assert_eq!((&again["database"], &again["copied"]), (&"eu".into(), &0.into()));
    let audit = project.ok(&["show", "acme"]);
    assert!(audit.contains("move"), "{audit}");
    let purged = project.run(&["purge", "--due", "--yes"]);
    assert!(purged.stderr.contains("dropped the copy of acme in database default"), "{}", purged.stderr);
    project.ok(&["doctor"]);
}

/// A database of a server whose log can be followed, and the URL of one more.
async fn followed(server: &ScratchServer) -> (Project, String) {
    let (home, eu) = (server.database("home").await.unwrap(), server.database("eu").await.unwrap());
    let mut superuser = PgConnection::connect(server.url()).await.unwrap();
    let follow = "ALTER ROLE home REPLICATION; ALTER ROLE eu REPLICATION";
    sqlx::raw_sql(follow).execute(&mut superuser).await.unwrap();
    let mut project = Project::without_database();
    project.variables.push(("DATABASE_URL", home.url().to_owned()));
    project.write("tenantry.toml", &format!("[databases.eu]\nurl = '{}'\n", eu.url()));
    project.write("migrations/tenant/0001_note.sql", "CREATE TABLE note (id int, title text);");
    project.ok(&["init"]);
    (project, eu.url().to_owned())
}

/// An application that writes to tenants in another process than the commands.
struct Application {
    is_over: Arc<AtomicBool>,
    writers: BTreeMap<String, JoinHandle<i64>>,
    tenancy: Tenancy,
}

impl Application {
    async fn start(project: &Project, eu: &str) -> Self {
        let pool = PoolConfig { move_wait: Duration::from_secs(30), ..PoolConfig::default() };
        let config = |url: &str| DatabaseConfig::from_url(url).unwrap().pool(pool.clone());
        let home = &project.variables[0].1;
        let builder =
            Tenancy::builder().database(config(home)).database_as(Alias::parse("eu").unwrap(), config(eu));
        let tenancy = builder.connect().await.unwrap();
        Self { is_over: Arc::default(), writers: BTreeMap::new(), tenancy }
    }

    async fn write_to(&mut self, slug: &str) {
        let db = self.tenancy.db(&self.tenancy.tenant(slug).await.unwrap()).unwrap();
        let is_over = Arc::clone(&self.is_over);
        let writer = tokio::spawn(async move {
            let mut written = 0;
            while !is_over.load(Ordering::Relaxed) {
                let insert = "INSERT INTO note (id) VALUES ($1)";
                sqlx::query(insert).bind(i32::try_from(written).unwrap()).execute(&db).await.unwrap();
                written += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            written
        });
        self.writers.insert(slug.to_owned(), writer);
    }

    /// Asserts that each tenant has what was written to it, once.
    async fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        for (slug, writer) in self.writers {
            let written = writer.await.unwrap();
            let db = self.tenancy.db(&self.tenancy.tenant(slug.as_str()).await.unwrap()).unwrap();
            let counts = sqlx::query_as::<_, (i64, i64)>("SELECT count(*), count(DISTINCT id) FROM note");
            assert_eq!(counts.fetch_one(&db).await.unwrap(), (written, written), "{slug}");
            assert!(written > 20, "{slug} was hardly written to");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_move_and_leave_a_database_while_an_application_writes() {
    let server = ScratchServer::start().await.unwrap();
    let (project, eu) = followed(&server).await;
    let slugs = ["acme", "begun", "globex", "initech", "stays"];
    for slug in slugs {
        project.ok(&["create", slug, "--database", "eu"]);
    }
    let mut application = Application::start(&project, &eu).await;
    for slug in slugs {
        application.write_to(slug).await;
    }
    block_in_place(|| {
        let plan = project.json(&["move", "acme", "--to", "default"]);
        assert_eq!(plan["online"]["is_possible"], true, "{plan}");
        let moved = project.json(&["move", "acme", "--to", "default", "--online", "--keep", "0s"]);
        assert_eq!(
            (&moved["database"], &moved["from"], &moved["notes"]),
            (&json!("default"), &json!("eu"), &json!([]))
        );
        assert!(moved["copied"].is_u64() && moved["stalled_ms"].as_u64() > Some(0), "{moved}");
        assert!(project.ok(&["purge", "--due", "--yes"]).contains("acme"));
    });

    // One cannot be followed, which stops no other; and one is on its way already, in the other manner.
    let schema = project.json(&["show", "stays"])["schema"].as_str().unwrap().to_owned();
    let mut owner = PgConnection::connect(&eu).await.unwrap();
    let unfollowed = format!("ALTER TABLE {schema}.note REPLICA IDENTITY NOTHING");
    sqlx::raw_sql(AssertSqlSafe(unfollowed)).execute(&mut owner).await.unwrap();
    let begun = "INSERT INTO tenantry.move (tenant_id, slug, schema_name, source, target, kept_schema, keep_seconds,
                     operator, method, step)
                 SELECT id, slug, schema_name, database, 'default', 'tenantry_moved_0', 0, 'somebody', 'offline',
                     'planned'
                 FROM tenantry.tenant WHERE slug = 'begun'";
    let mut registry = PgConnection::connect(&project.variables[0].1).await.unwrap();
    sqlx::raw_sql(begun).execute(&mut registry).await.unwrap();
    block_in_place(|| {
        let plan = project.run(&["drain", "eu", "--dry-run"]);
        assert!(plan.stdout.contains("tenantry move begun\n"), "{}", plan.stdout);
        let drained = project.run(&["drain", "eu", "--online", "--format", "json"]);
        assert_eq!(drained.code, 3, "{}", drained.stderr);
        assert!(drained.stderr.contains("REPLICA IDENTITY NOTHING"), "{}", drained.stderr);
        let left: Value = serde_json::from_str(&drained.stdout).unwrap();
        let slugs =
            |of: &Value| of.as_array().unwrap().iter().map(|it| it["slug"].clone()).collect::<Vec<_>>();
        assert_eq!(slugs(&left["moved"]), ["begun", "globex", "initech"], "{left}");
        assert_eq!(slugs(&left["moves"]), ["stays"], "{left}");
        let drained = project.run(&["drain", "eu", "--offline"]);
        assert_eq!(drained.code, 0, "{}", drained.stderr);
        assert!(drained.stderr.contains("moved tenant stays to default"), "{}", drained.stderr);
    });
    application.end().await;
    assert!(project.json(&["list"]).as_array().unwrap().iter().all(|it| it["database"] == "default"));
    let slots = "SELECT count(*) FROM pg_replication_slots";
    assert_eq!(sqlx::query_scalar::<_, i64>(slots).fetch_one(&mut owner).await.unwrap(), 0);
    project.ok(&["doctor"]);
}

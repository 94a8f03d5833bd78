//! Tenants that move while others write to them, in the surroundings that their users have: poolers, a role per tenant,
//! a newer server, and several at once. Nothing is lost, and nothing is there twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tenantry::database::PoolMode;
use tenantry::pool::Role;
use tenantry::tenant::{Alias, Tenant};
use tenantry::{DatabaseConfig, Error, MoveOptions, Moved, NewTenant, PoolConfig, Tenancy, TenantDb};
use tenantry_embedded::{ScratchDatabase, ScratchPooler, ScratchServer};
use tokio::task::JoinSet;

use crate::clone::dump;
use crate::relocate::ALL;
use crate::roles::{PASSWORD, url_as};
use crate::support::{Client, config, eventually, newer_server, tenant_files};

/// A table without a key, a trigger that would write twice if it ran twice, and a row that each write changes.
const WRITTEN: &str = "CREATE TABLE entry (n int);
    CREATE TABLE entered (n int);
    CREATE TABLE tally (writer int PRIMARY KEY, n int NOT NULL);
    CREATE FUNCTION enter() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO entered VALUES (NEW.n); RETURN NEW; END $$;
    CREATE TRIGGER enter AFTER INSERT ON entry FOR EACH ROW EXECUTE FUNCTION enter()";

/// The tables of [`ALL`] that have rows, and nobody writes to.
const REST: [&str; 7] = ["customer", "item", "part", "nokey", "cache", "audit", "shouted"];

/// Writes of each writer before a move, and at least as many behind it.
const SOME: usize = 10;

fn eu() -> Alias {
    Alias::parse("eu").unwrap()
}

/// Checkouts outlast what else this machine does.
fn patient(mode: PoolMode) -> PoolConfig {
    PoolConfig { mode, max_connections: 5, move_wait: Duration::from_secs(30), ..PoolConfig::default() }
}

/// A server with one database, behind a pooler in transaction mode.
struct Place {
    pooler: ScratchPooler,
    database: ScratchDatabase,
    server: ScratchServer,
}

impl Place {
    async fn at(server: ScratchServer) -> Self {
        let database = server.database("saas").await.unwrap();
        let roles = format!("CREATE ROLE app LOGIN {PASSWORD}; ALTER ROLE saas REPLICATION CREATEROLE");
        Client::superuser(&database).await.run(&roles).await;
        let pooler = ScratchPooler::start(&[&url_as(&database, "app", "app")], 5).await.unwrap();
        Self { pooler, database, server }
    }

    /// The application comes by the pooler, and the owner past it.
    fn config(&self) -> DatabaseConfig {
        let application = url_as(&self.database, "app", "app");
        let config = DatabaseConfig::from_url(&self.pooler.url(&application)).unwrap();
        let config = config.direct_url(&application).unwrap().owner_url(self.database.url()).unwrap();
        config.pool(patient(PoolMode::Transaction))
    }
}

/// Writers to a tenant on handles that they keep, each write a transaction.
struct Writers {
    is_over: Arc<AtomicBool>,
    written: Vec<Arc<AtomicUsize>>,
    tasks: JoinSet<()>,
}

impl Writers {
    async fn begin(tenancies: &[&Tenancy], slug: &str) -> Self {
        let mut writers = Self { is_over: Arc::default(), written: Vec::new(), tasks: JoinSet::new() };
        for (number, tenancy) in (1..).zip(tenancies) {
            let db = tenancy.db(&tenancy.tenant(slug).await.unwrap()).unwrap();
            let (is_over, written) = (Arc::clone(&writers.is_over), Arc::<AtomicUsize>::default());
            writers.written.push(Arc::clone(&written));
            writers.tasks.spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    let so_far = i32::try_from(written.load(Ordering::Relaxed)).unwrap();
                    write(&db, number, number * 1_000_000 + so_far).await.unwrap();
                    written.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            });
        }
        writers.go_on().await;
        writers
    }

    /// Waits until each of them has written some more.
    async fn go_on(&self) {
        let now = || self.written.iter().map(|written| written.load(Ordering::Relaxed));
        let goal: Vec<_> = now().map(|written| written + SOME).collect();
        eventually("all write", async || now().zip(&goal).all(|(written, goal)| written >= *goal)).await;
    }

    /// Asserts that the schema has what was acknowledged to them, once.
    async fn end(mut self, database: &ScratchDatabase, schema: &str) {
        self.is_over.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        let written: usize = self.written.iter().map(|written| written.load(Ordering::Relaxed)).sum();
        let written = i64::try_from(written).unwrap();
        let mut owner = Client::owner(database).await;
        for table in ["entry", "entered"] {
            let counts = format!("SELECT count(*), count(DISTINCT n) FROM {schema}.{table}");
            assert_eq!(owner.rows::<(i64, i64)>(&counts).await, [(written, written)], "{table}");
        }
        let tallied: i64 = owner.value(&format!("SELECT sum(n) FROM {schema}.tally")).await;
        assert_eq!(tallied, written);
    }
}

async fn write(db: &TenantDb, writer: i32, n: i32) -> Result<(), sqlx::Error> {
    let mut tx = db.begin().await?;
    sqlx::query("INSERT INTO entry VALUES ($1)").bind(n).execute(&mut *tx).await?;
    let tally = "INSERT INTO tally VALUES ($1, 1) ON CONFLICT (writer) DO UPDATE SET n = tally.n + 1";
    sqlx::query(tally).bind(writer).execute(&mut *tx).await?;
    tx.commit().await
}

async fn relocate(tenancy: &Tenancy, tenant: &Tenant, from: &ScratchDatabase, to: Alias) -> Moved {
    let dump = async |arguments: &[String]| Ok::<_, Error>(dump(from, arguments));
    let moved = tenancy.move_tenant(tenant, MoveOptions::to(to.clone()).online(), dump).await.unwrap();
    assert_eq!(*moved.tenant.database(), to);
    moved
}

/// The rows of tables as texts.
async fn rows(database: &ScratchDatabase, schema: &str) -> Vec<String> {
    let mut owner = Client::owner(database).await;
    let mut all = Vec::new();
    for table in REST {
        let rows: Vec<(String,)> = owner.rows(&format!("SELECT t::text FROM {schema}.{table} AS t")).await;
        let mut rows: Vec<_> = rows.into_iter().map(|(row,)| format!("{table} {row}")).collect();
        rows.sort();
        all.extend(rows);
    }
    all
}

/// Asserts that the source keeps no changes for anybody, and tells rows apart as before.
async fn check_nothing_follows(databases: &[&ScratchDatabase]) {
    for database in databases {
        let mut superuser = Client::superuser(database).await;
        for left in [
            "pg_replication_slots",
            "pg_publication",
            "pg_class WHERE relreplident = 'f' AND relkind IN ('r', 'p')",
            "pg_constraint WHERE NOT convalidated",
        ] {
            assert_eq!(superuser.count(left).await, 0, "{left}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_poolers_and_with_a_role_a_tenant_goes_to_a_server_that_may_be_newer() {
    let (here, (there, _)) = tokio::join!(ScratchServer::start(), newer_server());
    let (here, there) = tokio::join!(Place::at(here.unwrap()), Place::at(there));
    let builder = || {
        let builder = Tenancy::builder().database(here.config()).database_as(eu(), there.config());
        builder.role_per_tenant(Role::of("saas")).migrations(tenant_files(&[WRITTEN])).install(true)
    };
    let tenancy = builder().connect().await.unwrap();
    // Another process, which hears of the move.
    let other = builder().connect().await.unwrap();
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let schema = acme.schema().as_str();
    let mut owner = Client::owner(&here.database).await;
    owner.run(&format!("SET search_path TO {schema}; {ALL}")).await;
    let before = rows(&here.database, schema).await;
    let place = |server: &ScratchServer| format!("saas_{schema} at {}", server.port());
    let served = async |tenancy: &Tenancy| {
        let db = tenancy.db(&tenancy.tenant("acme").await.unwrap()).unwrap();
        let place = "SELECT current_user || ' at ' || current_setting('port')";
        sqlx::query_scalar::<_, String>(place).fetch_one(&db).await.unwrap()
    };
    assert_eq!(served(&other).await, place(&here.server));

    let writers = Writers::begin(&[&tenancy, &tenancy, &other], "acme").await;
    let moved = relocate(&tenancy, &acme, &here.database, eu()).await;
    writers.go_on().await;
    writers.end(&there.database, schema).await;
    let after = rows(&there.database, schema).await;
    assert_eq!((before.len(), before), (50 + 50 + 40 + 3 + 1 + 50 + 50, after));
    for tenancy in [&tenancy, &other] {
        assert_eq!(served(tenancy).await, place(&there.server));
    }
    check_nothing_follows(&[&here.database, &there.database]).await;

    // Its role is where it is, and goes from where it was with the copy.
    owner.run("UPDATE tenantry.move SET purge_after = now()").await;
    let [due] = &tenancy.copies_due_for_purge(0, 10).await.unwrap()[..] else { panic!("one is due") };
    assert_eq!(Some(&due.kept_schema), moved.kept_schema.as_ref());
    tenancy.purge_copy(due, ()).await.unwrap();
    let role = format!("pg_roles WHERE rolname = 'saas_{schema}'");
    assert_eq!(owner.count(&role).await, 0);
    assert_eq!(Client::owner(&there.database).await.count(&role).await, 1);
}

/// Two databases of one server.
struct Pair {
    tenancy: Tenancy,
    home: ScratchDatabase,
    away: ScratchDatabase,
    _server: ScratchServer,
}

impl Pair {
    async fn start() -> Self {
        let server = ScratchServer::start().await.unwrap();
        let (home, away) = (server.database("home").await.unwrap(), server.database("away").await.unwrap());
        for database in [&home, &away] {
            let follow = format!("ALTER ROLE {} REPLICATION", database.name());
            Client::superuser(database).await.run(&follow).await;
        }
        let place = |database| config(database).pool(patient(PoolMode::Session));
        let builder = Tenancy::builder().database(place(&home)).database_as(eu(), place(&away));
        let tenancy = builder.migrations(tenant_files(&[WRITTEN])).install(true).connect().await.unwrap();
        Self { tenancy, home, away, _server: server }
    }

    fn at(&self, alias: &Alias) -> &ScratchDatabase {
        if *alias == eu() { &self.away } else { &self.home }
    }

    /// Moves a tenant to the other database.
    async fn swap(&self, slug: &str) {
        let tenant = self.tenancy.tenant(slug).await.unwrap();
        let (from, to) =
            (tenant.database(), if *tenant.database() == eu() { Alias::default() } else { eu() });
        relocate(&self.tenancy, &tenant, self.at(from), to).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_move_at_once_and_across_while_each_is_written_to() {
    let pair = Pair::start().await;
    let (acme, globex, initech) = ("acme", "globex", "initech");
    let mut tenants = Vec::new();
    for slug in [acme, globex, initech] {
        let tenant = pair.tenancy.create(NewTenant::new(slug)).await.unwrap();
        tenants.push((tenant, Writers::begin(&[&pair.tenancy; 2], slug).await));
    }
    // Side by side, then past each other; a third one stays where it is.
    tokio::join!(pair.swap(acme), pair.swap(globex));
    pair.swap(globex).await;
    tokio::join!(pair.swap(acme), pair.swap(globex));
    for (tenant, writers) in tenants {
        let (is_globex, schema) = (tenant.slug().as_str() == globex, tenant.schema().as_str());
        writers.go_on().await;
        writers.end(if is_globex { &pair.away } else { &pair.home }, schema).await;
    }
    check_nothing_follows(&[&pair.home, &pair.away]).await;
}

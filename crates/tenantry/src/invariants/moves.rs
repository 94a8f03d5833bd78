//! A tenant that moves is in one place at any moment, whoever writes and whoever dies.
#![allow(clippy::print_stdout)]

use std::sync::{Arc, Mutex};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry_embedded::ScratchDatabase;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use super::victim::{dies, victim_at};
use crate::fail_point::FailPoint;
use crate::fixture::{Driver, Installation, builder, builder_at, pg_dump};
use crate::observe::Step;
use crate::tenant::{Alias, Status, Tenant};
use crate::{DatabaseConfig, Error, ErrorKind, MoveOptions, Moved, PoolConfig};

/// Without a sequence, and with one: a stranger is locked out of both.
const TABLES: &str = "CREATE TABLE note (id int); CREATE TABLE item (id bigserial PRIMARY KEY, at text);
    CREATE MATERIALIZED VIEW notes AS SELECT count(*) AS n FROM note";

/// An installation over two databases.
pub(super) struct Two {
    pub(super) here: Installation,
    pub(super) there: ScratchDatabase,
}

pub(super) fn eu() -> Alias {
    Alias::parse("eu").unwrap()
}

async fn two() -> Two {
    let (database, there) = (Arc::new(ScratchDatabase::create().await.unwrap()), ScratchDatabase::create());
    let there = there.await.unwrap();
    let config = DatabaseConfig::from_url(there.url()).unwrap();
    let builder = builder(&database, &[TABLES], PoolConfig::default()).database_as(eu(), config);
    let here = Installation { tenancy: builder.connect().await.unwrap(), database };
    here.create("acme").await;
    here.db("acme").await;
    Two { here, there }
}

impl Two {
    pub(super) fn url(&self, alias: &Alias) -> &str {
        if *alias == eu() { self.there.url() } else { self.here.database.url() }
    }

    /// The tenant as the registry has it, whatever this process has heard.
    pub(super) async fn acme(&self) -> Tenant {
        let found = self.here.tenancy.tenants_after("", 1).await.unwrap();
        found.into_iter().next().unwrap()
    }

    pub(super) async fn run(&self, alias: &Alias, sql: &str) -> Result<(), sqlx::Error> {
        let mut connection = PgConnection::connect(self.url(alias)).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.map(drop)
    }

    pub(super) async fn count(&self, alias: &Alias, from: &str) -> i64 {
        let mut connection = PgConnection::connect(self.url(alias)).await.unwrap();
        let count = format!("SELECT count(*) FROM {from}");
        sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut connection).await.unwrap()
    }

    /// Moves `acme`, and calls a function at the first step of this name, while all else stands still.
    async fn relocate_at(
        &self,
        to: Alias,
        at: &str,
        then: impl AsyncFnOnce() + Send,
    ) -> Result<Moved, Error> {
        let then = Mutex::new(Some(then));
        let steps = |step: Step<'_>| {
            let then = (step.what == at).then(|| then.lock().unwrap().take()).flatten();
            if let Some(then) = then {
                block_in_place(|| Handle::current().block_on(then()));
            }
        };
        let acme = self.acme().await;
        let dump = async |arguments: &[String]| Ok(pg_dump(self.url(acme.database()), arguments));
        let moved = self.here.tenancy.move_tenant_observed(&acme, MoveOptions::to(to), steps, dump).await;
        assert!(then.into_inner().unwrap().is_none(), "there is no step `{at}`");
        moved
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_written_while_a_tenant_moves_is_lost() {
    let two = two().await;
    let schema = two.acme().await.schema().clone();
    for (place, to, table) in [(Alias::default(), eu(), "note"), (eu(), Alias::default(), "item")] {
        let insert = format!("SET lock_timeout TO '100ms'; INSERT INTO {schema}.{table} (id) VALUES (7)");
        let mut written = None;
        let stranger = async || written = Some(two.run(&place, &insert).await);
        let moved = two.relocate_at(to.clone(), "copying tables", stranger).await.unwrap();
        assert_eq!(*moved.tenant.database(), to);
        let there = two.count(&to, &format!("{schema}.{table} WHERE id = 7")).await;
        assert_eq!(there, i64::from(written.unwrap().is_ok()), "what was acknowledged is there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_still_is_at_the_old_place_fails() {
    let two = two().await;
    let schema = two.acme().await.schema().clone();
    let mut stranger = two.here.outside().await;
    let path = format!("SET search_path TO {schema}");
    sqlx::raw_sql(AssertSqlSafe(path)).execute(&mut stranger).await.unwrap();
    let insert = "INSERT INTO note VALUES (1)";
    sqlx::query(insert).execute(&mut stranger).await.unwrap();
    two.relocate_at(eu(), "making tables", async || {}).await.unwrap();
    // Prepared, with a plan that knows the table by its number; and by its name.
    assert!(sqlx::query(insert).execute(&mut stranger).await.is_err(), "it would write into the past");
    assert!(two.run(&Alias::default(), &format!("INSERT INTO {schema}.note VALUES (2)")).await.is_err());
    assert_eq!(two.count(&eu(), &format!("{schema}.note")).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn checkouts_wait_for_the_end_of_a_move_and_go_on_at_the_new_place() {
    let two = two().await;
    let schema = two.acme().await.schema().clone();
    let mut written = 0;
    for driver in Driver::ALL {
        let kept = two.here.tables(*driver, "acme").await;
        kept.run("INSERT INTO note VALUES (1)").await.unwrap();
        written += 1;
        for to in [eu(), Alias::default()] {
            let (old, new) = (kept.clone(), Mutex::new(Vec::new()));
            let ask = async || {
                // Whoever has a handle, and whoever asks for one.
                let asked = two.here.tables(*driver, "acme").await;
                let insert = "INSERT INTO note VALUES (1)";
                for tables in [old, asked] {
                    new.lock().unwrap().push(tokio::spawn(async move { tables.run(insert).await }));
                }
                tokio::task::yield_now().await;
            };
            let moved = two.relocate_at(to.clone(), "copying tables", ask).await.unwrap();
            let tasks = new.into_inner().unwrap();
            for task in tasks {
                task.await.unwrap().unwrap();
                written += 1;
            }
            assert_eq!(two.count(&to, &format!("{schema}.note")).await, written, "{driver:?}");
            assert_eq!(kept.text("SELECT current_schema()::text").await, schema.as_str());
            assert!(moved.stalled_ms > 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_not_what_set_out_is_never_served() {
    let two = two().await;
    let schema = two.acme().await.schema().clone();
    two.here.tables(Driver::Sqlx, "acme").await.run("INSERT INTO note VALUES (1), (2)").await.unwrap();
    let change = format!("UPDATE {schema}.note SET id = 3 WHERE id = 2");
    let spoil = async || two.run(&eu(), &change).await.unwrap();
    let error = two.relocate_at(eu(), "comparing rows", spoil).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.to_string().contains("table `note`"), "{error}");
    check_whole(&two, &Alias::default(), &error).await;
    assert_eq!(two.count(&Alias::default(), &format!("{schema}.note WHERE id = 2")).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_whose_sessions_are_ended_is_undone() {
    let two = two().await;
    // Those of the target, then that of the fence.
    for (at, url, which) in [
        ("comparing rows", two.there.superuser_url(), "true"),
        ("making indexes and keys", two.here.database.superuser_url(), "state = 'idle in transaction'"),
    ] {
        let end = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid() AND {which}"
        );
        let kill = async || {
            let mut superuser = PgConnection::connect(url).await.unwrap();
            sqlx::raw_sql(AssertSqlSafe(end)).execute(&mut superuser).await.unwrap();
        };
        let error = two.relocate_at(eu(), at, kill).await.unwrap_err();
        check_whole(&two, &Alias::default(), &error).await;
    }
}

/// Asserts that the tenant is served in one place, and that nothing is left anywhere else but what is kept.
pub(super) async fn check_whole(two: &Two, place: &Alias, context: &dyn std::fmt::Debug) {
    let acme = two.acme().await;
    assert_eq!((acme.status(), acme.database()), (Status::Active, place), "{context:?}");
    let db = two.here.tenancy.db(&acme).unwrap();
    sqlx::query("INSERT INTO item (at) VALUES ('check')").execute(&db).await.unwrap();
    let open = two.count(&Alias::default(), "tenantry.move WHERE ended_at IS NULL").await
        + two.count(&Alias::default(), "tenantry.audit WHERE state = 'begun'").await;
    assert_eq!(open, 0, "{context:?}");
    for alias in [Alias::default(), eu()] {
        let is_here = i64::from(alias == *place);
        let schemas = format!("pg_namespace WHERE nspname = '{}'", acme.schema());
        assert_eq!(two.count(&alias, &schemas).await, is_here, "{alias}: {context:?}");
        let applied = format!("tenantry.applied WHERE schema_name = '{}'", acme.schema());
        assert_eq!(two.count(&alias, &applied).await, is_here, "{alias}: {context:?}");
    }
}

const VICTIM_URLS: &str = "TENANTRY_MOVE_VICTIM_URLS";

#[tokio::test]
async fn whoever_dies_while_moving_a_tenant_leaves_what_is_finished_or_undone() {
    let two = two().await;
    let schema = two.acme().await.schema().clone();
    two.here.db("acme").await;
    let insert = "INSERT INTO note SELECT generate_series(1, 100)";
    sqlx::query(insert).execute(&two.here.db("acme").await).await.unwrap();
    let mut boundaries = 0;
    for (resumes, points) in [(true, &FailPoint::OF_MOVE[..]), (false, &FailPoint::OF_MOVE[..6])] {
        for point in points.iter().copied() {
            let from = two.acme().await.database().clone();
            let to = if from == eu() { Alias::default() } else { eu() };
            run_victim(&two, point, &to);
            boundaries += 1;
            until_nobody_works(&two).await;
            let acme = two.acme().await;
            let place = if resumes {
                if matches!(point, FailPoint::AfterMoveClose | FailPoint::BeforeMoveFlip) {
                    let error = two.here.tenancy.abort_move(&acme).await.unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::Conflict, "{point:?}: {error}");
                }
                relocate(&two, &to).await.unwrap();
                to
            } else {
                two.here.tenancy.abort_move(&acme).await.unwrap();
                from
            };
            check_whole(&two, &place, &(point, resumes)).await;
            assert_eq!(two.count(&place, &format!("{schema}.note")).await, 100, "{point:?}");
        }
    }
    println!("killed at {boundaries} boundaries of a move");
    // What is kept goes, and nothing else.
    let acme = two.acme().await;
    two.run(&Alias::default(), "UPDATE tenantry.move SET purge_after = now() WHERE purge_after IS NOT NULL")
        .await
        .unwrap();
    for moved in two.here.tenancy.copies_due_for_purge(0, 100).await.unwrap() {
        two.here.tenancy.purge_copy(&moved, ()).await.unwrap();
    }
    for alias in [Alias::default(), eu()] {
        assert_eq!(two.count(&alias, "pg_namespace WHERE nspname LIKE 'tenantry_moved%'").await, 0);
    }
    check_whole(&two, acme.database(), &"purged").await;
}

#[tokio::test]
async fn a_move_that_was_interrupted_goes_on_to_a_database_that_was_closed_meanwhile() {
    let two = two().await;
    run_victim(&two, FailPoint::MovePlanned, &eu());
    until_nobody_works(&two).await;
    two.here.tenancy.close_database(&eu()).await.unwrap();
    relocate(&two, &eu()).await.unwrap();
    check_whole(&two, &eu(), &"closed").await;
}

async fn relocate(two: &Two, to: &Alias) -> Result<Moved, Error> {
    let acme = two.acme().await;
    let dump = async |arguments: &[String]| Ok(pg_dump(two.url(acme.database()), arguments));
    two.here.tenancy.move_tenant(&acme, MoveOptions::to(to.clone()), dump).await
}

/// The servers notice a moment later that a process is gone.
pub(super) async fn until_nobody_works(two: &Two) {
    let locks = "pg_locks WHERE locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    for alias in [Alias::default(), eu()] {
        let begun = std::time::Instant::now();
        while two.count(&alias, locks).await > 0 {
            assert!(begun.elapsed().as_secs() < 10, "the locks of a dead process stay");
        }
    }
}

/// Dies on the way, or fails this test.
fn run_victim(two: &Two, point: FailPoint, to: &Alias) {
    dies(
        victim_at("invariants::moves::victim", point)
            .env(VICTIM_URLS, format!("{to} {} {}", two.here.database.url(), two.there.url())),
    );
}

/// The work of the process that dies. In an ordinary run there is nothing to do.
#[tokio::test]
async fn victim() {
    let Ok(urls) = std::env::var(VICTIM_URLS) else { return };
    let [to, here, there] = urls.split(' ').collect::<Vec<_>>()[..] else { panic!("{urls}") };
    let config = DatabaseConfig::from_url(there).unwrap();
    let builder = builder_at(here, &[TABLES], PoolConfig::default()).database_as(eu(), config);
    let tenancy = builder.connect().await.unwrap();
    let acme = tenancy.tenant("acme").await.unwrap();
    let url = if *acme.database() == eu() { there } else { here };
    let dump = async |arguments: &[String]| Ok::<_, Error>(pg_dump(url, arguments));
    tenancy.move_tenant(&acme, MoveOptions::to(Alias::parse(to).unwrap()), dump).await.unwrap();
}

//! A tenant that moves while others write to it loses nothing and has nothing twice, whoever dies.
#![allow(clippy::print_stdout)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry_embedded::ScratchServer;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use super::moves::{Two, check_whole, eu, until_nobody_works};
use super::victim::{dies, victim_at};
use crate::fail_point::FailPoint;
use crate::fixture::{Installation, builder, builder_at, pg_dump};
use crate::observe::Step;
use crate::tenant::{Alias, Status};
use crate::{DatabaseConfig, Error, ErrorKind, MoveOptions, Moved, PoolConfig};

/// Rows that are told apart by a key and rows that are not, parts, triggers, and rows that no log has.
const TABLES: &str = "CREATE TABLE item (id bigserial PRIMARY KEY, at text);
    CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE DOMAIN positive AS int CHECK (VALUE > 0);
    CREATE TABLE note (id int, PRIMARY KEY (id) DEFERRABLE);
    CREATE MATERIALIZED VIEW notes AS SELECT count(*) AS n FROM note;
    CREATE TABLE nokey (j json, x text, is_so boolean, ip inet, padded char(5), f float8, pair item);
    CREATE UNLOGGED TABLE cache (k int PRIMARY KEY);
    CREATE TABLE counted (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item bigint REFERENCES item, n int,
        twice int GENERATED ALWAYS AS (n * 2) STORED, moods mood[], p positive);
    CREATE TABLE part (k mood, n int, PRIMARY KEY (k, n)) PARTITION BY HASH (k);
    CREATE TABLE part_0 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE part_1 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    CREATE TABLE child (own int) INHERITS (item);
    CREATE TABLE audit (n int);
    CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO audit VALUES (NEW.n); RETURN NEW; END $$;
    CREATE TRIGGER noted AFTER INSERT ON counted FOR EACH ROW EXECUTE FUNCTION noted()";

const NAMES: [&str; 9] =
    ["item", "note", "nokey", "cache", "counted", "part", "child", "audit", "counted_id_seq"];

/// Steps of a move, in their order.
const STEPS: [&str; 10] = [
    "making tables",
    "waiting for open transactions of the server",
    "locking tables",
    "copying tables",
    "making indexes and keys",
    "repeating changes",
    "comparing rows",
    "waiting for what is under way",
    "switching over",
    "forgetting changes",
];

/// A server of our own, whose log says what was changed.
async fn logical() -> ScratchServer {
    ScratchServer::start().await.unwrap()
}

/// An installation over a database of each server, or of the same one.
async fn two(here: &ScratchServer, there: &ScratchServer) -> Two {
    let (database, other) = (here.database("here").await.unwrap(), there.database("there").await.unwrap());
    at(here.url(), "ALTER ROLE here REPLICATION").await;
    at(there.url(), "ALTER ROLE there REPLICATION").await;
    let database = Arc::new(database);
    let config = DatabaseConfig::from_url(other.url()).unwrap();
    let builder = builder(&database, &[TABLES], patient()).database_as(eu(), config.pool(patient()));
    let here = Installation { tenancy: builder.connect().await.unwrap(), database };
    here.create("acme").await;
    Two { here, there: other }
}

/// Checkouts outlast what else this machine does.
fn patient() -> PoolConfig {
    PoolConfig { move_wait: Duration::from_secs(30), ..PoolConfig::default() }
}

async fn at(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
}

/// All rows of all tables, as one text.
async fn rows(two: &Two, alias: &Alias, schema: &str) -> String {
    let mut connection = PgConnection::connect(two.url(alias)).await.unwrap();
    let mut all = String::new();
    for name in NAMES {
        let each = if name.ends_with("_seq") { "last_value::text" } else { "t::text" };
        let text = format!(
            "SELECT coalesce(string_agg({each}, ' ' ORDER BY {each} COLLATE \"C\"), '') FROM {schema}.{name} t"
        );
        let text: String = sqlx::query_scalar(AssertSqlSafe(text)).fetch_one(&mut connection).await.unwrap();
        all.extend([name, ": ", &text, "\n"]);
    }
    all
}

/// Asserts that nothing that follows changes is left, and that all keys hold.
async fn check_nothing_follows(servers: &[&ScratchServer], two: &Two, context: &dyn std::fmt::Debug) {
    for server in servers {
        let mut superuser = PgConnection::connect(server.url()).await.unwrap();
        let slots = sqlx::query_scalar("SELECT count(*) FROM pg_replication_slots").fetch_one(&mut superuser);
        assert_eq!(slots.await.unwrap_or(-1_i64), 0, "{context:?}");
    }
    for alias in [Alias::default(), eu()] {
        assert_eq!(two.count(&alias, "pg_publication").await, 0, "{context:?}");
        let full = "pg_class WHERE relreplident = 'f' AND relkind IN ('r', 'p')";
        assert_eq!(two.count(&alias, full).await, 0, "{context:?}");
        assert_eq!(two.count(&alias, "pg_constraint WHERE NOT convalidated").await, 0, "{context:?}");
    }
}

async fn relocate(
    two: &Two,
    order: MoveOptions,
    steps: impl Fn(Step<'_>) + Send + Sync,
) -> Result<Moved, Error> {
    let acme = two.acme().await;
    let dump = async |arguments: &[String]| Ok(pg_dump(two.url(acme.database()), arguments));
    two.here.tenancy.move_tenant_observed(&acme, order, steps, dump).await
}

fn other(place: &Alias) -> Alias {
    if *place == eu() { Alias::default() } else { eu() }
}

/// Changes of all kinds, each step its own.
const WRITTEN: [(&str, &str); 3] = [
    // The slot has these, and the copy too.
    (
        "locking tables",
        "INSERT INTO nokey (x) VALUES ('both'); INSERT INTO item (at) VALUES ('both'); \
         UPDATE item SET at = 'both' WHERE id = 2",
    ),
    // Behind the copy.
    (
        "making indexes and keys",
        "BEGIN; INSERT INTO counted (item, n, moods, p) VALUES (3, 3, '{good,bad}', 3);
         UPDATE counted SET n = 22 WHERE n = 2; COMMIT;
         DELETE FROM nokey WHERE ctid = (SELECT min(ctid) FROM nokey);
         UPDATE nokey SET x = E'it''s \\\\ a\\ttab', f = 1e-300 / 3 WHERE x = '';
         UPDATE note SET id = id + 1; UPDATE part SET k = 'bad' WHERE n = 1; DELETE FROM part WHERE n = 2;
         UPDATE item SET id = 100 WHERE id = 5; DELETE FROM item WHERE id = 4; UPDATE child SET own = 2;
         INSERT INTO item (at) SELECT string_agg(md5(g::text), '') FROM generate_series(1, 500) g;
         UPDATE item SET id = id + 1000 WHERE length(at) > 100; TRUNCATE cache; INSERT INTO cache VALUES (1);
         BEGIN; SAVEPOINT a; INSERT INTO note VALUES (98); ROLLBACK TO a; INSERT INTO note VALUES (99); COMMIT;
         TRUNCATE audit; INSERT INTO audit VALUES (5)",
    ),
    // Nobody has repeated this before checkouts wait.
    ("waiting for what is under way", "INSERT INTO note VALUES (7); INSERT INTO cache VALUES (2)"),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_meanwhile_is_at_the_new_place_once() {
    let server = logical().await;
    let two = two(&server, &server).await;
    let schema = two.acme().await.schema().to_string();
    let in_schema = |sql: &str| format!("SET search_path TO {schema}; {sql}");
    let first = "INSERT INTO note SELECT generate_series(1, 5);
        INSERT INTO item (at) SELECT 'x' FROM generate_series(1, 5); INSERT INTO child VALUES (1, 'x', 1);
        INSERT INTO nokey VALUES ('{}', 'a'), ('{}', 'a'),
            (NULL, NULL);
        INSERT INTO nokey VALUES (NULL, '', true, '1.2.3.4', 'ab', 0.1, ROW(NULL, NULL));
        INSERT INTO part VALUES ('good', 1), ('bad', 2), ('good', 3); INSERT INTO cache VALUES (9);
        INSERT INTO counted (item, n) VALUES (1, 1), (2, 2)";
    two.run(&Alias::default(), &in_schema(first)).await.unwrap();
    let left = Mutex::new(WRITTEN.to_vec());
    let write = |step: Step<'_>| {
        let mut left = left.lock().unwrap();
        let Some(found) = left.iter().position(|(what, _)| *what == step.what) else { return };
        let (_, sql) = left.remove(found);
        for statement in in_schema(sql).split(";\n") {
            let (place, statement) = (Alias::default(), in_schema(statement));
            block_in_place(|| Handle::current().block_on(two.run(&place, &statement))).unwrap();
        }
    };
    let moved = relocate(&two, MoveOptions::to(eu()).online(), write).await.unwrap();
    assert!(left.into_inner().unwrap().is_empty());
    let kept = moved.kept_schema.unwrap().to_string();
    let is = rows(&two, &eu(), &schema).await.replace(&schema, "");
    assert_eq!(is, rows(&two, &Alias::default(), &kept).await.replace(&kept, ""));
    assert!(is.contains("(7)") && is.contains("audit: (5)\n"), "{is}");
    check_whole(&two, &eu(), &"moved").await;
    check_nothing_follows(&[&server], &two, &"moved").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_write_wait_a_moment_and_lose_nothing() {
    let server = logical().await;
    let two = two(&server, &server).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let write = |writer: i32| {
        let (tenancy, is_over) = (two.here.tenancy.clone(), Arc::clone(&is_over));
        tokio::spawn(async move {
            let db = tenancy.db(&tenancy.tenant("acme").await.unwrap()).unwrap();
            let (mut n, mut longest) = (0, Duration::ZERO);
            while !is_over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let insert = "INSERT INTO counted (n) VALUES ($1)";
                sqlx::query(insert).bind(writer * 100_000 + n).execute(&db).await.unwrap();
                longest = longest.max(begun.elapsed());
                n += 1;
                tokio::time::sleep(Duration::from_millis(4)).await;
            }
            (n, longest)
        })
    };
    let writers: Vec<_> = (0..3).map(write).collect();
    let (begun, place) = (Instant::now(), eu());
    let told = |step: Step<'_>| println!("{:?} {}", begun.elapsed(), step.what);
    let moved = relocate(&two, MoveOptions::to(place.clone()).online(), told).await.unwrap();
    println!("checkouts waited for {} ms", moved.stalled_ms);
    is_over.store(true, Ordering::Relaxed);
    let mut written = 0;
    for writer in writers {
        let (n, longest) = writer.await.unwrap();
        println!("{n} writes, the longest took {longest:?}");
        written += i64::from(n);
    }
    let schema = two.acme().await.schema().to_string();
    for rows in ["counted", "audit", "counted GROUP BY n"] {
        let (table, rest) = rows.split_once(' ').unwrap_or((rows, ""));
        let from = format!("(SELECT n FROM {schema}.{table} {rest}) AS t");
        assert_eq!(two.count(&place, &from).await, written, "{rows}");
    }
    check_nothing_follows(&[&server], &two, &"written").await;
}

/// All points and steps, and not only some of those that are alike.
fn is_thorough() -> bool {
    std::env::var_os("TENANTRY_THOROUGH").is_some()
}

const VICTIM_URLS: &str = "TENANTRY_ONLINE_MOVE_VICTIM_URLS";

#[tokio::test]
async fn whoever_dies_while_others_write_leaves_what_is_finished_or_undone() {
    let server = logical().await;
    let two = two(&server, &server).await;
    let schema = two.acme().await.schema().to_string();
    let fill = format!("INSERT INTO {schema}.note SELECT generate_series(1, 100)");
    two.run(&Alias::default(), &fill).await.unwrap();
    let points = FailPoint::OF_ONLINE_MOVE;
    let some = [(2, true), (3, false), (6, true), (6, false), (10, true), (11, false)];
    let all = (0..points.len()).flat_map(|index| [(index, true), (index, false)]);
    let all: Vec<_> = if is_thorough() { all.collect() } else { some.to_vec() };
    for (index, resumes) in all {
        let point = points[index];
        let from = two.acme().await.database().clone();
        let to = other(&from);
        dies(
            victim_at("invariants::online_moves::victim", point)
                .env(VICTIM_URLS, format!("{to} {} {}", two.here.database.url(), two.there.url())),
        );
        until_nobody_works(&two).await;
        let acme = two.acme().await;
        let place = if !resumes && two.here.tenancy.abort_move(&acme).await.is_ok() {
            from
        } else {
            relocate(&two, MoveOptions::resume(), |_| {}).await.unwrap();
            to
        };
        check_whole(&two, &place, &point).await;
        check_nothing_follows(&[&server], &two, &point).await;
        assert_eq!(two.count(&place, &format!("{schema}.note")).await, 100, "{point:?}");
    }
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
    let order = MoveOptions::to(Alias::parse(to).unwrap()).online();
    tenancy.move_tenant(&acme, order, dump).await.unwrap();
}

/// The server that is killed. The registry is at one of the two, whichever way the tenant goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Killed {
    Source,
    Target,
}

/// Each step by each server by each way; or some of them.
fn killings() -> Vec<(&'static str, Killed, Alias)> {
    let home = Alias::default();
    if !is_thorough() {
        return vec![
            ("copying tables", Killed::Source, home.clone()),
            ("switching over", Killed::Target, home),
            ("forgetting changes", Killed::Source, eu()),
        ];
    }
    let each = |step| {
        [Killed::Source, Killed::Target].map(|killed| [home.clone(), eu()].map(|from| (step, killed, from)))
    };
    STEPS.iter().flat_map(|step| each(*step)).flatten().collect()
}

/// Moves the tenant. A server that did not answer is left alone for a while.
async fn relocate_patiently(two: &Two, order: &MoveOptions) {
    let back_at = Instant::now();
    while let Err(error) = relocate(two, order.clone(), |_| {}).await {
        let is_away = error.kind() == ErrorKind::DatabaseUnavailable;
        assert!(is_away && back_at.elapsed() < Duration::from_secs(30), "{error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_meanwhile_leaves_what_is_finished_or_undone() {
    let (one, another) = tokio::join!(logical(), logical());
    let two = two(&one, &another).await;
    let schema = two.acme().await.schema().to_string();
    let fill = format!("INSERT INTO {schema}.note SELECT generate_series(1, 100)");
    two.run(&Alias::default(), &fill).await.unwrap();
    let servers = [tokio::sync::Mutex::new(one), tokio::sync::Mutex::new(another)];
    for (index, (step, killed, from)) in killings().into_iter().enumerate() {
        if *two.acme().await.database() != from {
            relocate_patiently(&two, &MoveOptions::to(from.clone())).await;
        }
        let to = other(&from);
        let number = usize::from((from == eu()) == (killed == Killed::Source));
        let is_dead = AtomicBool::new(false);
        let kill = |now: Step<'_>| {
            if now.what == step && !is_dead.swap(true, Ordering::Relaxed) {
                block_in_place(|| {
                    Handle::current().block_on(async { servers[number].lock().await.kill().await });
                });
            }
        };
        let order = MoveOptions::to(to.clone()).online();
        let failed = relocate(&two, order.clone(), kill).await;
        assert!(is_dead.into_inner(), "there is no step `{step}`");
        servers[number].lock().await.start_again().await.unwrap();
        println!("{step}, {killed:?}, from {from}: {:?}", failed.as_ref().err().map(ToString::to_string));
        until_nobody_works(&two).await;
        let acme = two.acme().await;
        let is_under_way = two.here.tenancy.move_under_way(&acme).await.unwrap().is_some();
        assert!(failed.is_err() || !is_under_way);
        if is_under_way {
            let is_undone = (index + index / 4) % 3 == 0 && two.here.tenancy.abort_move(&acme).await.is_ok();
            if !is_undone {
                relocate_patiently(&two, &MoveOptions::resume()).await;
            }
        }
        let acme = two.acme().await;
        assert_eq!(acme.status(), Status::Active, "{step}");
        let context = (step, killed, from, failed.err().map(|error| error.kind()));
        check_whole(&two, acme.database(), &context).await;
        let (one, another) = (servers[0].lock().await, servers[1].lock().await);
        check_nothing_follows(&[&one, &another], &two, &context).await;
        assert_eq!(two.count(acme.database(), &format!("{schema}.note")).await, 100, "{context:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_followed_is_named_before_anything_is_made() {
    let server = logical().await;
    let two = two(&server, &server).await;
    let schema = two.acme().await.schema().to_string();
    let refused = async |expect: &str| {
        let plan = two.here.tenancy.examine_move(&two.acme().await, &eu()).await.unwrap();
        assert!(plan.refused.is_empty(), "{plan:?}");
        let refusal = plan.online_refused.unwrap();
        assert!(refusal.what.contains(expect), "{refusal:?}");
    };
    for (make, expect, unmake) in [
        (
            "ALTER TABLE t_.audit REPLICA IDENTITY NOTHING",
            "table `audit`",
            "ALTER TABLE t_.audit REPLICA IDENTITY DEFAULT",
        ),
        (
            "CREATE TABLE t_.odd (a int, b int GENERATED ALWAYS AS (a) STORED)",
            "generated column `b`",
            "DROP TABLE t_.odd",
        ),
        (
            "CREATE TABLE t_.odd (a int PRIMARY KEY, b int GENERATED ALWAYS AS IDENTITY)",
            "column `odd.b`",
            "DROP TABLE t_.odd",
        ),
    ] {
        two.run(&Alias::default(), &make.replace("t_", &schema)).await.unwrap();
        refused(expect).await;
        two.run(&Alias::default(), &unmake.replace("t_", &schema)).await.unwrap();
    }
    at(server.url(), "ALTER DATABASE here OWNER TO postgres").await;
    refused("lacks CREATE").await;
    at(server.url(), "ALTER DATABASE here OWNER TO here; ALTER ROLE here NOREPLICATION").await;
    refused("lacks the attribute REPLICATION").await;
    at(server.url(), "ALTER ROLE here REPLICATION").await;
    let slots = "SELECT pg_create_physical_replication_slot('s' || g) FROM generate_series(1, 10) g";
    at(server.url(), slots).await;
    refused("slots").await;
    let error = relocate(&two, MoveOptions::to(eu()).online(), |_| {}).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    check_whole(&two, &Alias::default(), &error).await;
    at(server.url(), "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots").await;
    relocate(&two, MoveOptions::to(eu()).online(), |_| {}).await.unwrap();
}

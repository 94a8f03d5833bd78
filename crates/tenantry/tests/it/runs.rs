//! Recorded runs: waves, limits, one at a time, and going on after an interruption.

use std::num::NonZeroU32;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use tenantry::migrate::{Canaries, Mark, MaxFailures, MigrateOptions, Stopped, Summary};
use tenantry::observe::{Observer, Outcome, Wave};
use tenantry::registry::{Run, RunState};
use tenantry::{Error, ErrorKind, Fleet, NewTenant, Tenancy, TenantDb};
use tenantry_embedded::ScratchDatabase;

use crate::support::{
    Client, Folder, builder, check_error, database, eventually, ledger, slug, table, unobserved,
};

const NOTE: &str = "CREATE TABLE note (id int)";
/// Fails where `note` has a row.
const FAILS: &str = "ALTER TABLE note ADD COLUMN more int NOT NULL";

async fn open(database: &ScratchDatabase, folder: &Folder) -> Tenancy {
    builder(database).migrations(folder.migrations()).connect().await.unwrap()
}

/// Tenants that have a table `note`.
async fn fleet(slugs: &[&str]) -> (ScratchDatabase, Folder, Tenancy) {
    let (database, folder) = (database().await, Folder::of(&[NOTE]));
    let tenancy = open(&database, &folder).await;
    for slug in slugs {
        tenancy.create(NewTenant::new(*slug)).await.unwrap();
    }
    (database, folder, tenancy)
}

/// Lets [`FAILS`] fail for a tenant, or not any more.
async fn set_failing(database: &ScratchDatabase, tenancy: &Tenancy, slug: &str, fails: bool) {
    let note = table(&tenancy.tenant(slug).await.unwrap(), "note");
    let sql = if fails { format!("INSERT INTO {note} VALUES (1)") } else { format!("DELETE FROM {note}") };
    Client::owner(database).await.run(&sql).await;
}

/// One tenant after the other, so that it is known who comes next.
fn one_by_one() -> MigrateOptions {
    MigrateOptions { jobs: NonZeroU32::MIN, ..MigrateOptions::default() }
}

async fn newest(tenancy: &Tenancy) -> Run {
    tenancy.runs(1).await.unwrap().remove(0)
}

/// The tenants at each version.
async fn versions(database: &ScratchDatabase, tenancy: &Tenancy) -> Vec<(String, i64)> {
    let mut client = Client::owner(database).await;
    let mut versions = Vec::new();
    for tenant in tenancy.tenants_after("", 100).await.unwrap() {
        let newest = ledger(&mut client, &tenant).await.last().map_or(0, |(version, _)| *version);
        versions.push((tenant.slug().to_string(), newest));
    }
    versions
}

fn at(expect: &[(&str, i64)]) -> Vec<(String, i64)> {
    expect.iter().map(|(slug, version)| ((*slug).to_owned(), *version)).collect()
}

#[tokio::test]
async fn a_run_with_work_is_recorded_and_one_without_is_not() {
    let (database, folder, tenancy) = fleet(&["acme", "globex", "initech"]).await;
    assert_eq!(tenancy.migrate(Fleet::all(), unobserved).await.unwrap().run, None);
    assert!(tenancy.runs(10).await.unwrap().is_empty());

    set_failing(&database, &tenancy, "globex", true).await;
    folder.write("tenant/0002_more.sql", FAILS);
    folder.write("tenant/0003_last.sql", "CREATE TABLE last ()");
    let tenancy = open(&database, &folder).await;
    let options = MigrateOptions { operator: "ada".to_owned(), ..MigrateOptions::default() };
    let summary = tenancy.migrate(options, unobserved).await.unwrap();
    let run = newest(&tenancy).await;
    assert_eq!((Some(run.id), run.state), (summary.run, RunState::Failed));
    assert_eq!((run.operator.as_str(), run.version, run.wave), ("ada", Some(3), 2));
    assert_eq!((run.migrated, run.up_to_date, run.failed), (2, 1, 1), "the master schema had nothing to do");
    assert!(run.ended_at > Some(run.started_at));

    let entries = tenancy.run_entries_after(&run, None, 100).await.unwrap();
    let slugs: Vec<_> = entries.iter().map(|entry| entry.slug.as_deref().unwrap()).collect();
    assert_eq!(slugs, ["acme", "globex", "initech"]);
    assert_eq!((entries[0].from_version, &*entries[0].applied), (Some(1), &[2, 3][..]));
    assert!(entries[1].applied.is_empty());
    assert!(entries[1].error.as_ref().unwrap().contains("0002_more.sql:1"), "{entries:?}");
    let rest = tenancy.run_entries_after(&run, Some("acme"), 1).await.unwrap();
    assert_eq!(rest[0].slug.as_deref(), Some("globex"), "page by page");

    set_failing(&database, &tenancy, "globex", false).await;
    let again = tenancy.migrate(MigrateOptions::resuming(&run).unwrap(), unobserved).await.unwrap();
    assert_eq!((again.run, again.migrated, again.failed), (Some(run.id), 1, 0), "the same run goes on");
    let run = newest(&tenancy).await;
    assert_eq!((run.state, run.migrated, run.failed), (RunState::Done, 3, 0));
    let refused = MigrateOptions::resuming(&run).map(drop);
    check_error(refused, ErrorKind::InvalidInput, &["run 1 is done"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_second_is_told_who_runs_since_when_or_waits() {
    let (database, folder, tenancy) = fleet(&["acme", "globex"]).await;
    folder.write("tenant/0002_more.sql", FAILS);
    let acme = tenancy.tenant("acme").await.unwrap();
    let [first, second, third] = [(), (), ()].map(|()| open(&database, &folder));
    let (first, second, third) = (first.await, second.await, third.await);
    let mut blocker = Client::owner(&database).await;
    blocker.run(&format!("BEGIN; LOCK TABLE {}", table(&acme, "note"))).await;

    let options = MigrateOptions { operator: "ada".to_owned(), ..one_by_one() };
    let run = tokio::spawn(async move { first.migrate(options, unobserved).await });
    eventually("the first runs", async || {
        second.runs(1).await.unwrap().first().is_some_and(|run| run.state == RunState::Running)
    })
    .await;
    let refused = second.migrate(Fleet::all(), unobserved).await;
    let since = newest(&second).await.started_at.replace_nanosecond(0).unwrap().to_string();
    check_error(refused, ErrorKind::Conflict, &["run 1, since ", &since, "by ada", "--wait"]);
    assert_eq!(second.runs(10).await.unwrap().len(), 1, "who is refused leaves no run behind");

    let options = MigrateOptions { wait: true, ..MigrateOptions::default() };
    let waiting = tokio::spawn(async move { third.migrate(options, unobserved).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiting.is_finished());
    blocker.run("COMMIT").await;
    assert_eq!(run.await.unwrap().unwrap().migrated, 2);
    let waited = waiting.await.unwrap().unwrap();
    assert_eq!((waited.migrated, waited.up_to_date), (0, 3), "what the first has done is done");
}

#[tokio::test]
async fn a_canary_that_fails_saves_the_others() {
    let (database, folder, tenancy) = fleet(&["acme", "bravo", "carol", "delta"]).await;
    set_failing(&database, &tenancy, "bravo", true).await;
    folder.write("tenant/0002_more.sql", FAILS);
    let tenancy = open(&database, &folder).await;
    let canaries = Some(Canaries::First(NonZeroU32::new(2).unwrap()));
    let waves = Waves::default();
    let options = MigrateOptions { canaries, ..MigrateOptions::default() };
    let summary = tenancy.migrate(options, &waves).await.unwrap();
    assert_eq!((summary.stopped, summary.migrated, summary.failed), (Some(Stopped::Canary), 1, 1));
    assert_eq!(waves.seen(), [(Wave::Canaries, 2)]);
    assert_eq!(
        versions(&database, &tenancy).await,
        at(&[("acme", 2), ("bravo", 1), ("carol", 1), ("delta", 1)])
    );
    let run = newest(&tenancy).await;
    assert_eq!((run.state, run.wave, run.error.as_deref()), (RunState::Stopped, 1, Some("a canary failed")));

    // One of the two canaries is still to go, and then all others.
    set_failing(&database, &tenancy, "bravo", false).await;
    let waves = Waves::default();
    let summary = tenancy.migrate(MigrateOptions::resuming(&run).unwrap(), &waves).await.unwrap();
    assert_eq!((summary.stopped, summary.migrated, summary.failed), (None, 3, 0));
    assert_eq!(waves.seen(), [(Wave::Canaries, 1), (Wave::Fleet, 3)]);
    let run = newest(&tenancy).await;
    assert_eq!((run.state, run.wave, run.migrated), (RunState::Done, 2, 4));
    let entries = tenancy.run_entries_after(&run, None, 100).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.wave).collect::<Vec<_>>(), [1, 1, 2, 2]);
}

#[tokio::test]
async fn the_newest_run_that_is_not_done_is_the_one_to_go_on_with() {
    let (database, folder, tenancy) = fleet(&["acme", "globex"]).await;
    set_failing(&database, &tenancy, "acme", true).await;
    folder.write("tenant/0002_more.sql", FAILS);
    let tenancy = open(&database, &folder).await;
    assert_eq!(tenancy.unfinished_run().await.unwrap(), None);
    let options = MigrateOptions { canaries: Some(Canaries::First(NonZeroU32::MIN)), ..one_by_one() };
    let stopped = tenancy.migrate(options, unobserved).await.unwrap().run;
    tenancy.migrate(Fleet::only([slug("globex")]), unobserved).await.unwrap();
    assert_eq!(newest(&tenancy).await.state, RunState::Done);

    let run = tenancy.unfinished_run().await.unwrap().unwrap();
    assert_eq!((Some(run.id), run.state), (stopped, RunState::Stopped));
    set_failing(&database, &tenancy, "acme", false).await;
    let summary = tenancy.migrate(MigrateOptions::resuming(&run).unwrap(), unobserved).await.unwrap();
    assert_eq!((summary.run, summary.migrated, summary.failed), (stopped, 1, 0));
    assert_eq!(tenancy.unfinished_run().await.unwrap(), None);
    let entries = tenancy.run_entries_after(&run, None, 10).await.unwrap();
    let slugs: Vec<_> = entries.iter().map(|entry| entry.slug.as_deref()).collect();
    assert_eq!(slugs, [Some("acme")], "what another run did is in its own diary");
}

/// A file that fails leaves those before it, and the same run applies the rest later.
#[tokio::test]
async fn the_diary_of_a_run_that_goes_on_has_what_each_part_of_it_did() {
    let (database, folder, tenancy) = fleet(&["acme"]).await;
    set_failing(&database, &tenancy, "acme", true).await;
    folder.write("tenant/0002_first.sql", "-- no-transaction\nCREATE TABLE first ()");
    folder.write("tenant/0003_more.sql", FAILS);
    let tenancy = open(&database, &folder).await;
    tenancy.migrate(Fleet::all(), unobserved).await.unwrap();
    let run = newest(&tenancy).await;
    assert_eq!(run.state, RunState::Failed);
    set_failing(&database, &tenancy, "acme", false).await;
    tenancy.migrate(MigrateOptions::resuming(&run).unwrap(), unobserved).await.unwrap();
    let entry = tenancy.run_entries_after(&run, None, 10).await.unwrap().remove(0);
    assert_eq!((entry.from_version, &*entry.applied, entry.error), (Some(1), &[2, 3][..], None));
}

#[tokio::test]
async fn tagged_tenants_are_the_canaries() {
    let (database, folder, tenancy) = fleet(&["acme", "bravo"]).await;
    let canary = NewTenant::new("zulu").setting("canary", true);
    tenancy.create(canary).await.unwrap();
    set_failing(&database, &tenancy, "zulu", true).await;
    folder.write("tenant/0002_more.sql", FAILS);
    let tenancy = open(&database, &folder).await;
    let options = MigrateOptions { canaries: Some(Canaries::Tagged), ..MigrateOptions::default() };
    let summary = tenancy.migrate(options.clone(), unobserved).await.unwrap();
    assert_eq!((summary.stopped, summary.migrated), (Some(Stopped::Canary), 0));
    set_failing(&database, &tenancy, "zulu", false).await;
    let waves = Waves::default();
    let summary = tenancy.migrate(options, &waves).await.unwrap();
    assert_eq!((summary.stopped, summary.migrated), (None, 3));
    assert_eq!(waves.seen(), [(Wave::Canaries, 1), (Wave::Fleet, 2)]);
}

#[tokio::test]
async fn a_choice_that_names_nobody_is_a_mistake_before_anything_is_migrated() {
    let (database, folder, tenancy) = fleet(&["acme", "bravo"]).await;
    // A text is no tag.
    tenancy.create(NewTenant::new("zulu").setting("canary", "true")).await.unwrap();
    folder.write("tenant/0002_more.sql", FAILS);
    folder.write("master/0001_plan.sql", "CREATE TABLE plan ()");
    let tenancy = open(&database, &folder).await;
    let tagged = MigrateOptions { canaries: Some(Canaries::Tagged), ..MigrateOptions::default() };
    let refused = tenancy.migrate(tagged.clone(), unobserved).await.map(drop);
    check_error(refused, ErrorKind::InvalidInput, &["tagged as a canary", "--setting canary:=true"]);
    let refused = tenancy.preview(tagged.clone(), |_| panic!("nobody is previewed")).await;
    check_error(refused, ErrorKind::InvalidInput, &["tagged as a canary"]);

    let except = |name: &str| Fleet::all().except([slug("acme"), slug(name)]);
    let unknown = "no tenant goes by `barvo`, which is to be left out";
    let refused = tenancy.migrate(except("barvo"), unobserved).await.map(drop);
    check_error(refused, ErrorKind::UnknownTenant, &[unknown]);
    let refused = tenancy.mark(&except("barvo"), 1, Mark::Applied).await.map(drop);
    check_error(refused, ErrorKind::UnknownTenant, &[unknown]);
    let job = async |_: TenantDb| Ok::<_, Error>(());
    let refused = tenancy.for_each(except("barvo"), 1, job).try_next().await.map(drop);
    check_error(refused, ErrorKind::UnknownTenant, &[unknown]);
    assert!(tenancy.runs(1).await.unwrap().is_empty());
    assert!(!tenancy.is_master_up_to_date().await.unwrap());

    let twice = Fleet::only([slug("acme"), slug("acme")]);
    assert_eq!(tenancy.migrate(twice, unobserved).await.unwrap().migrated, 1, "a tenant is migrated once");
    assert_eq!(
        tenancy.migrate(except("bravo"), unobserved).await.unwrap().migrated,
        2,
        "the master schema, zulu"
    );
}

#[tokio::test]
async fn a_run_stops_when_too_many_fail() {
    let slugs = ["acme", "bravo", "carol", "delta"];
    let (database, folder, tenancy) = fleet(&slugs).await;
    for slug in ["acme", "bravo"] {
        set_failing(&database, &tenancy, slug, true).await;
    }
    folder.write("tenant/0002_more.sql", FAILS);
    let tenancy = open(&database, &folder).await;
    let migrate = async |most| {
        let options = MigrateOptions { max_failures: Some(most), ..one_by_one() };
        let Summary { migrated, failed, stopped, .. } = tenancy.migrate(options, unobserved).await.unwrap();
        (migrated, failed, stopped)
    };
    let stopped = Some(Stopped::TooManyFailures);
    assert_eq!(migrate(MaxFailures::Count(0)).await, (0, 1, stopped));
    // A quarter of four is one.
    assert_eq!(migrate(MaxFailures::Percent(25)).await, (0, 2, stopped));
    assert_eq!(newest(&tenancy).await.error.as_deref(), Some("too many tenants failed"));
    assert_eq!(migrate(MaxFailures::Count(2)).await, (2, 2, None));
}

#[tokio::test]
async fn an_observer_ends_a_run_between_two_tenants() {
    let (database, folder, _) = fleet(&["acme", "bravo", "carol"]).await;
    folder.write("tenant/0002_more.sql", FAILS);
    let tenancy = open(&database, &folder).await;
    let summary = tenancy.migrate(one_by_one(), &UpTo::tenants(1)).await.unwrap();
    assert_eq!((summary.stopped, summary.migrated), (Some(Stopped::Cancelled), 1));
    assert_eq!(newest(&tenancy).await.state, RunState::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_interrupted_goes_on() {
    let (database, folder, tenancy) = fleet(&["acme", "bravo", "carol"]).await;
    folder.write("tenant/0002_more.sql", FAILS);
    let bravo = tenancy.tenant("bravo").await.unwrap();
    let tenancy = open(&database, &folder).await;
    let mut blocker = Client::owner(&database).await;
    blocker.run(&format!("BEGIN; LOCK TABLE {}", table(&bravo, "note"))).await;
    let options = MigrateOptions { fleet: Fleet::all().except([slug("carol")]), ..one_by_one() };
    let diary = UpTo::tenants(usize::MAX);
    {
        let mut run = std::pin::pin!(tenancy.migrate(options, &diary));
        tokio::select! {
            ended = &mut run => panic!("{ended:?}"),
            () = eventually("the first is done", async || diary.seen() == 1) => {}
        }
        // It hangs in the second one, and is dropped.
    }
    eventually("its lock is free", async || newest(&tenancy).await.state == RunState::Interrupted).await;
    blocker.run("COMMIT").await;
    let run = newest(&tenancy).await;

    folder.write("tenant/0003_last.sql", "CREATE TABLE last ()");
    let other = open(&database, &folder).await;
    let refused = other.migrate(MigrateOptions::resuming(&run).unwrap(), unobserved).await;
    check_error(refused, ErrorKind::InvalidInput, &["run 1 was begun with other migrations"]);

    // What was sent may have been committed.
    let summary = tenancy.migrate(MigrateOptions::resuming(&run).unwrap(), unobserved).await.unwrap();
    assert_eq!((summary.migrated + summary.up_to_date, summary.failed), (3, 0));
    assert_eq!(
        versions(&database, &tenancy).await,
        at(&[("acme", 2), ("bravo", 2), ("carol", 1)]),
        "those who were left out still are"
    );
    assert_eq!(newest(&tenancy).await.state, RunState::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_loses_its_lock_ends_and_can_go_on() {
    let slugs: Vec<_> = (0..30).map(|number| format!("tenant-{number}")).collect();
    let (database, folder, _) = fleet(&slugs.iter().map(String::as_str).collect::<Vec<_>>()).await;
    folder.write("tenant/0002_slow.sql", "CREATE TABLE slow (); SELECT pg_sleep(0.1)");
    let tenancy = open(&database, &folder).await;
    let mut client = Client::superuser(&database).await;
    let end_holder = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' \
                      AND objid = 'x6e747275'::bit(32)::bigint \
                      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let diary = UpTo::tenants(usize::MAX);
    let (result, ()) = tokio::join!(tenancy.migrate(one_by_one(), &diary), async {
        eventually("somebody is done", async || diary.seen() > 0).await;
        eventually("the holder is gone", async || {
            let ended: i64 = client.value(end_holder).await;
            ended == 1
        })
        .await;
    });
    let error: Error = result.unwrap_err();
    check_error(Err::<(), _>(error), ErrorKind::DatabaseUnavailable, &["run 1 lost the session", "--resume"]);
    let run = newest(&tenancy).await;
    assert_eq!(run.state, RunState::Interrupted);
    let summary = tenancy.migrate(MigrateOptions::resuming(&run).unwrap(), unobserved).await.unwrap();
    assert_eq!(summary.failed, 0);
    assert!(versions(&database, &tenancy).await.iter().all(|(_, version)| *version == 2));
}

#[tokio::test]
async fn a_condition_chooses_tenants_and_changes_nothing() {
    let (database, folder, tenancy) = fleet(&["acme"]).await;
    for slug in ["globex", "initech"] {
        tenancy.create(NewTenant::new(slug).setting("plan", "pro")).await.unwrap();
    }
    folder.write("tenant/0002_more.sql", FAILS);
    let tenancy = open(&database, &folder).await;
    let pro = "settings->>'plan' = 'pro' -- and no other";
    let fleet = Fleet::matching(pro).except([slug("globex")]);
    assert_eq!(tenancy.migrate(fleet, unobserved).await.unwrap().migrated, 1);
    assert_eq!(versions(&database, &tenancy).await, at(&[("acme", 1), ("globex", 1), ("initech", 2)]));
    let nonsense = tenancy.migrate(Fleet::matching("plan = 'pro'"), unobserved).await;
    let says = ["chosen by `plan = 'pro'`", "column \"plan\" does not exist", "settings->>'plan'"];
    check_error(nonsense, ErrorKind::InvalidInput, &says);

    let mut client = Client::owner(&database).await;
    client
        .run(
            "CREATE FUNCTION public.meddle() RETURNS bool LANGUAGE sql AS
             $$ DELETE FROM tenantry.tenant; SELECT true $$",
        )
        .await;
    let meddling = tenancy.migrate(Fleet::matching("public.meddle()"), unobserved).await;
    check_error(meddling, ErrorKind::InvalidInput, &["read-only transaction"]);
    assert_eq!(tenancy.tenants_after("", 10).await.unwrap().len(), 3);
}

/// The waves that began, and how many tenants they have at most.
#[derive(Default)]
struct Waves(Mutex<Vec<(Wave, u64)>>);

impl Waves {
    fn seen(&self) -> Vec<(Wave, u64)> {
        self.0.lock().unwrap().clone()
    }
}

impl Observer for &Waves {
    fn finished(&self, _: &Outcome<'_>) {}

    fn wave_started(&self, wave: Wave, tenants: u64) {
        self.0.lock().unwrap().push((wave, tenants));
    }
}

/// Counts tenants, and has enough at some time.
struct UpTo {
    most: usize,
    seen: AtomicUsize,
}

impl UpTo {
    fn tenants(most: usize) -> Self {
        Self { most, seen: AtomicUsize::new(0) }
    }

    fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }
}

impl Observer for &UpTo {
    fn finished(&self, outcome: &Outcome<'_>) {
        self.seen.fetch_add(usize::from(outcome.tenant.is_some()), Ordering::SeqCst);
    }

    fn is_cancelled(&self) -> bool {
        self.seen() >= self.most
    }
}

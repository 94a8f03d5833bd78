//! The pool's own logic, without a server and with the clock in our hands.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use proptest::prelude::*;

use super::fake::Fake;
use super::grant::Grant;
use super::lease::{Activity, Lease, Switching};
use super::preparation::{Preparation, Preprocessors};
use super::preprocessor::{CheckoutRequest, Preprocessor, SearchPath, SessionSettings, Target};
use super::shared::Pool;
use crate::database::{Layout, PoolConfig, Verify};
use crate::error::{Error, ErrorKind};
use crate::tenant::{Alias, SchemaName, Slug, Status, Tenant, TenantId, TenantRecord};

pub(super) fn pool(config: PoolConfig) -> (Pool<Fake>, Fake) {
    let fake = Fake::default();
    let layout = Arc::new(Layout::default());
    let pool = Pool::new(Alias::default(), fake.clone(), config, layout, Preprocessors::default()).unwrap();
    (pool, fake)
}

fn pool_of(max_connections: u32) -> (Pool<Fake>, Fake) {
    pool(PoolConfig { max_connections, ..PoolConfig::default() })
}

fn tenant(slug: &str) -> Target {
    tenant_at(slug, 0)
}

pub(super) fn tenant_at(slug: &str, epoch: i64) -> Target {
    let slug = Slug::parse(slug).unwrap();
    // The same tenant for the same slug.
    let id = slug.as_str().bytes().fold(0_u128, |id, byte| id << 8 | u128::from(byte));
    let id = TenantId::from(uuid::Uuid::from_u128(id));
    Target::Tenant(Tenant::from(TenantRecord {
        id,
        schema: SchemaName::generate(&slug, id),
        slug,
        database: Alias::default(),
        node: None,
        type_name: None,
        status: Status::Active,
        suspension: None,
        settings: serde_json::Value::Null,
        epoch,
        digest: None,
        owns_types: false,
        last_error: None,
        created_at: time::OffsetDateTime::UNIX_EPOCH,
    }))
}

pub(super) fn preparation(target: Target) -> Arc<Preparation> {
    let request = CheckoutRequest::new(target, Arc::new(Layout::default()));
    Arc::new(Preprocessors::default().prepare(request, Grant::Write).unwrap())
}

/// The state that a future leaves behind when it is dropped in the middle.
pub(super) fn cut_off(lease: &mut Lease<Fake>, activity: Activity) {
    drop(lease.begin(activity));
}

fn schema_of(target: &Target) -> String {
    match target {
        Target::Tenant(tenant) => tenant.schema().to_string(),
        Target::Master => "public".to_owned(),
    }
}

/// Lets the background work of the pool run to its end.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[track_caller]
fn assert_idle(pool: &Pool<Fake>, open: u32) {
    let status = pool.status();
    assert_eq!((status.open, status.idle, status.waiting), (open, open, 0));
}

#[track_caller]
fn error_of<T>(result: Result<T, Error>) -> Error {
    result.err().expect("this cannot work")
}

#[tokio::test(start_paused = true)]
async fn a_clean_connection_goes_to_the_same_tenant_without_a_round_trip() {
    let (pool, fake) = pool_of(1);
    for _ in 0..3 {
        drop(pool.check_out(tenant("acme")).await.unwrap());
    }
    assert_eq!(fake.message_count(), 1);
    drop(pool.check_out(tenant("globex")).await.unwrap());
    drop(pool.check_out(tenant("acme")).await.unwrap());
    assert_eq!(fake.message_count(), 3);
    assert_eq!(fake.opened(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_checkout_prefers_the_connection_that_last_served_its_tenant() {
    let (pool, fake) = pool_of(2);
    let (acme, globex) =
        (pool.check_out(tenant("acme")).await.unwrap(), pool.check_out(tenant("globex")).await.unwrap());
    drop((acme, globex));
    for _ in 0..5 {
        drop(pool.check_out(tenant("globex")).await.unwrap());
        drop(pool.check_out(tenant("acme")).await.unwrap());
    }
    assert_eq!(fake.message_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_touched_connection_is_cleaned_before_anybody_sees_it() {
    let (pool, fake) = pool_of(1);
    let mut lease = pool.check_out(tenant("acme")).await.unwrap();
    lease.touch();
    drop(lease);
    drop(pool.check_out(tenant("acme")).await.unwrap());
    assert_eq!(fake.message_count(), 2, "one switch and one cleaning, after which it is warm");
    assert_eq!(fake.opened(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_cannot_be_cleaned_in_time_is_replaced() {
    let (pool, fake) = pool_of(1);
    let mut lease = pool.check_out(tenant("acme")).await.unwrap();
    lease.touch();
    fake.set_hanging(true);
    drop(lease);
    tokio::time::sleep(Duration::from_secs(6)).await;
    fake.set_hanging(false);
    drop(pool.check_out(tenant("acme")).await.unwrap());
    assert_eq!((fake.opened(), fake.open()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn always_verifying_costs_a_message_each_way() {
    let (pool, fake) =
        pool(PoolConfig { max_connections: 1, verify: Verify::Always, ..PoolConfig::default() });
    for _ in 0..3 {
        drop(pool.check_out(tenant("acme")).await.unwrap());
        settle().await;
    }
    assert_eq!(fake.message_count(), 6);
    assert_idle(&pool, 1);
}

#[tokio::test(start_paused = true)]
async fn a_statement_that_is_cut_off_and_soon_answered_keeps_its_connection() {
    let (pool, fake) = pool_of(1);
    let mut lease = pool.check_out(tenant("acme")).await.unwrap();
    cut_off(&mut lease, Activity::Statement);
    drop(lease);
    drop(pool.check_out(tenant("acme")).await.unwrap());
    assert_eq!(fake.message_count(), 3, "one switch, the drain, and the cleaning");
    assert_eq!((fake.opened(), fake.open(), pool.status().counts.drained), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_statement_that_is_cut_off_and_not_answered_in_time_closes_its_connection() {
    let (pool, fake) = pool_of(1);
    let mut lease = pool.check_out(tenant("acme")).await.unwrap();
    cut_off(&mut lease, Activity::Statement);
    fake.set_hanging(true);
    drop(lease);
    settle().await;
    assert_eq!((fake.open(), pool.status().open), (1, 1));
    tokio::time::sleep(PoolConfig::default().drain_timeout).await;
    settle().await;
    assert_eq!((fake.open(), pool.status().open), (0, 0));
    assert_eq!((pool.status().counts.drained, pool.status().counts.doubtful), (0, 1));
}

/// A lease in a transaction that nobody has ended, by itself or in the middle of a statement.
async fn in_transaction(pool: &Pool<Fake>, activity: Option<Activity>) -> Lease<Fake> {
    let mut lease = pool.check_out(tenant("acme")).await.unwrap();
    let began = lease.exchange(Activity::Boundary, async |_, connection| {
        connection.is_in_transaction = true;
        Ok::<_, Error>(())
    });
    began.await.unwrap();
    if let Some(activity) = activity {
        cut_off(&mut lease, activity);
    }
    lease
}

#[tokio::test(start_paused = true)]
async fn a_dropped_transaction_is_rolled_back_before_anybody_gets_its_connection() {
    for (activity, rolled_back) in
        [(None, 1), (Some(Activity::Statement), 1), (Some(Activity::Call), 0), (Some(Activity::Boundary), 0)]
    {
        let (pool, fake) = pool_of(1);
        drop(in_transaction(&pool, activity).await);
        drop(pool.check_out(tenant("globex")).await.unwrap());
        assert_eq!(u64::from(fake.opened()), 2 - rolled_back, "{activity:?}");
        assert_eq!(pool.status().counts.rolled_back, rolled_back, "{activity:?}");
        let rollbacks = fake.messages().iter().filter(|message| message.starts_with("ROLLBACK; ")).count();
        assert_eq!(rollbacks as u64, rolled_back, "{activity:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_transaction_that_is_not_rolled_back_in_time_closes_its_connection() {
    for activity in [None, Some(Activity::Statement)] {
        let (pool, fake) = pool_of(1);
        let lease = in_transaction(&pool, activity).await;
        fake.set_hanging(true);
        drop(lease);
        settle().await;
        assert_eq!((fake.open(), pool.status().open), (1, 1));
        tokio::time::sleep(PoolConfig::default().drain_timeout).await;
        settle().await;
        assert_eq!((fake.open(), pool.status().open), (0, 0));
        assert_eq!((pool.status().counts.rolled_back, pool.status().counts.doubtful), (0, 1));
    }
    let (pool, fake) = pool(PoolConfig { drain_timeout: Duration::ZERO, ..PoolConfig::default() });
    drop(in_transaction(&pool, None).await);
    settle().await;
    assert_eq!((fake.open(), pool.status().counts.doubtful), (0, 1), "no time at all");
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_cancellations_holds_half_of_the_slots() {
    let (pool, fake) = pool(PoolConfig { max_connections: 8, reserve: Some(0), ..PoolConfig::default() });
    let mut leases = Vec::new();
    for _ in 0..8 {
        leases.push(pool.check_out(tenant("acme")).await.unwrap());
    }
    for lease in &mut leases {
        cut_off(lease, Activity::Statement);
    }
    fake.set_hanging(true);
    drop(leases);
    assert_eq!((fake.open(), pool.status().open), (4, 4));
}

#[tokio::test(start_paused = true)]
async fn a_busy_connection_is_closed_and_its_slot_passed_on() {
    let (pool, fake) = pool_of(1);
    let mut lease = pool.check_out(tenant("acme")).await.unwrap();
    cut_off(&mut lease, Activity::Boundary);
    let waiter = tokio::spawn({
        let pool = pool.clone();
        async move { pool.check_out(tenant("globex")).await.map(drop) }
    });
    settle().await;
    assert_eq!(pool.status().waiting, 1);
    drop(lease);
    waiter.await.unwrap().unwrap();
    assert_eq!((fake.opened(), fake.open()), (2, 1));
}

/// The end of an exchange.
#[derive(Clone, Copy, Debug)]
enum End {
    Answered,
    Failed(ErrorKind),
    CutOff,
}

/// Counts what was drained, and what was closed in doubt.
async fn after_exchange(activity: Activity, end: End) -> (u64, u64) {
    let (pool, _fake) = pool_of(1);
    let mut lease = pool.check_out(tenant("acme")).await.unwrap();
    let result = match end {
        End::Answered => lease.exchange(activity, async |_, _| Ok::<_, Error>(())).await,
        End::Failed(kind) => lease.exchange(activity, async |_, _| Err(Error::new(kind, "no"))).await,
        End::CutOff => {
            let never = lease.exchange(activity, async |_, _| std::future::pending().await);
            never.now_or_never().unwrap_or(Ok(()))
        }
    };
    assert_eq!(result.is_err(), matches!(end, End::Failed(_)));
    drop(lease);
    settle().await;
    (pool.status().counts.drained, pool.status().counts.doubtful)
}

#[tokio::test(start_paused = true)]
async fn an_exchange_and_its_end_decide_what_becomes_of_the_connection() {
    use Activity::{Boundary, Call, Statement};
    let (refused, lost) = (End::Failed(ErrorKind::Database), End::Failed(ErrorKind::DatabaseUnavailable));
    let (kept, drained, closed) = ((0, 0), (1, 0), (0, 1));
    for (activity, ends) in [
        (Statement, [(End::Answered, kept), (refused, kept), (lost, closed), (End::CutOff, drained)]),
        (Call, [(End::Answered, kept), (refused, kept), (lost, closed), (End::CutOff, closed)]),
        (Boundary, [(End::Answered, kept), (refused, closed), (lost, closed), (End::CutOff, closed)]),
    ] {
        for (end, expected) in ends {
            assert_eq!(after_exchange(activity, end).await, expected, "{activity:?}, {end:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn waiters_are_served_in_the_order_in_which_they_came() {
    let (pool, _fake) = pool_of(1);
    let held = pool.check_out(Target::Master).await.unwrap();
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for number in 0..5 {
        let (pool, order) = (pool.clone(), Arc::clone(&order));
        tasks.push(tokio::spawn(async move {
            let lease = pool.check_out(tenant("acme")).await.unwrap();
            order.lock().unwrap().push(number);
            drop(lease);
        }));
        settle().await;
    }
    drop(held);
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_leaves_a_reserve_to_the_others() {
    let (pool, _fake) = pool_of(4);
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(pool.check_out(tenant("noisy")).await.unwrap());
    }
    let error = error_of(pool.check_out(tenant("noisy")).await).to_string();
    assert!(error.contains("; one tenant may hold 3;"), "{error}");
    drop(pool.check_out(tenant("quiet")).await.unwrap());
    drop(pool.check_out(Target::Master).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn one_checkout_too_many_is_turned_away_at_once() {
    let (pool, _fake) = pool(PoolConfig { max_connections: 1, max_waiting: 1, ..PoolConfig::default() });
    let held = pool.check_out(tenant("acme")).await.unwrap();
    let waiter = tokio::spawn({
        let pool = pool.clone();
        async move { pool.check_out(tenant("acme")).await.map(drop) }
    });
    settle().await;
    let error = error_of(pool.check_out(tenant("globex")).now_or_never().expect("an answer at once"));
    assert_eq!(error.kind(), ErrorKind::PoolBusy);
    assert!(error.is_retryable());
    drop(held);
    waiter.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_returned_connection_stays_with_its_tenant_for_a_quantum() {
    let (pool, fake) = pool_of(1);
    let held = pool.check_out(tenant("acme")).await.unwrap();
    let mut tasks = Vec::new();
    for slug in ["acme", "globex"] {
        for _ in 0..20 {
            let pool = pool.clone();
            tasks.push(tokio::spawn(async move { pool.check_out(tenant(slug)).await.map(drop) }));
        }
    }
    settle().await;
    drop(held);
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    // 41 checkouts in runs of up to 8, with the clock standing still.
    assert!((5..=8).contains(&fake.message_count()), "{} switches", fake.message_count());
}

#[tokio::test(start_paused = true)]
async fn a_timeout_names_who_waits_and_who_holds() {
    let (pool, _fake) = pool_of(1);
    let held = pool.check_out(tenant("globex")).await.unwrap();
    let error = error_of(pool.check_out(tenant("acme")).await);
    assert_eq!(error.kind(), ErrorKind::PoolTimeout);
    assert_eq!(
        error.to_string(),
        "no connection to database `default` became free for tenant `acme` within 5s: \
         1 of 1 are in use, 0 wait; one tenant may hold 1; tenant `globex` has held one for 5.0s"
    );
    drop(held);
    assert_idle(&pool, 1);
}

#[tokio::test(start_paused = true)]
async fn a_checkout_dropped_while_it_opens_loses_no_slot() {
    let (pool, fake) = pool_of(1);
    assert!(pool.check_out(tenant("acme")).now_or_never().is_none());
    assert_eq!((pool.status().open, fake.opened()), (0, 0));
    drop(pool.check_out(tenant("acme")).await.unwrap());
    assert_idle(&pool, 1);
}

#[tokio::test(start_paused = true)]
async fn a_checkout_dropped_while_it_switches_closes_the_connection() {
    let (pool, fake) = pool_of(1);
    drop(pool.check_out(tenant("acme")).await.unwrap());
    assert!(pool.check_out(tenant("globex")).now_or_never().is_none());
    settle().await;
    assert_eq!((pool.status().open, fake.open()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failed_switch_closes_the_connection_and_is_reported() {
    let (pool, fake) = pool_of(1);
    fake.drop_schema(&schema_of(&tenant("acme")));
    assert_eq!(error_of(pool.check_out(tenant("acme")).await).kind(), ErrorKind::MissingSchema);
    settle().await;
    assert_eq!(fake.open(), 0);
    drop(pool.check_out(tenant("globex")).await.unwrap());
    assert_idle(&pool, 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_of_the_server_idle_connections_are_replaced_unseen() {
    let (pool, fake) = pool_of(3);
    let leases = [
        pool.check_out(tenant("acme")).await.unwrap(),
        pool.check_out(tenant("globex")).await.unwrap(),
        pool.check_out(tenant("initech")).await.unwrap(),
    ];
    drop(leases);
    fake.lose_all();
    // One that needs a switch finds out for all, and gets a new one.
    drop(pool.check_out(tenant("hooli")).await.unwrap());
    // A warm one is not believed any more.
    drop(pool.check_out(tenant("globex")).await.unwrap());
    settle().await;
    assert_eq!(fake.open(), pool.status().open);
    assert!(fake.opened() > 3);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_is_an_error_at_once_and_loses_no_slot() {
    let (pool, fake) = pool_of(1);
    fake.set_refusing(true);
    for _ in 0..3 {
        assert_eq!(error_of(pool.check_out(tenant("acme")).await).kind(), ErrorKind::DatabaseUnavailable);
    }
    fake.set_refusing(false);
    drop(pool.check_out(tenant("acme")).await.unwrap());
    assert_idle(&pool, 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_idle_for_long_is_checked_before_it_is_used() {
    let (pool, fake) = pool_of(1);
    drop(pool.check_out(tenant("acme")).await.unwrap());
    tokio::time::advance(Duration::from_secs(31)).await;
    fake.lose_all();
    drop(pool.check_out(tenant("acme")).await.unwrap());
    settle().await;
    assert_eq!((fake.opened(), fake.open()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_is_closed_when_it_comes_back() {
    let (pool, fake) = pool_of(1);
    let lease = pool.check_out(tenant("acme")).await.unwrap();
    tokio::time::advance(Duration::from_mins(31)).await;
    drop(lease);
    settle().await;
    assert_eq!(fake.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_message_of_the_pool_reads_the_catalog_of_tables() {
    let (pool, fake) = pool_of(1);
    for slug in ["acme", "globex"] {
        let mut lease = pool.check_out(tenant(slug)).await.unwrap();
        lease.touch();
        drop(lease);
        settle().await;
    }
    let messages = fake.messages();
    assert_eq!(messages.len(), 4);
    for catalog in
        ["pg_class", "pg_namespace", "pg_attribute", "pg_type", "pg_tables", "information_schema", "regclass"]
    {
        assert!(messages.iter().all(|message| !message.contains(catalog)), "{catalog}: {messages:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_closed_after_so_many_tenants() {
    let config = PoolConfig { max_connections: 1, max_tenants_per_connection: 3, ..PoolConfig::default() };
    let (pool, fake) = pool(config);
    for number in [0, 1, 2, 1, 0, 2] {
        drop(pool.check_out(tenant(&format!("tenant-{number}"))).await.unwrap());
    }
    assert_eq!(fake.opened(), 1);
    drop(pool.check_out(tenant("one-more")).await.unwrap());
    drop(pool.check_out(tenant("acme")).await.unwrap());
    assert_eq!((fake.opened(), pool.status().counts.recycled), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn what_happens_is_counted() {
    let (pool, _fake) = pool_of(1);
    for slug in ["acme", "acme", "globex"] {
        drop(pool.check_out(tenant(slug)).await.unwrap());
    }
    let mut lease = pool.check_out(tenant("globex")).await.unwrap();
    let waiter = tokio::spawn({
        let pool = pool.clone();
        async move { pool.check_out(tenant("globex")).await.map(drop) }
    });
    settle().await;
    lease.touch();
    drop(lease);
    waiter.await.unwrap().unwrap();
    let mut lease = pool.check_out(tenant("globex")).await.unwrap();
    cut_off(&mut lease, Activity::Statement);
    drop(lease);
    let mut lease = pool.check_out(tenant("globex")).await.unwrap();
    cut_off(&mut lease, Activity::Boundary);
    drop(lease);
    let counts = pool.status().counts;
    assert_eq!((counts.opened, counts.switched, counts.warm), (1, 1, 5));
    assert_eq!((counts.waited, counts.cleaned, counts.drained), (2, 2, 1));
    assert_eq!((counts.doubtful, counts.recycled), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn connections_are_opened_ahead_of_need() {
    let (pool, fake) = pool(PoolConfig { min_connections: 3, ..PoolConfig::default() });
    pool.fill();
    settle().await;
    assert_idle(&pool, 3);
    drop(pool.check_out(tenant("acme")).await.unwrap());
    assert_eq!(fake.opened(), 3);
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_what_is_in_use_and_refuses_the_rest() {
    let (pool, fake) = pool_of(1);
    let held = pool.check_out(tenant("acme")).await.unwrap();
    let waiter = tokio::spawn({
        let pool = pool.clone();
        async move { pool.check_out(tenant("globex")).await.map(drop) }
    });
    settle().await;

    let error = error_of(pool.close(Duration::from_secs(1)).await);
    assert_eq!(
        error.to_string(),
        "1 connections to database `default` did not come back in time; tenant `acme` has held one for 1.0s"
    );
    assert_eq!(error_of(waiter.await.unwrap()).kind(), ErrorKind::PoolClosed);
    assert_eq!(error_of(pool.check_out(tenant("acme")).await).kind(), ErrorKind::PoolClosed);
    drop(held);
    pool.close(Duration::from_secs(1)).await.unwrap();
    assert_eq!((fake.open(), pool.status().open), (0, 0));
}

/// One thing that a request does to the pool.
#[derive(Clone, Copy, Debug)]
enum Step {
    CheckOut(u8),
    GiveBackClean,
    GiveBackTouched,
    GiveBackBusy,
    GiveBackCutOff,
    CancelCheckout(u8),
    LoseServer,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..4_u8).prop_map(Step::CheckOut),
        3 => Just(Step::GiveBackClean),
        1 => Just(Step::GiveBackTouched),
        1 => Just(Step::GiveBackBusy),
        1 => Just(Step::GiveBackCutOff),
        1 => (0..4_u8).prop_map(Step::CancelCheckout),
        1 => Just(Step::LoseServer),
    ];
    proptest::collection::vec(step, 0..80)
}

fn give_back_in(activity: Activity, lease: Option<Lease<Fake>>) {
    if let Some(mut lease) = lease {
        cut_off(&mut lease, activity);
    }
}

async fn run(steps: Vec<Step>) {
    let (pool, fake) = pool(PoolConfig { max_connections: 3, reserve: Some(0), ..PoolConfig::default() });
    let mut held: Vec<Lease<Fake>> = Vec::new();
    for step in steps {
        match step {
            Step::CheckOut(number) if held.len() < 3 => {
                held.push(pool.check_out(tenant(&format!("tenant-{number}"))).await.unwrap());
            }
            Step::CheckOut(_) => {
                let error = error_of(pool.check_out(tenant("late")).await);
                assert_eq!(error.kind(), ErrorKind::PoolTimeout);
            }
            Step::GiveBackClean => drop(held.pop()),
            Step::GiveBackTouched => held.pop().iter_mut().for_each(Lease::touch),
            Step::GiveBackBusy => give_back_in(Activity::Boundary, held.pop()),
            Step::GiveBackCutOff => give_back_in(Activity::Statement, held.pop()),
            Step::CancelCheckout(number) => {
                let _ = pool.check_out(tenant(&format!("tenant-{number}"))).now_or_never();
            }
            Step::LoseServer => fake.lose_all(),
        }
        assert!(fake.open() <= 3, "more connections than slots");
    }
    drop(held);
    settle().await;
    assert_eq!(fake.open(), pool.status().open, "a slot was lost or a connection forgotten");
    assert_eq!(pool.status().open, pool.status().idle);
    pool.close(Duration::from_secs(1)).await.unwrap();
}

proptest! {
    #[test]
    fn no_sequence_of_requests_loses_a_slot(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(run(steps));
    }
}

/// Counts how often it is asked.
struct Asked {
    times: Arc<AtomicU32>,
    is_constant: bool,
}

impl Preprocessor for Asked {
    fn name(&self) -> &'static str {
        "asked"
    }

    fn prepare(&self, _request: &CheckoutRequest, _session: &mut SessionSettings) -> crate::Result<()> {
        self.times.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn is_constant(&self) -> bool {
        self.is_constant
    }
}

#[track_caller]
fn times_asked(is_constant: bool) -> u32 {
    let times = Arc::new(AtomicU32::new(0));
    let asked = Asked { times: Arc::clone(&times), is_constant };
    let preprocessors = Preprocessors::new(vec![Arc::new(SearchPath), Arc::new(asked)]);
    let layout = Arc::new(Layout::default());
    let pool =
        Pool::new(Alias::default(), Fake::default(), PoolConfig::default(), layout, preprocessors).unwrap();
    let once = pool.prepare_once(tenant("acme"), Grant::Write);
    for _ in 0..3 {
        match &once {
            Some(preparation) => pool.check_out_as(preparation, Switching::Now).now_or_never(),
            None => pool.check_out(tenant("acme")).now_or_never(),
        };
    }
    times.load(Ordering::Relaxed)
}

#[tokio::test]
async fn a_preprocessor_is_asked_at_every_checkout_unless_it_is_constant() {
    assert_eq!(times_asked(false), 3);
    assert_eq!(times_asked(true), 1);
}

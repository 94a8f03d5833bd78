//! The pool's core under thousands of schedules: who asks, gives up, gives back and closes in which order.
#![allow(clippy::unwrap_used)]

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use shuttle::rand::Rng as _;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};

use super::fake::Fake;
use super::lease::{Activity, Lease};
use super::shared::Pool;
use super::sync::explore;
use super::tests::{cut_off, pool, tenant_at};
use crate::database::PoolConfig;
use crate::error::ErrorKind;

const SCHEDULES: usize = 4_000;
const VISITORS: u8 = 4;
const TENANTS: u8 = 2;
const CONNECTIONS: u32 = 2;

/// The connections that each tenant and all of them hold, as their visitors see it.
#[derive(Default)]
struct Held([AtomicU32; TENANTS as usize]);

impl Held {
    /// Notes a connection, for as long as the answer lives.
    fn one(&self, tenant: u8, cap: u32) -> impl Drop {
        struct One<'a>(&'a AtomicU32);
        impl Drop for One<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let held = &self.0[usize::from(tenant)];
        assert!(held.fetch_add(1, Ordering::Relaxed) < cap, "a tenant holds more than its cap");
        One(held)
    }
}

fn below(limit: u32) -> u32 {
    shuttle::rand::thread_rng().gen_range(0..limit)
}

/// Gives up a future after so many polls.
async fn give_up_after<F: Future>(polls: u32, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// Two requests of one visitor. One that has patience must be served, or told that the pool is closed.
async fn visit(pool: Pool<Fake>, fake: Fake, held: Arc<Held>, cap: u32, number: u8) {
    for _ in 0..2 {
        let tenant = number % TENANTS;
        let target = tenant_at(&format!("tenant-{tenant}"), i64::from(below(2)));
        let patience = if below(3) == 0 { below(4) } else { u32::MAX };
        let Some(answer) = give_up_after(patience, pool.check_out(target)).await else { continue };
        match answer {
            Ok(lease) => {
                let one = held.one(tenant, cap);
                assert!(fake.open() <= CONNECTIONS, "more connections than slots");
                shuttle::future::yield_now().await;
                // First, since somebody else may have it before this visitor goes on.
                drop(one);
                give_back(lease);
            }
            Err(error) => return assert_eq!(error.kind(), ErrorKind::PoolClosed, "{error}"),
        }
    }
}

fn give_back(mut lease: Lease<Fake>) {
    match below(6) {
        0 => lease.touch(),
        1 => cut_off(&mut lease, Activity::Statement),
        2 => cut_off(&mut lease, Activity::Boundary),
        _ => {}
    }
}

/// Visitors of a pool that is closed at the end, or in the midst of it all.
fn rush_hour() {
    let reserve = below(2);
    let (pool, fake) =
        pool(PoolConfig { max_connections: CONNECTIONS, reserve: Some(reserve), ..PoolConfig::default() });
    let held = Arc::new(Held::default());
    let visitors: Vec<_> = (0..VISITORS)
        .map(|number| {
            let visit = visit(pool.clone(), fake.clone(), Arc::clone(&held), CONNECTIONS - reserve, number);
            shuttle::future::spawn(visit)
        })
        .collect();
    let close_early = below(3) == 0;
    shuttle::future::block_on(async {
        if close_early {
            pool.close(Duration::MAX).await.unwrap();
        }
        for visitor in visitors {
            visitor.await.unwrap();
        }
        assert_eq!(pool.status().waiting, 0, "somebody who is gone still stands in a line");
        // Nobody is left, so this ends if every slot has come back; a lost one is a deadlock.
        pool.close(Duration::MAX).await.unwrap();
    });
    let status = pool.status();
    assert_eq!((status.open, status.idle, status.waiting, fake.open()), (0, 0, 0, 0));
}

/// Time stands still, so nothing ends because it took too long.
fn explore_with(scheduler: impl Scheduler + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    // Never dropped: after a failure it has timers that would wake tasks of an exploration that ended.
    let runtime = Box::leak(Box::new(runtime.unwrap()));
    let _entered = runtime.enter();
    let mut config = shuttle::Config::new();
    config.stack_size = 0x4_0000;
    explore(|| {
        shuttle::Runner::new(scheduler, config).run(rush_hour);
    });
}

#[test]
fn no_random_schedule_loses_a_slot_or_a_waiter() {
    explore_with(RandomScheduler::new(SCHEDULES));
}

#[test]
fn no_schedule_with_few_changes_of_turn_loses_a_slot_or_a_waiter() {
    explore_with(PctScheduler::new(3, SCHEDULES));
}

//! The listener loses its connection, and nothing that changed meanwhile stays hidden.

use std::time::{Duration, Instant};

use tenantry::tenant::Status;
use tenantry::{NewTenant, Tenancy};
use tenantry_embedded::ScratchDatabase;

use crate::support::{Client, database, eventually, tenancy};

const LISTENERS: &str = "pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'";

struct Setting {
    tenancy: Tenancy,
    superuser: Client,
    database: ScratchDatabase,
}

/// A tenant, and a listener that is connected.
async fn setting() -> Setting {
    let database = database().await;
    let tenancy = tenancy(&database, &[]).await;
    tenancy.create(NewTenant::new("acme")).await.unwrap();
    let mut setting = Setting { tenancy, superuser: Client::superuser(&database).await, database };
    setting.wait_for_listeners(1).await;
    setting
}

impl Setting {
    async fn wait_for_listeners(&mut self, expect: i64) {
        eventually("the listener is there or gone", async || self.superuser.count(LISTENERS).await == expect)
            .await;
    }

    async fn terminate_listener(&mut self) {
        let count = format!("(SELECT pg_terminate_backend(pid) FROM {LISTENERS}) killed");
        eventually("there is one to terminate", async || self.superuser.count(&count).await == 1).await;
    }

    async fn let_nobody_in(&mut self, is_closed: bool) {
        let allows = !is_closed;
        let name = self.database.name();
        self.superuser
            .run(&format!("UPDATE pg_database SET datallowconn = {allows} WHERE datname = '{name}'"))
            .await;
    }

    async fn set_status(&mut self, status: Status) {
        self.superuser.run(&format!("UPDATE tenantry.tenant SET status = '{status}'")).await;
    }

    async fn sees(&self, status: Status) -> bool {
        self.tenancy.tenant("acme").await.unwrap().status() == status
    }
}

#[tokio::test]
async fn what_changed_while_the_listener_was_away_is_seen_when_it_is_back() {
    let mut setting = setting().await;
    setting.let_nobody_in(true).await;
    setting.terminate_listener().await;
    setting.wait_for_listeners(0).await;
    // Every failed attempt to come back empties the cache, so try until an old answer is in it.
    let mut is_stale = false;
    while !is_stale {
        setting.set_status(Status::Active).await;
        eventually("the cache holds what will be old", async || setting.sees(Status::Active).await).await;
        setting.set_status(Status::Suspended).await;
        is_stale = setting.sees(Status::Active).await;
    }

    setting.let_nobody_in(false).await;
    let back = Instant::now();
    eventually("the change", async || setting.sees(Status::Suspended).await).await;
    assert!(back.elapsed() < Duration::from_secs(6), "later than the longest pause between attempts");
}

#[tokio::test]
async fn a_listener_that_is_killed_again_and_again_misses_nothing() {
    let mut setting = setting().await;
    for round in 0..10 {
        let status = if round % 2 == 0 { Status::Suspended } else { Status::Active };
        setting.terminate_listener().await;
        setting.set_status(status).await;
        eventually("the change of this round", async || setting.sees(status).await).await;
        setting.wait_for_listeners(1).await;
    }
}

#[tokio::test]
async fn a_closed_tenancy_listens_no_more() {
    let mut setting = setting().await;
    setting.tenancy.close(Duration::from_secs(1)).await.unwrap();
    setting.wait_for_listeners(0).await;
}

#[tokio::test]
async fn a_dropped_tenancy_listens_no_more() {
    let mut setting = setting().await;
    let other = tenancy(&setting.database, &[]).await;
    setting.wait_for_listeners(2).await;
    drop(other);
    setting.wait_for_listeners(1).await;
}

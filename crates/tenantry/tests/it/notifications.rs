//! Notifications of PostgreSQL's, by tenant, on one connection per process.

use std::time::Duration;

use futures_util::StreamExt as _;
use tenantry::pool::{Notification, Notifications};
use tenantry::{Error, ErrorKind, NewTenant, Tenancy, Tenant};
use tenantry_embedded::ScratchDatabase;

use crate::support::{Client, check_error, database, eventually, tenancy};

/// The connections that listen for tenants; the registry's own one listens on `tenantry`.
const LISTENERS: &str = "pg_stat_activity WHERE datname = current_database() \
                         AND (query LIKE 'LISTEN \"%.%' OR query = 'SELECT 1')";

struct Setting {
    tenancy: Tenancy,
    acme: Tenant,
    globex: Tenant,
    superuser: Client,
    database: ScratchDatabase,
}

async fn setting() -> Setting {
    let database = database().await;
    let tenancy = tenancy(&database, &[]).await;
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let globex = tenancy.create(NewTenant::new("globex")).await.unwrap();
    Setting { tenancy, acme, globex, superuser: Client::superuser(&database).await, database }
}

impl Setting {
    async fn notify(&self, tenant: &Tenant, channel: &str, payload: &str) {
        self.tenancy.db(tenant).unwrap().notify(channel, payload).await.unwrap();
    }
}

async fn heard(notifications: &mut Notifications) -> Notification {
    tokio::time::timeout(Duration::from_secs(20), notifications.next()).await.unwrap().unwrap()
}

fn payload(text: &str) -> Notification {
    Notification::Payload(text.to_owned())
}

#[tokio::test]
async fn everybody_hears_the_own_channel_and_no_other() {
    let mut setting = setting().await;
    let (tenancy, acme, globex) = (&setting.tenancy, &setting.acme, &setting.globex);
    let mut of_acme = tenancy.listen(acme, "note").await.unwrap();
    let mut again = tenancy.listen(acme, "note").await.unwrap();
    let mut other = tenancy.listen(acme, "other").await.unwrap();
    let mut of_globex = tenancy.listen(globex, "note").await.unwrap();
    let mut of_master = tenancy.listen_master("note").await.unwrap();

    setting.notify(acme, "note", "1").await;
    setting.notify(globex, "note", "2").await;
    tenancy.master().notify("note", "3").await.unwrap();
    setting.notify(acme, "other", "").await;
    let mut tx = tenancy.db(acme).unwrap().begin().await.unwrap();
    tx.notify("note", "undone").await.unwrap();
    tx.rollback().await.unwrap();
    setting.notify(acme, "note", "last").await;
    for listener in [&mut of_acme, &mut again] {
        assert_eq!([heard(listener).await, heard(listener).await], [payload("1"), payload("last")]);
    }
    assert_eq!(heard(&mut of_globex).await, payload("2"));
    assert_eq!(heard(&mut of_master).await, payload("3"));
    assert_eq!(heard(&mut other).await, payload(""));
    assert_eq!(setting.superuser.count(LISTENERS).await, 1, "all share a connection");
}

#[tokio::test]
async fn who_listened_while_the_connection_was_lost_is_told_so() {
    let mut setting = setting().await;
    let mut notes = setting.tenancy.listen(&setting.acme, "note").await.unwrap();
    let terminate = format!("(SELECT pg_terminate_backend(pid) FROM {LISTENERS}) killed");
    assert_eq!(setting.superuser.count(&terminate).await, 1);
    assert_eq!(heard(&mut notes).await, Notification::Missed);
    setting.notify(&setting.acme, "note", "after").await;
    assert_eq!(heard(&mut notes).await, payload("after"));
}

#[tokio::test]
async fn a_connection_that_nobody_needs_is_closed_and_opened_again() {
    let mut setting = setting().await;
    for round in ["one", "two"] {
        let mut notes = setting.tenancy.listen(&setting.acme, "note").await.unwrap();
        setting.notify(&setting.acme, "note", round).await;
        assert_eq!(heard(&mut notes).await, payload(round));
        drop(notes);
        eventually("nobody listens", async || setting.superuser.count(LISTENERS).await == 0).await;
    }
    let mut notes = setting.tenancy.listen(&setting.acme, "note").await.unwrap();
    setting.tenancy.close(Duration::from_secs(5)).await.unwrap();
    assert_eq!(notes.next().await, None);
    eventually("nobody listens", async || setting.superuser.count(LISTENERS).await == 0).await;
}

#[tokio::test]
async fn what_cannot_be_heard_is_refused() {
    let mut setting = setting().await;
    for name in ["", "a.b", "UPPER", &"n".repeat(60)] {
        check_error(setting.tenancy.listen(&setting.acme, name).await, ErrorKind::InvalidInput, &["channel"]);
        let db = setting.tenancy.db(&setting.acme).unwrap();
        let notified = db.notify(name, "x").await.map_err(Error::from);
        check_error(notified, ErrorKind::InvalidInput, &["channel"]);
    }
    let name = setting.database.name().to_owned();
    setting
        .superuser
        .run(&format!("UPDATE pg_database SET datallowconn = false WHERE datname = '{name}'"))
        .await;
    let error = setting.tenancy.listen(&setting.acme, "note").await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Database, "{error:?}");
}

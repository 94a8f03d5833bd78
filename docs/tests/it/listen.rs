use futures_util::StreamExt as _;
use tenantry::pool::Notification;
use tenantry::{Tenancy, Tenant};

/// Waits until a note of the tenant is announced, and answers with its number, if it is known.
async fn next_note(tenancy: &Tenancy, tenant: &Tenant) -> tenantry::Result<Option<i64>> {
    let mut notes = tenancy.listen(tenant, "note").await?;
    Ok(match notes.next().await {
        Some(Notification::Payload(id)) => id.parse().ok(),
        // Something may have been missed, so the table is to be read again; or the tenancy was closed.
        Some(Notification::Missed) | None => None,
    })
}

use tenantry::TenantDb;

async fn add_note(db: &TenantDb, title: &str) -> Result<(), sqlx::Error> {
    let mut tx = db.begin().await?;
    let insert = "INSERT INTO note (title) VALUES ($1) RETURNING id";
    let id: i64 = sqlx::query_scalar(insert).bind(title).fetch_one(&mut *tx).await?;
    tx.notify("note", &id.to_string()).await?;
    tx.commit().await
}

use docs::blocks_of;
use tenantry::Migrations;
use tenantry::resolve::Subdomain;

use crate::support::{Folder, add, world_with};

const PAGE: &str = "docs/listen.md";

fn with_trigger() -> Migrations {
    let [trigger] = blocks_of(PAGE, "sql");
    let folder = Folder::new();
    folder.write("tenant/0001_note.sql", include_str!("../../migrations/tenant/0001_note.sql"));
    folder.write("tenant/0002_announce.sql", &trigger);
    folder.write("master/README", "nothing");
    Migrations::from_dirs(folder.path().join("master"), folder.path().join("tenant")).unwrap()
}

#[tokio::test]
async fn every_tenant_is_heard_on_its_own_channel() {
    let world = world_with(Subdomain::of("example.com").unwrap(), with_trigger()).await;
    let mut acme = world.tenancy.listen(&world.acme, "note").await.unwrap();
    let mut globex = world.tenancy.listen(&world.globex, "note").await.unwrap();
    add(&world.globex(), "by the trigger").await;
    add(&world.globex(), "for others").await;
    add(&world.acme(), "for me").await;
    let payload = |id: &str| Some(Notification::Payload(id.to_owned()));
    assert_eq!(globex.next().await, payload("1"));
    assert_eq!(globex.next().await, payload("2"));
    assert_eq!(acme.next().await, payload("1"));
}

#[tokio::test]
async fn a_transaction_announces_when_it_commits() {
    let world = crate::support::world().await;
    let (db, (tenancy, acme)) = (world.acme(), (&world.tenancy, &world.acme));
    let listens = next_note(tenancy, acme);
    let adds = async {
        // Again until somebody listens.
        loop {
            let title = format!("note of {:?}", std::time::Instant::now());
            add_note(&db, &title).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        heard = listens => assert!(heard.unwrap().is_some()),
        () = adds => {}
    }
}

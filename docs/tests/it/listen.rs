use sqlx::postgres::PgListener;
use tenantry::tenant::Tenant;

/// The name of the channel on which the notes of a tenant are announced.
fn channel(tenant: &Tenant) -> String {
    format!("note_{}", tenant.schema())
}

async fn listen(url: &str, tenants: &[Tenant]) -> Result<PgListener, sqlx::Error> {
    let mut listener = PgListener::connect(url).await?;
    for tenant in tenants {
        listener.listen(&channel(tenant)).await?;
    }
    Ok(listener)
}

use tenantry::TenantDb;

async fn add_note(db: &TenantDb, title: &str) -> Result<(), sqlx::Error> {
    let mut tx = db.begin().await?;
    let insert = "INSERT INTO note (title) VALUES ($1) RETURNING id";
    let id: i64 = sqlx::query_scalar(insert).bind(title).fetch_one(&mut *tx).await?;
    let notify = sqlx::query("SELECT pg_notify($1, $2)").bind(channel(db.tenant())).bind(id.to_string());
    notify.execute(&mut *tx).await?;
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
    let tenants = [world.acme.clone(), world.globex.clone()];
    let mut listener = listen(world.database.url(), &tenants).await.unwrap();
    add(&world.globex(), "by the trigger").await;
    let heard = listener.recv().await.unwrap();
    assert_eq!((heard.channel(), heard.payload()), (channel(&world.globex).as_str(), "1"));

    let mut acme = listen(world.database.url(), &tenants[..1]).await.unwrap();
    add(&world.globex(), "for others").await;
    add(&world.acme(), "for me").await;
    assert_eq!(acme.recv().await.unwrap().channel(), channel(&world.acme));
}

#[tokio::test]
async fn a_transaction_announces_when_it_commits() {
    let world = crate::support::world().await;
    let mut listener = listen(world.database.url(), std::slice::from_ref(&world.acme)).await.unwrap();
    add_note(&world.acme(), "one").await.unwrap();
    assert_eq!(listener.recv().await.unwrap().payload(), "1");
}

use axum::http::StatusCode;
use tenantry::TenantDb;

async fn start_cleanup(db: TenantDb) -> StatusCode {
    tokio::spawn(async move {
        if let Err(error) = delete_drafts(&db).await {
            tracing::error!(%error, tenant = %db.tenant().slug(), "Cannot delete the drafts");
        }
    });
    StatusCode::ACCEPTED
}

async fn delete_drafts(db: &TenantDb) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM note WHERE title = ''").execute(db).await?;
    Ok(())
}

use tenantry::tenant::Tenant;
use tenantry::{Error, Tenancy};

async fn start_report(tenancy: Tenancy, tenant: Tenant) -> StatusCode {
    tokio::spawn(async move {
        if let Err(error) = tenancy.scope(&tenant, write_report(&tenancy)).await {
            tracing::error!(%error, tenant = %tenant.slug(), "Cannot write the report");
        }
    });
    StatusCode::ACCEPTED
}

async fn write_report(tenancy: &Tenancy) -> tenantry::Result<()> {
    let Some(tenant) = Tenancy::current() else { return Err(Error::invalid_input("a report of no tenant")) };
    sqlx::query("INSERT INTO note (title) VALUES ('The report')").execute(&tenancy.db(&tenant)?).await?;
    Ok(())
}

use crate::support::{add, eventually, titles, world};

#[tokio::test]
async fn a_task_works_for_the_tenant_it_was_started_for() {
    let world = world().await;
    add(&world.acme(), "").await;
    add(&world.globex(), "").await;
    assert_eq!(start_cleanup(world.acme()).await, StatusCode::ACCEPTED);
    eventually("the drafts are gone", async || titles(&world.acme()).await.is_empty()).await;
    assert_eq!(titles(&world.globex()).await, [""]);
}

#[tokio::test]
async fn a_task_has_a_current_tenant_only_in_a_scope_of_its_own() {
    let world = world().await;
    assert_eq!(start_report(world.tenancy.clone(), world.acme.clone()).await, StatusCode::ACCEPTED);
    eventually("the report is there", async || titles(&world.acme()).await == ["The report"]).await;

    let inherited = async { tokio::spawn(async { Tenancy::current() }).await.unwrap() };
    assert_eq!(world.tenancy.scope(&world.acme, inherited).await, None);
    write_report(&world.tenancy).await.expect_err("there is no tenant without a scope");
}

#[tokio::test]
async fn a_task_that_keeps_its_handle_learns_of_a_suspension() {
    let world = world().await;
    let kept = world.acme();
    world.suspend_acme().await;
    let refusal = sqlx::query("SELECT 1").execute(&kept).await.map_err(Error::from).unwrap_err();
    assert_eq!(refusal.kind(), tenantry::ErrorKind::Suspended);
}

use futures_util::TryStreamExt as _;
use tenantry::{Fleet, Tenancy, TenantDb};

async fn count_notes(db: TenantDb) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&db).await
}

async fn report(tenancy: &Tenancy) -> tenantry::Result<Vec<String>> {
    let mut report = Vec::new();
    let mut counts = tenancy.for_each(Fleet::all(), 4, count_notes);
    while let Some((tenant, notes)) = counts.try_next().await? {
        report.push(match notes {
            Ok(notes) => format!("{}: {notes} notes", tenant.slug()),
            Err(error) => format!("{}: {error}", tenant.slug()),
        });
    }
    Ok(report)
}

use crate::support::{add, world};

#[tokio::test]
async fn a_report_has_a_line_for_each_tenant() {
    let world = world().await;
    add(&world.globex(), "one").await;
    let mut lines = report(&world.tenancy).await.unwrap();
    lines.sort();
    assert_eq!(lines, ["acme: 0 notes", "globex: 1 notes"]);

    world.suspend_acme().await;
    assert_eq!(report(&world.tenancy).await.unwrap(), ["globex: 1 notes"]);
}

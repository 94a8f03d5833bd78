use tenantry::Tenancy;

async fn rename_note(tenancy: &Tenancy, slug: &str, id: i64, title: &str) -> tenantry::Result<String> {
    let client = tenancy.client(&tenancy.tenant(slug).await?)?;
    let mut tx = client.begin().await?;
    let old = tx.query_one("SELECT title FROM note WHERE id = $1 FOR UPDATE", &[&id]).await?;
    tx.execute("UPDATE note SET title = $1 WHERE id = $2", &[&title, &id]).await?;
    tx.commit().await?;
    Ok(old.get("title"))
}

use crate::support::{add, titles, world};

#[tokio::test]
async fn both_drivers_see_the_same_tables() {
    let world = world().await;
    add(&world.acme(), "one").await;
    add(&world.globex(), "other").await;
    assert_eq!(rename_note(&world.tenancy, "acme", 1, "two").await.unwrap(), "one");
    assert_eq!(titles(&world.acme()).await, ["two"]);
    assert_eq!(titles(&world.globex()).await, ["other"]);
}

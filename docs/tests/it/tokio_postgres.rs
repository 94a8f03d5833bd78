use tenantry::Tenancy;

async fn rename_note(tenancy: &Tenancy, slug: &str, id: i64, title: &str) -> tenantry::Result<String> {
    let client = tenancy.client(&tenancy.tenant(slug).await?)?;
    let mut tx = client.begin().await?;
    let old = tx.query_one("SELECT title FROM note WHERE id = $1 FOR UPDATE", &[&id]).await?;
    tx.execute("UPDATE note SET title = $1 WHERE id = $2", &[&title, &id]).await?;
    tx.commit().await?;
    Ok(old.get("title"))
}

use tenantry::{Error, ErrorKind};

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

#[tokio::test]
async fn errors_of_both_drivers_mean_the_same() {
    let world = world().await;
    add(&world.acme(), "one").await;
    let client = world.tenancy.client(&world.acme).unwrap();
    let insert = client.execute("INSERT INTO note (title) VALUES ($1)", &[&"one"]).await;
    let taken = insert.unwrap_err();
    assert_eq!(
        (taken.kind(), taken.constraint()),
        (ErrorKind::Database, Some("note_title_key")),
        "{taken:#}"
    );
    assert!(taken.is_permanent() && format!("{taken:#}").contains("duplicate key"), "{taken:#}");

    let wrong_parameter = client.query_one("SELECT id FROM note WHERE title = $1", &[&1_i32]).await;
    let row = client.query_one("SELECT title FROM note", &[]).await.unwrap();
    let wrong_column = row.try_get::<_, i32>("title").map_err(Error::from);
    for error in [wrong_parameter.unwrap_err(), wrong_column.unwrap_err()] {
        assert_eq!((error.kind(), error.is_permanent()), (ErrorKind::Decode, true), "{error:#}");
    }
    assert_eq!(client.query("SELECT 1", &[]).await.unwrap().len(), 1, "the connection is as good as before");
}

use tenantry::pool::TenantClient;

async fn count_notes(client: TenantClient) -> tenantry::Result<String> {
    let row = client.query_one("SELECT count(*) FROM note", &[]).await?;
    Ok(format!("{} notes", row.get::<_, i64>(0)))
}

use tenantry::Tenancy;

async fn rename_note(tenancy: &Tenancy, slug: &str, id: i64, title: &str) -> tenantry::Result<String> {
    let client = tenancy.client(&tenancy.tenant(slug).await?)?;
    let mut tx = client.begin().await?;
    let old = tx.query_one("SELECT title FROM note WHERE id = $1 FOR UPDATE", &[&id]).await?;
    tx.execute("UPDATE note SET title = $1 WHERE id = $2", &[&title, &id]).await?;
    tx.commit().await?;
    Ok(old.get("title"))
}

use futures_util::TryStreamExt as _;
use tenantry::{Error, ErrorKind};
use tokio_postgres::types::Type;

use crate::support::{add, ask, titles, world};

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
async fn a_client_is_an_argument_of_a_handler() {
    let world = world().await;
    add(&world.acme(), "one").await;
    let app = axum::Router::new().route("/", axum::routing::get(count_notes)).layer(world.tenancy.layer());
    assert_eq!(ask(&app, "acme.example.com", "/").await.1, "1 notes");
    assert_eq!(ask(&app, "globex.example.com", "/").await.1, "0 notes");
}

#[tokio::test]
async fn rows_come_one_by_one_and_parameters_have_the_types_that_are_said() {
    let world = world().await;
    let client = world.tenancy.client(&world.acme).unwrap();
    let sum = client.query_typed("SELECT $1 + 1", &[(&41_i64, Type::INT8)]).await.unwrap();
    let text = client.query_typed("SELECT $1 || '!'", &[(&"no", Type::TEXT)]).await.unwrap();
    assert_eq!((sum[0].get::<_, i64>(0), text[0].get::<_, &str>(0)), (42, "no!"));
    let mut tx = client.begin().await.unwrap();
    tx.execute("INSERT INTO note (title) SELECT n::text FROM generate_series(1, 5000) n", &[]).await.unwrap();
    let mut rows = tx.query_raw("SELECT id FROM note WHERE id > $1 ORDER BY id", vec![Box::new(1_i64)]);
    let second: i64 = rows.try_next().await.unwrap().unwrap().get(0);
    drop(rows);
    tx.commit().await.unwrap();
    assert_eq!((second, titles(&world.acme()).await.len()), (2, 5000));
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

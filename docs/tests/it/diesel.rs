use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use tenantry::pool::TenantDiesel;

async fn titles(mut db: TenantDiesel) -> tenantry::Result<axum::Json<Vec<String>>> {
    Ok(axum::Json(note::table.select(note::title).order(note::id).load(&mut db).await?))
}

use diesel_async::AsyncConnection as _;
use tenantry::ErrorKind;

use crate::support::{add, ask, titles as titles_of, world};

diesel::table! {
    note (id) { id -> BigInt, title -> Text }
}

async fn rename(db: &mut TenantDiesel, old: &str, new: &str) -> tenantry::Result<usize> {
    db.transaction(async |db| {
        let count = diesel::update(note::table.filter(note::title.eq(old)))
            .set(note::title.eq(new))
            .execute(db)
            .await?;
        if count > 1 {
            // Nothing of it is left.
            return Err(tenantry::Error::invalid_input(format!("there are {count} notes of that title")));
        }
        Ok(count)
    })
    .await
}

#[tokio::test]
async fn handlers_and_transactions_are_those_of_one_tenant() {
    let world = world().await;
    for title in ["one", "two"] {
        add(&world.acme(), title).await;
    }
    add(&world.globex(), "other").await;
    let app = axum::Router::new().route("/", axum::routing::get(titles)).layer(world.tenancy.layer());
    assert_eq!(ask(&app, "acme.example.com", "/").await.1, r#"["one","two"]"#);
    assert_eq!(ask(&app, "globex.example.com", "/").await.1, r#"["other"]"#);
    assert_eq!(ask(&app, "example.com", "/").await.0, 404);

    let mut db = world.tenancy.diesel(&world.acme).unwrap();
    assert_eq!(rename(&mut db, "one", "three").await.unwrap(), 1);
    assert_eq!(rename(&mut db, "nothing", "four").await.unwrap(), 0);
    let taken = rename(&mut db, "two", "three").await.unwrap_err();
    assert_eq!((taken.kind(), taken.constraint()), (ErrorKind::Database, Some("note_title_key")));
    assert_eq!(titles_of(&world.acme()).await, ["three", "two"]);
}

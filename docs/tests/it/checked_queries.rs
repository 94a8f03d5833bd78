use tenantry::TenantDb;

struct Note {
    id: i64,
    title: String,
}

async fn find_notes(db: &TenantDb, words: &str) -> Result<Vec<Note>, sqlx::Error> {
    sqlx::query_as!(Note, "SELECT id, title FROM note WHERE title ILIKE '%' || $1 || '%' ORDER BY id", words)
        .fetch_all(db)
        .await
}

use crate::support::{add, world};

#[tokio::test]
async fn a_query_checked_once_runs_for_every_tenant() {
    let world = world().await;
    add(&world.acme(), "Order more anvils").await;
    let notes = find_notes(&world.acme(), "ANVIL").await.unwrap();
    assert_eq!((notes[0].id, notes[0].title.as_str()), (1, "Order more anvils"));
    assert!(find_notes(&world.globex(), "ANVIL").await.unwrap().is_empty());
}

use axum::body::Body;
use futures_util::{Stream, TryStreamExt as _};
use tenantry::TenantDb;

async fn export(db: TenantDb) -> Body {
    Body::from_stream(lines(&db))
}

fn lines(db: &TenantDb) -> impl Stream<Item = Result<String, sqlx::Error>> + use<> {
    let titles = db.fetch_owned::<(String,)>(sqlx::query("SELECT title FROM note ORDER BY id"));
    titles.map_ok(|(title,)| title + "\n")
}

fn pages(db: TenantDb) -> impl Stream<Item = Result<String, sqlx::Error>> {
    const PAGE: &str = "SELECT id, title FROM note WHERE id > $1 ORDER BY id LIMIT 1000";
    async_stream::try_stream! {
        let mut last = 0_i64;
        loop {
            let page: Vec<(i64, String)> = sqlx::query_as(PAGE).bind(last).fetch_all(&db).await?;
            let Some((id, _)) = page.last() else { break };
            last = *id;
            yield page.iter().flat_map(|(_, title)| [title, "\n"]).collect::<String>();
        }
    }
}

use crate::support::{add, run, world};

async fn read(stream: impl Stream<Item = Result<String, sqlx::Error>>) -> String {
    stream.try_collect().await.unwrap()
}

#[tokio::test]
async fn a_body_holds_the_rows_of_its_tenant() {
    let world = world().await;
    add(&world.acme(), "one").await;
    add(&world.acme(), "two").await;
    add(&world.globex(), "other").await;
    let body = axum::body::to_bytes(export(world.acme()).await, 1000).await.unwrap();
    assert_eq!(body, "one\ntwo\n");
}

#[tokio::test]
async fn pages_follow_each_other_without_a_gap() {
    let world = world().await;
    let schema = world.acme.schema();
    let insert = format!("INSERT INTO {schema}.note (title) SELECT generate_series(1, 2500)");
    run(world.database.url(), &insert).await;
    assert_eq!(read(pages(world.acme())).await, read(lines(&world.acme())).await);
    assert_eq!(pages(world.acme()).try_collect::<Vec<_>>().await.unwrap().len(), 3);
    assert_eq!(pages(world.globex()).try_collect::<Vec<_>>().await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_the_connection_to_others() {
    let world = world().await;
    for title in ["one", "two"] {
        add(&world.acme(), title).await;
    }
    for _ in 0..10 {
        let mut lines = Box::pin(lines(&world.acme()));
        assert_eq!(lines.try_next().await.unwrap().as_deref(), Some("one\n"));
    }
    add(&world.acme(), "three").await;
}

use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::{installation, source, tenants, value};

#[tokio::test]
async fn a_tenant_is_of_one_moment_while_others_write_to_its_database() {
    let project = installation().await;
    let source = source(
        "CREATE TABLE account (id int PRIMARY KEY, amount int NOT NULL);
         INSERT INTO account SELECT i, 100 FROM generate_series(1, 20) AS i; CREATE TABLE other (id serial);
         INSERT INTO other SELECT FROM generate_series(1, 20000)",
    )
    .await;
    let url = source.superuser_url().to_owned();
    let writer = tokio::spawn(async move {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        loop {
            let mut tx = connection.begin().await.unwrap();
            let (even, odd): (i32, i32) =
                sqlx::query_as("SELECT (random() * 9)::int * 2 + 2, (random() * 9)::int * 2 + 1")
                    .fetch_one(&mut *tx)
                    .await
                    .unwrap();
            for (id, amount) in [(even, -1), (odd, 1)] {
                let sql = "UPDATE account SET amount = amount + $2 WHERE id = $1";
                sqlx::query(sql).bind(id).bind(amount).execute(&mut *tx).await.unwrap();
            }
            tx.commit().await.unwrap();
        }
    });
    let project = Arc::new(project);
    for number in 0..3 {
        let (slug, url, project) = (format!("c{number}"), source.superuser_url().to_owned(), project.clone());
        let import = tokio::task::spawn_blocking(move || {
            project.ok(&["import", "--from", &url, &slug]);
            project.ok(&["exec", "--tenant", &slug, "SELECT sum(amount) AS n FROM account"])
        });
        let sum = import.await.unwrap();
        assert!(sum.contains("2000"), "{sum}");
    }
    writer.abort();
}

/// The first waits for a table of its database, with nothing made yet.
#[tokio::test]
async fn the_second_of_two_under_one_slug_learns_at_its_beginning_that_it_is_in_vain() {
    let project = Arc::new(installation().await);
    let (first, second) = (source("CREATE TABLE t (id int)").await, source("CREATE TABLE t (id int)").await);
    let mut holder = PgConnection::connect(first.superuser_url()).await.unwrap();
    let lock = "BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut holder).await.unwrap();
    let (one, url) = (Arc::clone(&project), first.superuser_url().to_owned());
    let importing = tokio::task::spawn_blocking(move || one.run(&["import", "--from", &url, "acme"]));
    let is_waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND database =
                          (SELECT oid FROM pg_database WHERE datname = current_database()))";
    while !value::<bool>(first.superuser_url(), is_waiting).await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let refused = project.refused(1, &["import", "--from", second.superuser_url(), "acme"]);
    assert!(refused.contains("`acme` is being made by another process"), "{refused}");
    assert_eq!(tenants(&project).await, 0);
    sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
    let done = importing.await.unwrap();
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(tenants(&project).await, 1);
}

//! 2. Never into another schema: what a migration changes outside of its own is undone.

use crate::fixture::{builder, with_one_connection};
use crate::{ErrorKind, Fleet, NewTenant, PoolConfig};

const NOTE: &str = "CREATE TABLE note (id int)";

/// No name of a schema stands where SQL would say that it is one.
const LEAK: &str = "DO $$ BEGIN EXECUTE format('CREATE TABLE %I.leak (id int)', 'pub' || 'lic'); END $$";

#[tokio::test]
async fn a_file_that_changes_something_outside_is_undone() {
    let installation = with_one_connection(&[NOTE]).await;
    installation.create("acme").await;
    let newer =
        builder(&installation.database, &[NOTE, LEAK], PoolConfig::default()).connect().await.unwrap();
    let summary = newer.migrate(Fleet::all(), |_: &crate::observe::Outcome<'_>| {}).await.unwrap();
    let created = newer.create(NewTenant::new("globex")).await;

    let leaks: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_class WHERE relname = 'leak'")
        .fetch_one(&mut installation.outside().await)
        .await
        .unwrap();
    assert_eq!(leaks, 0);
    assert_eq!(summary.failed, 1);
    let error = created.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Migration);
    assert!(error.to_string().contains("outside of its schema: public.leak"), "{error}");
}

#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::database::Layout;
use crate::fixture::{Installation, installation, migrations};
use crate::tenant::Alias;
use crate::{DatabaseConfig, NewTenant, PoolConfig};

const FILES: [&str; 7] = [
    "CREATE TYPE mood AS ENUM ('good'); CREATE TABLE note (id int PRIMARY KEY, mood mood)",
    "ALTER TYPE mood ADD VALUE 'bad'",
    "INSERT INTO note VALUES (1, 'bad')",
    "-- no-transaction\nCREATE INDEX CONCURRENTLY note_mood ON note (mood)",
    "DO $$ BEGIN EXECUTE format($f$ CREATE FUNCTION told() RETURNS bigint LANGUAGE sql
         AS 'SELECT count(*) FROM %I.note' $f$, current_schema()); END $$",
    "CREATE TABLE schema_migrations (version int); GRANT SELECT ON note TO pg_monitor",
    "ALTER TABLE note DROP COLUMN mood",
];

async fn versions_of(installation: &Installation, files: &[&str], steps: impl Steps) -> Result<Versions> {
    let (alias, layout) = (Alias::default(), Layout::default());
    let config = DatabaseConfig::from_url(installation.database.url())?;
    versions(Workshop::new(&alias, &config, &layout), migrations(files).tenant(), &steps).await
}

async fn scratch_schemas(installation: &Installation) -> i64 {
    let count = "SELECT count(*) FROM pg_namespace WHERE nspname ~ '^tenantry_baseline_'";
    sqlx::query_scalar(count).fetch_one(&mut installation.outside().await).await.unwrap()
}

#[tokio::test]
async fn a_tenant_has_the_structure_that_the_files_make_at_its_version() {
    let installation = installation(&[], PoolConfig::default()).await;
    let versions = versions_of(&installation, &FILES, ()).await.unwrap();
    assert!(versions.obstacle.is_none());
    assert_eq!(scratch_schemas(&installation).await, 0);
    for count in 0..=FILES.len() {
        let builder = crate::fixture::builder(&installation.database, &FILES[..count], PoolConfig::default());
        let tenancy = builder.connect().await.unwrap();
        let tenant = tenancy.create(NewTenant::new(format!("at-{count}"))).await.unwrap();
        let mut outside = installation.outside().await;
        // What other tools note there does not count, but for what the files make.
        let table = format!("CREATE TABLE \"{}\".django_migrations (id serial PRIMARY KEY)", tenant.schema());
        sqlx::raw_sql(sqlx::AssertSqlSafe(table)).execute(&mut outside).await.unwrap();
        let mut tx = outside.begin().await.unwrap();
        let subject = Subject { schema: tenant.schema(), own_role: None };
        let is = Fingerprint::within(&mut tx, subject, versions.extent()).await.unwrap();
        let objects = Objects::within(&mut tx, subject, versions.extent()).await.unwrap();
        let version = i64::try_from(count).unwrap();
        let expect = match version {
            0 => vec![None],
            2 | 3 => vec![Some(3), Some(2)],
            version => vec![Some(version)],
        };
        assert_eq!(versions.history.versions_like(is), expect, "{count}");
        let at = versions.history.differences_at((version > 0).then_some(version), &objects);
        assert_eq!(at.unwrap(), [], "{count}");
    }
}

#[tokio::test]
async fn a_replay_is_made_once_per_set_of_files() {
    let installation = installation(&[], PoolConfig::default()).await;
    let steps = AtomicUsize::new(0);
    let count = |_: Step<'_>| {
        steps.fetch_add(1, Ordering::Relaxed);
    };
    let replays = async |files: &[&str]| {
        steps.store(0, Ordering::Relaxed);
        versions_of(&installation, files, count).await.unwrap();
        steps.load(Ordering::Relaxed) > 0
    };
    assert!(replays(&FILES[..2]).await);
    assert!(!replays(&FILES[..2]).await);
    assert!(replays(&FILES[..1]).await);
    // What the master has applied may be used by the files of tenants.
    installation
        .run("INSERT INTO tenantry.applied (schema_name, digest, applied_at) VALUES ('public', sha256('a'), now())")
        .await;
    assert!(replays(&FILES[..1]).await);
    assert!(!replays(&FILES[..1]).await);
    for number in 0..9 {
        assert!(replays(&[&format!("CREATE TABLE note_{number} (id int)")]).await);
    }
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM tenantry.replay")
        .fetch_one(&mut installation.outside().await)
        .await
        .unwrap();
    assert_eq!(kept, 8);
    // What is broken is made anew.
    installation.run("UPDATE tenantry.replay SET history = '{'").await;
    assert!(replays(&["CREATE TABLE note_8 (id int)"]).await);
}

#[tokio::test]
async fn a_file_that_needs_rows_of_a_tenant_is_told_and_those_before_it_are_known() {
    let installation = installation(&[], PoolConfig::default()).await;
    let needs_rows = "DO $$ BEGIN PERFORM 1 / count(*) FROM note; END $$";
    let files = [FILES[0], needs_rows, "ALTER TABLE note ADD COLUMN b int"];
    for _ in 0..2 {
        let versions = versions_of(&installation, &files, ()).await.unwrap();
        let obstacle = versions.obstacle_to(3).unwrap();
        assert_eq!(obstacle.version, 2);
        assert!(obstacle.reason.contains("division by zero"), "{}", obstacle.reason);
        assert!(versions.obstacle_to(1).is_none());
        assert!(versions.history.objects_at(Some(1)).is_some());
        assert!(versions.history.objects_at(Some(2)).is_none());
    }
    assert_eq!(scratch_schemas(&installation).await, 0);
}

//! Each kind of leak, planted by somebody who has a handle of `acme` only.

use sqlx::{Connection as _, PgConnection};
use tenantry::testing::{Leak, LeakKind, World};

use super::{run, world};

/// Plants something with a handle of `acme`, and expects exactly this leak.
async fn planted(sql: &str, kind: LeakKind, expect: &str) {
    let world = world().await;
    run(&world, &world.db("acme"), sql).await;
    expect_one(&world, kind, expect).await;
    world.finish().await.unwrap_err();
}

async fn expect_one(world: &World, kind: LeakKind, expect: &str) {
    let leaks = world.leaks().await.unwrap();
    let told: Vec<_> = leaks.iter().map(ToString::to_string).collect();
    assert_eq!(told, [expect]);
    assert_eq!(leaks.iter().map(Leak::kind).collect::<Vec<_>>(), [kind]);
}

#[tokio::test]
async fn rows_of_another_tenant() {
    let insert = "INSERT INTO {globex}.note (title) VALUES ('a'), ('b')";
    let world = world().await;
    run(&world, &world.db("acme"), insert).await;
    let told: Vec<_> = world.leaks().await.unwrap().iter().map(ToString::to_string).collect();
    let sequence = "sequence `note_id_seq` went on to 2 in tenant `globex`";
    assert_eq!(told, ["2 rows came into table `note` in tenant `globex`", sequence]);
    world.finish().await.unwrap_err();

    let change = "UPDATE {globex}.tag SET name = upper(name)";
    planted(change, LeakKind::Rows, "2 rows changed in table `tag` in tenant `globex`").await;
    let delete = "DELETE FROM {globex}.tag WHERE name = 'first'";
    planted(delete, LeakKind::Rows, "1 row went from table `tag` in tenant `globex`").await;
}

#[tokio::test]
async fn rows_of_another_tenant_by_its_sequence_or_all_at_once() {
    let next = "SELECT nextval('{globex}.note_id_seq')";
    planted(next, LeakKind::Rows, "sequence `note_id_seq` went on to 1 in tenant `globex`").await;
    let world = world().await;
    run(&world, &world.db("acme"), "TRUNCATE {globex}.tag").await;
    let told: Vec<_> = world.leaks().await.unwrap().iter().map(ToString::to_string).collect();
    assert!(told.contains(&"2 rows went from table `tag` in tenant `globex`".to_owned()), "{told:?}");
    world.finish().await.unwrap_err();
}

#[tokio::test]
async fn rows_of_the_master_schema() {
    let insert = "INSERT INTO public.plan VALUES (3, 'gold')";
    planted(insert, LeakKind::Rows, "1 row came into table `plan` in the master schema").await;
}

#[tokio::test]
async fn tables_and_other_objects() {
    let made = "CREATE TABLE {globex}.stray (id bigint PRIMARY KEY)";
    planted(made, LeakKind::Object, "table `stray` was made in tenant `globex`").await;
    let dropped = "DROP FUNCTION {globex}.add_note";
    planted(dropped, LeakKind::Object, "function `add_note` was dropped in tenant `globex`").await;
    let altered = "ALTER TABLE {globex}.note ADD COLUMN colour text";
    planted(altered, LeakKind::Object, "table `note` was altered in tenant `globex`").await;
    let view = "CREATE VIEW public.notes AS SELECT 1 AS one";
    planted(view, LeakKind::Object, "view `notes` was made in the master schema").await;
}

#[tokio::test]
async fn objects_that_are_replaced_by_others_of_their_kind() {
    let world = world().await;
    let replace = "DROP TABLE {globex}.tag; CREATE TABLE {globex}.label (name text)";
    run(&world, &world.db("acme"), replace).await;
    let told: Vec<_> = world.leaks().await.unwrap().iter().map(ToString::to_string).collect();
    assert!(told.contains(&"table `tag` was dropped in tenant `globex`".to_owned()), "{told:?}");
    assert!(told.contains(&"table `label` was made in tenant `globex`".to_owned()), "{told:?}");
    world.finish().await.unwrap_err();
}

#[tokio::test]
async fn types() {
    let made = "CREATE TYPE public.colour AS ENUM ('red')";
    planted(made, LeakKind::Type, "type `colour` was made in the master schema").await;
    let altered = "ALTER TYPE {globex}.mood ADD VALUE 'bored'";
    planted(altered, LeakKind::Type, "type `mood` was altered in tenant `globex`").await;
    let domain = "CREATE DOMAIN {globex}.name AS text";
    planted(domain, LeakKind::Type, "type `name` was made in tenant `globex`").await;
}

#[tokio::test]
async fn schemas() {
    planted("CREATE SCHEMA stray", LeakKind::Schema, "schema `stray` was made in the database").await;
    let dropped = "the schema of tenant `globex` was dropped in the database";
    planted("DROP SCHEMA {globex} CASCADE", LeakKind::Schema, dropped).await;
}

#[tokio::test]
async fn settings_of_a_session() {
    let place = "in a pooled session that served tenant `acme`";
    let custom = format!("setting `app.actor = jane` is left {place}");
    planted_by_statement("SELECT act_as('jane')", LeakKind::Setting, &custom).await;
    let known = format!("setting `work_mem = 5120` is left {place}");
    planted_by_statement("SELECT take_memory()", LeakKind::Setting, &known).await;
}

#[tokio::test]
async fn settings_of_the_database() {
    let sql =
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem TO ''5MB''', current_database()); END $$";
    planted(sql, LeakKind::Setting, "setting `work_mem=5MB` in the database").await;
}

#[tokio::test]
async fn advisory_locks() {
    let place = "in a pooled session that served tenant `acme`";
    let expect = format!("advisory lock `0 42` is left {place}");
    planted_by_statement("SELECT lock_something()", LeakKind::Lock, &expect).await;

    let world = world().await;
    let mut other = PgConnection::connect(world.url()).await.unwrap();
    sqlx::query("SELECT pg_advisory_lock(7)").execute(&mut other).await.unwrap();
    let whose = "in a session whose last statement was `SELECT pg_advisory_lock(7)`";
    expect_one(&world, LeakKind::Lock, &format!("an advisory lock is held {whose}")).await;
    world.finish().await.unwrap_err();
}

#[tokio::test]
async fn temporary_tables() {
    let place = "in a pooled session that served tenant `acme`";
    let expect = format!("temporary table `scratch` is left {place}");
    planted_by_statement("SELECT make_temporary()", LeakKind::Session, &expect).await;
}

#[tokio::test]
async fn open_transactions() {
    let world = world().await;
    let mut tx = world.db("acme").begin().await.unwrap();
    sqlx::query("SELECT 1 AS mine").execute(&mut *tx).await.unwrap();
    let whose = "in a session whose last statement was `SELECT 1 AS mine`";
    expect_one(&world, LeakKind::Transaction, &format!("a transaction is open {whose}")).await;
    drop(tx);
    assert_eq!(world.leaks().await.unwrap(), [], "it was rolled back");
    world.finish().await.unwrap();
}

/// A handle of `globex` excuses nothing as long as it is only read.
#[tokio::test]
async fn a_handle_that_only_reads_permits_no_change() {
    let world = world().await;
    let globex = world.db("globex");
    assert_eq!(super::count(&globex).await, 0);
    run(&world, &world.db("acme"), "DELETE FROM {globex}.tag").await;
    expect_one(&world, LeakKind::Rows, "2 rows went from table `tag` in tenant `globex`").await;
    world.finish().await.unwrap_err();
}

/// A handle of `globex` that the test did not take from its world is somebody else's.
#[tokio::test]
async fn a_handle_of_the_applications_own_permits_no_change() {
    let world = world().await;
    let globex = world.tenancy().db(world.tenant("globex")).unwrap();
    sqlx::query("DELETE FROM tag").execute(&globex).await.unwrap();
    expect_one(&world, LeakKind::Rows, "2 rows went from table `tag` in tenant `globex`").await;
    world.finish().await.unwrap_err();
}

/// By a statement whose text looks as if it left nothing.
async fn planted_by_statement(sql: &'static str, kind: LeakKind, expect: &str) {
    let world = world().await;
    sqlx::query(sql).execute(&world.db("acme")).await.unwrap();
    expect_one(&world, kind, expect).await;
    assert_eq!(world.leaks().await.unwrap(), [], "the session was cleaned");
    world.finish().await.unwrap();
}

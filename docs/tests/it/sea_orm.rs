use axum::Json;
use sea_orm::EntityTrait as _;
use tenantry::TenantDb;

async fn list(db: TenantDb) -> tenantry::Result<Json<Vec<String>>> {
    let notes = note::Entity::find().all(&db).await?;
    Ok(Json(notes.into_iter().map(|note| note.title).collect()))
}

use sea_orm::ActiveValue::Set;
use sea_orm::{ActiveModelTrait as _, DbErr, TransactionTrait as _};
use tenantry::pool::OrmTransaction;

async fn add(db: &impl sea_orm::ConnectionTrait, title: &str) -> Result<(), DbErr> {
    let note = note::ActiveModel { title: Set(title.to_owned()), ..Default::default() };
    note.insert(db).await.map(drop)
}

/// Adds the first note and, if there is none with its title, the second.
async fn add_both(db: &TenantDb, first: String, second: String) -> tenantry::Result<()> {
    db.transaction::<_, _, DbErr>(|tx| {
        Box::pin(async move {
            add(tx, &first).await?;
            let attempt = tx.begin().await?;
            match add(&attempt, &second).await {
                Ok(()) => attempt.commit().await,
                Err(_) => attempt.rollback().await,
            }
        })
    })
    .await?;
    Ok(())
}

async fn add_one(db: &TenantDb, title: &str) -> tenantry::Result<()> {
    let tx = OrmTransaction::from(db.begin().await?);
    add(&tx, title).await?;
    tx.commit().await?;
    Ok(())
}

use sea_orm::IntoActiveModel as _;
use tenantry::Migrations;
use tenantry::migrate::MigrationError;
use tenantry::pool::OrmConnection;

fn with_code(migrations: Migrations) -> Result<Migrations, MigrationError> {
    migrations.with_code(20_240_201_120_000, |connection| {
        Box::pin(async move {
            let db = OrmConnection::from(connection);
            for note in note::Entity::find().all(&db).await? {
                let title = note.title.to_uppercase();
                let mut note = note.into_active_model();
                note.title = Set(title);
                note.update(&db).await?;
            }
            Ok(())
        })
    })
}

use tenantry::resolve::Subdomain;

use crate::support::{Folder, world, world_with};

#[allow(unreachable_pub, reason = "SeaORM's derives need it")]
mod note {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "note")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub title: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

async fn all(db: &TenantDb) -> Vec<String> {
    list(db.clone()).await.unwrap().0
}

#[tokio::test]
async fn handlers_and_transactions_see_one_tenant() {
    let world = world().await;
    let (acme, globex) = (world.acme(), world.globex());
    add_both(&acme, "one".into(), "two".into()).await.unwrap();
    add_both(&acme, "three".into(), "one".into()).await.unwrap();
    add_one(&globex, "other").await.unwrap();
    assert_eq!(all(&acme).await, ["one", "two", "three"]);
    assert_eq!(all(&globex).await, ["other"]);
    let taken = add_one(&acme, "one").await.unwrap_err();
    assert_eq!((taken.constraint(), all(&acme).await.len()), (Some("note_title_key"), 3), "{taken:#}");
}

#[tokio::test]
async fn a_migration_that_is_code_uses_entities() {
    let folder = Folder::new();
    folder.write("master/1_plan.sql", "CREATE TABLE plan (name text)");
    let table = "CREATE TABLE note (id bigserial PRIMARY KEY, title text); INSERT INTO note VALUES (0, 'it''s first')";
    folder.write("tenant/1_note.sql", table);
    folder.write("tenant/20240201120000_loud.sql", "-- code\n");
    let files = Migrations::from_dirs(folder.path().join("master"), folder.path().join("tenant")).unwrap();
    let world = world_with(Subdomain::of("example.com").unwrap(), with_code(files).unwrap()).await;
    for db in [world.acme(), world.globex()] {
        assert_eq!(all(&db).await, ["IT'S FIRST"]);
    }
}

//! Applications written with `SeaORM`: entities, relations, pages, streams, types, and a pooler in front.

mod entity;

use futures_util::TryStreamExt as _;
use sea_orm::ActiveValue::Set;
use sea_orm::prelude::*;
use sea_orm::sea_query::OnConflict;
use sea_orm::{QueryOrder as _, QuerySelect as _, Statement, StreamTrait, TransactionTrait};
use tenantry::pool::OrmTransaction;
use tenantry::{DatabaseConfig, Error, ErrorKind, Fleet, NewTenant, PoolConfig, Tenancy, TenantDb};
use tenantry_embedded::{ScratchDatabase, ScratchPooler};
use time::OffsetDateTime;

use self::entity::ticket::Mood;
use self::entity::{comment, ticket};
use crate::support::{Folder, database};

const TABLES: &str = "\
CREATE TYPE mood AS ENUM ('calm', 'urgent');
CREATE TABLE ticket (id bigserial PRIMARY KEY, title text UNIQUE NOT NULL, mood mood NOT NULL,
    tags text[] NOT NULL, key uuid NOT NULL, opened_at timestamptz NOT NULL, meta jsonb NOT NULL);
CREATE TABLE comment (id bigserial PRIMARY KEY, ticket_id bigint NOT NULL REFERENCES ticket, body text NOT NULL)";

struct World {
    tenancy: Tenancy,
    _folder: Folder,
    database: ScratchDatabase,
}

impl World {
    /// `acme` and `globex`, who take turns on one connection.
    async fn new() -> Self {
        let database = database().await;
        let config = DatabaseConfig::from_url(database.url()).unwrap();
        let pool = PoolConfig { max_connections: 1, ..PoolConfig::default() };
        Self::with(database, config.pool(pool)).await
    }

    async fn with(database: ScratchDatabase, config: DatabaseConfig) -> Self {
        let folder = Folder::of(&[TABLES]);
        folder.write(
            "master/0001_plan.sql",
            "CREATE TABLE comment (id bigserial PRIMARY KEY, ticket_id bigint, body text)",
        );
        let builder = Tenancy::builder().database(config).install(true).migrations(folder.migrations());
        let tenancy = builder.connect().await.unwrap();
        tenancy.migrate(Fleet::all(), ()).await.unwrap();
        for slug in ["acme", "globex"] {
            tenancy.create(NewTenant::new(slug)).await.unwrap();
        }
        Self { tenancy, _folder: folder, database }
    }

    async fn db(&self, slug: &str) -> TenantDb {
        self.tenancy.db(&self.tenancy.tenant(slug).await.unwrap()).unwrap()
    }

    async fn both(&self) -> [TenantDb; 2] {
        [self.db("acme").await, self.db("globex").await]
    }
}

fn new(title: &str, mood: Mood) -> ticket::ActiveModel {
    ticket::ActiveModel {
        title: Set(title.to_owned()),
        mood: Set(mood),
        tags: Set(vec!["x".to_owned(), title.to_owned()]),
        key: Set(Uuid::from_u128(7)),
        opened_at: Set(OffsetDateTime::UNIX_EPOCH),
        meta: Set(serde_json::json!({ "of": title })),
        ..Default::default()
    }
}

/// Does what an application does, anywhere, and finds only its own.
async fn exercise<C>(db: &C, tag: &str)
where
    C: ConnectionTrait + StreamTrait + TransactionTrait,
{
    let before = ticket::Entity::find().count(db).await.unwrap();
    let title = |number: u64| format!("{tag} {}", before + number);
    let made = new(&title(0), Mood::Urgent).insert(db).await.unwrap();
    let found = ticket::Entity::find_by_id(made.id).one(db).await.unwrap().unwrap();
    assert_eq!(found, made);
    assert_eq!((found.tags[1].as_str(), &found.meta["of"]), (title(0).as_str(), &Json::from(title(0))));

    for body in ["one", "two"] {
        let comment = comment::ActiveModel {
            ticket_id: Set(made.id),
            body: Set(format!("{tag} {body}")),
            ..Default::default()
        };
        comment.insert(db).await.unwrap();
    }
    let with_comments = ticket::Entity::find().find_with_related(comment::Entity).all(db).await.unwrap();
    for (ticket, comments) in &with_comments {
        assert!(ticket.title.starts_with(tag), "{}", ticket.title);
        assert!(comments.iter().all(|comment| comment.body.starts_with(tag)));
    }
    let tickets = ticket::Entity::find().order_by_asc(ticket::Column::Id).all(db).await.unwrap();
    let loaded = tickets.load_many(comment::Entity, db).await.unwrap();
    assert_eq!(loaded.last().unwrap().len(), 2);

    new(&title(1), Mood::Calm).insert(db).await.unwrap();
    let pages = ticket::Entity::find().order_by_asc(ticket::Column::Id).paginate(db, 2);
    assert_eq!(pages.num_items().await.unwrap(), before + 2);
    assert_eq!(pages.fetch_page(0).await.unwrap().len(), 2);
    let calm = ticket::Entity::find().filter(ticket::Column::Mood.eq(Mood::Calm)).stream(db).await.unwrap();
    let calm: Vec<ticket::Model> = calm.try_collect().await.unwrap();
    assert!(calm.iter().all(|ticket| ticket.mood == Mood::Calm && ticket.title.starts_with(tag)));
    assert_eq!(calm.last().unwrap().title, title(1));

    let mut change: ticket::ActiveModel = made.into();
    change.mood = Set(Mood::Calm);
    assert_eq!(change.update(db).await.unwrap().mood, Mood::Calm);
    let tags: Vec<Vec<String>> =
        ticket::Entity::find().select_only().column(ticket::Column::Tags).into_tuple().all(db).await.unwrap();
    assert_eq!(tags.len() as u64, before + 2);
    let again = ticket::Entity::insert(new(&title(1), Mood::Calm))
        .on_conflict(OnConflict::column(ticket::Column::Title).do_nothing().to_owned());
    let error = Error::from(again.exec(db).await.unwrap_err());
    assert_eq!((error.kind(), error.status().as_u16()), (ErrorKind::AlreadyExists, 409), "{error:#}");
    let gone = ticket::ActiveModel { id: Set(-1), mood: Set(Mood::Calm), ..Default::default() };
    assert_eq!(Error::from(gone.update(db).await.unwrap_err()).kind(), ErrorKind::RowNotFound);

    let tx = db.begin().await.unwrap();
    new(&title(2), Mood::Calm).insert(&tx).await.unwrap();
    drop(tx.begin().await.unwrap());
    assert_eq!(ticket::Entity::find().count(&tx).await.unwrap(), before + 3);
    drop(tx);
    assert_eq!(ticket::Entity::find().count(db).await.unwrap(), before + 2);
}

#[tokio::test]
async fn entities_of_one_tenant_are_seen_by_it_alone() {
    let world = World::new().await;
    for _ in 0..3 {
        for db in world.both().await {
            let tag = db.tenant().slug().to_string();
            exercise(&db, &tag).await;
            let tx = OrmTransaction::from(db.begin().await.unwrap());
            exercise(&tx, &tag).await;
            tx.commit().await.unwrap();
        }
    }
    let master = world.tenancy.master();
    assert_eq!(comment::Entity::find().count(&master).await.unwrap(), 0);
    let comment =
        comment::ActiveModel { ticket_id: Set(1), body: Set("shared".into()), ..Default::default() };
    comment.clone().insert(&master).await.unwrap();
    let tx = OrmTransaction::from(master.begin().await.unwrap());
    comment.insert(&tx).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(comment::Entity::find().all(&master).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_active_enum_has_the_labels_of_its_tenant() {
    let world = World::new().await;
    let [acme, globex] = world.both().await;
    for round in 0..3 {
        for db in [&acme, &globex] {
            new(&format!("before {round}"), Mood::Urgent).insert(db).await.unwrap();
        }
    }
    globex.execute_unprepared("ALTER TYPE mood ADD VALUE 'lost' BEFORE 'calm'").await.unwrap();
    for round in 0..3 {
        let error = Error::from(new("never", Mood::Lost).insert(&acme).await.unwrap_err());
        assert_eq!(error.database_code().as_deref(), Some("22P02"), "{error:#}");
        new(&format!("lost {round}"), Mood::Lost).insert(&globex).await.unwrap();
        for (db, expect) in [(&acme, 0), (&globex, round + 1)] {
            let moods: Vec<Mood> = ticket::Entity::find()
                .select_only()
                .column(ticket::Column::Mood)
                .into_tuple()
                .all(db)
                .await
                .unwrap();
            assert_eq!(moods.iter().filter(|mood| **mood == Mood::Lost).count(), expect);
            let tx = OrmTransaction::from(db.begin().await.unwrap());
            let calm = ticket::Entity::find().filter(ticket::Column::Mood.is_in([Mood::Calm, Mood::Urgent]));
            assert_eq!(calm.count(&tx).await.unwrap(), 3);
            tx.commit().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_raw_statement_is_that_of_its_tenant() {
    let world = World::new().await;
    let postgres = sea_orm::DbBackend::Postgres;
    for db in world.both().await {
        let slug = db.tenant().slug().to_string();
        new(&slug, Mood::Calm).insert(&db).await.unwrap();
        let titles = Statement::from_sql_and_values(
            postgres,
            "SELECT title, mood::text AS mood FROM ticket WHERE tags @> $1 AND opened_at <= $2 AND key = $3",
            [vec![slug.clone()].into(), OffsetDateTime::now_utc().into(), Uuid::from_u128(7).into()],
        );
        let row = db.query_one_raw(titles.clone()).await.unwrap().unwrap();
        assert_eq!(row.try_get::<String>("", "title").unwrap(), slug);
        assert_eq!(row.try_get::<Mood>("", "mood").unwrap(), Mood::Calm);
        assert_eq!(db.query_all_raw(titles.clone()).await.unwrap().len(), 1);
        assert_eq!(db.execute_raw(titles).await.unwrap().rows_affected(), 1);
        let changed =
            db.execute_unprepared("UPDATE ticket SET title = title; UPDATE ticket SET mood = 'urgent'");
        assert_eq!(changed.await.unwrap().rows_affected(), 2);
        let none = Statement::from_string(postgres, "SELECT 1 WHERE false");
        assert!(db.query_one_raw(none).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_handle_that_reads_reads() {
    let world = World::new().await;
    let db = world.db("acme").await;
    new("one", Mood::Calm).insert(&db).await.unwrap();
    let replica = world.tenancy.replica(db.tenant()).unwrap();
    assert_eq!(ticket::Entity::find().one(&replica).await.unwrap().unwrap().title, "one");
    let streamed: Vec<_> =
        ticket::Entity::find().stream(&replica).await.unwrap().try_collect().await.unwrap();
    assert_eq!(streamed.len(), 1);
    let unsupported = |error: DbErr| assert_eq!(Error::from(error).kind(), ErrorKind::Unsupported);
    unsupported(new("two", Mood::Calm).insert(&replica).await.unwrap_err());
    unsupported(replica.execute_unprepared("SET transaction_read_only TO off").await.unwrap_err());
    unsupported(replica.begin_with_config(None, Some(sea_orm::AccessMode::ReadWrite)).await.unwrap_err());
    unsupported(
        replica.begin_with_config(Some(sea_orm::IsolationLevel::Serializable), None).await.unwrap_err(),
    );
    let tx = OrmTransaction::from(replica.begin().await.unwrap());
    let inner = tx.begin().await.unwrap();
    assert_eq!(ticket::Entity::find().count(&inner).await.unwrap(), 1);
    unsupported(inner.execute_unprepared("SET TRANSACTION READ WRITE").await.unwrap_err());
    unsupported(new("two", Mood::Calm).insert(&inner).await.unwrap_err());
    drop(inner);
    assert_eq!(ticket::Entity::find().count(&tx).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(ticket::Entity::find().count(&db).await.unwrap(), 1);
}

#[tokio::test]
async fn behind_a_pooler_in_transaction_mode_it_is_the_same() {
    let database = database().await;
    let pooler = ScratchPooler::start(&[database.url()], 1).await.unwrap();
    let config = DatabaseConfig::from_url(&pooler.url(database.url())).unwrap();
    let pool = PoolConfig { mode: tenantry::database::PoolMode::Transaction, ..PoolConfig::default() };
    let direct = database.url().to_owned();
    let world = World::with(database, config.direct_url(&direct).unwrap().pool(pool)).await;
    for _ in 0..2 {
        for db in world.both().await {
            let tag = db.tenant().slug().to_string();
            exercise(&db, &tag).await;
            let tx = OrmTransaction::from(db.begin().await.unwrap());
            exercise(&tx, &tag).await;
            tx.commit().await.unwrap();
        }
    }
    drop(world.database);
}

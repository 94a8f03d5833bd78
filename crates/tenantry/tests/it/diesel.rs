//! Diesel's query builder on a tenant's tables.

use std::time::Duration;

use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::serialize::{IsNull, Output, ToSql, WriteTuple};
use diesel::sql_types::{Array, Integer, Nullable, Record, Text};
use diesel::{deserialize, serialize};
// By their names, before those of `diesel::prelude`.
use diesel_async::{AsyncConnection as _, RunQueryDsl, SaveChangesDsl};
use futures_util::TryStreamExt as _;
use futures_util::future::try_join3;
use tenantry::pool::TenantDiesel;
use tenantry::{Error, ErrorKind, Fleet, NewTenant, PoolConfig, Tenancy};

use crate::support::{Folder, builder, config, database};

diesel::table! {
    author (id) { id -> BigInt, name -> Text }
}

diesel::table! {
    note (id) { id -> BigInt, author_id -> BigInt, title -> Text, tags -> Array<Text> }
}

diesel::joinable!(note -> author (author_id));
diesel::allow_tables_to_appear_in_same_query!(author, note);

const TABLES: &str = "
    CREATE TABLE author (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE);
    CREATE TABLE note (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, author_id bigint NOT NULL,
        title text NOT NULL, tags text[] NOT NULL DEFAULT '{}',
        CONSTRAINT has_author FOREIGN KEY (author_id) REFERENCES author DEFERRABLE INITIALLY DEFERRED)";

#[derive(Queryable, Selectable, Identifiable, AsChangeset, Clone, Debug, PartialEq)]
#[diesel(table_name = author)]
struct Author {
    id: i64,
    name: String,
}

/// One connection, which both tenants have in turns.
async fn two_tenants(files: &Folder) -> (tenantry_embedded::ScratchDatabase, Tenancy, [TenantDiesel; 2]) {
    let database = database().await;
    let pool = PoolConfig { max_connections: 1, ..PoolConfig::default() };
    let tenancy = builder(&database).database(config(&database).pool(pool)).migrations(files.migrations());
    let tenancy = tenancy.connect().await.unwrap();
    let mut handles = Vec::new();
    for slug in ["acme", "globex"] {
        let tenant = tenancy.create(NewTenant::new(slug)).await.unwrap();
        handles.push(tenancy.diesel(&tenant).unwrap());
    }
    let handles = handles.try_into().unwrap();
    (database, tenancy, handles)
}

async fn add(db: &mut TenantDiesel, name: &str) -> Author {
    let insert = diesel::insert_into(author::table).values(author::name.eq(name));
    insert.returning(Author::as_returning()).get_result(db).await.unwrap()
}

#[tokio::test]
async fn queries_mean_the_tables_of_their_tenant() {
    let (_database, tenancy, mut handles) = two_tenants(&Folder::of(&[TABLES])).await;
    for round in 1..=3_i64 {
        for db in &mut handles {
            let name = format!("{} {round}", db.tenant().slug());
            let author = add(db, &name).await;
            assert_eq!((author.id, &author.name), (round, &name));
            let notes: Vec<_> = (0..300)
                .map(|number| {
                    let tags = vec![name.clone(), number.to_string()];
                    (
                        note::author_id.eq(author.id),
                        note::title.eq(format!("{name}/{number}")),
                        note::tags.eq(tags),
                    )
                })
                .collect();
            assert_eq!(diesel::insert_into(note::table).values(notes).execute(db).await.unwrap(), 300);
            let joined: Vec<(String, Vec<String>)> = note::table
                .inner_join(author::table)
                .filter(author::name.eq(&name).and(note::title.like("%/7")))
                .select((note::title, note::tags))
                .load(db)
                .await
                .unwrap();
            assert_eq!(joined, [(format!("{name}/7"), vec![name.clone(), "7".to_owned()])]);

            // A stream is read as far as somebody wants, and the only connection is free again.
            let mut titles =
                note::table.select(note::title).order(note::id).load_stream::<String>(db).await.unwrap();
            for _ in 0..2 {
                let title = titles.try_next().await.unwrap().unwrap();
                assert!(title.starts_with(&format!("{} 1/", name.split(' ').next().unwrap())), "{title}");
            }
            drop(titles);
            let count: i64 = note::table.count().get_result(db).await.unwrap();
            assert_eq!(count, 300 * round);

            let renamed = Author { name: format!("{name}!"), ..author.clone() };
            assert_eq!((&renamed).save_changes::<Author>(db).await.unwrap(), renamed);
            let found = author::table.find(author.id).select(Author::as_select()).first(db).await.optional();
            assert_eq!(found.unwrap(), Some(renamed));
            let none = author::table.find(-1).select(Author::as_select()).first(db).await.unwrap_err();
            assert_eq!(Error::from(none).kind(), ErrorKind::RowNotFound);
            // The types of the parameters are those that Diesel says.
            let sum =
                diesel::select(round.into_sql::<diesel::sql_types::BigInt>() + 1).get_result::<i64>(db).await;
            assert_eq!(sum, Ok(round + 1));
        }
    }
    let counts = tenancy.status().client_pools.into_values().next().unwrap().counts;
    assert_eq!(counts.doubtful, 0, "{counts:?}");
    assert!(counts.drained <= 6, "only the streams that nobody read to their end: {counts:?}");
}

#[tokio::test]
async fn errors_are_diesels_and_come_back_as_ours() {
    let (database, _tenancy, [mut acme, _globex]) = two_tenants(&Folder::of(&[TABLES])).await;
    add(&mut acme, "ann").await;
    let again = diesel::insert_into(author::table).values(author::name.eq("ann")).execute(&mut acme).await;
    let again = again.unwrap_err();
    match &again {
        DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, information) => {
            assert_eq!(information.constraint_name(), Some("author_name_key"));
            assert_eq!(information.table_name(), Some("author"));
            assert!(information.message().starts_with("duplicate key"), "{}", information.message());
        }
        _ => panic!("{again:?}"),
    }
    let again = Error::from(again);
    assert_eq!((again.kind(), again.constraint()), (ErrorKind::Database, Some("author_name_key")));
    assert!(format!("{again:#}").contains("duplicate key"), "{again:#}");

    // What fails when a statement is committed fails the statement, though it has answered with a row before.
    let insert = diesel::insert_into(note::table).values((note::author_id.eq(99), note::title.eq("x")));
    let orphan = insert.returning(note::id).get_result::<i64>(&mut acme).await.unwrap_err();
    assert!(
        matches!(orphan, DieselError::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _)),
        "{orphan:?}"
    );
    assert_eq!(Error::from(orphan).constraint(), Some("has_author"));

    // The tenant is suspended under the handle.
    let mut owner = crate::support::Client::owner(&database).await;
    owner.run("UPDATE tenantry.tenant SET status = 'suspended' WHERE slug = 'acme'").await;
    let refused = loop {
        match author::table.count().get_result::<i64>(&mut acme).await {
            Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => break Error::from(error),
        }
    };
    assert_eq!(refused.kind(), ErrorKind::Suspended, "{refused}");
    assert_eq!(refused.tenant().map(tenantry::Slug::as_str), Some("acme"));
}

#[tokio::test]
async fn transactions_are_of_the_kind_that_they_are_asked_for() {
    let (_database, tenancy, [mut acme, mut globex]) = two_tenants(&Folder::of(&[TABLES])).await;
    let setting = |name: &str| diesel::dsl::sql::<Text>(&format!("SELECT current_setting('{name}')"));
    let names = ["transaction_isolation", "transaction_read_only", "transaction_deferrable"];
    let found = acme
        .build_transaction()
        .serializable()
        .read_only()
        .deferrable()
        .run(async |db| {
            let mut found = Vec::new();
            for name in names {
                found.push(setting(name).get_result::<String>(db).await?);
            }
            let nested = db.build_transaction().run(async |_| Ok::<_, DieselError>(())).await;
            assert_eq!(nested, Err(DieselError::AlreadyInTransaction));
            Ok::<_, DieselError>(found)
        })
        .await;
    assert_eq!(found.unwrap(), ["serializable", "on", "on"]);

    // Nothing of a test is left.
    acme.test_transaction::<_, DieselError, _>(async |db| {
        db.transaction::<_, DieselError, _>(async |db| Ok(add(db, "ann").await)).await?;
        assert_eq!(author::table.count().get_result::<i64>(db).await?, 1);
        Ok(())
    })
    .await;
    globex.begin_test_transaction().await.unwrap();
    add(&mut globex, "bob").await;
    drop(globex);
    for slug in ["acme", "globex"] {
        let mut db = tenancy.diesel(&tenancy.tenant(slug).await.unwrap()).unwrap();
        assert_eq!(author::table.count().get_result::<i64>(&mut db).await, Ok(0));
    }

    // Errors of ours pass through a transaction.
    let own = acme.transaction::<(), Error, _>(async |db| {
        add(db, "cyd").await;
        Err(Error::invalid_input("no"))
    });
    assert_eq!(own.await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(author::table.count().get_result::<i64>(&mut acme).await, Ok(0));
}

#[tokio::test]
async fn clones_run_at_the_same_time() {
    let database = database().await;
    let tenancy = builder(&database).migrations(Folder::of(&[TABLES]).migrations()).connect().await.unwrap();
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let (mut one, mut two) = (tenancy.diesel(&acme).unwrap(), tenancy.diesel(&acme).unwrap());
    one.transaction::<_, Error, _>(async |one| {
        add(one, "ann").await;
        let mut three = two.clone();
        let inside = author::table.count().get_result::<i64>(one);
        let [beside, outside] = [&mut two, &mut three].map(|db| author::table.count().get_result::<i64>(db));
        assert_eq!(try_join3(inside, beside, outside).await?, (1, 0, 0));
        Ok(())
    })
    .await
    .unwrap();
    // A session is one: what is set on it stays.
    let mut session = one.acquire().await.unwrap();
    diesel::sql_query("SET statement_timeout TO '7s'").execute(&mut session).await.unwrap();
    let timeout = || diesel::dsl::sql::<Text>("SELECT current_setting('statement_timeout')");
    assert_eq!(timeout().get_result::<String>(&mut session).await.unwrap(), "7s");
    drop(session);
    assert_ne!(timeout().get_result::<String>(&mut one).await.unwrap(), "7s");
}

#[derive(Debug, diesel::query_builder::QueryId, diesel::sql_types::SqlType)]
#[diesel(postgres_type(name = "mood"))]
#[allow(unreachable_pub)]
pub struct MoodType;

#[derive(Debug, diesel::query_builder::QueryId, diesel::sql_types::SqlType)]
#[diesel(postgres_type(name = "entry"))]
#[allow(unreachable_pub)]
pub struct EntryType;

diesel::table! {
    use diesel::sql_types::{Array, Integer, Nullable};
    use super::{EntryType, MoodType};

    diary (id) { id -> Integer, mood -> MoodType, past -> Array<Nullable<MoodType>>, entries -> Array<EntryType> }
}

#[derive(deserialize::FromSqlRow, diesel::expression::AsExpression, Clone, Copy, Debug, PartialEq)]
#[diesel(sql_type = MoodType)]
enum Mood {
    Happy,
    Sad,
}

impl ToSql<MoodType, diesel::pg::Pg> for Mood {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, diesel::pg::Pg>) -> serialize::Result {
        use std::io::Write as _;
        out.write_all(match self {
            Self::Happy => b"happy",
            Self::Sad => b"sad",
        })?;
        Ok(IsNull::No)
    }
}

impl deserialize::FromSql<MoodType, diesel::pg::Pg> for Mood {
    fn from_sql(value: diesel::pg::PgValue<'_>) -> deserialize::Result<Self> {
        Ok(if value.as_bytes() == b"happy" { Self::Happy } else { Self::Sad })
    }
}

/// A row of a type of the tenant's own, with arrays of another inside.
#[derive(deserialize::FromSqlRow, diesel::expression::AsExpression, Clone, Debug, PartialEq)]
#[diesel(sql_type = EntryType)]
struct Entry {
    day: i32,
    moods: Vec<Mood>,
    remark: Option<String>,
}

type EntryFields = (Integer, Array<MoodType>, Nullable<Text>);

impl ToSql<EntryType, diesel::pg::Pg> for Entry {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, diesel::pg::Pg>) -> serialize::Result {
        let fields = (self.day, self.moods.clone(), self.remark.clone());
        WriteTuple::<EntryFields>::write_tuple(&fields, &mut out.reborrow())
    }
}

impl deserialize::FromSql<EntryType, diesel::pg::Pg> for Entry {
    fn from_sql(value: diesel::pg::PgValue<'_>) -> deserialize::Result<Self> {
        let (day, moods, remark) =
            deserialize::FromSql::<Record<EntryFields>, diesel::pg::Pg>::from_sql(value)?;
        Ok(Self { day, moods, remark })
    }
}

async fn keep_a_diary(db: &mut TenantDiesel, id: i32) {
    let entry = Entry { day: id, moods: vec![Mood::Sad, Mood::Happy], remark: None };
    let entries = vec![entry.clone(), Entry { remark: Some("fine".to_owned()), ..entry }];
    let row = (
        diary::id.eq(id),
        diary::mood.eq(Mood::Happy),
        diary::past.eq(vec![Some(Mood::Sad), None]),
        diary::entries.eq(&entries),
    );
    diesel::insert_into(diary::table).values(row).execute(db).await.unwrap();
    let kept: (i32, Mood, Vec<Option<Mood>>, Vec<Entry>) = diary::table
        .filter(diary::mood.eq_any(vec![Mood::Happy]))
        .filter(diary::id.eq(id).and(diary::past.contains(vec![Some(Mood::Sad)])))
        .first(db)
        .await
        .unwrap();
    assert_eq!(kept, (id, Mood::Happy, vec![Some(Mood::Sad), None], entries));
    // Nothing says what these are but Diesel.
    let alone =
        diesel::select((Mood::Sad.into_sql::<MoodType>(), vec![Mood::Sad].into_sql::<Array<MoodType>>()));
    assert_eq!(alone.get_result::<(Mood, Vec<Mood>)>(db).await.unwrap(), (Mood::Sad, vec![Mood::Sad]));
}

const DIARY: &str = "CREATE TYPE mood AS ENUM ('sad', 'happy');
    CREATE TYPE entry AS (day int, moods mood[], remark text);
    CREATE TABLE diary (id int PRIMARY KEY, mood mood NOT NULL, past mood[] NOT NULL, entries entry[] NOT NULL)";

#[tokio::test]
async fn types_are_those_of_the_tenant_at_its_version() {
    // In the files of the tenants, or made at run time, of which the registry knows nothing.
    for in_files in [true, false] {
        let files = if in_files { Folder::of(&[TABLES, DIARY]) } else { Folder::of(&[TABLES]) };
        let (database, tenancy, mut handles) = two_tenants(&files).await;
        if !in_files {
            for db in &mut handles {
                diesel_async::SimpleAsyncConnection::batch_execute(db, DIARY).await.unwrap();
            }
        }
        for id in 1..=3 {
            for db in &mut handles {
                keep_a_diary(db, id).await;
                let within = async |db: &mut TenantDiesel| {
                    keep_a_diary(db, 10 + id).await;
                    Ok(())
                };
                db.transaction::<_, DieselError, _>(within).await.unwrap();
            }
        }
        // The next version of the tenants has others of the same names.
        files.write("tenant/0003_again.sql", &format!("DROP TABLE diary; DROP TYPE entry, mood; {DIARY}"));
        drop(handles);
        tenancy.close(Duration::from_secs(5)).await.unwrap();
        let tenancy = builder(&database).migrations(files.migrations()).connect().await.unwrap();
        let mut acme = tenancy.diesel(&tenancy.tenant("acme").await.unwrap()).unwrap();
        keep_a_diary(&mut acme, 21).await;
        tenancy.migrate(Fleet::all(), |_: &tenantry::observe::Outcome<'_>| {}).await.unwrap();
        for slug in ["acme", "globex", "acme"] {
            let mut db = tenancy.diesel(&tenancy.tenant(slug).await.unwrap()).unwrap();
            let id =
                diary::table.select(diesel::dsl::max(diary::id)).first::<Option<i32>>(&mut db).await.unwrap();
            keep_a_diary(&mut db, id.unwrap_or(0) + 1).await;
        }
    }
}

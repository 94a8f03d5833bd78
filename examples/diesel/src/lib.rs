//! Books of many libraries, with Diesel: [`open`] prepares the database, [`app`] answers requests.

pub mod schema;

use std::path::Path;

use axum::extract::Path as Segment;
use axum::routing::{get, post};
use axum::{Json, Router};
use diesel::prelude::*;
use diesel_async::{AsyncConnection as _, RunQueryDsl};
use serde::{Deserialize, Serialize};
use tenantry::pool::TenantDiesel;
use tenantry::resolve::Subdomain;
use tenantry::{DatabaseConfig, Error, ErrorKind, Fleet, Migrations, NewTenant, Result, Tenancy};

use self::schema::{Genre, book, loan};

/// Connects, brings all schemas up to date, and makes two libraries.
///
/// # Errors
/// If the database cannot be reached, or a migration fails.
pub async fn open(url: &str) -> Result<Tenancy> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let tenancy = Tenancy::builder()
        .database(DatabaseConfig::from_url(url)?)
        .migrations(Migrations::from_dirs(folder.join("master"), folder.join("tenant"))?)
        .resolver(Subdomain::of("localhost")?)
        .install(true)
        .connect()
        .await?;
    tenancy.migrate(Fleet::all(), ()).await?;
    for slug in ["acme", "globex"] {
        match tenancy.create(NewTenant::new(slug)).await {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => drop(made?),
        }
    }
    Ok(tenancy)
}

/// Everything this application answers.
pub fn app(tenancy: &Tenancy) -> Router {
    Router::new()
        .route("/books", get(list).post(add))
        .route("/books/{id}/loan", post(lend))
        .layer(tenancy.layer())
}

#[derive(Queryable, Selectable, Serialize)]
#[diesel(table_name = book)]
struct Book {
    id: i64,
    title: String,
    genre: Genre,
}

#[derive(Insertable, Deserialize)]
#[diesel(table_name = book)]
struct NewBook {
    title: String,
    genre: Genre,
}

#[derive(Deserialize)]
struct NewLoan {
    reader: String,
}

#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    book: Book,
    reader: Option<String>,
}

async fn list(mut db: TenantDiesel) -> Result<Json<Vec<Listed>>> {
    let books = book::table.left_join(loan::table).order(book::id);
    let books = books.select((Book::as_select(), loan::reader.nullable())).load(&mut db).await?;
    Ok(Json(books.into_iter().map(|(book, reader)| Listed { book, reader }).collect()))
}

async fn add(mut db: TenantDiesel, Json(new): Json<NewBook>) -> Result<Json<Book>> {
    let insert = diesel::insert_into(book::table).values(new).returning(Book::as_returning());
    Ok(Json(insert.get_result(&mut db).await?))
}

/// Lends a book that is there and not lent: a number that no book has is 404, and a second reader's loan is undone.
async fn lend(
    mut db: TenantDiesel,
    Segment(id): Segment<i64>,
    Json(new): Json<NewLoan>,
) -> Result<Json<Book>> {
    let lent = db.transaction::<_, Error, _>(async |db| {
        let found = book::table.find(id).select(Book::as_select()).for_update().get_result(db).await?;
        let taken = loan::table.filter(loan::book_id.eq(id)).count().get_result::<i64>(db).await?;
        if taken > 0 {
            return Err(Error::invalid_input(format!("`{}` is lent already", found.title)));
        }
        let row = (loan::book_id.eq(id), loan::reader.eq(&new.reader));
        diesel::insert_into(loan::table).values(row).execute(db).await?;
        Ok(found)
    });
    Ok(Json(lent.await?))
}

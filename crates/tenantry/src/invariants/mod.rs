//! The invariants of the design, each with a test that fails when its guard is left out.
//!
//! They are inside the crate because the switches exist in its own tests only; the server is real.
#![allow(clippy::unwrap_used)]

mod adoption;
mod ambient;
#[cfg(feature = "archive")]
mod archives;
mod cancellation;
mod citus;
#[cfg(feature = "tokio-postgres")]
mod client;
mod clones;
mod comments;
mod crashes;
mod crossing;
#[cfg(feature = "diesel-async")]
mod diesel;
mod elsewhere;
mod endings;
mod fall_through;
mod handles;
#[cfg(feature = "axum")]
mod hosts;
mod in_pieces;
mod kept_handles;
mod ledger;
mod moves;
mod online_moves;
#[cfg(feature = "sea-orm")]
mod orm;
mod outside;
mod pooler;
mod quoting;
mod replicas;
mod runs;
mod session_pooler;
mod spares;
mod statements;
mod suspended;
mod switching;
mod types;
mod undone;
mod unread;
mod victim;

use crate::fixture::Driver;

async fn master_text(tenancy: &crate::Tenancy, driver: Driver, sql: &'static str) -> String {
    match driver {
        Driver::Sqlx => sqlx::query_scalar(sql).fetch_one(&tenancy.master()).await.unwrap(),
        #[cfg(feature = "tokio-postgres")]
        Driver::TokioPostgres => tenancy.master_client().query_one(sql, &[]).await.unwrap().get(0),
        #[cfg(feature = "diesel-async")]
        Driver::Diesel => {
            let select = ::diesel::dsl::sql::<::diesel::sql_types::Text>(sql);
            diesel_async::RunQueryDsl::get_result(select, &mut tenancy.master_diesel()).await.unwrap()
        }
        #[cfg(feature = "sea-orm")]
        Driver::SeaOrm => orm::text(&tenancy.master(), sql).await,
    }
}

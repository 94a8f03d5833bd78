//! A query of Diesel's as text and values, which it is before anything is waited for.

use std::error::Error as StdError;

use diesel::QueryResult;
use diesel::pg::{Pg, PgQueryBuilder};
use diesel::query_builder::bind_collector::RawBytesBindCollector;
use diesel::query_builder::{QueryBuilder as _, QueryFragment};
use diesel::result::Error;
use sqlx_core::bytes::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::custom::{Custom, Names, fill_in};
use crate::pool::client::rows::{OwnedCall, Parameter};

/// A value in the form in which the server reads it, but for placeholders.
#[derive(Debug)]
pub(super) struct Bind(Option<Vec<u8>>);

/// The text of a query, and what is bound in it.
pub(super) fn serialize(query: &dyn QueryFragment<Pg>) -> QueryResult<OwnedCall<Bind>> {
    let mut builder = PgQueryBuilder::default();
    query.to_sql(&mut builder, &Pg)?;
    let (mut collected, mut names) = (RawBytesBindCollector::<Pg>::new(), Names::default());
    query.collect_binds(&mut collected, &mut names, &Pg)?;
    let is_single = !query.is_safe_to_cache_prepared(&Pg)?;
    let RawBytesBindCollector { metadata, binds, .. } = collected;
    let numbers =
        metadata.iter().map(|known| known.oid().map_err(|error| Error::SerializationError(error.into())));
    let (custom, types) = Custom::of(names, &numbers.collect::<QueryResult<Vec<_>>>()?);
    let parameters = binds.into_iter().map(Bind).collect();
    Ok(OwnedCall { sql: builder.finish(), parameters, types, named: custom, is_single })
}

impl Parameter for Bind {
    fn as_parameter(&self) -> &(dyn ToSql + Sync) {
        self
    }
}

impl ToSql for Bind {
    fn to_sql(&self, wanted: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        let Some(value) = &self.0 else { return Ok(IsNull::Yes) };
        let start = out.len();
        out.extend_from_slice(value);
        match fill_in(wanted, &mut out[start..]) {
            Some(()) => Ok(IsNull::No),
            None => Err(format!("the value does not have the form of a `{wanted}`").into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        // What it was prepared for says so.
        true
    }

    to_sql_checked!();
}

//! The tables, which know nothing of tenants.
// What the macros make has no documentation.
#![expect(missing_docs, reason = "the names are those of the tables")]

use std::io::Write as _;

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, IsNull, Output, ToSql};
use serde::{Deserialize, Serialize};

#[derive(Debug, diesel::query_builder::QueryId, diesel::sql_types::SqlType)]
#[diesel(postgres_type(name = "genre"))]
pub struct GenreType;

diesel::table! {
    use diesel::sql_types::{BigInt, Text};
    use super::GenreType;

    book (id) {
        id -> BigInt,
        title -> Text,
        genre -> GenreType,
    }
}

diesel::table! {
    loan (id) {
        id -> BigInt,
        book_id -> BigInt,
        reader -> Text,
    }
}

diesel::joinable!(loan -> book (book_id));
diesel::allow_tables_to_appear_in_same_query!(book, loan);

#[derive(Clone, Copy, Debug, PartialEq, Eq, AsExpression, FromSqlRow, Serialize, Deserialize)]
#[diesel(sql_type = GenreType)]
#[serde(rename_all = "lowercase")]
pub enum Genre {
    Crime,
    History,
    Poetry,
}

impl ToSql<GenreType, Pg> for Genre {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(match self {
            Self::Crime => b"crime",
            Self::History => b"history",
            Self::Poetry => b"poetry",
        })?;
        Ok(IsNull::No)
    }
}

impl FromSql<GenreType, Pg> for Genre {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        match value.as_bytes() {
            b"crime" => Ok(Self::Crime),
            b"history" => Ok(Self::History),
            b"poetry" => Ok(Self::Poetry),
            other => Err(format!("there is no genre `{}`", String::from_utf8_lossy(other)).into()),
        }
    }
}

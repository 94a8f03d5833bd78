//! Statements and errors of `SeaORM` as those of the pool, and the other way round.

use std::sync::Arc;

use sea_orm::{DbErr, RuntimeErr, Value, Values};
use sea_query_sqlx::SqlxValues;
use sqlx::AssertSqlSafe;

use crate::pool::statement::Statement;

/// Takes a statement over without a copy of its text or of its values.
pub(super) fn prepared(statement: sea_orm::Statement) -> Result<Statement, sqlx::Error> {
    let Values(values) = statement.values.unwrap_or(Values(Vec::new()));
    if values.iter().any(is_too_large) {
        return Err(sqlx::Error::Encode("a number is larger than any type of PostgreSQL's holds".into()));
    }
    Statement::take(sqlx::query_with(AssertSqlSafe(statement.sql), SqlxValues(Values(values))))
}

/// A message of statements without values, which is not prepared.
pub(super) fn unprepared(sql: &str) -> Result<Statement, sqlx::Error> {
    Statement::take(sqlx::raw_sql(AssertSqlSafe(sql)))
}

/// Binding it would panic.
fn is_too_large(value: &Value) -> bool {
    match value {
        Value::BigUnsigned(Some(number)) => i64::try_from(*number).is_err(),
        Value::Array(_, Some(values)) => values.iter().any(is_too_large),
        _ => false,
    }
}

/// The error of a statement that hands out rows.
pub(super) fn query_failed(error: sqlx::Error) -> DbErr {
    failed(DbErr::Query, error)
}

/// The error of a statement that hands out no rows.
pub(super) fn execution_failed(error: sqlx::Error) -> DbErr {
    failed(DbErr::Exec, error)
}

/// An error of this library travels as trouble with the connection, like in sqlx.
fn failed(kind: fn(RuntimeErr) -> DbErr, error: sqlx::Error) -> DbErr {
    let kind = if matches!(error, sqlx::Error::Io(_)) { DbErr::Conn } else { kind };
    kind(RuntimeErr::SqlxError(Arc::new(error)))
}

#[cfg(test)]
mod tests {
    use sea_orm::DbBackend;
    use sea_orm::sea_query::ArrayType;

    use super::*;

    #[test]
    fn a_number_that_no_type_holds_is_an_error_instead_of_a_panic() {
        let too_large = Value::BigUnsigned(Some(u64::MAX));
        let within = Value::BigUnsigned(Some(1));
        let array = |of: &Value| Value::Array(ArrayType::BigUnsigned, Some(Box::new(vec![of.clone()])));
        for (value, is_refused) in
            [(&too_large, true), (&array(&too_large), true), (&within, false), (&array(&within), false)]
        {
            let statement =
                sea_orm::Statement::from_sql_and_values(DbBackend::Postgres, "SELECT $1", [value.clone()]);
            assert_eq!(prepared(statement).is_err(), is_refused, "{value:?}");
        }
    }
}

//! A statement taken out of sqlx's query types, so that it can be tagged and sent again.

use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgStatement, Postgres};
use sqlx::{AssertSqlSafe, Execute, SqlSafeStr as _, SqlStr};

/// Text and arguments of one statement.
#[derive(Clone)]
pub(super) struct Statement {
    sql: SqlStr,
    /// `None`: the simple protocol, without a prepared statement.
    arguments: Option<PgArguments>,
    is_persistent: bool,
}

impl Statement {
    /// Takes a query apart.
    ///
    /// What sqlx knows of a statement prepared earlier is left behind: it was prepared on another
    /// connection, perhaps for another tenant.
    pub(super) fn take<'q>(mut query: impl Execute<'q, Postgres>) -> Result<Self, sqlx::Error> {
        let arguments = query.take_arguments().map_err(sqlx::Error::Encode)?;
        let is_persistent = query.persistent();
        Ok(Self { sql: query.sql(), arguments, is_persistent })
    }

    pub(super) fn sql(&self) -> &str {
        self.sql.as_str()
    }

    /// Only a prepared statement can be stale, and only one statement can be sent again.
    pub(super) fn is_prepared(&self) -> bool {
        self.arguments.is_some()
    }

    /// Sent without a name, which no other session of the server would know.
    pub(super) fn unnamed(mut self) -> Self {
        self.is_persistent = false;
        self
    }

    /// The same statement in another text, which means the same.
    pub(super) fn with_text(mut self, text: impl FnOnce(&str) -> String) -> Self {
        self.sql = AssertSqlSafe(text(self.sql.as_str())).into_sql_str();
        self
    }
}

impl Execute<'_, Postgres> for Statement {
    fn sql(self) -> SqlStr {
        self.sql
    }

    fn statement(&self) -> Option<&PgStatement> {
        None
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        Ok(self.arguments.take())
    }

    fn persistent(&self) -> bool {
        self.is_persistent
    }
}

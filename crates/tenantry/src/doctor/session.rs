use std::io;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Row as _};

use crate::database::{DatabaseConfig, Route, Way};
use crate::sql::Literal;

/// The longest that one question may take. What comes after it is asked on a new connection.
const PATIENCE: Duration = Duration::from_secs(20);

/// Has the server end a question when nobody waits for its answer any more.
const CLIENT_CHECK: &str = "SET client_connection_check_interval TO '1s'";

/// The settings of a question. To compile one takes longer than to answer it.
const SETTINGS: &str = "SET LOCAL jit TO off";

/// The settings of a question about few of many schemas. The server would rather read a catalog from one end to the
/// other, which is right for one such question, and wrong for as many as there are pages.
const BY_INDEX: &str = "SET LOCAL jit TO off; SET LOCAL enable_seqscan TO off; SET LOCAL enable_hashjoin TO off; \
    SET LOCAL enable_mergejoin TO off";

/// A connection that is opened when it is needed, and again after trouble.
pub(super) struct Session {
    options: PgConnectOptions,
    /// Nobody else gets the server's session afterwards, so settings may be left in it.
    is_own: bool,
    connection: Option<PgConnection>,
}

impl Session {
    pub(super) fn new(route: &Route) -> Self {
        // A question about ten thousand schemas is long and may be slow, and is no news for the log.
        let options = route.options().clone().disable_statement_logging();
        Self { options, is_own: false, connection: None }
    }

    /// A session of the login that may see most.
    pub(super) async fn for_catalog(config: &DatabaseConfig) -> Self {
        for way in [Way::Owner, Way::Direct] {
            let Some(route) = config.way(way) else { continue };
            let mut session = Self { is_own: true, ..Self::new(route) };
            if session.rows("SELECT 1").await.is_ok() {
                return session;
            }
        }
        Self { is_own: !config.is_behind_pooler(), ..Self::new(config.application()) }
    }

    /// Another session of the same login. `None` if the server or the login has no room for one.
    pub(super) async fn beside(&self) -> Option<Self> {
        let mut other = Self { options: self.options.clone(), connection: None, ..*self };
        other.rows("SELECT 1").await.is_ok().then_some(other)
    }

    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let mut connection = self.options.connect().await?;
        if self.is_own {
            match sqlx::raw_sql(CLIENT_CHECK).execute(&mut connection).await {
                // Not every platform can look for its client. There a question goes on to its end.
                Ok(_) | Err(sqlx::Error::Database(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(connection)
    }

    /// All rows of a query, by the simple protocol and in one transaction: a pooler may stand in between.
    pub(super) async fn rows(&mut self, sql: &str) -> Result<Vec<PgRow>, sqlx::Error> {
        self.rows_with(SETTINGS, sql).await
    }

    /// Does the same for a question about a page of schemas, which may not take longer where there are more.
    pub(super) async fn rows_by_index(&mut self, sql: &str) -> Result<Vec<PgRow>, sqlx::Error> {
        self.rows_with(BY_INDEX, sql).await
    }

    async fn rows_with(&mut self, settings: &str, sql: &str) -> Result<Vec<PgRow>, sqlx::Error> {
        self.rows_of_text(&format!("BEGIN READ ONLY; {settings}; {sql}; COMMIT")).await
    }

    /// All rows that a text answers with, just as it is.
    pub(super) async fn rows_of_text(&mut self, text: &str) -> Result<Vec<PgRow>, sqlx::Error> {
        let ask = async {
            // Taken out: a connection on which this is given up still waits for the answer, and one that was refused
            // is left in a transaction.
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            let rows = sqlx::raw_sql(AssertSqlSafe(text)).fetch_all(&mut connection).await?;
            self.connection = Some(connection);
            Ok(rows)
        };
        let answer = tokio::time::timeout(PATIENCE, ask).await;
        answer.unwrap_or_else(|_| Err(late()))
    }

    /// Works in a transaction that may only read.
    pub(super) async fn ask<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection) -> crate::Result<T>,
    ) -> crate::Result<T> {
        let ask = async {
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            let mut tx = connection.begin_with("BEGIN READ ONLY").await?;
            let answer = work(&mut tx).await?;
            tx.rollback().await?;
            self.connection = Some(connection);
            Ok(answer)
        };
        let answer = tokio::time::timeout(PATIENCE, ask).await;
        answer.unwrap_or_else(|_| Err(late().into()))
    }

    /// The first column of every row.
    pub(super) async fn column(&mut self, sql: &str) -> Result<Vec<String>, sqlx::Error> {
        self.rows(sql).await?.iter().map(|row| row.try_get(0)).collect()
    }

    /// Closes the connection. The next question opens another.
    pub(super) async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            let _ = connection.close().await;
        }
    }
}

fn late() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {PATIENCE:?}")))
}

/// Texts as literals, for an `IN (…)`.
pub(super) fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let literals: Vec<_> = texts.into_iter().map(|text| Literal(text).to_string()).collect();
    // Nothing is in a list of nothing, but that is no SQL.
    if literals.is_empty() { "NULL".to_owned() } else { literals.join(", ") }
}

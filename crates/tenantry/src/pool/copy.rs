//! `COPY`: rows in bulk, in and out.

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use sqlx::PgConnection;
use sqlx_core::bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::await_point::{AwaitPoint, at};
use super::checkout::Checkout;
use super::lease::Activity;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::lexer::Statements;

/// The bytes that are read from a source at a time.
pub(super) const CHUNK: usize = 64 * 1024;

/// The text of a single `COPY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CopyStatement(String);

impl CopyStatement {
    /// Refuses every other text: neither driver can take the answer to it.
    pub(super) fn parse(sql: &str) -> Result<Self> {
        let mut statements = Statements::of(sql);
        let first = statements.next().and_then(std::result::Result::ok);
        let is_copy = first.is_some_and(|first| first.tokens[0].is_keyword("copy"));
        if is_copy && statements.next().is_none() {
            return Ok(Self(sql.to_owned()));
        }
        Err(Error::invalid_input("the text is not a single `COPY` statement")
            .with_hint("write `COPY … FROM STDIN`, or `COPY … TO STDOUT`"))
    }

    pub(super) fn sql(&self) -> &str {
        &self.0
    }
}

/// The source of the data failed, and nothing of it was written.
pub(super) fn unreadable(error: std::io::Error) -> Error {
    Error::new(ErrorKind::InvalidInput, "the data for `COPY` cannot be read").with_source(error)
}

impl Checkout {
    /// Runs a `COPY … FROM STDIN` with all that can be read from the source, and answers with the number of rows.
    ///
    /// Dropping the future closes the connection, and nothing is written.
    ///
    /// # Errors
    /// What PostgreSQL answers, for example to a row that it cannot read; [`ErrorKind::InvalidInput`] if the
    /// text is no single `COPY` or the source cannot be read. Nothing is written then.
    /// [`ErrorKind::Unsupported`] behind a pooler in transaction mode.
    pub async fn copy_in(
        &mut self,
        sql: &str,
        source: impl AsyncRead + Send + Unpin,
    ) -> Result<u64, sqlx::Error> {
        self.copy_from(&CopyStatement::parse(sql)?, source).await
    }

    pub(super) async fn copy_from(
        &mut self,
        statement: &CopyStatement,
        source: impl AsyncRead + Send + Unpin,
    ) -> Result<u64, sqlx::Error> {
        self.pool.refuse_behind_pooler("`COPY`")?;
        self.settle().await?;
        self.note_effect(statement.sql())?;
        self.is_out_of_step = true;
        let sql = self.marks.text(statement.sql());
        let copied = self.lease.exchange(Activity::Call, async |_, connection| {
            at(AwaitPoint::Statement, send(connection, &sql, source)).await
        });
        let copied = copied.await;
        self.is_out_of_step = matches!(&copied, Err(error) if error.as_database_error().is_none());
        copied?.map_err(|error| unreadable(error).into())
    }

    /// Runs a `COPY … TO STDOUT`, and hands out its data as it comes.
    ///
    /// Dropped before its end, the stream closes the connection, and what follows on this checkout fails.
    pub fn copy_out(&mut self, sql: &str) -> BoxStream<'_, Result<Bytes, sqlx::Error>> {
        self.copy_to(CopyStatement::parse(sql))
    }

    pub(super) fn copy_to(
        &mut self,
        statement: Result<CopyStatement>,
    ) -> BoxStream<'_, Result<Bytes, sqlx::Error>> {
        Box::pin(async_stream::try_stream! {
            let statement = statement?;
            self.pool.refuse_behind_pooler("`COPY`")?;
            self.settle().await?;
            self.note_effect(statement.sql())?;
            self.is_out_of_step = true;
            let sql = self.marks.text(statement.sql());
            let mut exchange = self.lease.begin(Activity::Call);
            let mut failure = None;
            match at(AwaitPoint::Statement, exchange.copy_out_raw(&sql)).await {
                Ok(mut chunks) => {
                    while let Some(chunk) = at(AwaitPoint::Statement, chunks.next()).await {
                        match chunk {
                            Ok(chunk) => yield chunk,
                            Err(error) => {
                                failure = Some(error);
                                break;
                            }
                        }
                    }
                }
                Err(error) => failure = Some(error),
            }
            if let Some(error) = failure {
                // sqlx leaves a part of the server's answer unread then.
                Err(exchange.give_up(error))?;
            } else {
                exchange.finish();
                self.is_out_of_step = false;
            }
        })
    }
}

/// The number of rows, or the error of the source, after which the server was told to forget what it has.
async fn send(
    connection: &mut PgConnection,
    sql: &str,
    mut source: impl AsyncRead + Send + Unpin,
) -> Result<Result<u64, std::io::Error>, sqlx::Error> {
    let mut copy = connection.copy_in_raw(sql).await?;
    let mut chunk = vec![0; CHUNK];
    loop {
        match source.read(&mut chunk).await {
            Ok(0) => return copy.finish().await.map(Ok),
            Ok(length) => drop(copy.send(&chunk[..length]).await?),
            Err(error) => {
                copy.abort(error.to_string()).await?;
                return Ok(Err(error));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sql: &str, is_copy: bool) {
        assert_eq!(CopyStatement::parse(sql).is_ok(), is_copy, "{sql}");
    }

    #[test]
    fn only_a_single_copy_is_one() {
        check("COPY note FROM STDIN", true);
        check("/* of today */ copy note (title) TO STDOUT;", true);
        check("COPY (SELECT 1) TO STDOUT -- all of it", true);
        for sql in ["", "SELECT 1", "COPY note FROM STDIN; DROP TABLE note", "COPY note FROM 'x", "\"copy\""]
        {
            check(sql, false);
        }
    }
}

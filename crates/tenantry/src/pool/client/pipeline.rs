//! Messages that are sent to the server without waiting in between, and what comes of them.

use std::pin::Pin;
use std::task::Poll;

use futures_util::future::{BoxFuture, MaybeDone, join3, maybe_done, poll_fn};
use futures_util::{FutureExt as _, TryStreamExt as _, pin_mut};
use tokio_postgres::{Client, Row, RowStream, Statement};

use super::call::Call;
use super::statements::Owner;
use crate::error::{Error, Result};
use crate::pool::lease::SwitchAhead;
use crate::pool::purpose::Purpose;

/// One query and what goes around it. Each part is answered on its own.
#[derive(Clone, Copy)]
pub(super) struct Pipeline<'a> {
    /// Opens a transaction, and makes everything behind it fail if it fails.
    pub(super) before: Option<&'a str>,
    pub(super) query: Query<'a>,
    /// Ends the transaction.
    pub(super) after: Option<&'static str>,
}

impl<'a> Pipeline<'a> {
    /// A query with the switch before it, if that is still to come.
    pub(super) fn of(query: Query<'a>, switch_ahead: Option<&'a SwitchAhead>, purpose: Purpose) -> Self {
        let before = switch_ahead.map(|switch_ahead| switch_ahead.message.as_str());
        let after = (before.is_some() && purpose == Purpose::Statement).then_some("COMMIT");
        Self { before, query, after }
    }

    /// Returns true if it begins a transaction of which it does not send the end.
    pub(super) fn begins(&self) -> bool {
        self.before.is_some() && self.after.is_none()
    }
}

/// A question to the server.
#[derive(Clone, Copy)]
pub(super) enum Query<'a> {
    Statement {
        owner: Owner,
        /// The schema that it is for.
        schema: &'a str,
        call: Call<'a>,
    },
    /// A statement that is not prepared by itself, and whose rows nobody reads.
    #[cfg_attr(not(feature = "diesel-async"), allow(dead_code))]
    Count(Call<'a>),
    /// Statements without parameters, whose rows nobody reads.
    Batch(&'a str),
}

/// The server's answer to a query.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) rows: Vec<Row>,
    pub(super) affected: u64,
}

/// The part of a pipeline that failed.
pub(super) enum PipelineError {
    Before(Error),
    Query(Error),
    After(Error),
}

impl PipelineError {
    pub(super) fn into_error(self) -> Error {
        let (Self::Before(error) | Self::Query(error) | Self::After(error)) = self;
        error
    }

    /// Returns true if the statement did not run, because a cached plan is stale.
    pub(super) fn is_stale_plan(&self) -> bool {
        matches!(self, Self::Query(error) if error.is_stale_plan())
    }
}

/// Rows that are about to come, with what was sent behind their statement.
pub(super) struct Rows<'c> {
    rows: Pin<Box<RowStream>>,
    after: After<'c>,
}

/// The answer to what ends the transaction.
type After<'c> = Pin<Box<MaybeDone<BoxFuture<'c, Result<()>>>>>;

impl Rows<'_> {
    pub(super) async fn next(&mut self) -> Result<Option<Row>> {
        Ok(self.rows.try_next().await?)
    }

    /// Reads the answer behind the rows.
    pub(super) async fn end(self) -> Result<(), PipelineError> {
        ended(self.after).await
    }
}

/// Sends all parts. When this returns, each was answered.
///
/// Polled in this order, and each part is on its way with its first poll.
pub(super) async fn join_parts(
    client: &Client,
    pipeline: Pipeline<'_>,
    query: impl Future<Output = Result<Answer>>,
) -> Result<Answer, PipelineError> {
    let (before, query, after) =
        join3(message(client, pipeline.before), query, message(client, pipeline.after)).await;
    before.map_err(PipelineError::Before)?;
    let answer = query.map_err(PipelineError::Query);
    after.map_err(PipelineError::After)?;
    answer
}

/// Sends all parts, and answers when the rows are about to come. After an error, each part was answered.
pub(super) async fn begin_rows<'c>(
    client: &'c Client,
    pipeline: Pipeline<'_>,
    call: &Call<'_>,
    statement: Result<Statement>,
) -> Result<Rows<'c>, PipelineError> {
    let query = async {
        let statement = statement?;
        call.check_number(&statement)?;
        Ok::<_, Error>(client.query_raw(&statement, call.parameters.iter().copied()).await?)
    };
    let after = pipeline.after;
    let mut after: After<'c> = Box::pin(maybe_done(async move { message(client, after).await }.boxed()));
    let sent_after = poll_fn(|context| {
        let _ = after.as_mut().poll(context);
        Poll::Ready(())
    });
    let (before, rows, ()) = join3(message(client, pipeline.before), query, sent_after).await;
    let begun = match (before, rows) {
        (Ok(()), Ok(rows)) => Ok(rows),
        (Err(error), _) => Err(PipelineError::Before(error)),
        (Ok(()), Err(error)) => Err(PipelineError::Query(error)),
    };
    match begun {
        Ok(rows) => Ok(Rows { rows: Box::pin(rows), after }),
        Err(failure @ PipelineError::Before(_)) => {
            let _ = ended(after).await;
            Err(failure)
        }
        Err(failure) => {
            ended(after).await?;
            Err(failure)
        }
    }
}

async fn ended(mut after: After<'_>) -> Result<(), PipelineError> {
    after.as_mut().await;
    after.as_mut().take_output().unwrap_or(Ok(())).map_err(PipelineError::After)
}

pub(super) async fn message(client: &Client, sql: Option<&str>) -> Result<()> {
    match sql {
        Some(sql) => Ok(client.batch_execute(sql).await?),
        None => Ok(()),
    }
}

/// Runs a statement that was prepared, and reads all of its answer.
pub(super) async fn execute(client: &Client, statement: &Statement, call: &Call<'_>) -> Result<Answer> {
    call.check_number(statement)?;
    let rows = client.query_raw(statement, call.parameters.iter().copied()).await?;
    pin_mut!(rows);
    let mut answer = Answer::default();
    while let Some(row) = rows.try_next().await? {
        answer.rows.push(row);
    }
    answer.affected = rows.rows_affected().unwrap_or_default();
    Ok(answer)
}

/// Runs a statement that leaves nothing behind in the session, in one round trip.
pub(super) async fn count(client: &Client, call: &Call<'_>) -> Result<Answer> {
    let parameters: Vec<_> = call.parameters.iter().copied().zip(call.types.iter().cloned()).collect();
    Ok(Answer { affected: client.execute_typed(call.sql, &parameters).await?, ..Answer::default() })
}

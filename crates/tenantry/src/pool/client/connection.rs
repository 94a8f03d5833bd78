//! A client of tokio-postgres, and the statements that it has prepared.

use std::time::Duration;

use futures_util::future::join;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Statement};

use super::call::Call;
use super::pipeline::{
    Answer, Pipeline, PipelineError, Query, Rows, begin_rows, count, execute, join_parts, message,
};
use super::statements::{Owner, StatementCache};
use crate::error::{Error, Result};

/// The time that the server's half of a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// A client, and the task that carries what it sends and receives.
pub(crate) struct ClientConnection {
    client: Client,
    carrier: Carrier,
    statements: StatementCache,
    pub(super) is_in_transaction: bool,
}

/// A task that ends with its owner.
pub(super) struct Carrier(pub(super) JoinHandle<()>);

impl Drop for Carrier {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl ClientConnection {
    pub(super) fn new(client: Client, carrier: Carrier, statements: StatementCache) -> Self {
        Self { client, carrier, statements, is_in_transaction: false }
    }

    /// Sends all parts without waiting in between, where the statement is known; one that is not is
    /// prepared first.
    ///
    /// When this returns, every part was answered.
    pub(super) async fn send(&mut self, pipeline: Pipeline<'_>) -> Result<Answer, PipelineError> {
        match pipeline.query {
            Query::Batch(sql) => {
                let batch = async { message(&self.client, Some(sql)).await.map(|()| Answer::default()) };
                join_parts(&self.client, pipeline, batch).await
            }
            Query::Count(call) => join_parts(&self.client, pipeline, count(&self.client, &call)).await,
            Query::Statement { owner, schema, call } => {
                let (pipeline, statement) = self.prepare(pipeline, (owner, schema), &call).await?;
                let query = async { execute(&self.client, &statement?, &call).await };
                join_parts(&self.client, pipeline, query).await
            }
        }
    }

    /// Answers when the rows of a statement are about to come.
    pub(super) async fn begin_rows(
        &self,
        pipeline: Pipeline<'_>,
        call: &Call<'_>,
        statement: Result<Statement>,
    ) -> Result<Rows<'_>, PipelineError> {
        begin_rows(&self.client, pipeline, call, statement).await
    }

    /// The statement, and what is still to be sent: before a statement that has to be prepared, and with it, goes what
    /// is before all.
    pub(super) async fn prepare<'p>(
        &mut self,
        pipeline: Pipeline<'p>,
        (owner, schema): (Owner, &str),
        call: &Call<'_>,
    ) -> Result<(Pipeline<'p>, Result<Statement>), PipelineError> {
        let known = self.statements.find(owner, call);
        if let Some(known) = &known
            && call.misfits(known).is_none()
        {
            return Ok((pipeline, Ok(known.clone())));
        }
        let fitting = prepare_fitting(&self.client, known, call);
        let (before, prepared) = join(message(&self.client, pipeline.before), fitting).await;
        before.map_err(PipelineError::Before)?;
        if let Ok(statement) = &prepared
            && !call.is_single
        {
            self.statements.keep(owner.of(statement, schema), call, statement.clone());
        }
        Ok((Pipeline { before: None, ..pipeline }, prepared))
    }

    /// Returns true if nothing is left behind at the server when the query is cut off.
    pub(super) fn knows(&self, query: Query<'_>) -> bool {
        match query {
            Query::Statement { owner, call, .. } => self.statements.knows(owner, &call),
            Query::Batch(_) | Query::Count(_) => true,
        }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Drops what is known of statements and types. The server hears of it with what is sent next.
    pub(super) fn forget(&mut self) {
        self.statements.clear();
        self.client.clear_type_cache();
    }

    pub(super) async fn close(self) {
        let Self { client, mut carrier, .. } = self;
        // The carrier says farewell then, and ends.
        drop(client);
        let _ = tokio::time::timeout(FAREWELL, &mut carrier.0).await;
    }
}

/// Prepares a statement for parameters of the types that they have. Mostly the server infers those, and is asked for
/// the types by their names only where it took the parameters for something else.
async fn prepare_fitting(client: &Client, known: Option<Statement>, call: &Call<'_>) -> Result<Statement> {
    let statement = match known {
        Some(known) => known,
        None => client.prepare_typed(call.sql, call.types).await.map_err(Error::from)?,
    };
    let Some(named) = call.misfits(&statement) else { return Ok(statement) };
    let types = named.look_up(client).await?;
    Ok(client.prepare_typed(call.sql, &types).await?)
}

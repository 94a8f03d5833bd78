//! PostgreSQL through tokio-postgres.

use std::time::Duration;

use futures_util::future::{join, join3};
use futures_util::{TryStreamExt as _, pin_mut};
use sqlx::postgres::PgConnectOptions;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, RowStream, SimpleQueryMessage, Statement};

use super::connect::Connector;
use super::statements::{Owner, StatementCache};
use crate::database::DatabaseConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::pool::defaults::Defaults;
use crate::pool::driver::{Driver, hook_error};
use crate::pool::opener::Opener;
use crate::pool::preparation::Preprocessors;
use crate::pool::preprocessor::CheckoutRequest;
use crate::tenant::SchemaName;

/// The time that the server's half of a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

pub(crate) struct ClientDriver {
    opener: Opener,
    statement_cache_capacity: usize,
    preprocessors: Preprocessors,
    /// Made with the first connection: reading certificates takes its time.
    connector: OnceCell<Connector>,
}

/// A client, and the task that carries what it sends and receives.
pub(crate) struct ClientConnection {
    client: Client,
    carrier: Carrier,
    pub(super) statements: StatementCache,
    pub(super) is_in_transaction: bool,
}

/// A task that ends with its owner.
struct Carrier(JoinHandle<()>);

impl Drop for Carrier {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One query and what goes around it, sent without waiting in between. Each part is answered on its own.
#[derive(Clone, Copy)]
pub(super) struct Pipeline<'a> {
    /// Opens a transaction, and makes everything behind it fail if it fails.
    pub(super) before: Option<&'a str>,
    pub(super) query: Query<'a>,
    /// Ends the transaction.
    pub(super) after: Option<&'a str>,
}

/// A question to the server.
#[derive(Clone, Copy)]
pub(super) enum Query<'a> {
    Statement {
        owner: Owner,
        /// The schema that it is for.
        schema: &'a str,
        sql: &'a str,
        parameters: Parameters<'a>,
    },
    /// Statements without parameters, whose rows nobody reads.
    Batch(&'a str),
}

pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

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
}

impl ClientDriver {
    /// Opens connections in the way that those of sqlx are opened.
    pub(in crate::pool) fn new(
        opener: &Opener,
        config: &DatabaseConfig,
        preprocessors: &Preprocessors,
    ) -> Self {
        Self {
            opener: opener.clone(),
            statement_cache_capacity: config.pool_config().statement_cache_capacity,
            preprocessors: preprocessors.clone(),
            connector: OnceCell::new(),
        }
    }

    async fn open_at(&self, host: &PgConnectOptions) -> Result<ClientConnection> {
        let mut connection = self.connect(host).await?;
        self.introduce(&mut connection).await?;
        if let Some(question) = self.opener.question() {
            let answer = self.send(&mut connection, question).await?;
            self.opener.judge(answer.as_deref())?;
        }
        Ok(connection)
    }

    async fn introduce(&self, connection: &mut ClientConnection) -> Result<()> {
        let defaults = self.defaults();
        let Some(message) = defaults.first_message() else { return Ok(()) };
        let answer = match self.send(connection, message).await {
            Err(error) if defaults.is_first_message_refused(&error) => {
                self.send(connection, defaults.first_message().unwrap_or_default()).await
            }
            answer => answer,
        };
        defaults.confirm(answer?.as_deref())
    }

    async fn connect(&self, host: &PgConnectOptions) -> Result<ClientConnection> {
        let connector = self.connector.get_or_try_init(|| Connector::new(&self.opener)).await?;
        let (client, connection) = connector.connect(host).await?;
        let carrier = Carrier(tokio::spawn(async move {
            // Whoever waits for an answer is told as well.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "Lost a connection");
            }
        }));
        let statements = StatementCache::new(self.statement_cache_capacity);
        Ok(ClientConnection { client, carrier, statements, is_in_transaction: false })
    }
}

impl Driver for ClientDriver {
    type Connection = ClientConnection;

    const NAME: &'static str = "tokio-postgres";

    fn defaults(&self) -> &Defaults {
        self.opener.defaults()
    }

    async fn open(&self) -> Result<ClientConnection> {
        self.opener.first_of(|host| Box::pin(self.open_at(host))).await
    }

    fn look_elsewhere(&self) {
        self.opener.look_elsewhere();
    }

    async fn send(&self, connection: &mut ClientConnection, message: &str) -> Result<Option<String>> {
        let answers = connection.client.simple_query(message).await?;
        let last_row = answers.iter().rev().find_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        Ok(last_row.and_then(|row| row.get(0)).map(str::to_owned))
    }

    fn has_hooks(&self) -> bool {
        self.preprocessors.have_hooks()
    }

    async fn after_switch(&self, connection: &mut ClientConnection, request: &CheckoutRequest) -> Result<()> {
        for preprocessor in self.preprocessors.iter() {
            let Some(hook) = preprocessor.hook() else { continue };
            let hooked = hook.after_client_switch(request, &connection.client).await;
            hooked.map_err(|source| hook_error(preprocessor.name(), source))?;
        }
        Ok(())
    }

    async fn forget_statements(&self, connection: &mut ClientConnection) -> Result<()> {
        connection.forget();
        Ok(())
    }

    async fn roll_back(&self, connection: &mut ClientConnection, message: &str) -> Result<Option<String>> {
        let answer = self.send(connection, &format!("ROLLBACK; {message}")).await?;
        connection.is_in_transaction = false;
        Ok(answer)
    }

    async fn drain(&self, connection: &mut ClientConnection) -> Result<()> {
        // Answers come in order, so with this one all others were read, and went to nobody.
        Ok(connection.client.check_connection().await?)
    }

    fn is_in_transaction(&self, connection: &mut ClientConnection) -> bool {
        connection.is_in_transaction
    }

    fn is_lost(&self, connection: &ClientConnection) -> bool {
        connection.client.is_closed()
    }

    fn can_send_ahead(&self) -> bool {
        // A hook has to see the session between the switch and the statement.
        !self.has_hooks()
    }

    async fn close(&self, connection: ClientConnection) {
        let ClientConnection { client, mut carrier, .. } = connection;
        // The carrier says farewell then, and ends.
        drop(client);
        let _ = tokio::time::timeout(FAREWELL, &mut carrier.0).await;
    }
}

impl ClientConnection {
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
            Query::Statement { owner, schema, sql, parameters } => {
                if let Some(statement) = self.statements.find(owner, sql) {
                    let query = execute(&self.client, &statement, parameters);
                    return join_parts(&self.client, pipeline, query).await;
                }
                self.prepare_and_execute(pipeline, (owner, schema), sql, parameters).await
            }
        }
    }

    async fn prepare_and_execute(
        &mut self,
        pipeline: Pipeline<'_>,
        (owner, schema): (Owner, &str),
        sql: &str,
        parameters: Parameters<'_>,
    ) -> Result<Answer, PipelineError> {
        let client = &self.client;
        let (before, prepared) = join(message(client, pipeline.before), client.prepare(sql)).await;
        before.map_err(PipelineError::Before)?;
        let pipeline = Pipeline { before: None, ..pipeline };
        match prepared {
            Ok(statement) => {
                self.statements.keep(owner.of(&statement, schema), sql, statement.clone());
                join_parts(client, pipeline, execute(client, &statement, parameters)).await
            }
            Err(error) => join_parts(client, pipeline, async { Err(Error::from(error)) }).await,
        }
    }

    /// Sends a statement, which is prepared unless it is known, and answers when its rows are about to come.
    pub(super) async fn begin_rows(
        &mut self,
        (owner, schema): &(Owner, SchemaName),
        sql: &str,
        parameters: &[Box<dyn ToSql + Send + Sync>],
    ) -> Result<RowStream> {
        let statement = if let Some(known) = self.statements.find(*owner, sql) {
            known
        } else {
            let statement = self.client.prepare(sql).await?;
            self.statements.keep(owner.of(&statement, schema.as_str()), sql, statement.clone());
            statement
        };
        check_number(&statement, parameters.len())?;
        let parameters = parameters.iter().map(|parameter| &**parameter as &(dyn ToSql + Sync));
        Ok(self.client.query_raw(&statement, parameters).await?)
    }

    /// Returns true if the statement was prepared on this connection.
    pub(super) fn knows(&self, query: Query<'_>) -> bool {
        match query {
            Query::Statement { owner, sql, .. } => self.statements.knows(owner, sql),
            Query::Batch(_) => true,
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
}

/// Polled in this order, and each part is on its way with its first poll.
async fn join_parts(
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

async fn message(client: &Client, sql: Option<&str>) -> Result<()> {
    match sql {
        Some(sql) => Ok(client.batch_execute(sql).await?),
        None => Ok(()),
    }
}

async fn execute(client: &Client, statement: &Statement, parameters: Parameters<'_>) -> Result<Answer> {
    check_number(statement, parameters.len())?;
    let rows = client.query_raw(statement, parameters.iter().copied()).await?;
    pin_mut!(rows);
    let mut answer = Answer::default();
    while let Some(row) = rows.try_next().await? {
        answer.rows.push(row);
    }
    answer.affected = rows.rows_affected().unwrap_or_default();
    Ok(answer)
}

fn check_number(statement: &Statement, given: usize) -> Result<()> {
    let takes = statement.params().len();
    if takes == given {
        return Ok(());
    }
    let message = format!("the statement takes {takes} parameters and was given {given}");
    Err(Error::new(ErrorKind::Database, message))
}

//! The seam between the pool and the way it talks to PostgreSQL.

use std::future::Future;

use sqlx::postgres::Postgres;
use sqlx::{Connection as _, PgConnection};
use sqlx_core::database::Database;
use sqlx_core::transaction::TransactionManager as _;

use super::defaults::Defaults;
use super::message::send;
use super::opener::Opener;
use super::preparation::Preprocessors;
use super::preprocessor::CheckoutRequest;
use crate::error::{BoxError, Error, ErrorKind, Result, breaks_connection};
use crate::tenant::Node;

type Manager = <Postgres as Database>::TransactionManager;

/// The few questions that the pool asks of a database driver, without policy.
///
/// Every method may be dropped at any `.await`; the pool then closes the connection.
pub(crate) trait Driver: Send + Sync + 'static {
    type Connection: Send + 'static;

    /// The name that metrics call it by.
    const NAME: &'static str;

    /// Set if a future of it that reads comes back only when there is nothing to read at the moment.
    const READS_WITHOUT_PAUSE: bool = false;

    /// The name that metrics call this one by.
    fn name(&self) -> String {
        Self::NAME.to_owned()
    }

    /// The settings of the sessions that it opens.
    fn defaults(&self) -> &Defaults;

    /// Opens a connection that sees no table: its `search_path` is the void.
    fn open(&self) -> impl Future<Output = Result<Self::Connection>> + Send;

    /// The driver whose connections lead to a node of the cluster; `None` if none are to lead there.
    fn to_node(&self, _node: &Node) -> Option<Self>
    where
        Self: Sized,
    {
        None
    }

    /// Has the next connection opened to another host, if there are several: this one became a standby.
    fn look_elsewhere(&self) {}

    /// Sends one message of one or more statements without parameters, and answers with the first
    /// column of the last row. A failing statement ends the message.
    fn send(
        &self,
        connection: &mut Self::Connection,
        message: &str,
    ) -> impl Future<Output = Result<Option<String>>> + Send;

    /// Returns true if preprocessors have hooks.
    fn has_hooks(&self) -> bool {
        false
    }

    /// Runs the hooks of the preprocessors.
    fn after_switch(
        &self,
        connection: &mut Self::Connection,
        request: &CheckoutRequest,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Drops every prepared statement, and with them what the driver knows of types.
    fn forget_statements(&self, connection: &mut Self::Connection)
    -> impl Future<Output = Result<()>> + Send;

    /// Drops the statements that have names: behind a pooler they must not outlive their transaction.
    fn forget_named(&self, _connection: &mut Self::Connection) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Undoes the open transaction, and what the driver itself knows of it. Then sends a message like
    /// [`send`](Self::send); without a transaction that the driver knows of, both are one.
    fn roll_back(
        &self,
        connection: &mut Self::Connection,
        message: &str,
    ) -> impl Future<Output = Result<Option<String>>> + Send;

    /// Reads the rest of the answer to a statement that was cut off, and throws it away. Fails if the
    /// driver and the server do not agree afterwards on what is prepared.
    fn drain(&self, connection: &mut Self::Connection) -> impl Future<Output = Result<()>> + Send;

    /// Returns true if the driver itself knows of an open transaction.
    fn is_in_transaction(&self, connection: &mut Self::Connection) -> bool;

    /// Returns true if the driver has noticed that the connection is lost.
    fn is_lost(&self, _connection: &Self::Connection) -> bool {
        false
    }

    /// Returns true if a switch may travel in one pipeline with the statement it is for.
    #[cfg(feature = "tokio-postgres")]
    fn can_send_ahead(&self) -> bool {
        false
    }

    /// Closes a connection in good order. One that is busy is dropped instead: nobody waits for it.
    fn close(&self, connection: Self::Connection) -> impl Future<Output = ()> + Send;
}

/// The statements that the server has prepared for the driver; those of SQL's `PREPARE` do not count.
const COUNT_PREPARED: &str =
    "SELECT pg_catalog.count(*)::text FROM pg_catalog.pg_prepared_statements WHERE NOT from_sql";

/// A hook may refuse the connection, or find it lost like anybody else who uses it.
pub(super) fn hook_error(preprocessor: &str, source: BoxError) -> Error {
    match source.downcast::<sqlx::Error>() {
        Ok(error) if breaks_connection(&error) => Error::from(*error),
        Ok(error) => refused_by(preprocessor, error),
        Err(source) => refused_by(preprocessor, source),
    }
}

fn refused_by(preprocessor: &str, source: impl Into<BoxError>) -> Error {
    let message = format!("preprocessor `{preprocessor}` refused the connection");
    Error::new(ErrorKind::Configuration, message).with_source(source)
}

/// PostgreSQL through sqlx's `PgConnection`.
pub(crate) struct PgDriver {
    pub(crate) opener: Opener,
    pub(crate) preprocessors: Preprocessors,
    /// The number of the replica that it leads to, from 1.
    pub(crate) replica: Option<usize>,
}

impl Driver for PgDriver {
    type Connection = PgConnection;

    const NAME: &'static str = "sqlx";

    const READS_WITHOUT_PAUSE: bool = true;

    fn name(&self) -> String {
        match self.replica {
            Some(number) => format!("replica-{number}"),
            None => self.opener.name_at_node(Self::NAME),
        }
    }

    fn defaults(&self) -> &Defaults {
        self.opener.defaults()
    }

    async fn open(&self) -> Result<PgConnection> {
        self.opener.open().await
    }

    fn to_node(&self, node: &Node) -> Option<Self> {
        let opener = self.opener.to_node(node)?;
        Some(Self { opener, preprocessors: self.preprocessors.clone(), replica: self.replica })
    }

    fn look_elsewhere(&self) {
        self.opener.look_elsewhere();
    }

    async fn send(&self, connection: &mut PgConnection, message: &str) -> Result<Option<String>> {
        send(connection, message).await
    }

    fn has_hooks(&self) -> bool {
        self.preprocessors.have_hooks()
    }

    async fn after_switch(&self, connection: &mut PgConnection, request: &CheckoutRequest) -> Result<()> {
        for preprocessor in self.preprocessors.iter() {
            let Some(hook) = preprocessor.hook() else { continue };
            let hooked = hook.after_switch(request, connection).await;
            hooked.map_err(|source| hook_error(preprocessor.name(), source))?;
        }
        Ok(())
    }

    async fn forget_statements(&self, connection: &mut PgConnection) -> Result<()> {
        Ok(connection.clear_cached_statements().await?)
    }

    /// A preprocessor's hook has the bare connection, and names its statements.
    async fn forget_named(&self, connection: &mut PgConnection) -> Result<()> {
        if connection.cached_statements_size() == 0 {
            return Ok(());
        }
        self.forget_statements(connection).await
    }

    async fn roll_back(&self, connection: &mut PgConnection, message: &str) -> Result<Option<String>> {
        if Manager::get_transaction_depth(connection) == 0 {
            return self.send(connection, &format!("ROLLBACK; {message}")).await;
        }
        // One for each savepoint of sqlx's. They are sent, and their answers read, before the message is.
        while Manager::get_transaction_depth(connection) > 0 {
            Manager::start_rollback(connection);
        }
        match self.send(connection, message).await {
            // That of a statement that was cut off.
            Err(error) if error.kind() == ErrorKind::Database => self.send(connection, message).await,
            answer => answer,
        }
    }

    async fn drain(&self, connection: &mut PgConnection) -> Result<()> {
        let prepared = match self.send(connection, COUNT_PREPARED).await {
            // That of the statement: sqlx reads what is left over before it sends anything.
            Err(error) if error.kind() == ErrorKind::Database => self.send(connection, COUNT_PREPARED).await,
            answer => answer,
        }?;
        // Cut off between `Parse` and its answer, a statement is known to the server alone, for ever.
        if prepared == Some(connection.cached_statements_size().to_string()) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Database, "a statement was cut off while it was prepared"))
    }

    fn is_in_transaction(&self, connection: &mut PgConnection) -> bool {
        sqlx::Connection::is_in_transaction(connection)
    }

    async fn close(&self, connection: PgConnection) {
        // The server notices a closed socket as well; nobody waits for the answer.
        let _ = connection.close().await;
    }
}

//! PostgreSQL through tokio-postgres.

use sqlx::postgres::PgConnectOptions;
use tokio::sync::OnceCell;
use tokio_postgres::SimpleQueryMessage;

use super::connect::Connector;
use super::connection::{Carrier, ClientConnection};
use super::statements::StatementCache;
use crate::database::DatabaseConfig;
use crate::error::Result;
use crate::pool::defaults::Defaults;
use crate::pool::driver::{Driver, hook_error};
use crate::pool::opener::Opener;
use crate::pool::preparation::Preprocessors;
use crate::pool::preprocessor::CheckoutRequest;
use crate::tenant::Node;

pub(crate) struct ClientDriver {
    opener: Opener,
    statement_cache_capacity: usize,
    preprocessors: Preprocessors,
    /// Made with the first connection: reading certificates takes its time.
    connector: OnceCell<Connector>,
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
            self.opener.judge(self.send(&mut connection, question).await)?;
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
        Ok(ClientConnection::new(client, carrier, statements))
    }
}

impl Driver for ClientDriver {
    type Connection = ClientConnection;

    const NAME: &'static str = "tokio-postgres";

    fn name(&self) -> String {
        self.opener.name_at_node(Self::NAME)
    }

    fn defaults(&self) -> &Defaults {
        self.opener.defaults()
    }

    async fn open(&self) -> Result<ClientConnection> {
        self.opener.first_of(|host| Box::pin(self.open_at(host))).await
    }

    fn to_node(&self, node: &Node) -> Option<Self> {
        Some(Self {
            opener: self.opener.to_node(node)?,
            statement_cache_capacity: self.statement_cache_capacity,
            preprocessors: self.preprocessors.clone(),
            connector: OnceCell::new(),
        })
    }

    fn look_elsewhere(&self) {
        self.opener.look_elsewhere();
    }

    async fn send(&self, connection: &mut ClientConnection, message: &str) -> Result<Option<String>> {
        let answers = connection.client().simple_query(message).await?;
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
            let hooked = hook.after_client_switch(request, connection.client()).await;
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
        Ok(connection.client().check_connection().await?)
    }

    fn is_in_transaction(&self, connection: &mut ClientConnection) -> bool {
        connection.is_in_transaction
    }

    fn is_lost(&self, connection: &ClientConnection) -> bool {
        connection.client().is_closed()
    }

    fn can_send_ahead(&self) -> bool {
        // A hook has to see the session between the switch and the statement.
        !self.has_hooks()
    }

    async fn close(&self, connection: ClientConnection) {
        connection.close().await;
    }
}

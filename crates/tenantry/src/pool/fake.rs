//! A driver without a server, for tests of the pool's own logic.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, LazyLock, Mutex};

use super::defaults::Defaults;
use super::driver::Driver;
use super::preprocessor::CheckoutRequest;
use crate::database::PoolConfig;
use crate::error::{Error, ErrorKind, Result};

/// The behaviour of a fake server, and what it has seen.
#[derive(Clone, Default)]
pub(super) struct Fake(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    opened: u32,
    closed: u32,
    messages: Vec<String>,
    refuses: bool,
    hangs: bool,
    /// Connections opened up to this number are gone.
    lost_up_to: u32,
    missing_schema: Option<String>,
}

pub(super) struct FakeConnection {
    id: u32,
    server: Fake,
    /// The schema of the last switch.
    schema: Option<String>,
    pub(super) is_in_transaction: bool,
}

impl Drop for FakeConnection {
    fn drop(&mut self) {
        self.server.0.lock().unwrap().closed += 1;
    }
}

impl Fake {
    /// From now on connections are refused, or accepted again.
    pub(super) fn set_refusing(&self, refuses: bool) {
        self.0.lock().unwrap().refuses = refuses;
    }

    /// From now on no message is answered, or all are again.
    pub(super) fn set_hanging(&self, hangs: bool) {
        self.0.lock().unwrap().hangs = hangs;
    }

    /// All connections that are open now are gone, as after a restart of the server.
    pub(super) fn lose_all(&self) {
        let mut state = self.0.lock().unwrap();
        state.lost_up_to = state.opened;
    }

    pub(super) fn drop_schema(&self, schema: &str) {
        self.0.lock().unwrap().missing_schema = Some(schema.to_owned());
    }

    pub(super) fn opened(&self) -> u32 {
        self.0.lock().unwrap().opened
    }

    /// Connections that are open on the server.
    pub(super) fn open(&self) -> u32 {
        let state = self.0.lock().unwrap();
        state.opened - state.closed
    }

    pub(super) fn messages(&self) -> Vec<String> {
        self.0.lock().unwrap().messages.clone()
    }

    pub(super) fn message_count(&self) -> usize {
        self.0.lock().unwrap().messages.len()
    }

    /// The server's answer to a message: the schema in force, named by the last `SET` that it has seen.
    fn answer(&self, connection: &mut FakeConnection, message: &str) -> Result<Option<String>> {
        let mut state = self.0.lock().unwrap();
        if connection.id <= state.lost_up_to {
            return Err(Error::new(ErrorKind::DatabaseUnavailable, "the connection is gone"));
        }
        state.messages.push(message.to_owned());
        if let Some((_, path)) = message.rsplit_once("SET search_path TO \"") {
            connection.schema = path.split('"').next().map(str::to_owned);
        }
        Ok(connection.schema.clone().filter(|schema| state.missing_schema.as_ref() != Some(schema)))
    }
}

impl Driver for Fake {
    type Connection = FakeConnection;

    const NAME: &'static str = "fake";

    fn defaults(&self) -> &Defaults {
        static DEFAULTS: LazyLock<Defaults> =
            LazyLock::new(|| Defaults::of_pool("fake", &PoolConfig::default()));
        &DEFAULTS
    }

    async fn open(&self) -> Result<FakeConnection> {
        tokio::task::yield_now().await;
        let mut state = self.0.lock().unwrap();
        if state.refuses {
            return Err(Error::new(ErrorKind::DatabaseUnavailable, "connection refused"));
        }
        state.opened += 1;
        Ok(FakeConnection { id: state.opened, server: self.clone(), schema: None, is_in_transaction: false })
    }

    async fn send(&self, connection: &mut FakeConnection, message: &str) -> Result<Option<String>> {
        tokio::task::yield_now().await;
        if self.0.lock().unwrap().hangs {
            std::future::pending::<()>().await;
        }
        self.answer(connection, message)
    }

    async fn after_switch(&self, _connection: &mut FakeConnection, _request: &CheckoutRequest) -> Result<()> {
        Ok(())
    }

    async fn forget_statements(&self, _connection: &mut FakeConnection) -> Result<()> {
        Ok(())
    }

    async fn roll_back(&self, connection: &mut FakeConnection, message: &str) -> Result<Option<String>> {
        let answer = self.send(connection, &format!("ROLLBACK; {message}")).await;
        connection.is_in_transaction = false;
        answer
    }

    async fn drain(&self, connection: &mut FakeConnection) -> Result<()> {
        self.send(connection, "DRAIN").await.map(drop)
    }

    fn is_in_transaction(&self, connection: &mut FakeConnection) -> bool {
        connection.is_in_transaction
    }

    async fn close(&self, _connection: FakeConnection) {
        tokio::task::yield_now().await;
    }
}

//! The servers that one read is asked of, in turn, until one has answered.

use super::reader::{After, Reader};
use crate::error::{Error, ErrorKind, Remedy, Result, breaks_connection};
use crate::pool::checkout::Checkout;
use crate::pool::purpose::Purpose;
use crate::pool::statement::Statement;

/// The use that a read makes of a connection.
#[derive(Clone, Copy)]
pub(super) enum Need<'a> {
    Statement(&'a Statement),
    /// Something that needs a session of the server.
    Session(&'a str),
    /// A transaction, with settings where the checkout begins it.
    Transaction(&'a [(String, String)]),
}

/// The servers that one read was asked of.
pub(super) struct Attempts<'a> {
    reader: &'a Reader,
    after: Option<&'a After>,
    tried: Vec<usize>,
    /// Only the primary is left.
    skips_replicas: bool,
    /// The replica that has the read now.
    at: Option<usize>,
    /// The answer of a replica, for which the primary was asked.
    answer: Option<sqlx::Error>,
    /// The reason why the last replica could not be asked.
    trouble: Option<Error>,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(reader: &'a Reader, after: Option<&'a After>) -> Self {
        let skips_replicas = after.is_some_and(|after| !after.is_comparable);
        Self { reader, after, tried: Vec::new(), skips_replicas, at: None, answer: None, trouble: None }
    }

    /// A connection of the next server that has one.
    pub(super) async fn check_out(&mut self, need: Need<'_>) -> Result<Checkout, sqlx::Error> {
        while let Some(index) = self.next().await {
            let access = self.reader.replica(index);
            // Trouble with the tenant or the registry is none of the replica's.
            access.look().await?;
            let replica = &self.reader.replicas.members()[index];
            let checkout = tokio::select! {
                biased;
                checkout = need.of(access) => checkout,
                gone = replica.gone() => Err(gone),
            };
            match checkout {
                Ok(checkout) => {
                    self.at = Some(index);
                    return Ok(checkout);
                }
                Err(error) => self.pass_over(index, error)?,
            }
        }
        self.at_primary(need).await
    }

    /// Waits until the server that was asked is left; for ever if it is the primary.
    pub(super) async fn gone(&self) -> sqlx::Error {
        match self.at {
            Some(index) => self.reader.replicas.members()[index].gone().await.into(),
            None => std::future::pending().await,
        }
    }

    async fn next(&self) -> Option<usize> {
        if self.skips_replicas {
            return None;
        }
        let (replicas, tenant) = (&self.reader.replicas, self.reader.tenant.id());
        let Some(after) = self.after else { return replicas.choose(tenant, &self.tried).await };
        let limit = after.patience(replicas.config().max_wait);
        let chosen = replicas.choose_after(tenant, &self.tried, after.position, limit).await;
        if chosen.is_none() {
            after.give_up();
        }
        chosen
    }

    /// Goes on without a replica that gave no connection.
    fn pass_over(&mut self, index: usize, error: Error) -> Result<()> {
        match Remedy::of_checkout(&error) {
            Some(Remedy::AnotherServer) => {
                if error.kind() != ErrorKind::PoolBusy {
                    self.reader.replicas.members()[index].leave(&error);
                }
                self.tried.push(index);
                self.trouble = Some(error);
                Ok(())
            }
            Some(Remedy::Primary) if self.reader.may_ask_primary() => {
                self.skips_replicas = true;
                self.answer = Some(error.into());
                Ok(())
            }
            _ => Err(error),
        }
    }

    async fn at_primary(&mut self, need: Need<'_>) -> Result<Checkout, sqlx::Error> {
        if !self.reader.may_ask_primary() {
            return Err(self.no_replica().into());
        }
        let checkout = need.of(self.reader.primary()).await;
        checkout.map_err(|error| self.of_primary(error.into()))
    }

    /// Judges a statement that has failed before its first row: it is to be run again, or that was it.
    pub(super) fn fail(&mut self, error: sqlx::Error) -> Result<(), sqlx::Error> {
        let Some(index) = self.at.take() else { return Err(self.of_primary(error)) };
        match Remedy::of_statement(&error) {
            Some(Remedy::AnotherServer) => {
                self.reader.replicas.members()[index].doubt();
                self.tried.push(index);
                self.trouble = Some(error.into());
                Ok(())
            }
            Some(Remedy::Primary) if self.reader.may_ask_primary() => {
                self.skips_replicas = true;
                self.answer = Some(error);
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// The error of the primary, unless it is away and a replica had an answer.
    fn of_primary(&mut self, error: sqlx::Error) -> sqlx::Error {
        if breaks_connection(&error) { self.answer.take().unwrap_or(error) } else { error }
    }

    fn no_replica(&mut self) -> Error {
        let database = self.reader.tenant.database();
        let error = match self.after {
            Some(_) => format!("no replica of database `{database}` has what the token stands for"),
            None => format!("no replica of database `{database}` can be read"),
        };
        let error = Error::new(ErrorKind::DatabaseUnavailable, error)
            .with_tenant(self.reader.tenant.slug())
            .with_hint("run `tenantry doctor`, or set `without = \"primary\"` under `[replicas]`");
        match self.trouble.take() {
            Some(trouble) => error.with_source(trouble),
            None => error,
        }
    }
}

impl Need<'_> {
    async fn of(self, access: &crate::pool::access::Access) -> Result<Checkout> {
        match self {
            Self::Statement(statement) => access.checkout_for(statement).await,
            Self::Session(what) => access.checkout(what).await,
            Self::Transaction(settings) => access.check_out_with(Purpose::Transaction, settings).await,
        }
    }
}

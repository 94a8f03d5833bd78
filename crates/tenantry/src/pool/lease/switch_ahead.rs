//! A switch that travels in one flight with what it is for.
//!
//! The message opens a transaction, and in it looks like a switch with a check that fails. When it fails,
//! the transaction is aborted, and PostgreSQL refuses every statement that was sent behind it. One case
//! is left: the message may fail before its `BEGIN` took effect, cancelled by an operator or not
//! readable in the encoding of the database. What was sent behind it then runs in the session as it is.
//! So that must not be a tenant's: the session is in the *void*, where no table is seen, and the server
//! confirmed that in a round trip of its own before the first such message.
//!
//! The check costs the server more than the rest of the message. So it is left out where this connection
//! made it for the same preparation not long ago, and what a tenant is promised then is what it is
//! promised on a warm connection: if its schema has vanished, behind it in the path is the void.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::{Lease, Switching, line_of};
use crate::database::Verify;
use crate::error::{Error, ErrorKind, Result};
use crate::guard::{Guard, stands};
use crate::pool::await_point::{AwaitPoint, at};
use crate::pool::driver::Driver;
use crate::pool::preparation::{Preparation, Span};
use crate::pool::shared::LineName;
use crate::sql::VOID_SCHEMA;

/// `SQLSTATE` of the check that fails.
const DIVISION_BY_ZERO: &str = crate::error::sqlstate::DIVISION_BY_ZERO;

/// What has to be sent before the first statement, in one flight with it.
pub(in crate::pool) struct SwitchAhead {
    pub(in crate::pool) message: String,
    preparation: Arc<Preparation>,
    span: Span,
    has_check: bool,
}

/// For whom this connection has checked, and when. No more than the tenants it may serve.
#[derive(Default)]
pub(super) struct Checks(HashMap<LineName, (Arc<Preparation>, Instant)>);

impl SwitchAhead {
    /// What it means that the message failed.
    pub(in crate::pool) fn judge(&self, error: Error) -> Error {
        match error.database_code() {
            Some(code) if code == DIVISION_BY_ZERO => self.preparation.missing_schema(),
            _ => error,
        }
    }
}

impl<D: Driver> Lease<D> {
    /// Whether this pool's connections may be switched so.
    pub(super) fn can_send_ahead(&self) -> bool {
        self.shared.config.verify == Verify::Switch && self.shared.driver.can_send_ahead()
    }

    /// Makes sure that the session is in the void. A round trip, unless it was left there.
    pub(super) async fn prepare_switch_ahead(
        &mut self,
        preparation: &Arc<Preparation>,
        switching: Switching,
    ) -> Result<()> {
        if !self.is_in_void() && stands(Guard::VoidFirst) {
            self.enter_void().await?;
        }
        let Some(pooled) = &mut self.pooled else { return Ok(()) };
        // Twice in a row, and it stays: the third time needs neither transaction nor check. What a
        // user's transaction leaves behind depends on how that ends, which only the server knows.
        let stays = switching == Switching::WithStatement && pooled.last_served(preparation);
        let span = if stays { Span::Session } else { Span::Transaction };
        let checked = pooled.checks.0.get(&line_of(preparation));
        let lasts = |(checked, at): &(Arc<Preparation>, Instant)| {
            at.elapsed() < self.shared.config.check_after_idle && checked.serves(preparation)
        };
        let has_check = span == Span::Session || !checked.is_some_and(lasts);
        let message = preparation.switch_ahead_message(span, has_check);
        self.switch_ahead =
            Some(Box::new(SwitchAhead { message, preparation: Arc::clone(preparation), span, has_check }));
        pooled.session = Some(Arc::clone(preparation));
        pooled.is_confirmed = true;
        pooled.is_void = true;
        pooled.served.insert(line_of(preparation));
        Ok(())
    }

    fn is_in_void(&self) -> bool {
        self.pooled.as_ref().is_some_and(|pooled| {
            pooled.is_void
                && pooled.is_confirmed
                && pooled.idle_since.elapsed() < self.shared.config.check_after_idle
                && !self.shared.driver.is_lost(&pooled.connection)
        })
    }

    async fn enter_void(&mut self) -> Result<()> {
        self.begin_exchange();
        let Some(pooled) = &mut self.pooled else { return Ok(()) };
        let message = Preparation::void_message(pooled.session.as_deref());
        let answer =
            at(AwaitPoint::Switch, self.shared.driver.send(&mut pooled.connection, &message)).await?;
        if answer.as_deref() != Some(VOID_SCHEMA) {
            let message = format!("schema `{VOID_SCHEMA}` is missing or may not be used");
            return Err(Error::new(ErrorKind::Registry, message).with_hint("run `tenantry init`"));
        }
        self.end_statement();
        Ok(())
    }

    /// What has to be sent first, or nothing any more.
    pub(in crate::pool) fn take_switch_ahead(&mut self) -> Option<Box<SwitchAhead>> {
        self.switch_ahead.take()
    }

    /// Notes that an opening and the statement behind it succeeded, and were committed if it was single.
    pub(in crate::pool) fn switch_ahead_succeeded(&mut self, switch_ahead: &SwitchAhead) {
        let Some(pooled) = &mut self.pooled else { return };
        if switch_ahead.has_check {
            let checked = (Arc::clone(&switch_ahead.preparation), Instant::now());
            pooled.checks.0.insert(line_of(&switch_ahead.preparation), checked);
        }
        pooled.is_void = switch_ahead.span == Span::Transaction;
    }

    /// Notes that the statement behind an opening failed, perhaps because the schema has vanished: the
    /// next opening checks.
    pub(in crate::pool) fn switch_ahead_failed(&mut self, switch_ahead: &SwitchAhead) {
        if let Some(pooled) = &mut self.pooled {
            pooled.checks.0.remove(&line_of(&switch_ahead.preparation));
        }
    }
}

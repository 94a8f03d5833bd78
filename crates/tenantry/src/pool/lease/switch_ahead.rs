//! A switch that travels in one pipeline with what it is for.
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

use std::sync::Arc;

use super::{Activity, Lease, Switching, within};
use crate::database::Verify;
use crate::error::{Error, ErrorKind, Result};
use crate::guard::{Guard, stands};
use crate::pool::await_point::{AwaitPoint, at};
use crate::pool::driver::Driver;
use crate::pool::preparation::{Preparation, Span};
use crate::pool::session::{SessionState, Warmth};
use crate::sql::VOID_SCHEMA;

/// `SQLSTATE` of the check that fails.
const DIVISION_BY_ZERO: &str = crate::error::sqlstate::DIVISION_BY_ZERO;

/// The message that goes before the first statement, in one pipeline with it.
pub(in crate::pool) struct SwitchAhead {
    pub(in crate::pool) message: String,
    preparation: Arc<Preparation>,
    span: Span,
    has_check: bool,
}

impl SwitchAhead {
    /// Has the message begin with this statement.
    pub(in crate::pool) fn begin_with(&mut self, begin: &str) {
        self.message.replace_range(.."BEGIN".len(), begin);
    }

    /// Judges the error of a message that failed.
    pub(in crate::pool) fn judge(&self, error: Error) -> Error {
        match error.database_code() {
            Some(code) if code == DIVISION_BY_ZERO => self.preparation.missing_schema(),
            _ => error,
        }
    }
}

impl<D: Driver> Lease<D> {
    /// Returns true if this pool's connections may be switched so.
    pub(super) fn can_send_ahead(&self) -> bool {
        let slots = &self.slot.slots;
        slots.config.verify == Verify::Switch && slots.driver.can_send_ahead()
    }

    /// Makes sure that the session is in the void, and what to send before the statement. A round trip,
    /// unless the session was left there.
    pub(super) async fn prepare_switch_ahead(
        &mut self,
        switching: Switching,
        warmth: Warmth,
        preparation: &Arc<Preparation>,
    ) -> Result<()> {
        if warmth != Warmth::Void && stands(Guard::VoidFirst) {
            self.enter_void().await?;
        }
        let check_lasts = self.slot.slots.config.check_after_idle;
        let pooled = self.pooled();
        // Twice in a row, and it stays: the third time needs neither transaction nor check. What a
        // user's transaction leaves behind depends on how that ends, which only the server knows.
        let stays = switching == Switching::WithStatement && pooled.session.last_served(preparation);
        let span = if stays { Span::Session } else { Span::Transaction };
        let has_check = span == Span::Session || !pooled.checks.holds(preparation, check_lasts);
        pooled.session = SessionState::void(preparation);
        let is_other_version = pooled.serve(preparation);
        let message = preparation.switch_ahead_message(span, has_check);
        self.switch_ahead =
            Some(Box::new(SwitchAhead { message, preparation: Arc::clone(preparation), span, has_check }));
        // Statements are kept apart by tenants; what is known of types is not kept apart by versions.
        if is_other_version && stands(Guard::ForgetTypes) { self.forget_statements().await } else { Ok(()) }
    }

    async fn enter_void(&mut self) -> Result<()> {
        let message = Preparation::void_message(self.pooled().session.last().map(Arc::as_ref));
        let limit = self.slot.slots.answer_limit();
        self.exchange(Activity::Boundary, async |driver, connection| {
            match at(AwaitPoint::Switch, within(limit, driver.send(connection, &message))).await?.as_deref() {
                Some(VOID_SCHEMA) => Ok(()),
                _ => Err(missing_void()),
            }
        })
        .await
    }

    /// Hands out the message that goes first, once.
    pub(in crate::pool) fn take_switch_ahead(&mut self) -> Option<Box<SwitchAhead>> {
        self.switch_ahead.take()
    }

    /// Notes that a switch and the statement behind it succeeded, and were committed if it was single.
    pub(in crate::pool) fn switch_ahead_succeeded(&mut self, switch_ahead: &SwitchAhead) {
        let SwitchAhead { preparation, span, has_check, .. } = switch_ahead;
        let pooled = self.pooled();
        if *has_check {
            pooled.checks.succeeded(preparation);
        }
        if *span == Span::Session {
            pooled.session = SessionState::in_force(preparation);
        }
    }

    /// Notes that the statement behind a switch failed, perhaps because the schema has vanished: the
    /// next switch checks.
    pub(in crate::pool) fn switch_ahead_failed(&mut self, switch_ahead: &SwitchAhead) {
        self.pooled().checks.forget(&switch_ahead.preparation);
    }
}

fn missing_void() -> Error {
    let message = format!("schema `{VOID_SCHEMA}` is missing or may not be used");
    Error::new(ErrorKind::Registry, message).with_hint("run `tenantry init`")
}

//! A stock `PgPool` that follows the task's tenant, for libraries that insist on one.
//!
//! sqlx's pool knows nothing of a connection but its age, so its hooks can only do the same work
//! every time: an idle session is in the void and holds nothing, and each checkout switches it. What
//! is not switched shows no table, whichever hook sqlx left out.
//!
//! A hook's error is no way to refuse somebody: sqlx logs it, reconnects until the checkout times out,
//! and answers with the timeout. A checkout that is refused therefore gets a connection on which
//! every statement fails.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use super::cleaning::clean;
use super::driver::{Driver as _, PgDriver};
use super::grant::Grant;
use super::preprocessor::{CheckoutRequest, Target};
use crate::database::Layout;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::{Literal, VOID_SCHEMA};
use crate::tenant::Tenant;

/// The number of times a refusal is sent until it is sqlx that has to wait for the answer.
const ATTEMPTS: u32 = 10;

/// Everything that the hooks of one stock pool work with.
pub(super) struct Hooks {
    pub(super) driver: PgDriver,
    pub(super) layout: Arc<Layout>,
    /// The longest that cleaning a used connection may take before it is closed instead.
    pub(super) clean_timeout: Duration,
    /// The tenant that the running task works for.
    pub(super) whom: fn() -> Result<Tenant>,
}

/// A pool that opens its first connection at the first checkout.
pub(super) fn open(options: PgPoolOptions, hooks: Hooks) -> PgPool {
    let target = hooks.driver.opener.options();
    let hooks = Arc::new(hooks);
    let [connected, acquired, released] = [(); 3].map(|()| Arc::clone(&hooks));
    options
        // Connections opened ahead of need are opened by a task of the pool, which has no tenant.
        .min_connections(0)
        // The switch notices as well that a connection is lost.
        .test_before_acquire(false)
        // sqlx calls one or the other: the first for a new connection, the second for an idle one.
        .after_connect(move |connection, _| {
            let hooks = Arc::clone(&connected);
            Box::pin(async move { Ok(hooks.begin(connection).await?) })
        })
        .before_acquire(move |connection, _| {
            let hooks = Arc::clone(&acquired);
            Box::pin(async move { Ok(hooks.follow(connection).await.map(|()| true)?) })
        })
        .after_release(move |connection, _| {
            let hooks = Arc::clone(&released);
            Box::pin(async move { Ok(hooks.release(connection).await) })
        })
        .connect_lazy_with(target)
}

impl Hooks {
    /// Makes the settings of a new session, and then the same as of any other.
    async fn begin(&self, connection: &mut PgConnection) -> Result<()> {
        self.driver.opener.introduce(connection).await?;
        self.follow(connection).await
    }

    /// Makes a session in the void the one of the task's tenant, or one that refuses everything.
    ///
    /// Fails only if the connection is of no use; sqlx then opens another one.
    async fn follow(&self, connection: &mut PgConnection) -> Result<()> {
        match self.switch(connection).await {
            Err(lost) if lost.kind() == ErrorKind::DatabaseUnavailable => Err(lost),
            Err(refusal) => self.refuse(connection, &refusal).await,
            Ok(()) => Ok(()),
        }
    }

    async fn switch(&self, connection: &mut PgConnection) -> Result<()> {
        let tenant = (self.whom)()?;
        if tenant.database() != self.driver.opener.alias() {
            return Err(self.elsewhere(&tenant));
        }
        let request = CheckoutRequest::new(Target::Tenant(tenant), Arc::clone(&self.layout));
        let preparation = self.driver.preprocessors.prepare(request, Grant::Write)?;
        let answer = self.driver.send(connection, &preparation.switch_message(None)).await?;
        preparation.verify(answer.as_deref())?;
        self.driver.after_switch(connection, &preparation.request).await
    }

    fn elsewhere(&self, tenant: &Tenant) -> Error {
        let (slug, lives_in, alias) = (tenant.slug(), tenant.database(), self.driver.opener.alias());
        let message = format!("tenant `{slug}` lives in database `{lives_in}`, this pool is of `{alias}`");
        Error::new(ErrorKind::Configuration, message).with_tenant(slug)
    }

    /// Leaves the session in a transaction that has failed already, where every statement fails.
    async fn refuse(&self, connection: &mut PgConnection, refusal: &Error) -> Result<()> {
        tracing::debug!(database = %self.driver.opener.alias(), error = %refusal, "Refused a checkout");
        if !self.empty(connection).await? {
            return Err(Error::new(
                ErrorKind::Configuration,
                "a preprocessor left a session that is not clean",
            )
            .with_source(refusal.clone()));
        }
        // Sent, but its answer is not read: sqlx hands it to the next statement, which then fails with
        // the reason. Every later one meets the failed transaction.
        let message = refusal_message(refusal);
        for _ in 0..ATTEMPTS {
            let answer =
                sqlx::raw_sql(AssertSqlSafe(message.as_str())).execute(&mut *connection).now_or_never();
            if answer.is_none() {
                return Ok(());
            }
            // The server was quicker, and the reason is read and gone.
            self.driver.send(connection, "ROLLBACK").await?;
        }
        Err(refusal.clone())
    }

    /// Returns true if a connection that comes back may be used again. In doubt it is closed.
    async fn release(&self, connection: &mut PgConnection) -> bool {
        match tokio::time::timeout(self.clean_timeout, self.empty(connection)).await {
            Ok(Ok(is_empty)) => is_empty,
            Ok(Err(error)) => {
                tracing::debug!(%error, "Closed a connection that could not be cleaned");
                false
            }
            Err(_) => {
                tracing::debug!("Closed a connection that took too long to clean");
                false
            }
        }
    }

    /// Removes all that a session may hold and answers whether it now is in the void.
    async fn empty(&self, connection: &mut PgConnection) -> Result<bool> {
        let answer = clean(&self.driver, connection, "").await?;
        // A cached statement and what sqlx knows of types belong to the schema they were read in.
        self.driver.forget_statements(connection).await?;
        Ok(answer.as_deref() == Some(VOID_SCHEMA))
    }
}

/// The message that opens a transaction and makes it fail with the reason of a refusal.
fn refusal_message(refusal: &Error) -> String {
    let mut reason = refusal.to_string();
    let mut cause = std::error::Error::source(refusal);
    while let Some(error) = cause {
        let _ = write!(reason, ": {error}");
        cause = error.source();
    }
    let mut body = format!("BEGIN RAISE EXCEPTION USING MESSAGE = {}", Literal(&reason));
    if let Some(hint) = refusal.hint() {
        let _ = write!(body, ", HINT = {}", Literal(hint));
    }
    body.push_str("; END");
    // Without plpgsql the reason is lost, the refusal is not.
    format!("BEGIN; DO {}", Literal(&body)).replace('\0', "")
}

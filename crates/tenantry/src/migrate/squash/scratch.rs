//! A schema that is there for no longer than some work on it.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::fail_point::{self, FailPoint};
use crate::migrate::creation::{push_statements, schema_message};
use crate::migrate::ledger::Ledger;
use crate::migrate::lock::SchemaLock;
use crate::migrate::message::Message;
use crate::migrate::plan::Goal;
use crate::migrate::removal::drop_schema;
use crate::migrate::schema::migrate_schema;
use crate::migrate::send::send;
use crate::migrate::site::Site;
use crate::migration::{Baseline, Migration, MigrationSet};
use crate::observe::{Step, Steps};
use crate::registry::applied;
use crate::sql::Identifier;
use crate::sql::privileges::privileges;
use crate::tenant::{Alias, SchemaName};

/// The beginning of a scratch schema's name.
const SCRATCH: &str = "tenantry_baseline_";
/// Migrations that are replayed between two looks at whether it is still wanted.
const PART: usize = 20;

/// A schema without an owner in the registry. Its session holds its lock, so that nobody takes it for a leftover.
pub(super) struct Scratch<'a> {
    context: &'a Context,
    pub(super) connection: PgConnection,
    pub(super) schema: SchemaName,
}

/// Works in a schema of its own, which is gone afterwards, however the work ends. A process that is killed
/// meanwhile leaves it to [`remove_leftovers`]; a future that is dropped, too.
pub(super) async fn in_scratch<T, E: From<Error>>(
    context: &Context,
    work: impl AsyncFnOnce(&mut Scratch<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let mut scratch = Scratch { context, connection: connect(context).await?, schema: new_name()? };
    let result = match scratch.create().await {
        Ok(()) => work(&mut scratch).await,
        Err(error) => Err(error.into()),
    };
    let removed = scratch.remove().await;
    let value = result?;
    removed?;
    Ok(value)
}

/// Ends work that was cancelled.
pub(super) fn check_wanted(steps: &dyn Steps) -> Result<()> {
    if steps.is_cancelled() {
        return Err(Error::new(ErrorKind::Migration, "it was cancelled"));
    }
    Ok(())
}

/// Drops the scratch schemas that nobody works in any more.
pub(super) async fn remove_leftovers(context: &Context) -> Result<()> {
    let mut connection = connect(context).await?;
    for name in applied::named_like(&mut connection, &format!("^{SCRATCH}[0-9a-f]{{32}}$")).await? {
        let schema = SchemaName::parse(&name)?;
        if SchemaLock::of(&schema).try_take(&mut connection).await? {
            drop_in_transaction(&mut connection, &schema).await?;
        }
    }
    // The locks go with the session.
    connection.close().await?;
    Ok(())
}

impl Scratch<'_> {
    /// Makes what a new tenant has before its first migration.
    async fn create(&mut self) -> Result<()> {
        SchemaLock::of(&self.schema).try_take(&mut self.connection).await?;
        let owner: String =
            sqlx::query_scalar("SELECT current_user::text").fetch_one(&mut self.connection).await?;
        let application = self.context.databases.config(&Alias::default())?.application_role();
        let mut grants = Vec::new();
        if owner != application {
            grants = privileges(Identifier(self.schema.as_str()), Identifier(application));
            grants.push(Ledger::empty(&self.schema).revoke_from(application));
        }
        let site = Site::scratch(&self.context.layout, &self.schema);
        let mut tx = self.connection.begin().await?;
        send(&mut tx, site, &schema_message(site, &grants)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Replays migrations, from wherever the schema is, some at a time.
    pub(super) async fn migrate(&mut self, files: &MigrationSet, steps: &dyn Steps) -> Result<()> {
        let site = Site::scratch(&self.context.layout, &self.schema);
        let versions: Vec<_> = files.iter().map(Migration::version).collect();
        let mut done = 0;
        for part in versions.chunks(PART) {
            check_wanted(steps)?;
            let files = files.through(part[part.len() - 1]);
            migrate_schema(&mut self.connection, site, Goal::latest(&files)).await?;
            done += part.len();
            steps.step(Step::new("replaying migrations", done, Some(versions.len())));
        }
        fail_point::reached(FailPoint::InScratch);
        Ok(())
    }

    /// Starts from a baseline.
    pub(super) async fn start_from(&mut self, baseline: &Baseline) -> Result<()> {
        let site = Site::scratch(&self.context.layout, &self.schema);
        let mut message = Message::new();
        message.push_own("BEGIN");
        push_statements(&mut message, site, baseline);
        message.push_own("COMMIT");
        send(&mut self.connection, site, &message).await
    }

    /// Runs statements of our own.
    pub(super) async fn run(&mut self, statements: &[String]) -> Result<()> {
        sqlx::raw_sql(AssertSqlSafe(statements.join(";\n"))).execute(&mut self.connection).await?;
        Ok(())
    }

    /// On another connection: this one may be what failed, or remember functions that are gone, which ends a
    /// `DROP SCHEMA` with "cache lookup failed".
    async fn remove(mut self) -> Result<()> {
        // What failed may have left a transaction open, with its locks.
        let _ = sqlx::raw_sql("ROLLBACK").execute(&mut self.connection).await;
        let mut other = connect(self.context).await?;
        drop_in_transaction(&mut other, &self.schema).await?;
        other.close().await?;
        // The lock goes with the session, which may have ended before.
        let _ = self.connection.close().await;
        Ok(())
    }
}

/// A connection that no setting of a shell ends early.
async fn connect(context: &Context) -> Result<PgConnection> {
    context.databases.unlimited_owner_connection(&Alias::default()).await
}

async fn drop_in_transaction(connection: &mut PgConnection, schema: &SchemaName) -> Result<()> {
    let mut tx = connection.begin().await?;
    drop_schema(&mut tx, schema).await?;
    Ok(tx.commit().await?)
}

/// All of one length, so that nothing depends on it, and in no need of quotes.
fn new_name() -> Result<SchemaName> {
    Ok(SchemaName::parse(&format!("{}{}", SCRATCH, uuid::Uuid::new_v4().simple()))?)
}

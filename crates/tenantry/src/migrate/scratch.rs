//! A schema that is there for no longer than some work on it.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::creation::{push_statements, schema_message};
use super::ledger::Ledger;
use super::lock::SchemaLock;
use super::message::Message;
use super::patience::Patience;
use super::plan::Goal;
use super::removal::drop_schema;
use super::schema::migrate_schema;
use super::send::{send, send_whole};
use super::site::Site;
use crate::context::Context;
use crate::database::{DatabaseConfig, Layout};
use crate::error::{Error, ErrorKind, Result};
use crate::fail_point::{self, FailPoint};
use crate::migration::{Baseline, Migration, MigrationSet};
use crate::observe::{Step, Steps};
use crate::pool::{Opener, recognize};
use crate::registry::applied;
use crate::sql::Identifier;
use crate::sql::privileges::privileges;
use crate::structure::Holders;
use crate::tenant::{Alias, SchemaName};

/// The beginning of a scratch schema's name.
const SCRATCH: &str = "tenantry_baseline_";
/// Migrations that are replayed between two looks at whether it is still wanted.
const PART: usize = 20;

/// A database in which scratch schemas can be made, and what every schema in it is made with.
#[derive(Clone, Copy)]
pub(crate) struct Workshop<'a> {
    pub(super) alias: &'a Alias,
    config: &'a DatabaseConfig,
    pub(super) layout: &'a Layout,
}

impl<'a> Workshop<'a> {
    pub(crate) fn new(alias: &'a Alias, config: &'a DatabaseConfig, layout: &'a Layout) -> Self {
        Self { alias, config, layout }
    }

    /// # Errors
    /// If no database goes by this alias.
    pub(crate) fn of(context: &'a Context, alias: &'a Alias) -> Result<Self> {
        Ok(Self::new(alias, context.databases.config(alias)?, &context.layout))
    }

    /// The roles that have something in every schema that is made here.
    pub(super) fn holders(&self) -> Holders<'a> {
        Holders { application: self.config.application_role(), maker: None }
    }

    /// A connection that no setting of a shell ends early.
    pub(super) async fn connect(&self) -> Result<PgConnection> {
        let opener = Opener::of_owner(self.alias, self.config);
        let opener = opener.ok_or_else(|| crate::pool::no_way_past_the_pooler(self.alias))?;
        let mut connection = opener.without_limits().open().await?;
        let (named, dialects) = (self.config.named_engine(), &self.layout.dialects);
        Box::pin(recognize(&mut connection, self.alias, named, dialects)).await?;
        Ok(connection)
    }
}

/// A schema without an owner in the registry. Its session holds its lock, so that nobody takes it for a leftover.
pub(super) struct Scratch<'a> {
    workshop: Workshop<'a>,
    pub(super) connection: PgConnection,
    pub(super) schema: SchemaName,
}

/// Works in a schema of its own, which is gone afterwards, however the work ends. A process that is killed
/// meanwhile leaves it to [`remove_leftovers`]; a future that is dropped, too.
pub(super) async fn in_scratch<T, E: From<Error>>(
    workshop: Workshop<'_>,
    work: impl AsyncFnOnce(&mut Scratch<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let mut scratch = Scratch { workshop, connection: workshop.connect().await?, schema: new_name()? };
    let result = match scratch.create_patiently().await {
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
pub(super) async fn remove_leftovers(workshop: Workshop<'_>) -> Result<()> {
    let mut connection = workshop.connect().await?;
    for name in applied::named_like(&mut connection, &format!("^{SCRATCH}[0-9a-f]{{32}}$")).await? {
        let schema = SchemaName::parse(&name)?;
        if SchemaLock::of(&schema).try_take(&mut connection).await? {
            drop_patiently(&mut connection, &schema).await?;
        }
    }
    // The locks go with the session.
    connection.close().await?;
    Ok(())
}

impl<'a> Scratch<'a> {
    pub(super) fn holders(&self) -> Holders<'a> {
        self.workshop.holders()
    }

    async fn create_patiently(&mut self) -> Result<()> {
        let mut patience = Patience::of_creation();
        loop {
            match self.create().await {
                Err(error) if patience.rest(&error, &"a scratch schema").await => {}
                result => return result,
            }
        }
    }

    /// Makes what a new tenant has before its first migration.
    async fn create(&mut self) -> Result<()> {
        SchemaLock::of(&self.schema).try_take(&mut self.connection).await?;
        let owner: String =
            sqlx::query_scalar("SELECT current_user::text").fetch_one(&mut self.connection).await?;
        let application = self.workshop.config.application_role();
        let mut grants = Vec::new();
        if owner != application {
            grants = privileges(Identifier(self.schema.as_str()), Identifier(application));
            grants.push(Ledger::empty(&self.schema).revoke_from(application));
        }
        let site = Site::scratch(self.workshop.layout, self.workshop.alias, &self.schema);
        let mut tx = self.connection.begin().await?;
        send(&mut tx, site, &schema_message(site, &grants)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Replays migrations, from wherever the schema is, some at a time.
    pub(super) async fn migrate(&mut self, files: &MigrationSet, steps: &dyn Steps) -> Result<()> {
        let versions: Vec<_> = files.iter().map(Migration::version).collect();
        let mut done = 0;
        for part in versions.chunks(PART) {
            check_wanted(steps)?;
            self.migrate_to(&files.through(part[part.len() - 1])).await?;
            done += part.len();
            steps.step(Step::new("replaying migrations", done, Some(versions.len())));
        }
        fail_point::reached(FailPoint::InScratch);
        Ok(())
    }

    /// Brings it to the newest of these files, from wherever it is.
    pub(super) async fn migrate_to(&mut self, files: &MigrationSet) -> Result<()> {
        let site = Site::scratch(self.workshop.layout, self.workshop.alias, &self.schema);
        let mut patience = Patience::of_creation();
        loop {
            match migrate_schema(&mut self.connection, site, Goal::latest(files)).await {
                Err(error) if patience.rest(&error, &"a scratch schema").await => {}
                result => return result.map(|_| ()),
            }
        }
    }

    /// Starts from a baseline.
    pub(super) async fn start_from(&mut self, baseline: &Baseline) -> Result<()> {
        let site = Site::scratch(self.workshop.layout, self.workshop.alias, &self.schema);
        let mut message = Message::new();
        message.push_own("BEGIN");
        push_statements(&mut message, site, baseline);
        message.push_own("COMMIT");
        let mut patience = Patience::of_creation();
        loop {
            match send_whole(&mut self.connection, site, &message).await {
                Err(error) if patience.rest(&error, &"a scratch schema").await => {}
                result => return result,
            }
        }
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
        let mut other = self.workshop.connect().await?;
        drop_patiently(&mut other, &self.schema).await?;
        other.close().await?;
        // The lock goes with the session, which may have ended before.
        let _ = self.connection.close().await;
        Ok(())
    }
}

async fn drop_patiently(connection: &mut PgConnection, schema: &SchemaName) -> Result<()> {
    let mut patience = Patience::of_creation();
    loop {
        match drop_in_transaction(connection, schema).await {
            Err(error) if patience.rest(&error, schema).await => {}
            result => return result,
        }
    }
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

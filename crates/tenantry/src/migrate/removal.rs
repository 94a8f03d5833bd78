//! Removes schemas: a small one at once, a large one in parts.
//!
//! `DROP SCHEMA … CASCADE` locks every object of the schema until it commits, and the room for locks is shared by all
//! sessions of the server. So [`empty_schema`] drops what is in a schema first, in transactions of limited size.

mod batch;
mod dependents;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Postgres, Transaction};

use self::batch::{Batch, Behaviour, first_batch};
pub(crate) use self::dependents::{Dependents, refuse_dependents};
use super::patience::Patience;
use crate::error::{Error, ErrorKind, Result, sqlstate};
use crate::fail_point::{self, FailPoint};
use crate::observe::{Step, Steps};
use crate::registry::applied;
use crate::sql::Identifier;
use crate::tenant::SchemaName;

/// A batch that waits for a lock lets others wait behind it, also for a shared table that a foreign key leads to.
const LOCK_TIMEOUT: &str = "1s";

/// The setting by which a commit need not wait for the disk: what is lost is dropped again. On Citus it waits, because
/// coordinator and worker are to agree after a crash.
const DURABILITY: &str = "SELECT pg_catalog.set_config('synchronous_commit', \
    CASE WHEN pg_catalog.current_setting('citus.version', true) IS NULL THEN 'off' ELSE 'on' END, true)";

/// Drops a schema, if it is there, and forgets what it had applied: both or neither, which is why it takes a
/// transaction.
pub(crate) async fn drop_schema(tx: &mut Transaction<'_, Postgres>, schema: &SchemaName) -> Result<()> {
    // Nobody asked for a list of all that goes with it.
    sqlx::raw_sql("SET LOCAL client_min_messages TO warning").execute(&mut **tx).await?;
    let drop = format!("DROP SCHEMA IF EXISTS {} CASCADE", Identifier(schema.as_str()));
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut **tx).await?;
    applied::forget(tx, schema).await
}

/// Drops nearly all that is in a schema, in several transactions. Repeating it after any interruption goes on.
///
/// What stays is little, as a rule, and goes with the schema: operators, text search configurations, extensions.
pub(crate) async fn empty_schema(
    connection: &mut PgConnection,
    schema: &SchemaName,
    dependents: Dependents,
    steps: &dyn Steps,
) -> Result<()> {
    let mut room = batch::room(connection).await?;
    let mut dropped = 0;
    loop {
        let objects = batch::objects_of(connection, schema).await?;
        let Some(batch) = first_batch(objects, room) else { return Ok(()) };
        fail_point::reached(FailPoint::BeforeBatch);
        match drop_patiently(connection, schema, &batch, dependents).await {
            Ok(()) => dropped += batch.len(),
            // The estimate was too low, or others need the room themselves.
            Err(error) if is_out_of_locks(&error) && batch.len() > 1 => room = (batch.weight() / 2).max(1),
            Err(error) if is_out_of_locks(&error) => return Err(too_large(schema, &batch, error)),
            Err(error) => return Err(error),
        }
        fail_point::reached(FailPoint::AfterBatch);
        steps.step(Step::new("dropping", dropped, None));
    }
}

/// Tries again where somebody else has a lock on what is dropped.
async fn drop_patiently(
    connection: &mut PgConnection,
    schema: &SchemaName,
    batch: &Batch,
    dependents: Dependents,
) -> Result<()> {
    let mut patience = Patience::of_removal();
    loop {
        match drop_batch(connection, schema, batch, dependents).await {
            Err(error) if patience.rest(&error, schema).await => {}
            result => return result,
        }
    }
}

/// Drops a batch, or nothing of it. The server itself refuses to drop what others depend on; only where the schema's
/// own objects depend on each other in a circle, they are dropped together with what depends on them.
async fn drop_batch(
    connection: &mut PgConnection,
    schema: &SchemaName,
    batch: &Batch,
    dependents: Dependents,
) -> Result<()> {
    if dependents == Dependents::Refuse {
        match send(connection, None, &batch.render(Behaviour::Restrict)).await {
            Err(error) if has_dependents(&error) => {}
            result => return result,
        }
    }
    let guarded = (dependents == Dependents::Refuse).then_some(schema);
    send(connection, guarded, &batch.render(Behaviour::Cascade)).await
}

/// Runs statements in one transaction. One by one, since a worker of Citus takes no several at once.
async fn send(
    connection: &mut PgConnection,
    guarded: Option<&SchemaName>,
    statements: &[String],
) -> Result<()> {
    let mut tx = connection.begin().await?;
    if let Some(schema) = guarded {
        refuse_dependents(&mut tx, schema).await?;
    }
    let settings = format!(
        "{DURABILITY}; SET LOCAL lock_timeout TO '{LOCK_TIMEOUT}'; \
         SET LOCAL client_min_messages TO warning"
    );
    sqlx::raw_sql(AssertSqlSafe(settings)).execute(&mut *tx).await?;
    for statement in statements {
        sqlx::raw_sql(AssertSqlSafe(statement.as_str())).execute(&mut *tx).await?;
    }
    Ok(tx.commit().await?)
}

fn has_dependents(error: &Error) -> bool {
    error.database_code().is_some_and(|code| code == sqlstate::DEPENDENT_OBJECTS_STILL_EXIST)
}

fn is_out_of_locks(error: &Error) -> bool {
    error.database_code().is_some_and(|code| code == sqlstate::OUT_OF_MEMORY)
}

fn too_large(schema: &SchemaName, batch: &Batch, error: Error) -> Error {
    let message = format!("the server has too few locks to drop {} of schema `{schema}`", batch.first().name);
    Error::new(ErrorKind::Database, message)
        .with_hint("raise `max_locks_per_transaction`, restart the server, and repeat the command")
        .with_source(error)
}

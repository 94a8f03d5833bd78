//! Judging what an interrupted file without transaction has left, where its statements tell: those that build and
//! drop indexes concurrently.

use sqlx::PgConnection;

use crate::error::Result;
use crate::migration::{IndexStep, Script};
use crate::sql::Identifier;
use crate::tenant::SchemaName;

/// The part of a file that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// It can run as if it never had.
    Nothing,
    /// It can go on: what is done is left out.
    Part,
    /// Only the ledger was not told.
    All,
}

/// Looks for the indexes of a file, each by itself. Removes those that were never finished. `None` for a file that
/// does something else.
pub(super) async fn judge(
    connection: &mut PgConnection,
    schema: &SchemaName,
    script: &Script,
) -> Result<Option<Extent>> {
    let Some(steps) = script.index_steps() else { return Ok(None) };
    let mut done = 0;
    for step in &steps {
        if is_done(connection, schema, step).await? {
            done += 1;
        } else if let IndexStep::Build(name) = step {
            remove(connection, schema, name).await?;
        }
    }
    Ok(Some(match done {
        0 => Extent::Nothing,
        done if done == steps.len() => Extent::All,
        _ => Extent::Part,
    }))
}

pub(super) async fn is_done(
    connection: &mut PgConnection,
    schema: &SchemaName,
    step: &IndexStep,
) -> Result<bool> {
    Ok(match step {
        IndexStep::Build(name) => is_valid(connection, schema, name).await? == Some(true),
        IndexStep::Drop(name) => is_valid(connection, schema, name).await?.is_none(),
    })
}

/// Removes what a file has built, if it does nothing else but build.
pub(super) async fn unmake(
    connection: &mut PgConnection,
    schema: &SchemaName,
    script: &Script,
) -> Result<bool> {
    let builds = script.index_steps().unwrap_or_default().into_iter().map(|step| match step {
        IndexStep::Build(name) => Some(name),
        IndexStep::Drop(_) => None,
    });
    let Some(names) = builds.collect::<Option<Vec<_>>>() else { return Ok(false) };
    for name in &names {
        remove(connection, schema, name).await?;
    }
    Ok(true)
}

/// Names an index that a file builds and that is not there, or not valid.
pub(super) async fn unfinished(
    connection: &mut PgConnection,
    schema: &SchemaName,
    script: &Script,
) -> Result<Option<String>> {
    for step in script.index_steps().unwrap_or_default() {
        if let IndexStep::Build(name) = step
            && is_valid(connection, schema, &name).await? != Some(true)
        {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Returns true if the index can be used for all rows; `None` if there is none of this name.
pub(super) async fn is_valid(
    connection: &mut PgConnection,
    schema: &SchemaName,
    name: &str,
) -> Result<Option<bool>> {
    Ok(sqlx::query_scalar(
        "SELECT indisvalid FROM pg_catalog.pg_index
         JOIN pg_catalog.pg_class ON pg_class.oid = indexrelid
         JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
         WHERE nspname = $1 AND relname = $2",
    )
    .bind(schema.as_str())
    .bind(name)
    .fetch_optional(connection)
    .await?)
}

/// Drops an index, if it is there. Nobody who uses the table waits for that.
pub(super) async fn remove(connection: &mut PgConnection, schema: &SchemaName, name: &str) -> Result<()> {
    let (schema, name) = (Identifier(schema.as_str()), Identifier(name));
    let drop = format!("DROP INDEX CONCURRENTLY IF EXISTS {schema}.{name}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(connection).await?;
    Ok(())
}

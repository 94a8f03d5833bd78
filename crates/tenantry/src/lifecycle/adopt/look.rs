//! Finds schemas that may become tenants, and compares them with the files.

use std::collections::HashSet;
use std::num::NonZeroUsize;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sqlx::{FromRow, PgConnection};

use super::adoptable::{Adoptable, SchemaChoice};
use super::compare::{FileVersions, compare};
use super::noted::{noted_in, noted_in_shared};
use super::strangers::strangers;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::migrate::{Workshop, versions};
use crate::migration::FOREIGN_LEDGERS;
use crate::observe::{Step, Steps};
use crate::pool::KeptConnections;
use crate::provision::{NotOnCitus, refuse_on_citus, refuse_shared};
use crate::registry::adoption;
use crate::tenant::{Alias, SchemaName, TypeName};

#[derive(FromRow)]
struct FoundSchema {
    schema: String,
    tables: i64,
    /// The tables of other tools that are in it.
    ledgers: Vec<String>,
}

/// Looks for schemas that belong to nobody, in the order of their names, and compares several at a time. Nothing is
/// changed, but that the files may be replayed in a scratch schema.
pub(crate) async fn adoptable(
    context: &Context,
    database: &Alias,
    choice: &SchemaChoice,
    type_name: Option<&TypeName>,
    jobs: NonZeroUsize,
    steps: &dyn Steps,
) -> Result<Vec<Adoptable>> {
    let files = context.migrations.files_of(type_name)?.set();
    refuse_on_citus(context, NotOnCitus::Adopt, &[database]).await?;
    let mut connection = context.databases.owner_connection(database).await?;
    let found = ownerless(context, &mut connection, database, choice).await?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let shared = noted_in_shared(&mut connection, &context.layout).await;
    // Whoever says how far schemas are need not be able to replay the files.
    let versions = if files.is_empty() {
        None
    } else {
        Some(versions(Workshop::of(context, database)?, files, steps).await)
    };
    let application = context.databases.config(database)?.application_role();
    let versions = versions.map(|it| it.map_err(|error| error.to_string()));
    let measure = &FileVersions { files, versions, application };
    let (kept, count, shared) = (&KeptConnections::for_a_run(), found.len(), shared.as_ref());
    let compared = stream::iter(found.into_iter().map(|(schema, found)| async move {
        let open = async || context.databases.owner_connection(database).await;
        let work = async |connection: &mut PgConnection| {
            let noted = noted_in(connection, &schema, &found.ledgers).await;
            let noted = noted.or_else(|| shared.cloned());
            let place = (database, type_name);
            let mut adoptable = Adoptable::new(&schema, place, choice, found.tables, noted.as_ref());
            let compared = async {
                compare(connection, measure, &mut adoptable, noted.as_ref()).await?;
                let is_known = adoptable.is_permission_known;
                let strangers = strangers(connection, &schema, application, is_known).await?;
                adoptable.notes.splice(0..0, strangers);
                Ok::<_, Error>(())
            };
            if let Err(error) = compared.await {
                if error.is_retryable() {
                    return Err(error);
                }
                adoptable.unknown = Some(format!("it cannot be read: {error:#}"));
            }
            Ok(adoptable)
        };
        kept.with(open, work).await
    }));
    let mut compared = std::pin::pin!(compared.buffered(jobs.get()));
    let mut all = Vec::new();
    while let Some(adoptable) = compared.try_next().await? {
        all.push(adoptable);
        steps.step(Step::new("comparing schemas", all.len(), Some(count)));
    }
    Ok(all)
}

/// The schemas that are meant and that nobody owns.
async fn ownerless(
    context: &Context,
    connection: &mut PgConnection,
    database: &Alias,
    choice: &SchemaChoice,
) -> Result<Vec<(SchemaName, FoundSchema)>> {
    let found = find(connection, choice).await?;
    let names: Vec<_> = found.iter().map(|found| found.schema.as_str()).collect();
    let owned = async |registry: &mut PgConnection| adoption::owned(registry, database, &names).await;
    let owned: HashSet<String> = context.databases.with_registry(owned).await?.into_iter().collect();
    // What PostgreSQL and the registry keep for themselves is no name of a tenant's schema.
    let ownerless = found.into_iter().filter(|found| !owned.contains(&found.schema)).filter_map(|found| {
        let schema = SchemaName::parse(&found.schema).ok()?;
        refuse_shared(context, &schema).ok()?;
        Some((schema, found))
    });
    Ok(ownerless.collect())
}

/// Picks the schemas that belong to a tenant or a spare.
pub(crate) async fn owned(
    context: &Context,
    database: &Alias,
    schemas: &[SchemaName],
) -> Result<Vec<SchemaName>> {
    let names: Vec<_> = schemas.iter().map(SchemaName::as_str).collect();
    let owned = async |registry: &mut PgConnection| adoption::owned(registry, database, &names).await;
    let owned: HashSet<String> = context.databases.with_registry(owned).await?.into_iter().collect();
    Ok(schemas.iter().filter(|schema| owned.contains(schema.as_str())).cloned().collect())
}

/// Begins at the names of schemas, and reads of each only what is its own.
async fn find(connection: &mut PgConnection, choice: &SchemaChoice) -> Result<Vec<FoundSchema>> {
    let (pattern, names) = match choice {
        SchemaChoice::Like(pattern) => (Some(pattern.as_str()), Vec::new()),
        SchemaChoice::Named(names) => (None, names.iter().map(SchemaName::as_str).collect()),
    };
    let ledgers: Vec<_> = FOREIGN_LEDGERS.iter().map(|ledger| ledger.table).collect();
    let found = sqlx::query_as(
        "SELECT nspname::text AS schema,
             (SELECT count(*) FROM pg_catalog.pg_depend JOIN pg_catalog.pg_class ON pg_class.oid = objid
              WHERE refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND refobjid = pg_namespace.oid
                AND classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND relkind IN ('r', 'p')) AS tables,
             ARRAY(SELECT ledger FROM pg_catalog.unnest($3::text[]) AS ledger WHERE EXISTS (
                 SELECT FROM pg_catalog.pg_class WHERE relname = ledger::name AND relnamespace = pg_namespace.oid)
             ) AS ledgers
         FROM pg_catalog.pg_namespace WHERE nspname::text LIKE $1 OR nspname::text = ANY ($2)
         ORDER BY nspname::text COLLATE \"C\"",
    );
    Ok(found.bind(pattern).bind(names).bind(ledgers).fetch_all(connection).await?)
}

//! Finds schemas that may become tenants, before anything is done to them.

use std::collections::HashSet;

use sqlx::{AssertSqlSafe, FromRow, PgConnection};

use crate::context::Context;
use crate::error::Result;
use crate::provision::refuse_shared;
use crate::registry::adoption;
use crate::sql::Identifier;
use crate::tenant::{Alias, SchemaName, Slug};

/// A choice of schemas that are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaChoice {
    /// The schemas whose names are like this pattern of SQL, such as `tenant_%`.
    Like(String),
    /// The schemas of these names, as far as they are there.
    Named(Vec<SchemaName>),
}

/// A schema that may become a tenant's.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Adoptable {
    /// The schema, which nobody owns.
    pub schema: SchemaName,
    /// The slug that its name suggests, if it is a legal one.
    pub slug: Option<Slug>,
    /// The number of tables in it.
    pub tables: i64,
    /// The tool that has noted there what it has applied.
    pub tool: Option<String>,
    /// The newest version that is noted there, as that tool writes it.
    pub noted: Option<String>,
    /// The migration of that version, where the files have one of the same number.
    pub version: Option<i64>,
}

/// The tables in which tools note what they have applied, with a query for the newest version.
const LEDGERS: [(&str, &str, &str); 9] = [
    ("sqlx", "_sqlx_migrations", "SELECT max(version)::text FROM {} WHERE success"),
    ("django", "django_migrations", "SELECT app || '.' || name FROM {} ORDER BY id DESC LIMIT 1"),
    ("goose", "goose_db_version", "SELECT max(version_id)::text FROM {} WHERE is_applied"),
    (
        "flyway",
        "flyway_schema_history",
        "SELECT version FROM {} WHERE success ORDER BY installed_rank DESC LIMIT 1",
    ),
    ("diesel", "__diesel_schema_migrations", "SELECT max(version)::text FROM {}"),
    ("refinery", "refinery_schema_history", "SELECT max(version)::text FROM {}"),
    ("prisma", "_prisma_migrations", "SELECT max(migration_name) FROM {} WHERE finished_at IS NOT NULL"),
    ("rails, dbmate, golang-migrate or ecto", "schema_migrations", "SELECT max(version::text) FROM {}"),
    ("laravel", "migrations", "SELECT migration FROM {} ORDER BY id DESC LIMIT 1"),
];

#[derive(FromRow)]
struct Found {
    schema: String,
    tables: i64,
    /// The tables of [`LEDGERS`] that are in it.
    ledgers: Vec<String>,
}

/// Looks for schemas that belong to nobody, in the order of their names. Nothing is changed.
pub(crate) async fn adoptable(
    context: &Context,
    database: &Alias,
    choice: &SchemaChoice,
) -> Result<Vec<Adoptable>> {
    let mut connection = context.databases.owner_connection(database).await?;
    let found = find(&mut connection, choice).await?;
    let names: Vec<_> = found.iter().map(|found| found.schema.as_str()).collect();
    let owned = async |registry: &mut PgConnection| adoption::owned(registry, database, &names).await;
    let owned: HashSet<String> = context.databases.with_registry(owned).await?.into_iter().collect();
    let mut adoptable = Vec::new();
    for found in found.into_iter().filter(|found| !owned.contains(&found.schema)) {
        // What PostgreSQL and the registry keep for themselves is no name of a tenant's schema.
        let Ok(schema) = SchemaName::parse(&found.schema) else { continue };
        if refuse_shared(context, &schema).is_err() {
            continue;
        }
        let noted = noted(&mut connection, &schema, &found.ledgers).await;
        let number = noted.as_ref().and_then(|(_, version)| version.as_deref()?.parse().ok());
        let version = number.filter(|number| context.migrations.tenant().get(*number).is_some());
        let (tool, noted) = noted.unzip();
        let (tool, noted) = (tool.map(str::to_owned), noted.flatten());
        let slug = suggested(&found.schema, choice);
        adoptable.push(Adoptable { schema, slug, tables: found.tables, tool, noted, version });
    }
    Ok(adoptable)
}

/// Begins at the names of schemas, and reads of each only what is its own.
async fn find(connection: &mut PgConnection, choice: &SchemaChoice) -> Result<Vec<Found>> {
    let (pattern, names) = match choice {
        SchemaChoice::Like(pattern) => (Some(pattern.as_str()), Vec::new()),
        SchemaChoice::Named(names) => (None, names.iter().map(SchemaName::as_str).collect()),
    };
    let ledgers: Vec<_> = LEDGERS.iter().map(|(_, table, _)| *table).collect();
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

/// Reads the newest version that a tool has noted. A table that only has the name of a ledger, or that may not be read,
/// is none.
async fn noted(
    connection: &mut PgConnection,
    schema: &SchemaName,
    tables: &[String],
) -> Option<(&'static str, Option<String>)> {
    for (tool, table, query) in LEDGERS.iter().filter(|(_, table, _)| tables.iter().any(|it| it == table)) {
        let name = format!("{}.{}", Identifier(schema.as_str()), Identifier(table));
        let query = sqlx::query_scalar(AssertSqlSafe(query.replace("{}", &name))).persistent(false);
        if let Ok(version) = query.fetch_optional(&mut *connection).await {
            return Some((tool, version.flatten()));
        }
    }
    None
}

/// The part of a name that the pattern leaves open, as a slug: `acme` of `tenant_acme`, where all are like `tenant_%`.
fn suggested(schema: &str, choice: &SchemaChoice) -> Option<Slug> {
    let (before, behind) = match choice {
        SchemaChoice::Like(pattern) => pattern.split_once('%').unwrap_or_default(),
        SchemaChoice::Named(_) => ("", ""),
    };
    // In a pattern a backslash takes the meaning away from what follows.
    let (before, behind) = (before.replace('\\', ""), behind.replace('\\', ""));
    let open = schema.strip_prefix(&before).unwrap_or(schema);
    let open = open.strip_suffix(&behind).unwrap_or(open);
    let dashed: String = open.chars().map(|it| if it.is_ascii_alphanumeric() { it } else { '-' }).collect();
    Slug::parse(dashed.trim_matches('-')).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_that_a_pattern_leaves_open_is_the_slug() {
        for (pattern, schema, expect) in [
            ("tenant_%", "tenant_acme", Some("acme")),
            (r"tenant\_%", "tenant_acme_eu", Some("acme-eu")),
            ("%_prod", "Globex_prod", Some("globex")),
            ("%", "Acme's \"Own\"", Some("acme-s--own")),
            ("t%x", "tax", Some("a")),
            ("tenant_%", "tenant_", None),
            ("tenant_%", "tenant_é", None),
            ("acme", "acme", Some("acme")),
        ] {
            let choice = SchemaChoice::Like(pattern.to_owned());
            assert_eq!(suggested(schema, &choice).as_ref().map(Slug::as_str), expect, "{schema}");
        }
        assert_eq!(
            suggested("tenant_7", &SchemaChoice::Named(Vec::new())).as_ref().map(Slug::as_str),
            Some("tenant-7")
        );
    }
}

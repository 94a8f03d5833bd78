use std::collections::HashMap;
use std::num::NonZeroUsize;

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use tenantry::Tenancy;
use tenantry::lifecycle::{Adoptable, SchemaChoice};
use tenantry::tenant::{Alias, DomainName, SchemaName, Slug, TypeName};

use super::plan::{Plan, Plans};
use crate::failure::Failure;
use crate::progress::Progress;

/// The schemas that are meant.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct Source {
    /// The schemas whose names are like this; what it leaves open becomes the slug
    #[arg(long, value_name = "PATTERN")]
    like: Option<String>,
    /// The schemas that this SQL answers with, in a column `schema_name`; `slug` and `domain` may be others
    #[arg(long, value_name = "SQL")]
    query: Option<String>,
}

/// The way to look for schemas.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look<'a> {
    pub(super) database: &'a Alias,
    pub(super) type_name: Option<&'a TypeName>,
    /// Schemas that are compared at a time.
    pub(super) jobs: NonZeroUsize,
}

impl Look<'_> {
    async fn find(
        self,
        tenancy: &Tenancy,
        choice: &SchemaChoice,
        progress: &Progress,
    ) -> tenantry::Result<Vec<Adoptable>> {
        let Self { database, type_name, jobs } = self;
        match type_name {
            Some(of) => tenancy.adoptable_of_type(of, database, choice, jobs, progress).await,
            None => tenancy.adoptable_observed(database, choice, jobs, progress).await,
        }
    }
}

/// A row of the query.
struct Wanted {
    schema: SchemaName,
    slug: Option<String>,
    domain: Option<DomainName>,
}

impl Source {
    pub(super) async fn plans(
        &self,
        tenancy: &Tenancy,
        look: Look<'_>,
        progress: &Progress,
    ) -> anyhow::Result<Plans> {
        let database = look.database;
        if let Some(pattern) = &self.like {
            let choice = SchemaChoice::Like(pattern.clone());
            let found = look.find(tenancy, &choice, progress).await?;
            let plans = found.into_iter().map(|found| Plan::new(found, None, None)).collect();
            return Ok(Plans { found: plans, ..Plans::default() });
        }
        let wanted = ask(tenancy, database, self.query.as_deref().unwrap_or_default()).await?;
        let names: Vec<_> = wanted.iter().map(|wanted| wanted.schema.clone()).collect();
        let choice = SchemaChoice::Named(names.clone());
        let found = look.find(tenancy, &choice, progress).await?;
        let mut found: HashMap<SchemaName, Adoptable> =
            found.into_iter().map(|found| (found.schema.clone(), found)).collect();
        let owned = tenancy.owned_schemas(database, &names).await?;
        let mut plans = Plans::default();
        for Wanted { schema, slug, domain } in wanted {
            let Some(found) = found.remove(&schema) else {
                if owned.contains(&schema) {
                    plans.taken += 1;
                    continue;
                }
                let message = format!("schema `{schema}` is not there, cannot be a tenant's, or comes twice");
                plans.missing.push(Failure::new("missing_schema", message));
                continue;
            };
            let slug = slug.map(|slug| Slug::parse(&slug).map_err(|error| error.to_string()));
            plans.found.push(Plan::new(found, slug, domain));
        }
        Ok(plans)
    }
}

async fn ask(tenancy: &Tenancy, database: &Alias, query: &str) -> anyhow::Result<Vec<Wanted>> {
    let mut tx = tenancy.master_of(database)?.begin().await?;
    sqlx::query("SET LOCAL transaction_read_only TO on").execute(&mut *tx).await?;
    let rows =
        sqlx::query(sqlx::AssertSqlSafe(query)).fetch_all(&mut *tx).await.map_err(tenantry::Error::from)?;
    tx.rollback().await?;
    let read = |row: &PgRow| {
        let schema = text(row, "schema_name")?.ok_or_else(|| {
            Failure::usage("the query answers with no `schema_name`")
                .with_hint("such as `SELECT schema_name, slug, domain FROM customer`")
        })?;
        let schema = SchemaName::parse(&schema).map_err(tenantry::Error::from)?;
        let domain = text(row, "domain")?.map(|domain| DomainName::parse(&domain)).transpose();
        Ok(Wanted { schema, slug: text(row, "slug")?, domain: domain.map_err(tenantry::Error::from)? })
    };
    rows.iter().map(read).collect()
}

/// A column that may be missing or null. One of another type is an error: a domain that is left out would be lost.
fn text(row: &PgRow, column: &str) -> Result<Option<String>, Failure> {
    match row.try_get(column) {
        Ok(text) => Ok(text),
        Err(sqlx::Error::ColumnNotFound(_)) => Ok(None),
        Err(error) => Err(Failure::usage(format!("the column `{column}` of the query is no text: {error}"))
            .with_hint(format!("such as `SELECT …, {column}::text AS {column} FROM customer`"))),
    }
}

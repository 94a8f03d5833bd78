//! Makes tenants of schemas that are there.
use serde::Serialize;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use tenantry::lifecycle::{Adoptable, SchemaChoice};
use tenantry::tenant::{Alias, DomainName, SchemaName, Slug};
use tenantry::{NewTenant, Tenancy};

use crate::connect::with_files;
use crate::context::{Context, Finish};
use crate::failure::{Failure, Report};
use crate::output::{Format, confirm, note, print_report};

/// Make tenants of schemas that are there already
///
/// Nothing in a schema is changed but that a ledger is added. Ledgers of other tools are read to find the version, and
/// left alone. Where that is no version of the files, `--applied-through` says up to which file a schema has what they
/// make.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tenantry adopt --like 'tenant_%' --dry-run
  tenantry adopt --query 'SELECT schema_name, subdomain AS slug, domain FROM customer'
To undo it: tenantry release SLUG")]
pub(crate) struct Options {
    #[command(flatten)]
    source: Source,
    /// The database in which they are
    #[arg(long, value_name = "ALIAS", default_value_t)]
    database: Alias,
    /// Note all files up to this version as applied, which nobody checks
    #[arg(long, value_name = "VERSION")]
    applied_through: Option<i64>,
    /// Show what would be adopted, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// The schemas that are meant.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// The schemas whose names are like this; what it leaves open becomes the slug
    #[arg(long, value_name = "PATTERN")]
    like: Option<String>,
    /// The schemas that this SQL answers with, in a column `schema_name`; `slug` and `domain` may be others
    #[arg(long, value_name = "SQL")]
    query: Option<String>,
}

/// A row of the list: a schema, and what is to become of it.
#[derive(Debug, Serialize)]
struct Plan {
    #[serde(flatten)]
    found: Adoptable,
    domain: Option<DomainName>,
    /// The reason why it cannot be adopted as it is.
    refused: Option<String>,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    with_files(cx, async |cx, tenancy| {
        let mut plans = match (&options.source.like, &options.source.query) {
            (Some(pattern), _) => by_name(tenancy, &options.database, pattern).await?,
            (None, query) => {
                by_query(tenancy, &options.database, query.as_deref().unwrap_or_default()).await?
            }
        };
        for plan in &mut plans {
            plan.found.version = options.applied_through.or(plan.found.version);
        }
        if options.dry_run {
            print(cx, &plans, true);
            return Ok(Finish::Done);
        }
        let count = plans.iter().filter(|plan| plan.refused.is_none()).count();
        if count > 0 && !confirm(&format!("make tenants of {count} schemas"), options.yes)? {
            note(cx.output.format(), "nothing was adopted");
            return Ok(Finish::Done);
        }
        adopt(cx, tenancy, &options.database, plans).await
    })
    .await
}

async fn by_name(tenancy: &Tenancy, database: &Alias, pattern: &str) -> anyhow::Result<Vec<Plan>> {
    let found = tenancy.adoptable(database, &SchemaChoice::Like(pattern.to_owned())).await?;
    let plan = |found: Adoptable| {
        let refused = found.slug.is_none().then(|| "its name suggests no slug".to_owned());
        Plan { found, domain: None, refused }
    };
    Ok(found.into_iter().map(plan).collect())
}

async fn by_query(tenancy: &Tenancy, database: &Alias, query: &str) -> anyhow::Result<Vec<Plan>> {
    let mut tx = tenancy.master_of(database)?.begin().await?;
    sqlx::query("SET LOCAL transaction_read_only TO on").execute(&mut *tx).await?;
    let rows =
        sqlx::query(sqlx::AssertSqlSafe(query)).fetch_all(&mut *tx).await.map_err(tenantry::Error::from)?;
    tx.rollback().await?;
    let mut plans = Vec::new();
    for row in rows {
        let schema = text(&row, "schema_name")?.ok_or_else(|| {
            Failure::usage("the query answers with no `schema_name`")
                .with_hint("such as `SELECT schema_name, slug, domain FROM customer`")
        })?;
        let schema = SchemaName::parse(&schema).map_err(tenantry::Error::from)?;
        let (slug, domain) = (text(&row, "slug")?, text(&row, "domain")?);
        let domain =
            domain.map(|domain| DomainName::parse(&domain)).transpose().map_err(tenantry::Error::from)?;
        let found = tenancy.adoptable(database, &SchemaChoice::Named(vec![schema.clone()])).await?;
        let Some(mut found) = found.into_iter().next() else {
            let message = format!("schema `{schema}` is not there, or belongs to somebody");
            return Err(Failure::new("missing_schema", message).into());
        };
        let refused = match slug.map(|slug| Slug::parse(&slug)) {
            Some(Ok(slug)) => {
                found.slug = Some(slug);
                None
            }
            Some(Err(error)) => Some(error.to_string()),
            None => found.slug.is_none().then(|| "its name suggests no slug".to_owned()),
        };
        plans.push(Plan { found, domain, refused });
    }
    Ok(plans)
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

async fn adopt(
    cx: &mut Context,
    tenancy: &Tenancy,
    database: &Alias,
    plans: Vec<Plan>,
) -> anyhow::Result<Finish> {
    let (mut adopted, mut failed) = (Vec::new(), 0);
    for plan in plans {
        let slug = match (&plan.found.slug, &plan.refused) {
            (Some(slug), None) => slug.clone(),
            (_, refused) => {
                let reason = refused.as_deref().unwrap_or("it has no slug");
                let failure =
                    Failure::new("invalid_input", format!("schema `{}`: {reason}", plan.found.schema))
                        .with_hint("name a slug for it with `--query`");
                print_report(cx.output.format(), &Report::of(&failure));
                failed += 1;
                continue;
            }
        };
        let mut new = NewTenant::new(slug.as_str()).database(database.clone());
        new = new.existing_schema(plan.found.schema.clone());
        if let Some(version) = plan.found.version {
            new = new.applied_through(version);
        }
        if let Some(domain) = &plan.domain {
            new = new.domain(domain.clone());
        }
        match tenancy.create(new).await {
            Ok(_) => adopted.push(plan),
            Err(error) => {
                cx.output.flush();
                print_report(cx.output.format(), &Report::of(&error).of_slug(&slug));
                failed += 1;
            }
        }
    }
    print(cx, &adopted, false);
    if adopted.iter().any(|plan| plan.found.version.is_none() && plan.found.tables > 0) {
        let unknown =
            "of some nothing says what they have applied: `tenantry migrate` would begin with the first file";
        note(cx.output.format(), unknown);
    }
    Ok(if failed == 0 { Finish::Done } else { Finish::SomeFailed })
}

fn print(cx: &mut Context, plans: &[Plan], is_plan: bool) {
    if cx.output.format() == Format::Json {
        cx.output.json(&plans);
        return;
    }
    if plans.is_empty() {
        note(Format::Table, if is_plan { "there are no such schemas" } else { "nothing was adopted" });
        return;
    }
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let row = |Plan { found, domain, refused }: &Plan| {
        let noted = found.tool.as_ref().map(|tool| format!("{} ({tool})", or_none(found.noted.clone())));
        vec![
            found.schema.to_string(),
            or_none(found.slug.as_ref().map(ToString::to_string)),
            or_none(domain.as_ref().map(ToString::to_string)),
            found.tables.to_string(),
            or_none(noted),
            or_none(found.version.map(|version| version.to_string())),
            refused.clone().unwrap_or_default(),
        ]
    };
    let header = ["SCHEMA", "SLUG", "DOMAIN", "TABLES", "NOTED", "VERSION", "REFUSED"];
    cx.output.table(&header, plans.iter().map(row));
}

//! Writes the snapshot that new tenants start from, or proves that it is what the migrations make.
use std::fs;

use anyhow::Context as _;
use serde_json::json;
use tenantry::Config;
use tenantry::migrate::{BaselineOptions, FirstRows};
use tenantry::tenant::{Alias, TypeName};

use crate::connect::{configuration, with_tenancy_of};
use crate::context::{Context, Finish};
use crate::interrupt::{interrupted, until_interrupted};
use crate::output::{Format, note};
use crate::pg_dump::PgDump;
use crate::progress::Progress;

/// Write the schema that new tenants start from to a file
///
/// The migrations are replayed in a scratch schema, which PostgreSQL's own `pg_dump` writes down. What it wrote is
/// applied to a second one, and accepted if the server's catalogs say the same of both. Review the file and
/// commit it: it is `baseline.sql`, beside the tenants' migrations, which stay where they are.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The newest version that is part of it; the newest that leaves no rows by default
    #[arg(long, value_name = "VERSION", allow_negative_numbers = true)]
    at: Option<i64>,
    /// Tables whose rows are part of it, as the migrations leave them
    #[arg(long, value_name = "TABLE", num_args = 1.., conflicts_with = "check")]
    with_rows: Vec<String>,
    /// Make it of all migrations of the tenants of this type
    #[arg(long = "type", value_name = "TYPE", value_parser = TypeName::parse)]
    type_name: Option<TypeName>,
    /// Write nothing; fail unless the file makes what the migrations make
    #[arg(long, conflicts_with = "at")]
    check: bool,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    let mut config = configuration(&cx.global).await?;
    if options.check {
        return check(cx, &config, options.type_name.as_ref()).await;
    }
    // What is written again may be made from other files than there are now.
    config.ignore_baseline();
    let baseline = BaselineOptions::default().with_rows(options.with_rows);
    let baseline = match options.at {
        Some(version) => baseline.at(version),
        None => baseline,
    };
    let baseline = match &options.type_name {
        Some(type_name) => baseline.of_type(type_name.clone()),
        None => baseline,
    };
    write(cx, &config, options.type_name.as_ref(), baseline).await
}

async fn write(
    cx: &mut Context,
    config: &Config,
    type_name: Option<&TypeName>,
    options: BaselineOptions,
) -> anyhow::Result<Finish> {
    let made = with_tenancy_of(cx, config, async |cx, tenancy| {
        let pg_dump = PgDump::for_server(config, tenancy, &Alias::default()).await?;
        let dump = async |arguments: &[String]| pg_dump.run(arguments);
        watched(cx, async |progress| tenancy.make_baseline_observed(options, progress, dump).await).await
    })
    .await?;
    let (_, tenant) = config.migration_directories();
    let of_type = type_name.and_then(|type_name| config.type_directories().remove(type_name));
    let file = of_type.unwrap_or(tenant).join("baseline.sql");
    fs::write(&file, made.text).with_context(|| format!("`{}` cannot be written", file.display()))?;
    match cx.output.format() {
        Format::Json => {
            let rows = made.rows.as_ref();
            let rows = rows.map(|rows| json!({ "version": rows.version, "tables": rows.tables }));
            cx.output.json(&json!({ "file": file, "version": made.version, "first_rows": rows }));
        }
        Format::Table => cx.output.line(&file.display().to_string()),
    }
    if let Some(rows) = &made.rows {
        note(cx.output.format(), &ends_before(made.version, rows));
    }
    note(cx.output.format(), "review it, try it with `tenantry baseline --check`, and commit it");
    Ok(Finish::Done)
}

/// Shows how the work goes on. Once interrupted, it ends and leaves nothing behind.
async fn watched<T>(
    cx: &Context,
    work: impl AsyncFnOnce(&Progress) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let progress = Progress::new(cx.output.format());
    let result = until_interrupted(work(&progress), || progress.cancel()).await;
    progress.finish();
    match result {
        Err(_) if progress.is_cancelled() => Err(interrupted().into()),
        result => result,
    }
}

fn ends_before(version: i64, rows: &FirstRows) -> String {
    let names: Vec<_> = rows.tables.iter().map(|table| format!("`{table}`")).collect();
    format!(
        "it ends at version {version}, and new tenants replay the rest: from `{}` on, the migrations leave rows in {}; \
         `--with-rows {}` carries them",
        rows.file,
        names.join(", "),
        rows.tables.join(" "),
    )
}

async fn check(cx: &mut Context, config: &Config, type_name: Option<&TypeName>) -> anyhow::Result<Finish> {
    let version = with_tenancy_of(cx, config, async |cx, tenancy| {
        let pg_dump = PgDump::for_server(config, tenancy, &Alias::default()).await?;
        let dump = async |arguments: &[String]| pg_dump.run(arguments);
        watched(cx, async |progress| match type_name {
            Some(type_name) => tenancy.check_baseline_of_type(type_name, progress, dump).await,
            None => tenancy.check_baseline_observed(progress, dump).await,
        })
        .await
    })
    .await?;
    match cx.output.format() {
        Format::Json => cx.output.json(&json!({ "version": version })),
        Format::Table => cx.output.line(&format!("the baseline is what the migrations make up to {version}")),
    }
    Ok(Finish::Done)
}

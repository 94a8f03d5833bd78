//! Writes the snapshot that new tenants start from, or proves that it is what the migrations make.
use std::fs;

use anyhow::Context as _;
use serde_json::json;
use tenantry::Config;
use tenantry::tenant::SchemaName;

use crate::connect::{configuration, with_tenancy_of};
use crate::context::{Context, Finish};
use crate::output::{Format, note};
use crate::pg_dump::PgDump;

/// Write the tenant schema as one file, from which new tenants start
///
/// The migrations are replayed in a scratch schema, which PostgreSQL's own `pg_dump` writes down. Review the
/// file and commit it: it is `baseline.sql`, beside the tenants' migrations, which stay where they are.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The newest version that is part of it; the newest there is by default
    #[arg(long, value_name = "VERSION", allow_negative_numbers = true)]
    at: Option<i64>,
    /// Write nothing; fail unless the file makes what the migrations make
    #[arg(long, conflicts_with = "at")]
    check: bool,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    let mut config = configuration(&cx.global).await?;
    if options.check {
        return check(cx, &config).await;
    }
    // What is written again may be made from other files than there are now.
    config.ignore_baseline();
    write(cx, &config, options.at).await
}

async fn write(cx: &mut Context, config: &Config, at: Option<i64>) -> anyhow::Result<Finish> {
    let text = with_tenancy_of(cx, config, async |_, tenancy| {
        let pg_dump = PgDump::for_server(config, tenancy).await?;
        let dump = async |schema: &SchemaName| pg_dump.run(schema);
        tenancy.make_baseline(at, dump).await
    })
    .await?;
    let (_, tenant) = config.migration_directories();
    let file = tenant.join("baseline.sql");
    fs::write(&file, text).with_context(|| format!("`{}` cannot be written", file.display()))?;
    match cx.output.format() {
        Format::Json => cx.output.json(&json!({ "file": file })),
        Format::Table => cx.output.line(&file.display().to_string()),
    }
    note(cx.output.format(), "review it, try it with `tenantry baseline --check`, and commit it");
    Ok(Finish::Done)
}

async fn check(cx: &mut Context, config: &Config) -> anyhow::Result<Finish> {
    let version = with_tenancy_of(cx, config, async |_, tenancy| {
        let pg_dump = PgDump::for_server(config, tenancy).await?;
        let dump = async |schema: &SchemaName| pg_dump.run(schema);
        tenancy.check_baseline(dump).await
    })
    .await?;
    match cx.output.format() {
        Format::Json => cx.output.json(&json!({ "version": version })),
        Format::Table => cx.output.line(&format!("the baseline is what the migrations make up to {version}")),
    }
    Ok(Finish::Done)
}

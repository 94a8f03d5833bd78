//! Writes a tenant into a file.
use std::path::PathBuf;

use clap_complete::ArgValueCompleter;
use serde_json::{Value, json};
use tenantry::archive::ArchiveFile;
use tenantry::lifecycle::{ExportOptions, Exported};
use tenantry::tenant::Tenant;
use tenantry::{Config, Tenancy};

use crate::connect::{configuration, with_tenancy_of};
use crate::context::{Context, Finish};
use crate::interrupt::{interrupted, until_interrupted};
use crate::output::{Format, note};
use crate::pg_dump::PgDump;
use crate::progress::Progress;
use crate::slugs::complete_slugs;

/// Write a tenant into a file
///
/// The file is of one moment, and is written while the tenant is served. `tenantry import` makes a tenant of it, here
/// or in another installation, and `tar` and `psql` restore it without Tenantry. It appears under its name when it is
/// whole. Keep it as you keep the database: it holds every row, and whoever changes it can have the owner run SQL.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: tenantry export acme --to acme.tar.zst && tenantry verify acme.tar.zst")]
pub(crate) struct Options {
    /// The tenant; it may be suspended or deleted
    #[arg(add = ArgValueCompleter::new(complete_slugs))]
    slug: String,
    /// The file, by custom NAME.tar.zst
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    replace: bool,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    let config = configuration(&cx.global).await?;
    with_tenancy_of(cx, &config, async |cx, tenancy| {
        let tenant = tenancy.tenant(&options.slug).await?;
        let file = ArchiveFile::create(&options.to, options.replace)?;
        let exported = watched(cx, &config, tenancy, &tenant, &file).await?;
        file.keep()?;
        for line in &exported.notes {
            note(cx.output.format(), &format!("warning: {line}"));
        }
        print(cx, &options, &exported);
        Ok(())
    })
    .await?;
    Ok(Finish::Done)
}

/// Shows how the work goes on. Once interrupted, it ends and leaves nothing behind.
async fn watched(
    cx: &Context,
    config: &Config,
    tenancy: &Tenancy,
    tenant: &Tenant,
    file: &ArchiveFile,
) -> anyhow::Result<Exported> {
    let progress = Progress::new(cx.output.format());
    // The program is looked for only where it is needed.
    let dump = async |arguments: &[String]| {
        PgDump::for_server(config, tenancy, tenant.database()).await?.run(arguments)
    };
    let options = ExportOptions::default();
    let work = tenancy.export_observed(tenant, file.writer()?, &options, &progress, dump);
    let result = until_interrupted(work, || progress.cancel()).await;
    progress.finish();
    match result {
        Err(_) if progress.is_cancelled() => Err(interrupted().into()),
        result => result,
    }
}

fn print(cx: &mut Context, options: &Options, exported: &Exported) {
    let (slug, file) = (exported.tenant.slug(), options.to.display().to_string());
    match cx.output.format() {
        Format::Table => {
            let version = exported.version.map_or_else(|| "-".to_owned(), |version| version.to_string());
            cx.output.facts(&[
                ("file", file),
                ("tenant", slug.to_string()),
                ("version", version),
                ("rows", exported.rows.to_string()),
                ("bytes", exported.bytes.to_string()),
                ("sha256", exported.sha256.to_string()),
            ]);
        }
        Format::Json => cx.output.json(&json!({
            "file": file,
            "slug": slug,
            "version": exported.version,
            "rows": exported.rows,
            "bytes": exported.bytes,
            "sha256": exported.sha256,
            "notes": Value::from(exported.notes.clone()),
        })),
    }
}

//! Writes one tenant into a file.
use std::path::Path;

use serde_json::{Value, json};
use tenantry::archive::ArchiveFile;
use tenantry::lifecycle::{ExportOptions, Exported};
use tenantry::tenant::{Slug, Tenant};
use tenantry::{Config, Tenancy};

use crate::context::Context;
use crate::interrupt::{interrupted, until_interrupted};
use crate::output::{Format, note};
use crate::pg_dump::PgDump;
use crate::progress::Progress;

pub(super) async fn run(
    cx: &mut Context,
    config: &Config,
    tenancy: &Tenancy,
    slug: &Slug,
    to: &Path,
    replaces: bool,
) -> anyhow::Result<()> {
    let tenant = tenancy.tenant(slug.as_str()).await?;
    let file = ArchiveFile::create(to, replaces)?;
    let exported = watched(cx, config, tenancy, &tenant, &file).await?;
    file.keep()?;
    for line in &exported.notes {
        note(cx.output.format(), &format!("warning: {line}"));
    }
    print(cx, to, &exported);
    Ok(())
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

fn print(cx: &mut Context, to: &Path, exported: &Exported) {
    let (slug, file) = (exported.tenant.slug(), to.display().to_string());
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

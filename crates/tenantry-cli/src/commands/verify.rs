//! Looks whether an archive is whole.
use serde_json::json;
use tenantry::archive::{self, Verified};

use crate::context::{Context, Finish};
use crate::output::Format;
use crate::store::{Place, open_file};

/// Look whether an archive is whole
///
/// Reads all of it and compares every part with what is said of it at its end. No database is needed. A file that
/// somebody wrote anew with a part changed passes: compare the SHA-256 with the one in `tenantry show SLUG`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: tenantry verify acme.tar.zst")]
pub(crate) struct Options {
    /// The file that `tenantry export` has written, or `s3://BUCKET/KEY`
    file: Place,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    let file = options.file.to_string();
    let from = open_file(&options.file).await?;
    let Verified { manifest, bytes, sha256, .. } =
        tokio::task::spawn_blocking(move || archive::verify(from)).await??;
    match cx.output.format() {
        Format::Table => {
            let version = manifest.version.map_or_else(|| "-".to_owned(), |version| version.to_string());
            let (major, minor) = (manifest.server_version / 10_000, manifest.server_version % 10_000);
            let extensions = manifest.extensions.iter().map(|it| it.name.as_str()).collect::<Vec<_>>();
            let mut facts = vec![
                ("file", file),
                ("tenant", manifest.slug.to_string()),
                ("written at", manifest.written_at.to_string()),
                ("version", version),
                ("server", format!("PostgreSQL {major}.{minor}")),
                ("tables", manifest.tables.len().to_string()),
                ("rows", manifest.rows().to_string()),
                ("bytes", bytes.to_string()),
                ("sha256", sha256.to_string()),
            ];
            for (name, needed) in
                [("extensions", extensions.join(", ")), ("roles", manifest.roles.join(", "))]
            {
                if !needed.is_empty() {
                    facts.push((name, needed));
                }
            }
            cx.output.facts(&facts);
        }
        Format::Json => cx.output.json(&json!({
            "file": file,
            "slug": manifest.slug,
            "version": manifest.version,
            "rows": manifest.rows(),
            "bytes": bytes,
            "sha256": sha256,
            "manifest": manifest,
        })),
    }
    Ok(Finish::Done)
}

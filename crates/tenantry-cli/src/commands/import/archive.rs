//! Makes a tenant of an archive.
use std::io;
use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::{Value, json};
use tenantry::{FromArchive, ImportedTenant, Tenancy};

use super::super::show;
use crate::connect::{configuration, with_tenancy_of};
use crate::context::{Context, Finish};
use crate::failure::Failure;
use crate::interrupt::{interrupted, until_interrupted};
use crate::output::{Format, note};
use crate::progress::Progress;
use crate::store::{Place, open_file};

/// Imports a file, or an object of a bucket.
pub(super) async fn run(file: PathBuf, order: FromArchive, cx: &mut Context) -> anyhow::Result<Finish> {
    let config = configuration(&cx.global).await?;
    let file = match file.to_str().filter(|file| file.starts_with("s3://")) {
        Some(address) => address.parse::<Place>().map_err(Failure::usage)?,
        None => Place::Folder(file),
    };
    // Said before anybody waits for a database.
    open_file(&file).await?;
    with_tenancy_of(cx, &config, async |cx, tenancy| {
        let imported = watched(cx, tenancy, file.clone(), &order).await?;
        let (slug, rows) = (imported.tenant.slug(), imported.rows);
        note(cx.output.format(), &format!("imported tenant {slug}, {rows} rows"));
        print(cx, tenancy, &imported).await
    })
    .await?;
    Ok(Finish::Done)
}

/// Shows how the work goes on. Once interrupted, it ends and leaves nothing behind.
async fn watched(
    cx: &Context,
    tenancy: &Tenancy,
    file: Place,
    order: &FromArchive,
) -> anyhow::Result<ImportedTenant> {
    let progress = Progress::new(cx.output.format());
    // The library opens it in threads that may wait.
    let runtime = tokio::runtime::Handle::current();
    let open = move || runtime.block_on(open_file(&file)).map_err(io::Error::other);
    let work = tenancy.import_observed(open, order, &progress);
    let result = until_interrupted(work, || progress.cancel()).await;
    progress.finish();
    match result {
        Err(_) if progress.is_cancelled() => Err(interrupted().into()),
        result => Ok(result?),
    }
}

async fn print(cx: &mut Context, tenancy: &Tenancy, imported: &ImportedTenant) -> anyhow::Result<()> {
    match cx.output.format() {
        Format::Table => show::print(cx, tenancy, &imported.tenant).await,
        Format::Json => {
            let mut json = serde_json::to_value(&imported.tenant).context("a tenant is a JSON object")?;
            json["domains"] = json!(tenancy.domains(&imported.tenant).await?);
            json["copied"] = json!(imported.rows);
            json["sha256"] = json!(imported.sha256);
            json["migrated"] = Value::from(imported.migrated.clone());
            json["compared"] = json!(imported.is_compared);
            cx.output.json(&json);
            Ok(())
        }
    }
}

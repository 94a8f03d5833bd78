//! Imports one database.
use anyhow::Context as _;
use serde_json::{Value, json};
use tenantry::Tenancy;
use tenantry::lifecycle::{ExaminedDatabase, ImportedDatabase};

use super::order::{Choices, new_tenant, source, url};
use crate::commands::show;
use crate::connect::with_files;
use crate::context::{Context, Finish};
use crate::interrupt::{interrupted, until_interrupted};
use crate::order::Order;
use crate::output::{Format, note};
use crate::pg_dump::PgDump;
use crate::progress::Progress;

pub(super) async fn run(order: Order, choices: Choices, cx: &mut Context) -> anyhow::Result<Finish> {
    let (new, source) = (new_tenant(&order)?, source(&order, choices)?);
    let dump = async |arguments: &[String]| PgDump::for_source(url(&order)).await?.run_aside(arguments).await;
    with_files(cx, async |cx, tenancy| {
        if choices.is_dry_run {
            let examined = tenancy.examine_database(&source, new, dump).await?;
            print_findings(cx, &examined);
            return Ok(if examined.refused.is_empty() { Finish::Done } else { Finish::SomeFailed });
        }
        let progress = Progress::new(cx.output.format());
        let work = tenancy.import_database_observed(&source, new, &progress, dump);
        let result = until_interrupted(work, || progress.cancel()).await;
        progress.finish();
        let imported = match result {
            Err(_) if progress.is_cancelled() => return Err(interrupted().into()),
            result => result?,
        };
        for line in &imported.notes {
            note(cx.output.format(), &format!("warning: {line}"));
        }
        let (slug, rows) = (imported.tenant.slug(), imported.rows);
        note(cx.output.format(), &format!("imported tenant {slug}, {rows} rows"));
        print(cx, tenancy, &imported).await?;
        Ok(Finish::Done)
    })
    .await
}

async fn print(cx: &mut Context, tenancy: &Tenancy, imported: &ImportedDatabase) -> anyhow::Result<()> {
    match cx.output.format() {
        Format::Table => show::print(cx, tenancy, &imported.tenant).await,
        Format::Json => {
            let mut json = to_json(imported)?;
            json["domains"] = json!(tenancy.domains(&imported.tenant).await?);
            cx.output.json(&json);
            Ok(())
        }
    }
}

/// The tenant, with what was copied and what was not.
pub(super) fn to_json(imported: &ImportedDatabase) -> anyhow::Result<Value> {
    let mut json = serde_json::to_value(&imported.tenant).context("a tenant is a JSON object")?;
    json["copied"] = json!(imported.rows);
    json["notes"] = Value::from(imported.notes.clone());
    Ok(json)
}

fn print_findings(cx: &mut Context, examined: &ExaminedDatabase) {
    if cx.output.format() == Format::Json {
        cx.output.json(examined);
        return;
    }
    for refused in &examined.refused {
        cx.output.line(&format!("refused: {}", refused.what));
        if let Some(hint) = &refused.hint {
            cx.output.line(&format!("  hint: {hint}"));
        }
    }
    for line in &examined.notes {
        cx.output.line(&format!("warning: {line}"));
    }
    let version = examined.version.map_or_else(|| "none".to_owned(), |version| version.to_string());
    let verdict = if examined.refused.is_empty() { "can be imported" } else { "cannot be imported" };
    cx.output.line(&format!("{verdict}: {} tables, version {version}", examined.tables));
}

//! Lists the archives that `export` has written into a place.
use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use tenantry::tenant::{Slug, TenantId};

use crate::context::{Context, Finish};
use crate::duration::shown;
use crate::output::{Format, note};
use crate::store::{Entry, Kind, Outcome, Place, Store, StoredFile};

/// List the archives in a place, and the exports that failed
///
/// Tells what `tenantry export --to PLACE` has entered into the catalogue there. No database is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only those of tenants that had one of these slugs, also from when they had another
    slugs: Vec<Slug>,
    /// The folder, or `s3://BUCKET/PREFIX`
    #[arg(long = "in", value_name = "PLACE")]
    place: Place,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    let store = Store::open(&options.place)?;
    let listing = store.listing().await?;
    let there: BTreeSet<_> = of_kind(&listing.files, |kind| kind == Kind::Archive).cloned().collect();
    let chosen = tenants_of(&listing.files, &options.slugs);
    let entries = of_kind(&listing.files, |kind| kind != Kind::Archive).filter(|(id, _)| chosen.contains(id));
    let entries = store.entries(entries.cloned()).await?;
    let rows = entries.into_iter().map(|(file, entry)| {
        let archive = StoredFile { kind: Kind::Archive, ..file };
        let path = store.file_of(entry.id, &archive.name());
        let path = there.contains(&(entry.id, archive)).then(|| store.shown(&path));
        (entry, path)
    });
    match cx.output.format() {
        Format::Json => {
            let rows: Vec<_> = rows.map(|(entry, path)| as_json(&entry, path.as_deref())).collect();
            let unknown: Vec<_> = listing.unknown.iter().map(|file| store.shown(file)).collect();
            cx.output.json(&json!({ "archives": rows, "unknown": unknown }));
        }
        Format::Table => {
            let header = ["SLUG", "WRITTEN AT", "VERSION", "ROWS", "BYTES", "FILE"];
            cx.output.rows(Some(&header), &[3, 4], rows.map(|(entry, path)| as_row(&entry, path)));
            for file in &listing.unknown {
                note(Format::Table, &format!("not in the catalogue: {}", store.shown(file)));
            }
        }
    }
    Ok(Finish::Done)
}

fn of_kind(
    files: &[(TenantId, StoredFile)],
    is_it: impl Fn(Kind) -> bool,
) -> impl Iterator<Item = &(TenantId, StoredFile)> {
    files.iter().filter(move |(_, file)| is_it(file.kind))
}

/// The tenants that had one of the slugs when they were exported; all, where none is named.
fn tenants_of(files: &[(TenantId, StoredFile)], slugs: &[Slug]) -> BTreeSet<TenantId> {
    let is_meant = |slug| slugs.is_empty() || slugs.contains(slug);
    files.iter().filter(|(_, file)| is_meant(&file.stem.slug)).map(|(tenant, _)| *tenant).collect()
}

/// The entry, and where the archive is.
fn as_json(entry: &Entry, path: Option<&str>) -> Value {
    let mut json = match serde_json::to_value(entry) {
        Ok(Value::Object(object)) => object,
        _ => Map::new(),
    };
    json.insert("file".to_owned(), path.into());
    json.into()
}

fn as_row(entry: &Entry, path: Option<String>) -> Vec<String> {
    let (slug, at) = (entry.slug.clone(), shown(entry.begun_at));
    match &entry.outcome {
        Outcome::Failed { error } => {
            vec![slug, at, String::new(), String::new(), "failed".to_owned(), error.clone()]
        }
        Outcome::Done { version, rows, bytes, .. } => {
            let version = version.map_or_else(|| "-".to_owned(), |version| version.to_string());
            let file = path.unwrap_or_else(|| "(gone)".to_owned());
            vec![slug, at, version, rows.to_string(), bytes.to_string(), file]
        }
    }
}

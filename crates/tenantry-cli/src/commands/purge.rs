//! Removes deleted tenants for good.
mod copies;

use clap_complete::ArgValueCompleter;
use serde_json::json;
use tenantry::tenant::{Status, Tenant};
use tenantry::{ErrorKind, PurgeOptions, Tenancy};

use crate::backup::Backup;
use crate::connect::with_tenancy;
use crate::context::{Context, Finish};
use crate::failure::{Failure, Report};
use crate::interrupt::{interrupted, until_interrupted};
use crate::output::{Format, confirm, confirm_by_typing, note, print_report};
use crate::progress::Progress;
use crate::slugs::complete_slugs;
use crate::store::{Kind, Place, Store, StoredFile, new_run};

/// Tenants that are read at a time.
const PAGE: u32 = 100;

/// Drop the schemas of deleted tenants, for good
///
/// A schema is dropped in transactions of limited size. After an interruption, repeat the command: it goes on.
#[derive(Debug, clap::Args)]
#[command(after_help = "For a timer: tenantry purge --due --yes --export-first --to s3://backup/gone
It exits with 3 if some tenants could not be purged; they are tried again the next time.")]
#[allow(clippy::struct_excessive_bools, reason = "flags")]
pub(crate) struct Options {
    /// The tenant
    #[arg(add = ArgValueCompleter::new(complete_slugs), required_unless_present = "due")]
    slug: Option<String>,
    /// All deleted tenants whose time has come, those whose purge was interrupted, and what moves have left in
    /// databases that tenants went away from
    #[arg(long, conflicts_with_all = ["slug", "now"])]
    due: bool,
    /// Do so before its time has come
    #[arg(long)]
    now: bool,
    /// Drop objects of other schemas that depend on it, too, such as a view in the master schema
    #[arg(long)]
    drop_dependents: bool,
    /// Export it first, into the place that `--to` names: where that fails, or the archive is not whole, nothing is
    /// dropped
    #[arg(long, requires = "place")]
    export_first: bool,
    /// The folder for archives, or `s3://BUCKET/PREFIX`
    #[arg(long = "to", value_name = "PLACE", requires = "export_first")]
    place: Option<Place>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    with_tenancy(cx, async |cx, config, tenancy| {
        let progress = Progress::new(cx.output.format());
        let store = options.place.as_ref().map(Store::create).transpose()?;
        let backup = store.map(|store| {
            let (run, progress) = (new_run(), &progress);
            Backup { config, tenancy, store, run, verifies: true, progress }
        });
        let purge = Purge { tenancy, terms: options.terms(), backup, progress: &progress };
        match &options.slug {
            Some(slug) => purge_one(cx, &purge, slug, options.yes).await,
            None => purge_due(cx, &purge, options.yes).await,
        }
    })
    .await
}

impl Options {
    fn terms(&self) -> PurgeOptions {
        PurgeOptions { now: self.now, drop_dependents: self.drop_dependents }
    }
}

/// The way in which each tenant is purged.
struct Purge<'a> {
    tenancy: &'a Tenancy,
    terms: PurgeOptions,
    /// The place that each is exported to before.
    backup: Option<Backup<'a>>,
    progress: &'a Progress,
}

impl Purge<'_> {
    /// Purges a tenant. Where it is exported before, an interruption ends the export, or comes into effect behind the
    /// tenant.
    async fn purge(&self, tenant: &Tenant) -> anyhow::Result<()> {
        let purged = match &self.backup {
            Some(backup) => {
                let work = async {
                    Box::pin(export_first(backup, tenant)).await?;
                    self.drop_schema(tenant).await
                };
                until_interrupted(work, || self.progress.cancel()).await
            }
            None => self.drop_schema(tenant).await,
        };
        self.progress.finish();
        purged
    }

    async fn drop_schema(&self, tenant: &Tenant) -> anyhow::Result<()> {
        Ok(self.tenancy.purge_observed(tenant, self.terms, self.progress).await?)
    }
}

/// Writes an archive of a tenant of which all is there, and reads it back. Of one that is half gone, there has to be
/// one from before.
async fn export_first(backup: &Backup<'_>, tenant: &Tenant) -> anyhow::Result<()> {
    if tenant.status() != Status::Purging {
        backup.progress.note(&format!("exporting {}", tenant.slug()), 0, None);
        backup.export(tenant).await?;
        return if backup.progress.is_cancelled() { Err(interrupted().into()) } else { Ok(()) };
    }
    if has_archive(&backup.store.files_of(tenant.id()).await?) {
        return Ok(());
    }
    let message = "its purge has begun, so it cannot be exported any more, and there is no archive of it";
    let hint = "purge it without `--export-first`, or name the place where its archive is";
    Err(Failure::new("store", message).with_hint(hint).into())
}

/// Returns true if there is an archive that the catalogue has as good.
fn has_archive(files: &[StoredFile]) -> bool {
    let is_there = |file: &StoredFile, kind| files.contains(&StoredFile { kind, ..file.clone() });
    files.iter().any(|file| is_there(file, Kind::Archive) && is_there(file, Kind::Done))
}

async fn purge_one(cx: &mut Context, purge: &Purge<'_>, slug: &str, is_sure: bool) -> anyhow::Result<Finish> {
    let tenant = purge.tenancy.tenant(slug).await?;
    let slug = tenant.slug().as_str();
    let action = format!("drop schema {} of tenant {slug} with all that is in it", tenant.schema());
    // Any other tenant is refused by the library, and about that nobody needs to be asked.
    if tenant.status().is_hidden() && !confirm_by_typing(&action, slug, is_sure)? {
        note(cx.output.format(), "nothing was purged");
        return Ok(Finish::Done);
    }
    purge.purge(&tenant).await?;
    print(cx, &[tenant], 0);
    Ok(Finish::Done)
}

async fn purge_due(cx: &mut Context, purge: &Purge<'_>, is_sure: bool) -> anyhow::Result<Finish> {
    let (mut purged, mut failed) = (Vec::new(), 0);
    failed += copies::purge_due(cx, (purge.tenancy, purge.progress), is_sure).await?;
    let mut after = String::new();
    let mut is_sure = is_sure;
    loop {
        let page = purge.tenancy.due_for_purge(&after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.slug().to_string();
        let more = if page.len() < PAGE as usize { "" } else { " and more" };
        let action = format!("drop the schemas of {}{more} tenants with all that is in them", page.len());
        if !confirm(&action, is_sure)? {
            note(cx.output.format(), "nothing was purged");
            return Ok(Finish::Done);
        }
        is_sure = true;
        for tenant in page {
            match purge.purge(&tenant).await {
                Ok(()) => purged.push(tenant),
                Err(_) if purge.progress.is_cancelled() => {}
                // Somebody else has purged it meanwhile, or brought it back.
                Err(error) if is_gone(&error) => {}
                Err(error) => {
                    cx.output.flush();
                    print_report(cx.output.format(), &Report::of(error.as_ref()).of_tenant(&tenant));
                    failed += 1;
                }
            }
            if purge.progress.is_cancelled() {
                print(cx, &purged, failed);
                return Err(interrupted().with_hint("repeat the command: it goes on").into());
            }
        }
    }
    print(cx, &purged, failed);
    Ok(if failed == 0 { Finish::Done } else { Finish::SomeFailed })
}

fn is_gone(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<tenantry::Error>();
    error.is_some_and(|error| error.kind() == ErrorKind::UnknownTenant)
}

fn print(cx: &mut Context, purged: &[Tenant], failed: usize) {
    match cx.output.format() {
        Format::Json => {
            let slugs: Vec<_> = purged.iter().map(|tenant| tenant.slug().as_str()).collect();
            cx.output.json(&json!({ "purged": slugs, "failed": failed }));
        }
        Format::Table if purged.is_empty() && failed == 0 => note(Format::Table, "no tenant is due"),
        Format::Table => purged.iter().for_each(|it| cx.output.line(&format!("purged {}", it.slug()))),
    }
}

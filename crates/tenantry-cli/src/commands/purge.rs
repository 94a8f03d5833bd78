//! Removes deleted tenants for good.
use clap_complete::ArgValueCompleter;
use serde_json::json;
use tenantry::tenant::Tenant;
use tenantry::{ErrorKind, PurgeOptions, Tenancy};

use crate::connect::with_tenancy;
use crate::context::{Context, Finish};
use crate::failure::Report;
use crate::output::{Format, confirm, confirm_by_typing, note, print_report};
use crate::progress::Progress;
use crate::slugs::complete_slugs;

/// Tenants that are read at a time.
const PAGE: u32 = 100;

/// Drop the schemas of deleted tenants, for good
///
/// A schema is dropped in transactions of limited size. After an interruption, repeat the command: it goes on.
#[derive(Debug, clap::Args)]
#[command(after_help = "For a timer: tenantry purge --due --yes
It exits with 3 if some tenants could not be purged; they are tried again the next time.")]
#[allow(clippy::struct_excessive_bools, reason = "flags")]
pub(crate) struct Options {
    /// The tenant
    #[arg(add = ArgValueCompleter::new(complete_slugs), required_unless_present = "due")]
    slug: Option<String>,
    /// All deleted tenants whose time has come, and those whose purge was interrupted
    #[arg(long, conflicts_with_all = ["slug", "now"])]
    due: bool,
    /// Do so before its time has come
    #[arg(long)]
    now: bool,
    /// Drop objects of other schemas that depend on it, too, such as a view in the master schema
    #[arg(long)]
    drop_dependents: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    with_tenancy(cx, async |cx, _, tenancy| match &options.slug {
        Some(slug) => purge_one(cx, tenancy, slug, &options).await,
        None => purge_due(cx, tenancy, &options).await,
    })
    .await
}

impl Options {
    fn terms(&self) -> PurgeOptions {
        PurgeOptions { now: self.now, drop_dependents: self.drop_dependents }
    }
}

async fn purge_one(
    cx: &mut Context,
    tenancy: &Tenancy,
    slug: &str,
    options: &Options,
) -> anyhow::Result<Finish> {
    let tenant = tenancy.tenant(slug).await?;
    let slug = tenant.slug().as_str();
    let action = format!("drop schema {} of tenant {slug} with all that is in it", tenant.schema());
    // Any other tenant is refused by the library, and about that nobody needs to be asked.
    if tenant.status().is_hidden() && !confirm_by_typing(&action, slug, options.yes)? {
        note(cx.output.format(), "nothing was purged");
        return Ok(Finish::Done);
    }
    purge(cx, tenancy, &tenant, options.terms()).await?;
    print(cx, &[tenant], 0);
    Ok(Finish::Done)
}

async fn purge_due(cx: &mut Context, tenancy: &Tenancy, options: &Options) -> anyhow::Result<Finish> {
    let (mut purged, mut failed) = (Vec::new(), 0);
    let mut after = String::new();
    let mut is_sure = options.yes;
    loop {
        let page = tenancy.due_for_purge(&after, PAGE).await?;
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
            match purge(cx, tenancy, &tenant, options.terms()).await {
                Ok(()) => purged.push(tenant),
                // Somebody else has purged it meanwhile, or brought it back.
                Err(error) if error.kind() == ErrorKind::UnknownTenant => {}
                Err(error) => {
                    cx.output.flush();
                    print_report(cx.output.format(), &Report::of(&error).of_tenant(&tenant));
                    failed += 1;
                }
            }
        }
    }
    print(cx, &purged, failed);
    Ok(if failed == 0 { Finish::Done } else { Finish::SomeFailed })
}

async fn purge(
    cx: &Context,
    tenancy: &Tenancy,
    tenant: &Tenant,
    terms: PurgeOptions,
) -> tenantry::Result<()> {
    let progress = Progress::new(cx.output.format());
    let purged = tenancy.purge_observed(tenant, terms, &progress).await;
    progress.finish();
    purged
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

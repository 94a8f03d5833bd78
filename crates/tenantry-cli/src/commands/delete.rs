//! Hides a tenant until its purge.
use clap_complete::ArgValueCompleter;
use tenantry::database::Period;

use super::show;
use crate::connect::with_tenancy;
use crate::context::{Context, Finish};
use crate::output::{confirm_by_typing, note};
use crate::slugs::complete_slugs;

/// Hide a tenant, and purge it when its time has come
///
/// Nothing is dropped: `tenantry undelete` brings it back until `tenantry purge` removes it. Its slug and domains stay
/// taken. Requests are answered as if there were no such tenant.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The tenant
    #[arg(add = ArgValueCompleter::new(complete_slugs))]
    slug: String,
    /// The time for which it can come back, such as `7d`; without it, `lifecycle.keep_deleted`, or 30 days
    #[arg(long, value_name = "TIME")]
    keep: Option<Period>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    with_tenancy(cx, async |cx, _, tenancy| {
        let tenant = tenancy.tenant(&options.slug).await?;
        let slug = tenant.slug().as_str();
        if !confirm_by_typing(&format!("delete tenant {slug}"), slug, options.yes)? {
            note(cx.output.format(), "nothing was deleted");
            return Ok(());
        }
        let tenant = match options.keep {
            Some(keep) => tenancy.delete_for(&tenant, keep).await?,
            None => tenancy.delete(&tenant).await?,
        };
        note(cx.output.format(), &format!("deleted {slug}; `tenantry undelete {slug}` brings it back"));
        show::print(cx, tenancy, &tenant).await
    })
    .await?;
    Ok(Finish::Done)
}

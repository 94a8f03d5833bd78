//! Gives a tenant another slug.
use clap_complete::ArgValueCompleter;
use tenantry::database::Period;

use super::show;
use crate::connect::with_tenancy;
use crate::context::{Context, Finish};
use crate::output::note;
use crate::slugs::complete_slugs;

/// Give a tenant another slug
///
/// Nothing but the registry changes: its schema keeps its name, and whoever is connected goes on. Nobody else gets the
/// slug it had for a while, and an application may redirect requests for it. To undo it, rename it back.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The tenant
    #[arg(value_name = "OLD", add = ArgValueCompleter::new(complete_slugs))]
    old: String,
    /// The slug it is to have
    #[arg(value_name = "NEW")]
    new: String,
    /// The time for which the old slug leads to the tenant, and is nobody else's, such as `7d`; `0d` frees it at once
    #[arg(long, value_name = "TIME", default_value_t = Period::days(30))]
    redirect_for: Period,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    with_tenancy(cx, async |cx, _, tenancy| {
        let tenant = tenancy.tenant(&options.old).await?;
        let renamed = tenancy.rename_for(&tenant, &options.new, options.redirect_for).await?;
        note(cx.output.format(), &format!("renamed {} to {}", tenant.slug(), renamed.slug()));
        show::print(cx, tenancy, &renamed).await
    })
    .await?;
    Ok(Finish::Done)
}

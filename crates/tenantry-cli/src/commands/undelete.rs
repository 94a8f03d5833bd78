//! Brings a deleted tenant back.
use clap_complete::ArgValueCompleter;

use super::show;
use crate::connect::with_tenancy;
use crate::context::{Context, Finish};
use crate::fleet::Migrated;
use crate::output::note;
use crate::slugs::complete_slugs;

/// Bring a deleted tenant back as what it was
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The tenant
    #[arg(add = ArgValueCompleter::new(complete_slugs))]
    slug: String,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    with_tenancy(cx, async |cx, _, tenancy| {
        let tenant = tenancy.tenant(&options.slug).await?;
        let tenant = tenancy.undelete(&tenant).await?;
        let slug = tenant.slug();
        note(cx.output.format(), &format!("tenant {slug} is {}", tenant.status()));
        // Runs leave deleted tenants alone.
        if Migrated::of(tenancy, &tenant) == Migrated::Behind {
            let behind = format!("it is behind the fleet: run `tenantry migrate --tenant {slug}`");
            note(cx.output.format(), &behind);
        }
        show::print(cx, tenancy, &tenant).await
    })
    .await?;
    Ok(Finish::Done)
}

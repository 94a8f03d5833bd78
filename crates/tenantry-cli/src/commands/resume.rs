//! Has suspended tenants served again.
use clap_complete::ArgValueCompleter;
use tenantry::Tenancy;
use tenantry::tenant::Tenant;

use super::show::find;
use crate::connect::with_tenancy;
use crate::context::{Context, Finish};
use crate::output::Format;
use crate::slugs::complete_slugs;

/// Have suspended tenants served again
///
/// One that is active stays as it is.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Their slugs, or domains of theirs
    #[arg(required = true, value_name = "SLUG|DOMAIN", add = ArgValueCompleter::new(complete_slugs))]
    tenants: Vec<String>,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    let resume = async |tenancy: &Tenancy, tenant: Tenant| {
        let tenant = tenancy.resume(&tenant).await?;
        Ok(Changed { told: format!("{} is served", tenant.slug()), tenant })
    };
    each_of(cx, &options.tenants, resume).await
}

/// A tenant as it is now, and what people are told.
pub(super) struct Changed {
    pub(super) tenant: Tenant,
    pub(super) told: String,
}

/// Does the same to several tenants, and prints each. One that fails is reported, and stops nobody.
pub(super) async fn each_of(
    cx: &mut Context,
    names: &[String],
    change: impl AsyncFn(&Tenancy, Tenant) -> tenantry::Result<Changed>,
) -> anyhow::Result<Finish> {
    with_tenancy(cx, async |cx, _, tenancy| {
        let mut changed = Vec::new();
        for name in names {
            let done = async { change(tenancy, find(tenancy, name).await?).await };
            match done.await {
                Ok(done) if cx.output.format() == Format::Table => {
                    cx.output.line(&done.told);
                    changed.push(done.tenant);
                }
                Ok(done) => changed.push(done.tenant),
                Err(error) if names.len() == 1 => return Err(error.into()),
                Err(error) => cx.output.failure(&error.into()),
            }
        }
        if cx.output.format() == Format::Json {
            cx.output.json(&changed);
        }
        Ok(if changed.len() == names.len() { Finish::Done } else { Finish::SomeFailed })
    })
    .await
}

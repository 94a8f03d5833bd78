//! The domains of a tenant.
use clap_complete::ArgValueCompleter;
use tenantry::tenant::DomainName;

use crate::connect::with_tenancy;
use crate::context::{Context, Finish};
use crate::failure::Failure;
use crate::output::Format;
use crate::slugs::complete_slugs;

/// Add, remove or list the domains of a tenant
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Give a tenant a domain of its own
    Add {
        #[arg(add = ArgValueCompleter::new(complete_slugs))]
        slug: String,
        domain: String,
    },
    /// Take a domain from a tenant
    Remove {
        #[arg(add = ArgValueCompleter::new(complete_slugs))]
        slug: String,
        domain: String,
    },
    /// List the domains of a tenant
    List {
        #[arg(add = ArgValueCompleter::new(complete_slugs))]
        slug: String,
    },
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    with_tenancy(cx, async |cx, _, tenancy| {
        let (Action::Add { slug, .. } | Action::Remove { slug, .. } | Action::List { slug }) =
            &options.action;
        let tenant = tenancy.tenant(slug).await?;
        match &options.action {
            Action::Add { domain, .. } => {
                tenancy.add_domain(&tenant, &parse(domain)?).await?;
            }
            Action::Remove { domain, .. } => {
                if !tenancy.remove_domain(&tenant, &parse(domain)?).await? {
                    return Err(not_its_domain(slug, domain).into());
                }
            }
            Action::List { .. } => {}
        }
        print(cx, slug, &tenancy.domains(&tenant).await?);
        Ok(())
    })
    .await?;
    Ok(Finish::Done)
}

fn parse(domain: &str) -> tenantry::Result<DomainName> {
    Ok(DomainName::parse(domain)?)
}

fn not_its_domain(slug: &str, domain: &str) -> Failure {
    Failure::new("unknown_domain", format!("tenant `{slug}` has no domain `{domain}`"))
        .with_tenant(slug)
        .with_hint(format!("`tenantry domain list {slug}` shows the ones it has"))
}

/// Prints what the tenant has now.
fn print(cx: &mut Context, slug: &str, domains: &[DomainName]) {
    match cx.output.format() {
        Format::Json => cx.output.json(&serde_json::json!({ "slug": slug, "domains": domains })),
        Format::Table => domains.iter().for_each(|domain| cx.output.line(domain.as_str())),
    }
}

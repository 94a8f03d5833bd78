//! Suspends tenants.
use std::time::Duration;

use clap_complete::ArgValueCompleter;
use tenantry::Tenancy;
use tenantry::tenant::{Suspension, Tenant};
use time::OffsetDateTime;

use super::resume::{Changed, each_of};
use crate::context::{Context, Finish};
use crate::duration::{parse_duration, parse_span, parse_time, shown};
use crate::slugs::complete_slugs;

/// Suspend tenants: not served, or only read, until resumed
///
/// Servers that run hear of it at once. Requests get 503 with the message, checkouts fail, and migrations still reach
/// the tenant. Suspending a suspended tenant changes the terms.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: tenantry suspend acme --reason 'invoice 4711' --message 'Please pay your invoice.' --for 14d"
)]
pub(crate) struct Options {
    /// Their slugs, or domains of theirs
    #[arg(required = true, value_name = "SLUG|DOMAIN", add = ArgValueCompleter::new(complete_slugs))]
    tenants: Vec<String>,
    /// The reason, for operators
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The message for the customer
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// The end, such as `2026-12-24T18:00:00Z`; then it is served again by itself
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "span")]
    until: Option<OffsetDateTime>,
    /// The same as a time from now on, such as `90min`, `6h` or `14d`
    #[arg(long = "for", id = "span", value_name = "TIME", value_parser = parse_span)]
    span: Option<Duration>,
    /// Let reads go on
    #[arg(long)]
    read_only: bool,
    /// Wait until nothing of it is under way, or with --read-only nothing that writes; for a minute, unless told
    /// otherwise
    #[arg(long, value_name = "TIMEOUT", value_parser = parse_duration, num_args = 0..=1, require_equals = true,
          default_missing_value = "1min")]
    drain: Option<Duration>,
}

impl Options {
    /// The terms, which are the same for all of them.
    fn terms(&self) -> Suspension {
        let mut terms = Suspension::new();
        if let Some(reason) = &self.reason {
            terms = terms.because(reason);
        }
        if let Some(message) = &self.message {
            terms = terms.saying(message);
        }
        if let Some(end) = self.until.or_else(|| self.span.map(|span| OffsetDateTime::now_utc() + span)) {
            terms = terms.until(end);
        }
        if self.read_only { terms.read_only() } else { terms }
    }
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    let terms = options.terms();
    let suspend = async |tenancy: &Tenancy, tenant: Tenant| {
        let tenant = tenancy.suspend(&tenant, terms.clone()).await?;
        let mut told = told(&tenant);
        if let Some(limit) = options.drain {
            tenancy.drain(&tenant, limit).await?;
            told.push_str(", and nothing is under way");
        }
        Ok(Changed { tenant, told })
    };
    each_of(cx, &options.tenants, suspend).await
}

fn told(tenant: &Tenant) -> String {
    let what = if tenant.is_read_only() { "may only be read" } else { "is suspended" };
    match tenant.suspension().and_then(Suspension::end) {
        Some(end) => format!("{} {what} until {}", tenant.slug(), shown(end)),
        None => format!("{} {what}", tenant.slug()),
    }
}

//! Signs a way to a suspended tenant, for support staff.
use std::env;
use std::time::Duration;

use clap_complete::ArgValueCompleter;
use serde_json::json;
use tenantry::http::{BYPASS, BypassKey};
use time::OffsetDateTime;

use super::show::find;
use crate::connect::with_tenancy;
use crate::context::{Context, Finish};
use crate::duration::{parse_span, shown};
use crate::failure::Failure;
use crate::output::{Format, note};
use crate::slugs::complete_slugs;

/// The variable that holds the key. An argument would be seen by everybody on the machine.
const KEY: &str = "TENANTRY_BYPASS_KEY";

/// Print a signed way to a suspended tenant, for support
///
/// It is sent in the header or the cookie `tenantry-bypass`. The key is the one that the application gives its layer,
/// and is read from the variable `TENANTRY_BYPASS_KEY`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: curl -H \"tenantry-bypass: $(tenantry bypass acme --for 10min)\" https://acme.example.com"
)]
pub(crate) struct Options {
    /// Its slug, or one of its domains
    #[arg(value_name = "SLUG|DOMAIN", add = ArgValueCompleter::new(complete_slugs))]
    tenant: String,
    /// The time for which it is good; it cannot be taken back
    #[arg(long = "for", id = "span", value_name = "TIME", value_parser = parse_span, default_value = "1h")]
    span: Duration,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    let key = key()?;
    with_tenancy(cx, async |cx, _, tenancy| {
        let tenant = find(tenancy, &options.tenant).await?;
        let until = OffsetDateTime::now_utc() + options.span;
        let bypass = tenancy.sign_bypass(&tenant, &key, until).await?;
        match cx.output.format() {
            Format::Json => {
                cx.output.json(&json!({ "slug": tenant.slug(), "bypass": bypass, "until": shown(until) }));
            }
            Format::Table => {
                cx.output.line(&bypass);
                note(Format::Table, &format!("send it in the header or the cookie `{BYPASS}`"));
            }
        }
        Ok(())
    })
    .await?;
    Ok(Finish::Done)
}

fn key() -> anyhow::Result<BypassKey> {
    let secret = env::var_os(KEY).filter(|secret| !secret.is_empty()).ok_or_else(|| {
        Failure::usage(format!("there is no key to sign with: `{KEY}` is not set"))
            .with_hint("set it to the key that the application gives to `TenancyLayer::bypass`")
    })?;
    Ok(BypassKey::new(secret.as_encoded_bytes())?)
}

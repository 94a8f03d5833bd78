//! Shows one tenant.
use clap_complete::ArgValueCompleter;
use serde_json::Value;
use tenantry::resolve::TenantKey;
use tenantry::tenant::{DomainName, Slug, Suspension, Tenant};
use tenantry::{ErrorKind, Tenancy};
use time::format_description::well_known::Rfc3339;

use crate::connect::with_tenancy;
use crate::context::{Context, Finish};
use crate::duration::shown;
use crate::failure::Failure;
use crate::fleet::Migrated;
use crate::output::Format;
use crate::slugs::complete_slugs;

/// Show one tenant with its domains
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Its slug, or one of its domains
    #[arg(value_name = "SLUG|DOMAIN", add = ArgValueCompleter::new(complete_slugs))]
    tenant: String,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    with_tenancy(cx, async |cx, _, tenancy| {
        let key = key_of(&options.tenant)?;
        match tenancy.find(&key).await {
            Ok(tenant) => print(cx, tenancy, &tenant).await,
            Err(error) => Err(match called_now(tenancy, &key, &error).await? {
                Some(failure) => failure.into(),
                None => error.into(),
            }),
        }
    })
    .await?;
    Ok(Finish::Done)
}

/// Finds a tenant by what was typed.
pub(super) async fn find(tenancy: &Tenancy, text: &str) -> tenantry::Result<Tenant> {
    tenancy.find(&key_of(text)?).await
}

/// A dot makes it a domain: no slug has one.
fn key_of(text: &str) -> tenantry::Result<TenantKey> {
    if text.contains('.') {
        Ok(TenantKey::Domain(DomainName::parse(text)?))
    } else {
        Ok(TenantKey::Slug(Slug::parse(text)?))
    }
}

/// The error for a slug that a tenant had before.
async fn called_now(
    tenancy: &Tenancy,
    key: &TenantKey,
    error: &tenantry::Error,
) -> tenantry::Result<Option<Failure>> {
    let TenantKey::Slug(slug) = key else { return Ok(None) };
    let now = if error.kind() == ErrorKind::UnknownTenant { tenancy.formerly(slug).await? } else { None };
    Ok(now.map(|now| {
        let failure = Failure::new("unknown_tenant", error.to_string()).with_tenant(slug.as_str());
        failure.with_hint(format!("it is called `{}` now", now.slug()))
    }))
}

/// Prints all there is to know of a tenant.
pub(super) async fn print(cx: &mut Context, tenancy: &Tenancy, tenant: &Tenant) -> anyhow::Result<()> {
    let domains = tenancy.domains(tenant).await?;
    let migrated = Migrated::of(tenancy, tenant);
    let purge_after = tenancy.purge_after(tenant).await?.map(|date| date.format(&Rfc3339)).transpose()?;
    let former = tenancy.former_slugs(tenant).await?;
    let mut json = serde_json::to_value(tenant)?;
    if cx.output.format() == Format::Json {
        json["domains"] = serde_json::to_value(&domains)?;
        json["migrations"] = serde_json::to_value(migrated)?;
        json["former_slugs"] = serde_json::to_value(&former)?;
        json["purge_after"] = serde_json::to_value(purge_after)?;
        cx.output.json(&json);
        return Ok(());
    }
    let mut facts = vec![
        ("slug", tenant.slug().to_string()),
        ("name", tenant.name().to_owned()),
        ("status", tenant.status().to_string()),
        ("id", tenant.id().to_string()),
        ("database", tenant.database().to_string()),
        ("schema", tenant.schema().to_string()),
        ("migrations", migrated.as_str().to_owned()),
        ("created", json["created_at"].as_str().unwrap_or_default().to_owned()),
        ("domains", domains.iter().map(DomainName::as_str).collect::<Vec<_>>().join(", ")),
        ("settings", settings(tenant)),
    ];
    if let Some(suspension) = tenant.suspension() {
        facts.extend(terms(suspension));
    }
    if !former.is_empty() {
        let slugs = former.iter().map(|former| former.slug.as_str());
        facts.push(("former slugs", slugs.collect::<Vec<_>>().join(", ")));
    }
    if let Some(date) = purge_after {
        facts.push(("purge after", date));
    }
    if let Some(error) = tenant.last_error() {
        facts.push(("last error", error.to_owned()));
    }
    cx.output.facts(&facts);
    Ok(())
}

/// The terms of a suspension, as far as they were said.
fn terms(suspension: &Suspension) -> impl Iterator<Item = (&'static str, String)> {
    let read_only = suspension.is_read_only().then(|| "reads go on".to_owned());
    let all = [
        ("suspension", read_only),
        ("until", suspension.end().map(shown)),
        ("reason", suspension.reason().map(str::to_owned)),
        ("message", suspension.message().map(str::to_owned)),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?)))
}

/// Everything but the name, which has a line of its own.
fn settings(tenant: &Tenant) -> String {
    let Value::Object(settings) = tenant.settings() else { return String::new() };
    let pairs = settings.iter().filter(|(key, _)| *key != "name");
    pairs.map(|(key, value)| format!("{key}={}", plain(value))).collect::<Vec<_>>().join(", ")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

//! Shows one tenant.
use clap_complete::ArgValueCompleter;
use serde_json::Value;
use tenantry::registry::AuditEntry;
use tenantry::resolve::TenantKey;
use tenantry::tenant::{Alias, DomainName, Slug, Suspension, Tenant};
use tenantry::{ErrorKind, Footprint, Tenancy};

use crate::away;
use crate::connect::with_tenancy;
use crate::context::{Context, Finish};
use crate::duration::shown;
use crate::failure::Failure;
use crate::fleet::Migrated;
use crate::output::Format;
use crate::slugs::complete_slugs;

/// The newest entries of the audit that are shown.
const ENTRIES: u32 = 10;

/// Show one tenant: domains, size, what was done to it
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Its slug, or one of its domains
    #[arg(value_name = "SLUG|DOMAIN", add = ArgValueCompleter::new(complete_slugs))]
    tenant: String,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    with_tenancy(cx, async |cx, _, tenancy| {
        let key = key_of(&options.tenant)?;
        let tenant = match tenancy.find(&key).await {
            Ok(tenant) => tenant,
            Err(error) => {
                return Err(match called_now(tenancy, &key, &error).await? {
                    Some(failure) => failure.into(),
                    None => error.into(),
                });
            }
        };
        print_all(cx, tenancy, &tenant).await?;
        let is_its = |alias: &Alias| alias == tenant.database();
        Ok(away::tell_some(cx.output.format(), tenancy, is_its, Finish::Done))
    })
    .await
}

/// Prints all there is to know of a tenant.
async fn print_all(cx: &mut Context, tenancy: &Tenancy, tenant: &Tenant) -> anyhow::Result<()> {
    let entries = tenancy.audit(tenant.id(), ENTRIES).await?;
    // A database that is away hides the size, and nothing else.
    let footprint = tenancy.footprint(tenant).await.ok();
    match cx.output.format() {
        Format::Json => {
            let mut json = json_of(tenancy, tenant).await?;
            json["footprint"] = serde_json::to_value(footprint)?;
            json["audit"] = entries.iter().map(entry_json).collect();
            cx.output.json(&json);
        }
        Format::Table => {
            let mut facts = facts(tenancy, tenant).await?;
            if let Some(Footprint { tables, size_bytes }) = footprint {
                facts.extend([("tables", tables.to_string()), ("size", in_units(size_bytes))]);
            }
            cx.output.facts(&facts);
            print_entries(cx, &entries);
        }
    }
    Ok(())
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

/// Prints what the registry knows of a tenant.
pub(super) async fn print(cx: &mut Context, tenancy: &Tenancy, tenant: &Tenant) -> anyhow::Result<()> {
    match cx.output.format() {
        Format::Json => cx.output.json(&json_of(tenancy, tenant).await?),
        Format::Table => cx.output.facts(&facts(tenancy, tenant).await?),
    }
    Ok(())
}

pub(super) async fn json_of(tenancy: &Tenancy, tenant: &Tenant) -> anyhow::Result<Value> {
    let mut json = serde_json::to_value(tenant)?;
    json["domains"] = serde_json::to_value(tenancy.domains(tenant).await?)?;
    json["migrations"] = serde_json::to_value(Migrated::of(tenancy, tenant))?;
    json["former_slugs"] = serde_json::to_value(tenancy.former_slugs(tenant).await?)?;
    json["purge_after"] = serde_json::to_value(tenancy.purge_after(tenant).await?.map(shown))?;
    Ok(json)
}

async fn facts(tenancy: &Tenancy, tenant: &Tenant) -> anyhow::Result<Vec<(&'static str, String)>> {
    let domains = tenancy.domains(tenant).await?;
    let mut facts = vec![
        ("slug", tenant.slug().to_string()),
        ("name", tenant.name().to_owned()),
        ("status", tenant.status().to_string()),
        ("id", tenant.id().to_string()),
        ("database", tenant.database().to_string()),
        ("schema", tenant.schema().to_string()),
        ("migrations", Migrated::of(tenancy, tenant).as_str().to_owned()),
        ("created", shown(tenant.created_at())),
        ("domains", domains.iter().map(DomainName::as_str).collect::<Vec<_>>().join(", ")),
        ("settings", settings(tenant)),
    ];
    if let Some(type_name) = tenant.type_name() {
        facts.insert(2, ("type", type_name.to_string()));
    }
    if let Some(suspension) = tenant.suspension() {
        facts.extend(terms(suspension));
    }
    let former = tenancy.former_slugs(tenant).await?;
    if !former.is_empty() {
        let slugs = former.iter().map(|former| former.slug.as_str());
        facts.push(("former slugs", slugs.collect::<Vec<_>>().join(", ")));
    }
    if let Some(date) = tenancy.purge_after(tenant).await? {
        facts.push(("purge after", shown(date)));
    }
    if let Some(error) = tenant.last_error() {
        facts.push(("last error", error.to_owned()));
    }
    Ok(facts)
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

fn print_entries(cx: &mut Context, entries: &[AuditEntry]) {
    if entries.is_empty() {
        return;
    }
    cx.output.line("");
    let row = |entry: &AuditEntry| {
        let state = entry.state.as_str().to_owned();
        vec![shown(entry.begun_at), entry.verb.clone(), state, entry.operator.clone()]
    };
    cx.output.table(&["BEGUN", "VERB", "STATE", "OPERATOR"], entries.iter().map(row));
}

/// The entry without what the tenant says already.
fn entry_json(entry: &AuditEntry) -> Value {
    let mut json = serde_json::to_value(entry).unwrap_or_default();
    if let Value::Object(fields) = &mut json {
        fields.remove("tenant");
    }
    json
}

/// A size that people read, as `pg_size_pretty` writes it.
pub(super) fn in_units(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["bytes", "kB", "MB", "GB", "TB"];
    let (mut size, mut unit) = (bytes, 0);
    while size >= 10 * 1024 && unit + 1 < UNITS.len() {
        size = size / 1024 + i64::from(size % 1024 >= 512);
        unit += 1;
    }
    format!("{size} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_what_the_server_would_print() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (10_239, "10239 bytes"),
            (10_240, "10 kB"),
            (49_152, "48 kB"),
            (10_485_760, "10 MB"),
            (12_345_678_901, "11 GB"),
        ] {
            assert_eq!(in_units(bytes), text);
        }
    }
}

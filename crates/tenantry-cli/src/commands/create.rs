//! Makes a tenant, or gives a half-made one up.
use serde_json::Value;
use tenantry::tenant::{Alias, DomainName, SchemaName, Status, Tenant};
use tenantry::{NewTenant, Tenancy};

use super::show;
use crate::connect::{with_files, with_tenancy};
use crate::context::{Context, Finish};
use crate::output::{Format, confirm, note};

/// Make a tenant: its schema, all migrations, its row in the registry
///
/// After an interruption, repeat the command: it continues where it stopped.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The tenant's name in addresses: its slug
    slug: String,
    /// The name to show to people
    #[arg(long)]
    name: Option<String>,
    /// A setting that the application keeps with it: `key=text`, or `key:=json`; repeatable
    #[arg(long = "setting", value_name = "KEY=VALUE", value_parser = parse_setting)]
    settings: Vec<(String, Value)>,
    /// A domain of its own; repeatable
    #[arg(long = "domain", value_name = "DOMAIN")]
    domains: Vec<String>,
    /// The database to make its schema in
    #[arg(long, value_name = "ALIAS")]
    database: Option<String>,
    /// Register this existing schema instead of making one
    #[arg(long, value_name = "EXISTING")]
    schema: Option<String>,
    /// Remove a tenant that is still `provisioning`, with its schema
    #[arg(long, conflicts_with_all = ["name", "settings", "domains", "database", "schema"])]
    abort: bool,
    /// Do not ask before `--abort` removes something
    #[arg(long, requires = "abort")]
    yes: bool,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    if options.abort {
        return abort(options, cx).await;
    }
    let new = new_tenant(&options)?;
    with_files(cx, async |cx, tenancy| {
        let tenant = tenancy.create(new).await?;
        // In another database, only its database tells what its schema has applied.
        let tenant = tenancy.tenant(tenant.slug().as_str()).await?;
        note(cx.output.format(), &format!("created tenant {}", tenant.slug()));
        show::print(cx, tenancy, &tenant).await
    })
    .await?;
    Ok(Finish::Done)
}

fn new_tenant(options: &Options) -> tenantry::Result<NewTenant> {
    let mut new = NewTenant::new(&options.slug);
    if let Some(name) = &options.name {
        new = new.name(name);
    }
    for (key, value) in &options.settings {
        new = new.setting(key, value.clone());
    }
    for domain in &options.domains {
        new = new.domain(DomainName::parse(domain)?);
    }
    if let Some(alias) = &options.database {
        new = new.database(Alias::parse(alias)?);
    }
    if let Some(schema) = &options.schema {
        new = new.existing_schema(SchemaName::parse(schema)?);
    }
    Ok(new)
}

async fn abort(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    with_tenancy(cx, async |cx, _, tenancy| {
        let tenant = tenancy.tenant(&options.slug).await?;
        let action = format!("remove tenant {} with schema {}", tenant.slug(), tenant.schema());
        // Any other tenant is refused by the library, and about that nobody needs to be asked.
        let is_half_made = matches!(tenant.status(), Status::Provisioning | Status::Purging);
        if !is_half_made || confirm(&action, options.yes)? {
            remove(cx, tenancy, &tenant).await
        } else {
            note(cx.output.format(), "nothing was removed");
            Ok(())
        }
    })
    .await?;
    Ok(Finish::Done)
}

async fn remove(cx: &mut Context, tenancy: &Tenancy, tenant: &Tenant) -> anyhow::Result<()> {
    let removed = tenancy.abort_creation(tenant.slug().as_str()).await?;
    match cx.output.format() {
        Format::Json => cx.output.json(&serde_json::json!({ "removed": removed })),
        Format::Table => cx.output.line(&format!("removed {}", removed.slug())),
    }
    Ok(())
}

/// `plan=gold` is a text, `seats:=7` is JSON.
fn parse_setting(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    let (key, value) = match key.strip_suffix(':') {
        Some(key) => (key, serde_json::from_str(value).map_err(|error| format!("not JSON: {error}"))?),
        None => (key, Value::from(value)),
    };
    if key.is_empty() { Err("the key is empty".to_owned()) } else { Ok((key.to_owned(), value)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(text: &str, key: &str, value: &Value) {
        assert_eq!(parse_setting(text), Ok((key.to_owned(), value.clone())));
    }

    #[test]
    fn a_setting_is_a_text_unless_it_says_otherwise() {
        check("plan=gold", "plan", &json!("gold"));
        check("zip=01234", "zip", &json!("01234"));
        check("formula=a=b", "formula", &json!("a=b"));
        check("seats:=7", "seats", &json!(7));
        check("note=", "note", &json!(""));
    }

    #[test]
    fn a_setting_without_key_or_with_bad_json_is_refused() {
        for text in ["plan", "=gold", ":=7", "seats:=many"] {
            assert!(parse_setting(text).is_err(), "{text}");
        }
    }
}

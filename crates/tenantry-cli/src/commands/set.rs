//! Changes the name, the settings and the type of a tenant.
use anyhow::Context as _;
use clap_complete::ArgValueCompleter;
use serde_json::Value;
use tenantry::Tenancy;
use tenantry::lifecycle::{FormerFiles, TypeChange};
use tenantry::tenant::{InvalidTypeName, TypeName};

use super::show;
use crate::connect::with_tenancy;
use crate::context::{Context, Finish};
use crate::interrupt::unless_interrupted;
use crate::output::{Format, confirm, note};
use crate::setting::{Setting, parse_setting, settings_of};
use crate::slugs::complete_slugs;

/// Change the name, the settings or the type of a tenant
///
/// Other settings stay as they are, and servers that run hear of the change at once. With another type, the migrations
/// are applied that its schema lacks then, while the tenant is served. After an interruption, repeat the command.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tenantry set acme --name 'Acme Ltd' --setting plan=gold --setting seats:=7 --unset trial
  tenantry set acme --type pro
  tenantry set acme --type none --undo")]
pub(crate) struct Options {
    /// The tenant
    #[arg(add = ArgValueCompleter::new(complete_slugs))]
    slug: String,
    #[command(flatten)]
    changes: Changes,
    /// Undo the migrations of the type that it leaves, by their `.down.sql` files; without this, what they made stays
    #[arg(long, requires = "type_name")]
    undo: bool,
    /// Undo them without asking
    #[arg(long, requires = "undo")]
    yes: bool,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Changes {
    /// The name to show to people
    #[arg(long)]
    name: Option<String>,
    /// A setting that the application keeps with it: `key=text`, or `key:=json`; repeatable
    #[arg(long = "setting", value_name = "KEY=VALUE", value_parser = parse_setting)]
    settings: Vec<Setting>,
    /// A setting to remove; repeatable
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
    /// The type to give it, or `none`
    #[arg(long = "type", value_name = "TYPE|none", value_parser = parse_type)]
    type_name: Option<Kind>,
}

/// A type of tenants, or none.
#[derive(Clone, Debug)]
struct Kind(Option<TypeName>);

fn parse_type(text: &str) -> Result<Kind, InvalidTypeName> {
    TypeName::parse_or_none(text).map(Kind)
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    let Changes { name, settings, unset, type_name } = options.changes;
    let former = if options.undo { FormerFiles::Undo } else { FormerFiles::Keep };
    let has_changes = name.is_some() || !settings.is_empty() || !unset.is_empty();
    let name = name.map(|name| ("name".to_owned(), Value::from(name)));
    let unset = unset.into_iter().map(|key| (key, Value::Null));
    let changes = settings_of(name.into_iter().chain(settings).chain(unset))?;
    with_tenancy(cx, async |cx, _, tenancy| {
        let mut tenant = tenancy.tenant(&options.slug).await?;
        if has_changes {
            tenant = tenancy.set_settings(&tenant, changes).await?;
        }
        let Some(Kind(type_name)) = type_name else {
            note(cx.output.format(), &format!("changed tenant {}", tenant.slug()));
            return show::print(cx, tenancy, &tenant).await;
        };
        let action = format!(
            "undo the migrations of tenant {} that are not of type {}, and lose what they hold in what is dropped",
            tenant.slug(),
            type_name.as_ref().map_or(TypeName::NONE, TypeName::as_str)
        );
        if options.undo && tenant.type_name().is_some() && !confirm(&action, options.yes)? {
            note(cx.output.format(), "its type is as it was");
            return Ok(());
        }
        let work = tenancy.set_type(&tenant, type_name.as_ref(), former);
        let done = unless_interrupted(work).await;
        let change =
            done.map_err(|cut| cut.with_hint("repeat the command: it goes on where it stopped"))??;
        print(cx, tenancy, &change).await
    })
    .await?;
    Ok(Finish::Done)
}

async fn print(cx: &mut Context, tenancy: &Tenancy, change: &TypeChange) -> anyhow::Result<()> {
    let TypeChange { tenant, applied, undone, kept, put_back, .. } = change;
    let format = cx.output.format();
    for (what, versions) in [
        ("applied", applied),
        ("undone", undone),
        ("had been applied before", put_back),
        ("out of the ledger, and what they made stays", kept),
    ] {
        if !versions.is_empty() {
            let versions: Vec<_> = versions.iter().map(ToString::to_string).collect();
            note(format, &format!("{what}: {}", versions.join(", ")));
        }
    }
    let type_name = tenant.type_name().map_or(TypeName::NONE, TypeName::as_str);
    note(format, &format!("tenant {} is of type {type_name}", tenant.slug()));
    match format {
        Format::Table => show::print(cx, tenancy, tenant).await,
        Format::Json => {
            let mut json = show::json_of(tenancy, tenant).await?;
            let work = json.as_object_mut().context("a tenant is a JSON object")?;
            for (key, versions) in
                [("applied", applied), ("undone", undone), ("kept", kept), ("put_back", put_back)]
            {
                work.insert(key.to_owned(), serde_json::json!(versions));
            }
            cx.output.json(&json);
            Ok(())
        }
    }
}

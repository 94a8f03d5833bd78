//! Makes a tenant or many, or gives a half-made one up.
mod many;
mod order;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use tenantry::Tenancy;
use tenantry::tenant::{Status, Tenant, TypeName};

use self::order::new_tenant;
use super::show;
use crate::connect::{with_files, with_tenancy};
use crate::context::{Context, Finish};
use crate::interrupt::unless_interrupted;
use crate::order::Order;
use crate::output::{Format, confirm, note};
use crate::setting::{Setting, parse_setting, settings_of};

/// Make tenants: schema, all migrations, row in the registry
///
/// After an interruption, repeat the command: it continues where it stopped.
#[derive(Debug, clap::Args)]
#[command(after_help = "A line of FILE is a slug, or a JSON object:
  acme
  {\"slug\": \"globex\", \"name\": \"Globex\", \"settings\": {\"plan\": \"gold\"}, \"domains\": [\"globex.org\"]}
`type`, `domain`, `database` and `schema` are keys as well. Empty lines and those that begin with # are skipped.
Nothing is made if a line is wrong. A tenant that is there already is left as it is, so the command can be repeated.")]
pub(crate) struct Options {
    /// The tenant's name in addresses: its slug
    #[arg(required_unless_present = "from")]
    slug: Option<String>,
    /// Make the tenants in this file, one a line; `-` is stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["slug", "name", "settings", "domains", "schema", "abort"])]
    from: Option<PathBuf>,
    /// The number of tenants at a time, with `--from`
    #[arg(long, value_name = "N", default_value = "4", requires = "from")]
    jobs: NonZeroUsize,
    /// The name to show to people
    #[arg(long)]
    name: Option<String>,
    /// A setting that the application keeps with it: `key=text`, or `key:=json`; repeatable
    #[arg(long = "setting", value_name = "KEY=VALUE", value_parser = parse_setting)]
    settings: Vec<Setting>,
    /// A domain of its own; repeatable
    #[arg(long = "domain", value_name = "DOMAIN")]
    domains: Vec<String>,
    /// Its type, whose further migrations its schema gets; with `--from`, that of lines without one
    #[arg(long = "type", value_name = "TYPE", value_parser = TypeName::parse)]
    type_name: Option<TypeName>,
    /// The database to make its schema in
    #[arg(long, value_name = "ALIAS")]
    database: Option<String>,
    /// Register this existing schema instead of making one
    #[arg(long, value_name = "EXISTING")]
    schema: Option<String>,
    /// Remove a tenant that is still `provisioning`, with its schema
    #[arg(long, conflicts_with_all = ["name", "settings", "domains", "type_name", "database", "schema"])]
    abort: bool,
    /// Do not ask before `--abort` removes something
    #[arg(long, requires = "abort")]
    yes: bool,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    if options.abort {
        return abort(options, cx).await;
    }
    if let Some(file) = &options.from {
        let defaults = Order { type_name: options.type_name, database: options.database, ..Order::default() };
        return many::run(file, &defaults, options.jobs, cx).await;
    }
    let name = options.name.map(|name| ("name".to_owned(), name.into()));
    let order = Order {
        slug: options.slug.unwrap_or_default(),
        settings: settings_of(name.into_iter().chain(options.settings))?,
        domains: options.domains,
        type_name: options.type_name,
        database: options.database,
        schema: options.schema,
        ..Order::default()
    };
    let new = new_tenant(&order)?;
    with_files(cx, async |cx, tenancy| {
        // What is dropped half-way leaves nothing, or what the same command completes.
        let made = unless_interrupted(tenancy.create(new)).await;
        let tenant =
            made.map_err(|cut| cut.with_hint("repeat the command: it goes on where it stopped"))??;
        // In another database, only its database tells what its schema has applied.
        let tenant = tenancy.tenant(tenant.slug().as_str()).await?;
        note(cx.output.format(), &format!("created tenant {}", tenant.slug()));
        show::print(cx, tenancy, &tenant).await
    })
    .await?;
    Ok(Finish::Done)
}

async fn abort(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    with_tenancy(cx, async |cx, _, tenancy| {
        let tenant = tenancy.tenant(&options.slug.unwrap_or_default()).await?;
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

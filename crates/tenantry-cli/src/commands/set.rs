//! Changes the name and the settings of a tenant.
use clap_complete::ArgValueCompleter;
use serde_json::Value;

use super::show;
use crate::connect::with_tenancy;
use crate::context::{Context, Finish};
use crate::output::note;
use crate::setting::{Setting, parse_setting, settings_of};
use crate::slugs::complete_slugs;

/// Change the name and the settings of a tenant
///
/// Other settings stay as they are, and servers that run hear of the change at once.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: tenantry set acme --name 'Acme Ltd' --setting plan=gold --setting seats:=7 --unset trial"
)]
pub(crate) struct Options {
    /// The tenant
    #[arg(add = ArgValueCompleter::new(complete_slugs))]
    slug: String,
    #[command(flatten)]
    changes: Changes,
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
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    let Changes { name, settings, unset } = options.changes;
    let name = name.map(|name| ("name".to_owned(), Value::from(name)));
    let unset = unset.into_iter().map(|key| (key, Value::Null));
    let changes = settings_of(name.into_iter().chain(settings).chain(unset))?;
    with_tenancy(cx, async |cx, _, tenancy| {
        let tenant = tenancy.tenant(&options.slug).await?;
        let tenant = tenancy.set_settings(&tenant, changes).await?;
        note(cx.output.format(), &format!("changed tenant {}", tenant.slug()));
        show::print(cx, tenancy, &tenant).await
    })
    .await?;
    Ok(Finish::Done)
}

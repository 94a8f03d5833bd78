//! Lists the tenants.
use std::collections::BTreeSet;

use tenantry::tenant::Status;

use crate::away;
use crate::connect::with_tenancy;
use crate::context::{Context, Finish};
use crate::fleet::{Listed, Migrated, Pages};
use crate::output::{Format, note};

/// List the tenants, in the order of their slugs
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only those in this status
    #[arg(long, value_parser = Status::parse)]
    status: Option<Status>,
    /// Only those for which this holds: SQL over the columns of `tenantry.tenant`, such as
    /// "settings->>'plan' = 'pro'"
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,
    /// Not more than this many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

const HEADER: [&str; 6] = ["SLUG", "NAME", "STATUS", "MIGRATIONS", "DATABASE", "SCHEMA"];
/// The same where tenants may have a type.
const WITH_TYPE: [&str; 7] = ["SLUG", "NAME", "TYPE", "STATUS", "MIGRATIONS", "DATABASE", "SCHEMA"];

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    with_tenancy(cx, async |cx, _, tenancy| {
        let mut pages = Pages::matching(tenancy, options.condition.as_deref());
        let has_types = tenancy.migrations().types().next().is_some();
        let limit = options.limit.unwrap_or(usize::MAX);
        let (mut printed, mut unknown) = (0, BTreeSet::new());
        while printed < limit {
            let mut page = pages.next().await?;
            if page.is_empty() || cx.output.is_closed() {
                break;
            }
            page.retain(|listed| options.status.is_none_or(|status| listed.tenant.status() == status));
            page.truncate(limit - printed);
            let hidden = page.iter().filter(|listed| listed.migrated == Migrated::Unknown);
            unknown.extend(hidden.map(|listed| listed.tenant.database().clone()));
            match cx.output.format() {
                Format::Json => print_json(cx, &page, printed)?,
                Format::Table => print_table(cx, &page, printed, has_types),
            }
            printed += page.len();
        }
        finish(cx, printed);
        let format = cx.output.format();
        Ok(away::tell_some(format, tenancy, |alias| unknown.contains(alias), Finish::Done))
    })
    .await
}

/// One array, which grows page by page.
fn print_json(cx: &mut Context, page: &[Listed], printed: usize) -> anyhow::Result<()> {
    for (index, listed) in page.iter().enumerate() {
        let mut json = serde_json::to_value(&listed.tenant)?;
        json["migrations"] = serde_json::to_value(listed.migrated)?;
        let separator = if printed + index == 0 { "[\n  " } else { ",\n  " };
        cx.output.text(&format!("{separator}{json}"));
    }
    Ok(())
}

fn print_table(cx: &mut Context, page: &[Listed], printed: usize, has_types: bool) {
    if page.is_empty() {
        return;
    }
    let row = |listed: &Listed| {
        let tenant = &listed.tenant;
        let mut row = vec![tenant.slug().to_string(), tenant.name().to_owned()];
        row.extend(has_types.then(|| tenant.type_name().map(ToString::to_string).unwrap_or_default()));
        row.extend([
            tenant.status().to_string(),
            listed.migrated.as_str().to_owned(),
            tenant.database().to_string(),
            tenant.schema().to_string(),
        ]);
        row
    };
    let header: &[&str] = if has_types { &WITH_TYPE } else { &HEADER };
    cx.output.rows((printed == 0).then_some(header), &[], page.iter().map(row));
}

fn finish(cx: &mut Context, printed: usize) {
    match cx.output.format() {
        Format::Json => cx.output.line(if printed == 0 { "[]" } else { "\n]" }),
        Format::Table if printed == 0 => note(Format::Table, "there are no such tenants"),
        Format::Table => {}
    }
}

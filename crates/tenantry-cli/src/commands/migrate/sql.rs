//! Prints the SQL that a run would send, and does nothing.
use serde::Serialize;
use tenantry::Tenancy;
use tenantry::migrate::{Change, Direction, MigrateOptions, Preview, Warning};

use super::previewed::Previewed;
use crate::commands::{Context, Finish};
use crate::output::Format;
use crate::visible::visible;

/// Tenants that are named above the SQL that is for all of them.
const NAMED: usize = 5;

/// Schemas for which the same would run.
#[derive(Serialize)]
struct Group {
    /// True for the master schema, which no tenant is beside.
    master: bool,
    #[serde(rename = "slugs")]
    tenants: Vec<String>,
    pending: Vec<Step>,
    /// The text for the first of them.
    sql: String,
}

#[derive(PartialEq, Serialize)]
struct Step {
    version: i64,
    direction: Direction,
}

/// Prints each text once, with the tenants it is for. Exit code 3 if some schema would be refused.
pub(super) async fn print_sql(
    cx: &mut Context,
    tenancy: &Tenancy,
    options: MigrateOptions,
    warnings: &[Warning],
) -> anyhow::Result<Finish> {
    let mut groups = Vec::new();
    let format = cx.output.format();
    let add = |preview: &Preview<'_>, changes: &[Change<'_>]| add(&mut groups, preview, changes);
    let seen = Previewed::look(format, tenancy, options, add).await?;
    match format {
        Format::Json => cx.output.json(&seen.to_json("schemas", &groups, warnings)),
        Format::Table => {
            for (index, group) in groups.iter().enumerate() {
                let gap = if index > 0 { "\n" } else { "" };
                cx.output.line(&format!("{gap}-- {}", visible(&group.whose())));
                cx.output.text(&group.sql);
            }
            if groups.is_empty() {
                cx.output.line("-- nothing is pending");
            }
        }
    }
    Ok(seen.finish())
}

/// Adds a schema to those for which the same would run.
fn add(groups: &mut Vec<Group>, preview: &Preview<'_>, changes: &[Change<'_>]) {
    let step =
        |change: &Change<'_>| Step { version: change.migration().version(), direction: change.direction() };
    let (pending, master) = (changes.iter().map(step).collect::<Vec<_>>(), preview.tenant.is_none());
    let known = groups.iter_mut().find(|group| group.master == master && group.pending == pending);
    let tenant = preview.tenant.map(|tenant| tenant.slug().to_string());
    match known {
        Some(group) => group.tenants.extend(tenant),
        None => groups.push(Group {
            master,
            tenants: tenant.into_iter().collect(),
            pending,
            sql: preview.sql().unwrap_or_default(),
        }),
    }
}

impl Group {
    fn whose(&self) -> String {
        if self.master {
            return "the master schema".to_owned();
        }
        let count = self.tenants.len();
        let named = self.tenants[..count.min(NAMED)].join(", ");
        match count {
            1 => format!("tenant {named}"),
            _ if count <= NAMED => format!("{count} tenants: {named}; the path is that of the first"),
            _ => {
                format!("{count} tenants: {named} and {} more; the path is that of the first", count - NAMED)
            }
        }
    }
}

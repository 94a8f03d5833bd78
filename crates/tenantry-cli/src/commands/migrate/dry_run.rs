//! Prints what a run would do, and does nothing.
use tenantry::Tenancy;
use tenantry::migrate::{Change, Direction, MigrateOptions, Preview, Warning};

use super::previewed::Previewed;
use crate::commands::{Context, Finish};
use crate::output::Format;

/// Prints what would be done. Exit code 3 if some schema would be refused.
pub(super) async fn dry_run(
    cx: &mut Context,
    tenancy: &Tenancy,
    options: MigrateOptions,
    warnings: &[Warning],
) -> anyhow::Result<Finish> {
    let mut behind = Vec::new();
    let format = cx.output.format();
    let add = |preview: &Preview<'_>, changes: &[Change<'_>]| behind.push(Behind::of(preview, changes));
    let seen = Previewed::look(format, tenancy, options, add).await?;
    match format {
        Format::Json => cx.output.json(&seen.to_json("behind", &behind, warnings)),
        Format::Table => {
            for schema in &behind {
                cx.output.line(&schema.to_text());
            }
            let (behind, up_to_date, refused) = (behind.len(), seen.up_to_date, seen.refused.len());
            cx.output.line(&format!("schemas: {behind} behind, {up_to_date} up to date, {refused} refused"));
        }
    }
    Ok(seen.finish())
}

/// A schema that would be migrated.
#[derive(serde::Serialize)]
struct Behind {
    /// `None` for the master schema.
    slug: Option<String>,
    pending: Vec<Pending>,
}

#[derive(serde::Serialize)]
struct Pending {
    version: i64,
    direction: Direction,
    file: String,
    transaction: bool,
}

impl Behind {
    fn of(preview: &Preview<'_>, changes: &[Change<'_>]) -> Self {
        let pending = changes.iter().map(|change| Pending {
            version: change.migration().version(),
            direction: change.direction(),
            file: change.script().file().to_owned(),
            transaction: change.script().is_transactional(),
        });
        Self { slug: preview.tenant.map(|tenant| tenant.slug().to_string()), pending: pending.collect() }
    }

    fn to_text(&self) -> String {
        let files: Vec<_> = self.pending.iter().map(Pending::to_text).collect();
        format!("{}: {}", self.slug.as_deref().unwrap_or("the master schema"), files.join(", "))
    }
}

impl Pending {
    fn to_text(&self) -> String {
        if self.transaction { self.file.clone() } else { format!("{} (not in a transaction)", self.file) }
    }
}

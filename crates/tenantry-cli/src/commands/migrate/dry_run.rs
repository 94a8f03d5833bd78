//! Prints what a run would do, and does nothing.
use serde_json::json;
use tenantry::Tenancy;
use tenantry::migrate::{Change, Direction, MigrateOptions, Preview, Warning};

use crate::causes::Causes;
use crate::commands::{Context, Finish};
use crate::failure::Report;
use crate::output::Format;

/// Prints what would be done. Exit code 3 if some schema would be refused.
pub(super) async fn dry_run(
    cx: &mut Context,
    tenancy: &Tenancy,
    options: MigrateOptions,
    warnings: &[Warning],
) -> anyhow::Result<Finish> {
    let (mut behind, mut up_to_date) = (Vec::new(), 0);
    let (mut refused, mut causes) = (Vec::new(), Causes::default());
    let format = cx.output.format();
    tenancy
        .preview(options, |preview| match &preview.changes {
            Ok(changes) if changes.is_empty() => up_to_date += 1,
            Ok(changes) => behind.push(Behind::of(&preview, changes)),
            Err(error) => {
                let report = Report::of(error);
                causes.tell(format, &report);
                refused.push(report);
            }
        })
        .await?;
    causes.finish(format);
    match format {
        Format::Json => cx.output.json(&json!({
            "behind": behind,
            "up_to_date": up_to_date,
            "refused": refused,
            "groups": causes,
            "warnings": warnings,
        })),
        Format::Table => {
            for schema in &behind {
                cx.output.line(&schema.to_text());
            }
            let (behind, refused) = (behind.len(), refused.len());
            cx.output.line(&format!("schemas: {behind} behind, {up_to_date} up to date, {refused} refused"));
        }
    }
    Ok(if refused.is_empty() { Finish::Done } else { Finish::SomeFailed })
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

//! The part of a preview that is told in the same way however the rest is shown.
use serde::Serialize;
use serde_json::{Value, json};
use tenantry::Tenancy;
use tenantry::migrate::{Change, MigrateOptions, Preview, Warning};

use crate::causes::Causes;
use crate::commands::Finish;
use crate::failure::Report;
use crate::output::Format;

/// The schemas in which nothing would be done.
#[derive(Default)]
pub(super) struct Previewed {
    pub(super) up_to_date: usize,
    pub(super) refused: Vec<Report>,
    causes: Causes,
}

impl Previewed {
    /// Looks at every schema. Those that would be changed are for `add`; those that would be refused are told.
    pub(super) async fn look(
        format: Format,
        tenancy: &Tenancy,
        options: MigrateOptions,
        mut add: impl FnMut(&Preview<'_>, &[Change<'_>]),
    ) -> anyhow::Result<Self> {
        let mut seen = Self::default();
        tenancy
            .preview(options, |preview| match &preview.changes {
                Ok(changes) if changes.is_empty() => seen.up_to_date += 1,
                Ok(changes) => add(&preview, changes),
                Err(error) => {
                    let report = Report::of(error);
                    seen.causes.tell(format, &report);
                    seen.refused.push(report);
                }
            })
            .await?;
        seen.causes.finish(format);
        Ok(seen)
    }

    /// All of it as JSON, with what would be done under this key.
    pub(super) fn to_json(&self, key: &str, changed: impl Serialize, warnings: &[Warning]) -> Value {
        json!({
            key: changed,
            "up_to_date": self.up_to_date,
            "refused": self.refused,
            "groups": self.causes,
            "warnings": warnings,
        })
    }

    pub(super) fn finish(&self) -> Finish {
        if self.refused.is_empty() { Finish::Done } else { Finish::SomeFailed }
    }
}

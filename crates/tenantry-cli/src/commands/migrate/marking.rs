//! Has ledgers say what people know better.
use serde_json::json;
use tenantry::migrate::{Mark, Marking};
use tenantry::{Fleet, Tenancy};

use crate::context::{Context, Finish};
use crate::interrupt::unless_interrupted;
use crate::output::Format;

/// The word on one version. Nothing is migrated then.
#[derive(Debug, clap::Args)]
#[group(id = "Marks", multiple = true)]
pub(super) struct Marks {
    /// Say that this version is applied by the file as it is now, and migrate nothing: it was changed in a way that
    /// does not matter, or an interrupted one was finished by hand
    #[arg(long, value_name = "VERSION", group = "mark", conflicts_with_all = ["resume", "Course", "Caution"])]
    mark_applied: Option<i64>,
    /// Say that this version, which was interrupted, is to run again, and migrate nothing
    #[arg(long, value_name = "VERSION", group = "mark", conflicts_with_all = ["resume", "Course", "Caution"])]
    mark_pending: Option<i64>,
    /// Mark a version of the master schema instead
    #[arg(long, requires = "mark", conflicts_with = "Selection")]
    master: bool,
}

/// A version, the word on it, and whether it is one of the master schema.
pub(super) type Order = (i64, Mark, bool);

impl Marks {
    pub(super) fn order(&self) -> Option<Order> {
        let applied = self.mark_applied.map(|version| (version, Mark::Applied, self.master));
        applied.or_else(|| self.mark_pending.map(|version| (version, Mark::Pending, self.master)))
    }
}

pub(super) async fn carry_out(
    cx: &mut Context,
    tenancy: &Tenancy,
    fleet: &Fleet,
    (version, mark, is_master): Order,
) -> anyhow::Result<Finish> {
    let done = if is_master {
        unless_interrupted(tenancy.mark_master(version, mark)).await
    } else {
        unless_interrupted(tenancy.mark(fleet, version, mark)).await
    };
    let Marking { marked, untouched } =
        done.map_err(|cut| cut.with_hint("repeat the command: it goes on where it stopped"))??;
    match cx.output.format() {
        Format::Json => cx.output.json(&json!({ "marked": marked, "untouched": untouched })),
        Format::Table => cx.output.line(&format!("schemas: {marked} marked, {untouched} untouched")),
    }
    Ok(Finish::Done)
}

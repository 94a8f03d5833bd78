//! Makes tenants of schemas that are there.
mod plan;
mod source;

use std::future::ready;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::StreamExt as _;
use futures_util::stream;
use tenantry::tenant::{Alias, TypeName};
use tenantry::{Adoption, ErrorKind, Tenancy};

use self::plan::{Plan, Plans};
use self::source::{Look, Source};
use crate::causes::Causes;
use crate::connect::with_files;
use crate::context::{Context, Finish};
use crate::failure::{Failure, Report};
use crate::interrupt::until_interrupted;
use crate::output::{confirm, note, print_report};
use crate::progress::Progress;

/// Make tenants of schemas that are there already
///
/// Each schema is compared with what the files make, and adopted at the version that it is equal to; one that differs
/// is shown and refused. Nothing in a schema is changed but that a ledger is added. Ledgers of other tools are read to
/// find the version, and left alone. Repeated, the command goes on where it stopped.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tenantry adopt --like 'tenant_%' --dry-run
  tenantry adopt --query 'SELECT schema_name, subdomain AS slug, domain FROM customer' --jobs 8
To undo it: tenantry release SLUG")]
pub(crate) struct Options {
    #[command(flatten)]
    source: Source,
    /// The database in which they are
    #[arg(long, value_name = "ALIAS", default_value_t)]
    database: Alias,
    /// Compare them with the files of this type beside those of all, and make tenants of the type
    #[arg(long = "type", value_name = "TYPE", value_parser = TypeName::parse)]
    type_name: Option<TypeName>,
    /// Note all files up to this version as applied, whatever is in the schemas
    #[arg(long, value_name = "VERSION")]
    applied_through: Option<i64>,
    /// Adopt schemas that differ, too, at the version that is nearest
    #[arg(long, conflicts_with = "applied_through")]
    allow_differences: bool,
    /// Show what would be adopted, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Schemas that are compared and adopted at a time
    #[arg(long, value_name = "N", default_value = "4")]
    jobs: NonZeroUsize,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    with_files(cx, async |cx, tenancy| {
        let progress = Progress::new(cx.output.format());
        let look =
            Look { database: &options.database, type_name: options.type_name.as_ref(), jobs: options.jobs };
        let plans = options.source.plans(tenancy, look, &progress).await;
        progress.finish();
        let Plans { found: mut plans, taken, missing } = plans?;
        for plan in &mut plans {
            plan.decide(options.applied_through, options.allow_differences);
        }
        if taken > 0 {
            note(cx.output.format(), &format!("{taken} belong to a tenant already"));
        }
        if options.dry_run {
            for failure in &missing {
                print_report(cx.output.format(), &Report::of(failure));
            }
            plan::print(cx, &plans, true);
            plan::note_more(cx, &plans);
            return Ok(Finish::Done);
        }
        let count = plans.iter().filter(|plan| plan.refused.is_none()).count();
        if count > 0 && !confirm(&format!("make tenants of {count} schemas"), options.yes)? {
            note(cx.output.format(), "nothing was adopted");
            return Ok(Finish::Done);
        }
        adopt_all(cx, tenancy, plans, &missing, options.jobs).await
    })
    .await
}

/// The outcome for one schema.
enum Adopted {
    Done(Box<Plan>),
    There,
    Failed(Report),
}

async fn adopt_all(
    cx: &mut Context,
    tenancy: &Tenancy,
    plans: Vec<Plan>,
    missing: &[Failure],
    jobs: NonZeroUsize,
) -> anyhow::Result<Finish> {
    let (format, count) = (cx.output.format(), plans.len());
    let (progress, done) = (&Progress::new(format), AtomicUsize::new(0));
    let plans = stream::iter(plans).take_while(|_| ready(!progress.is_cancelled()));
    let adopted = plans.map(|plan| adopt(tenancy, plan)).buffered(jobs.get());
    let (mut all, mut failed, mut there, mut causes) = (Vec::new(), missing.len(), 0, Causes::default());
    for failure in missing {
        causes.tell(format, &Report::of(failure));
    }
    let work = adopted.for_each(|adopted| {
        match adopted {
            Adopted::Done(plan) => all.push(*plan),
            Adopted::There => there += 1,
            Adopted::Failed(report) => {
                progress.suspend(|| causes.tell(format, &report));
                failed += 1;
            }
        }
        let so_far = done.fetch_add(1, Ordering::Relaxed) + 1;
        progress.note("adopting schemas", so_far as u64, Some(count as u64));
        ready(())
    });
    until_interrupted(work, || progress.cancel()).await;
    progress.finish();
    plan::print(cx, &all, false);
    cx.output.flush();
    causes.finish(format);
    plan::note_more(cx, &all);
    if failed + there > 0 {
        note(format, &format!("{} adopted, {there} there already, {failed} failed", all.len()));
    }
    match count - done.into_inner() {
        0 if failed == 0 => Ok(Finish::Done),
        0 => Ok(Finish::SomeFailed),
        left => {
            Err(Failure::new("interrupted", format!("it was interrupted before {left} of {count} schemas"))
                .with_hint("repeat the command: it goes on where it stopped")
                .into())
        }
    }
}

async fn adopt(tenancy: &Tenancy, plan: Plan) -> Adopted {
    let adoption = plan.adoption();
    let Err(error) = tenancy.adopt(adoption).await else { return Adopted::Done(Box::new(plan)) };
    if error.kind() == ErrorKind::AlreadyExists && is_adopted(tenancy, adoption).await {
        return Adopted::There;
    }
    Adopted::Failed(plan.report(&error))
}

/// Returns true if somebody else was faster with the same.
async fn is_adopted(tenancy: &Tenancy, adoption: &Adoption) -> bool {
    let found = adoption.found();
    let owned = tenancy.owned_schemas(&found.database, std::slice::from_ref(&found.schema)).await;
    owned.is_ok_and(|owned| !owned.is_empty())
}

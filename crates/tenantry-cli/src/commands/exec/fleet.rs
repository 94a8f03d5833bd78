//! The same statements in the schemas of many tenants, several at a time, as one table in the order of the slugs.
//!
//! The tenants are begun in that order and printed in it. The one whose turn it is streams; those behind it go on
//! until their answers are as large as may wait, and no tenant begins that is [`WINDOW`] behind. So memory has
//! a limit, whatever the statements answer and however long the first of them takes.
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;

use futures_util::{Stream, TryStreamExt as _};
use tenantry::tenant::Tenant;
use tenantry::{Fleet, Tenancy, TenantDb};
use tokio::sync::{mpsc, watch};

use super::answer::{Answer, Pieces};
use super::counts::counted;
use super::one::run_in;
use super::rows::Rows;
use super::session::{Session, Terms};
use crate::causes::Causes;
use crate::context::{Context, Finish};
use crate::failure::Report;
use crate::interrupt::unless_interrupted;
use crate::output::{Format, note};
use crate::progress::Progress;

/// Tenants whose answers may be there before they are printed.
const WINDOW: usize = 64;

/// The statements, and the terms on which they run.
#[derive(Clone)]
pub(super) struct Orders {
    pub(super) sql: Arc<str>,
    pub(super) terms: Terms,
}

/// A tenant that was begun, and what it answers.
struct Begun {
    tenant: Tenant,
    pieces: Pieces,
}

/// The summary that is printed at the end.
#[derive(Default)]
struct Counts {
    tenants: usize,
    failed: usize,
    causes: Causes,
}

pub(super) async fn run(
    cx: &mut Context,
    tenancy: &Tenancy,
    fleet: Fleet,
    jobs: NonZeroU32,
    orders: Orders,
) -> anyhow::Result<Finish> {
    let format = cx.output.format();
    let (begun, to_print) = mpsc::unbounded_channel();
    let (printed, window) = watch::channel(0);
    let progress = Progress::new(format);
    let mut rows = Rows::of_all(&mut cx.output, &orders.sql, &progress);
    let job = {
        let (begun, tenancy) = (begun.clone(), tenancy.clone());
        let mut number = 0;
        move |db: TenantDb| {
            let (answer, pieces) = Answer::begin();
            // Where nobody takes it, this job is about to end.
            let _ = begun.send(Begun { tenant: db.tenant().clone(), pieces });
            number += 1;
            run_when_near(tenancy.clone(), db, orders.clone(), answer, window.clone(), number)
        }
    };
    // What is under way when it is interrupted ends with the stream.
    let work = unless_interrupted(finish(tenancy.for_each(fleet, jobs.get() as usize, job), begun));
    let (result, counts) = tokio::join!(work, print(&mut rows, &progress, format, to_print, printed));
    progress.finish();
    let (rows, changed) = rows.finish();
    counts.causes.finish(format);
    let Counts { tenants, failed, .. } = counts;
    // A choice that is a mistake leaves nothing to count.
    if matches!(result, Ok(Ok(()))) || tenants > 0 {
        note(format, &format!("{tenants} tenants, {failed} failed, {}", counted(rows, changed)));
    }
    result??;
    Ok(if failed > 0 { Finish::SomeFailed } else { Finish::Done })
}

/// Runs the statements once no more than a window of tenants is to be printed before. A failure is part of the
/// answer.
async fn run_when_near(
    tenancy: Tenancy,
    db: TenantDb,
    orders: Orders,
    mut answer: Answer,
    mut printed: watch::Receiver<usize>,
    number: usize,
) -> tenantry::Result<()> {
    // Where nobody prints any more, this job is about to end.
    let _ = printed.wait_for(|printed| number <= printed + WINDOW).await;
    let result = run_in_tenant(&tenancy, &db, &orders, &mut answer).await;
    let failure = result.err().map(|error| Report::of(error.as_ref()).of_tenant(db.tenant()));
    answer.end(failure).await;
    Ok(())
}

async fn run_in_tenant(
    tenancy: &Tenancy,
    db: &TenantDb,
    orders: &Orders,
    answer: &mut Answer,
) -> anyhow::Result<()> {
    let mut session = Session::of_tenant(tenancy, db, orders.terms).await?;
    run_in(&mut session, Some(db.tenant()), &orders.sql, answer).await?;
    session.close().await;
    Ok(())
}

/// Sees to it that all are begun, and that those which could not be are reported like the others.
async fn finish(
    done: impl Stream<Item = tenantry::Result<(Tenant, tenantry::Result<()>)>>,
    begun: mpsc::UnboundedSender<Begun>,
) -> anyhow::Result<()> {
    let mut done = pin!(done);
    while let Some((tenant, result)) = done.try_next().await? {
        let Err(error) = result else { continue };
        let (answer, pieces) = Answer::begin();
        answer.end(Some(Report::of(&error).of_tenant(&tenant))).await;
        let _ = begun.send(Begun { tenant, pieces });
    }
    Ok(())
}

/// Prints one tenant after the other. Nobody reading any more is no reason to leave half of the fleet out.
async fn print(
    rows: &mut Rows<'_>,
    progress: &Progress,
    format: Format,
    mut to_print: mpsc::UnboundedReceiver<Begun>,
    printed: watch::Sender<usize>,
) -> Counts {
    let mut counts = Counts::default();
    while let Some(Begun { tenant, pieces }) = to_print.recv().await {
        if let Some(report) = rows.print(Some(&tenant), pieces).await {
            counts.failed += 1;
            progress.suspend(|| counts.causes.tell(format, &report));
        }
        counts.tenants += 1;
        // Rows on the same terminal tell more.
        if !rows.are_on_terminal() {
            progress.note("tenants done", counts.tenants as u64, None);
        }
        printed.send_replace(counts.tenants);
    }
    counts
}

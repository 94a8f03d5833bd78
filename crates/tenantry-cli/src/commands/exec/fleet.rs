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
use super::one::run_in;
use super::rows::Rows;
use crate::context::{Context, Finish};
use crate::failure::Report;
use crate::output::{Format, note, print_report};

/// Tenants whose answers may be there before they are printed.
const WINDOW: usize = 64;

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
}

pub(super) async fn run(
    cx: &mut Context,
    tenancy: &Tenancy,
    fleet: Fleet,
    jobs: NonZeroU32,
    sql: Arc<str>,
) -> anyhow::Result<Finish> {
    let format = cx.output.format();
    let (begun, to_print) = mpsc::unbounded_channel();
    let (printed, window) = watch::channel(0);
    let job = {
        let begun = begun.clone();
        let mut number = 0;
        move |db: TenantDb| {
            let (answer, pieces) = Answer::begin();
            // Where nobody takes it, this job is about to end.
            let _ = begun.send(Begun { tenant: db.tenant().clone(), pieces });
            number += 1;
            run_when_near(db, Arc::clone(&sql), answer, window.clone(), number)
        }
    };
    let work = finish(tenancy.for_each(fleet, jobs.get() as usize, job), begun);
    let mut rows = Rows::of_all(&mut cx.output);
    let (result, counts) = tokio::join!(work, print(&mut rows, format, to_print, printed));
    let rows = rows.finish();
    result?;
    note(format, &format!("{} tenants, {} failed, {rows} rows", counts.tenants, counts.failed));
    Ok(if counts.failed > 0 { Finish::SomeFailed } else { Finish::Done })
}

/// Runs the statements once no more than a window of tenants is to be printed before. A failure is part of the
/// answer.
async fn run_when_near(
    db: TenantDb,
    sql: Arc<str>,
    mut answer: Answer,
    mut printed: watch::Receiver<usize>,
    number: usize,
) -> tenantry::Result<()> {
    // Where nobody prints any more, this job is about to end.
    let _ = printed.wait_for(|printed| number <= printed + WINDOW).await;
    let result = run_in_tenant(&db, &sql, &mut answer).await;
    let failure = result.err().map(|error| Report::of(error.as_ref()).of_tenant(db.tenant()));
    answer.end(failure).await;
    Ok(())
}

async fn run_in_tenant(db: &TenantDb, sql: &str, answer: &mut Answer) -> anyhow::Result<()> {
    let mut checkout = db.acquire().await.map_err(tenantry::Error::from)?;
    run_in(&mut checkout, Some(db.tenant()), sql, answer).await
}

/// Sees to it that all are begun, and that those which could not be are reported like the others.
async fn finish(
    done: impl Stream<Item = tenantry::Result<(Tenant, tenantry::Result<()>)>>,
    begun: mpsc::UnboundedSender<Begun>,
) -> tenantry::Result<()> {
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
    format: Format,
    mut to_print: mpsc::UnboundedReceiver<Begun>,
    printed: watch::Sender<usize>,
) -> Counts {
    let mut counts = Counts::default();
    while let Some(Begun { tenant, pieces }) = to_print.recv().await {
        let failure = rows.print(Some(&tenant), pieces).await;
        counts.tenants += 1;
        counts.failed += usize::from(failure.is_some());
        if let Some(report) = failure {
            print_report(format, &report);
        }
        printed.send_replace(counts.tenants);
    }
    counts
}

//! Imports the databases that a file lists.
use std::future::ready;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt as _;
use futures_util::stream::{self, Stream};
use serde::Serialize;
use tenantry::lifecycle::{ExaminedDatabase, ImportedDatabase};
use tenantry::tenant::Slug;
use tenantry::{ErrorKind, Tenancy};

use super::order::{Choices, new_tenant, source, url};
use super::{list, one};
use crate::causes::Causes;
use crate::connect::with_files;
use crate::context::{Context, Finish};
use crate::failure::{Failure, Report};
use crate::input::read_text;
use crate::interrupt::until_interrupted;
use crate::order::Order;
use crate::output::{Format, note};
use crate::pg_dump::PgDump;
use crate::progress::Progress;

/// The outcome of one line.
enum Outcome {
    Imported(Box<ImportedDatabase>),
    Examined(ExaminedDatabase),
    There,
    Failed(Report),
}

/// The findings about a database, and the slug it would have.
#[derive(Serialize)]
struct Examined<'a> {
    slug: &'a Slug,
    #[serde(flatten)]
    found: ExaminedDatabase,
}

pub(super) async fn run(
    file: &Path,
    defaults: &Order,
    jobs: NonZeroUsize,
    choices: Choices,
    cx: &mut Context,
) -> anyhow::Result<Finish> {
    let file = Some(file).filter(|file| *file != Path::new("-"));
    let text = read_text(file)?;
    let name = file.map_or_else(|| "stdin".to_owned(), |file| file.display().to_string());
    let orders = list::parse(&text, &name, defaults, choices)?;
    with_files(cx, async |cx, tenancy| import_all(cx, tenancy, orders, jobs, choices).await).await
}

async fn import_all(
    cx: &mut Context,
    tenancy: &Tenancy,
    orders: Vec<(Slug, Order)>,
    jobs: NonZeroUsize,
    choices: Choices,
) -> anyhow::Result<Finish> {
    let count = orders.len();
    let (format, is_cancelled) = (cx.output.format(), AtomicBool::new(false));
    let progress = Progress::new(format);
    let orders = stream::iter(orders).take_while(|_| ready(!is_cancelled.load(Ordering::Relaxed)));
    let outcomes =
        orders.map(|(slug, order)| import(tenancy, slug, order, choices)).buffer_unordered(jobs.get());
    let cancel = || {
        is_cancelled.store(true, Ordering::Relaxed);
        let says = "stops after the databases under way; interrupt again to stop at once, which leaves nothing of them";
        progress.suspend(|| note(format, says));
    };
    let mut tally = Tally { of: count, ..Tally::default() };
    let result = until_interrupted(tally.print_all(cx, &progress, outcomes), cancel).await;
    progress.finish();
    if format == Format::Json {
        cx.output.line(if tally.done == 0 { "[]" } else { "\n]" });
    }
    cx.output.flush();
    tally.causes.finish(format);
    result?;
    let Tally { done, there, failed, refused, .. } = tally;
    let what = if choices.is_dry_run { "examined" } else { "imported" };
    note(format, &format!("{done} {what}, {there} there already, {} failed", failed + refused));
    match count - done - there - failed {
        0 if failed + refused == 0 => Ok(Finish::Done),
        0 => Ok(Finish::SomeFailed),
        left => {
            Err(Failure::new("interrupted", format!("it was interrupted before {left} of {count} databases"))
                .with_hint("repeat the command: it goes on where it stopped")
                .into())
        }
    }
}

/// The outcome so far.
#[derive(Default)]
struct Tally {
    of: usize,
    done: usize,
    there: usize,
    failed: usize,
    /// The number of those that were only looked at, and cannot be imported.
    refused: usize,
    causes: Causes,
}

impl Tally {
    async fn print_all(
        &mut self,
        cx: &mut Context,
        progress: &Progress,
        outcomes: impl Stream<Item = (Slug, Outcome)>,
    ) -> anyhow::Result<()> {
        let mut outcomes = std::pin::pin!(outcomes);
        progress.note("databases done", 0, Some(self.of as u64));
        while let Some((slug, outcome)) = outcomes.next().await {
            progress.suspend(|| self.print(cx, &slug, outcome))?;
            let done = self.done + self.there + self.failed;
            progress.note("databases done", done as u64, Some(self.of as u64));
        }
        Ok(())
    }

    fn print(&mut self, cx: &mut Context, slug: &Slug, outcome: Outcome) -> anyhow::Result<()> {
        let format = cx.output.format();
        match outcome {
            Outcome::Imported(imported) => {
                for line in imported.notes.iter().filter(|_| format == Format::Table) {
                    note(format, &format!("warning: {slug}: {line}"));
                }
                let line = format!("imported {slug}, {} rows", imported.rows);
                self.put(cx, &line, &one::to_json(&imported)?)
            }
            Outcome::Examined(found) => {
                self.refused += usize::from(!found.refused.is_empty());
                let refused = found.refused.iter().map(|it| format!("  refused: {}", it.what));
                let notes = found.notes.iter().map(|line| format!("  warning: {line}"));
                let verdict = if found.refused.is_empty() { "can" } else { "cannot" };
                let first = format!("{slug} {verdict} be imported, {} tables", found.tables);
                let lines: Vec<_> = std::iter::once(first).chain(refused).chain(notes).collect();
                self.put(cx, &lines.join("\n"), &Examined { slug, found })
            }
            Outcome::There => {
                note(format, &format!("{slug} is there already"));
                self.there += 1;
                Ok(())
            }
            Outcome::Failed(report) => {
                cx.output.flush();
                self.causes.tell(format, &report);
                self.failed += 1;
                Ok(())
            }
        }
    }

    /// One array, which grows tenant by tenant.
    fn put(&mut self, cx: &mut Context, line: &str, json: &impl Serialize) -> anyhow::Result<()> {
        match cx.output.format() {
            Format::Json => {
                let separator = if self.done == 0 { "[\n  " } else { ",\n  " };
                cx.output.text(&format!("{separator}{}", serde_json::to_string(json)?));
            }
            Format::Table => cx.output.line(line),
        }
        self.done += 1;
        cx.output.flush();
        Ok(())
    }
}

/// Imports one. Whatever is wrong with it, the others have databases of their own.
async fn import(tenancy: &Tenancy, slug: Slug, order: Order, choices: Choices) -> (Slug, Outcome) {
    let outcome = match try_import(tenancy, &order, choices).await {
        Ok(outcome) => outcome,
        Err(error) => {
            let kind = error.downcast_ref::<tenantry::Error>().map(tenantry::Error::kind);
            let is_taken = kind == Some(ErrorKind::AlreadyExists);
            if is_taken && tenancy.tenant(slug.as_str()).await.is_ok() {
                Outcome::There
            } else {
                Outcome::Failed(Report::of(error.as_ref()).of_slug(&slug))
            }
        }
    };
    (slug, outcome)
}

async fn try_import(tenancy: &Tenancy, order: &Order, choices: Choices) -> anyhow::Result<Outcome> {
    let (new, source) = (new_tenant(order)?, source(order, choices)?);
    let dump = async |arguments: &[String]| PgDump::for_source(url(order)).await?.run_aside(arguments).await;
    Ok(if choices.is_dry_run {
        Outcome::Examined(tenancy.examine_database(&source, new, dump).await?)
    } else {
        Outcome::Imported(Box::new(tenancy.import_database(&source, new, dump).await?))
    })
}

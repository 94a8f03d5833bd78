//! The progress of a run: a bar for each wave on a terminal, lines elsewhere.
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tenantry::observe::{Observer, Outcome, Wave};

use crate::causes::Causes;
use crate::failure::Report;
use crate::output::{Format, is_quiet, note};

const TEMPLATE: &str = "{prefix} {bar:30} {pos}/{len} {per_sec} {eta} {msg}";

pub(super) struct Progress {
    format: Format,
    is_cancelled: AtomicBool,
    seen: Mutex<Seen>,
}

struct Seen {
    bar: ProgressBar,
    failed: usize,
    /// The tenant that took longest so far, and how long.
    slowest: Option<(String, Duration)>,
    failures: Failures,
}

/// The tenants that failed.
#[derive(Default)]
pub(super) struct Failures {
    /// All of them, for JSON, which has them in the answer.
    pub(super) reports: Vec<Report>,
    pub(super) causes: Causes,
}

impl Progress {
    pub(super) fn new(format: Format) -> Self {
        let seen =
            Seen { bar: ProgressBar::hidden(), failed: 0, slowest: None, failures: Failures::default() };
        Self { format, is_cancelled: AtomicBool::new(false), seen: Mutex::new(seen) }
    }

    /// Lets the run end, after the tenants it is at.
    pub(super) fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
        self.seen().bar.suspend(|| {
            note(self.format, "stops after the tenants under way; interrupt again to stop at once");
        });
    }

    /// Takes the bar away, and answers with what failed.
    pub(super) fn finish(self) -> Failures {
        let seen = self.seen.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        seen.bar.finish_and_clear();
        seen.failures.causes.finish(self.format);
        seen.failures
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Observer for &Progress {
    fn wave_started(&self, wave: Wave, tenants: u64) {
        let prefix = match wave {
            Wave::Canaries => "canaries",
            Wave::Fleet => "tenants",
        };
        // Hidden by itself where stderr is no terminal.
        let target = if is_quiet() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(tenants), target);
        let style = ProgressStyle::with_template(TEMPLATE);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(prefix);
        let mut seen = self.seen();
        seen.bar.finish_and_clear();
        seen.bar = bar;
    }

    fn finished(&self, outcome: &Outcome<'_>) {
        let mut seen = self.seen();
        if outcome.tenant.is_some() {
            seen.count(outcome);
        }
        match outcome.error {
            // A failure of the master schema ends the command and is reported there.
            Some(error) => {
                if let Some(tenant) = outcome.tenant {
                    seen.fail(self.format, Report::of(error).of_tenant(tenant));
                }
            }
            None if seen.bar.is_hidden() => {
                if let Some(line) = line_of(outcome) {
                    note(self.format, &line);
                }
            }
            _ => {}
        }
    }

    fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Relaxed)
    }
}

impl Seen {
    fn fail(&mut self, format: Format, report: Report) {
        let Failures { reports, causes } = &mut self.failures;
        self.bar.suspend(|| causes.tell(format, &report));
        if format == Format::Json {
            reports.push(report);
        }
    }

    fn count(&mut self, outcome: &Outcome<'_>) {
        self.failed += usize::from(outcome.error.is_some());
        if self.slowest.as_ref().is_none_or(|(_, longest)| outcome.elapsed > *longest) {
            self.slowest = Some((name_of(outcome).to_owned(), outcome.elapsed));
        }
        let mut message = Vec::new();
        if self.failed > 0 {
            message.push(format!("{} failed", self.failed));
        }
        if let Some((name, elapsed)) = &self.slowest {
            message.push(format!("slowest {name} {} ms", elapsed.as_millis()));
        }
        self.bar.set_message(message.join(", "));
        self.bar.inc(1);
    }
}

fn name_of<'a>(outcome: &Outcome<'a>) -> &'a str {
    outcome.tenant.map_or("the master schema", |tenant| tenant.slug().as_str())
}

/// `None` where there was nothing to do.
fn line_of(outcome: &Outcome<'_>) -> Option<String> {
    let join = |versions: &[i64]| versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let (applied, undone) = (join(outcome.applied), join(outcome.undone));
    let what = match (undone.is_empty(), applied.is_empty()) {
        (true, true) => return None,
        (true, false) => applied,
        (false, true) => format!("{undone} undone"),
        (false, false) => format!("{undone} undone, then {applied}"),
    };
    Some(format!("migrated {}: {what} in {} ms", name_of(outcome), outcome.elapsed.as_millis()))
}

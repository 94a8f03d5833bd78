//! The progress of long work: a live line on a terminal, a plain line now and then elsewhere, nothing for programs.
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tenantry::observe::{Step, Steps};

use crate::output::{Format, is_quiet, note};

const OF_ALL: &str = "{msg} {bar:30} {pos}/{len} {per_sec} {eta}";
const SO_FAR: &str = "{spinner} {msg} {human_pos} {elapsed}";
/// The time between two plain lines. What takes less says nothing.
const INTERVAL: Duration = Duration::from_secs(5);

/// The line of one command.
pub(crate) struct Progress {
    format: Format,
    is_cancelled: AtomicBool,
    state: Mutex<State>,
}

struct State {
    bar: ProgressBar,
    what: String,
    of: Option<u64>,
    /// The time of the last plain line.
    told_at: Instant,
}

impl Progress {
    pub(crate) fn new(format: Format) -> Self {
        let state =
            State { bar: ProgressBar::hidden(), what: String::new(), of: None, told_at: Instant::now() };
        Self { format, is_cancelled: AtomicBool::new(false), state: Mutex::new(state) }
    }

    /// Lets the work end where nothing is left half-done.
    pub(crate) fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
        self.suspend(|| note(self.format, "stops at the next good place; interrupt again to stop at once"));
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Relaxed)
    }

    /// Tells something else without tearing the line.
    pub(crate) fn suspend<T>(&self, tell: impl FnOnce() -> T) -> T {
        // The bar is drawn by whoever holds it, so the lock may not be.
        let bar = self.state().bar.clone();
        bar.suspend(tell)
    }

    /// Takes the line away.
    pub(crate) fn finish(&self) {
        self.state().bar.finish_and_clear();
    }

    /// Notes how far some work has come.
    pub(crate) fn note(&self, what: &str, done: u64, of: Option<u64>) {
        if self.format == Format::Json || is_quiet() {
            return;
        }
        let mut state = self.state();
        if state.what != what || state.of != of {
            state.begin(what, of);
        }
        state.bar.set_position(done);
        if state.bar.is_hidden() && state.told_at.elapsed() >= INTERVAL {
            state.told_at = Instant::now();
            note(self.format, &line(what, done, of));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn begin(&mut self, what: &str, of: Option<u64>) {
        self.bar.finish_and_clear();
        // Hidden by itself where stderr is no terminal.
        self.bar = ProgressBar::with_draw_target(of, ProgressDrawTarget::stderr());
        let template = if of.is_some() { OF_ALL } else { SO_FAR };
        self.bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        self.bar.set_message(what.to_owned());
        if of.is_none() && !self.bar.is_hidden() {
            self.bar.enable_steady_tick(Duration::from_millis(200));
        }
        (self.what, self.of) = (what.to_owned(), of);
    }
}

fn line(what: &str, done: u64, of: Option<u64>) -> String {
    match of {
        Some(of) => format!("{what}: {done} of {of}"),
        None if done == 0 => format!("{what} …"),
        None => format!("{what}: {done}"),
    }
}

impl Steps for &Progress {
    fn step(&self, step: Step<'_>) {
        self.note(step.what, step.done, step.of);
    }

    fn is_cancelled(&self) -> bool {
        Progress::is_cancelled(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_line_says_how_far_it_is() {
        assert_eq!(line("making spares", 3, Some(10)), "making spares: 3 of 10");
        assert_eq!(line("tenants done", 3, None), "tenants done: 3");
        assert_eq!(line("applying the text", 0, None), "applying the text …");
    }
}

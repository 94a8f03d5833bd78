//! The wish of somebody outside that a command ends: Ctrl-C, or what `kill` and container runtimes send.
use std::pin::pin;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// The signals that ask a process to end.
struct Signals {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
}

impl Signals {
    fn listen() -> Self {
        let of = |kind| signal(kind).ok();
        Self { interrupt: of(SignalKind::interrupt()), terminate: of(SignalKind::terminate()) }
    }

    /// Waits for one, and answers with the exit code of a process that it ends at once.
    async fn next(&mut self) -> i32 {
        tokio::select! {
            () = next_of(&mut self.interrupt) => 130,
            () = next_of(&mut self.terminate) => 143,
        }
    }
}

/// Waits for a signal. Where none can be heard, the system ends the process.
async fn next_of(signal: &mut Option<Signal>) {
    let heard = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if heard.is_none() {
        std::future::pending::<()>().await;
    }
}

/// Works until it is done. Once interrupted, the work is told to end; twice, the process ends at once.
pub(crate) async fn until_interrupted<T>(work: impl Future<Output = T>, cancel: impl FnOnce()) -> T {
    let mut signals = Signals::listen();
    let mut work = pin!(work);
    tokio::select! {
        result = &mut work => return result,
        _ = signals.next() => cancel(),
    }
    tokio::select! {
        result = work => result,
        code = signals.next() => std::process::exit(code),
    }
}

/// Works until it is done, or is interrupted and dropped.
pub(crate) async fn unless_interrupted<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let mut signals = Signals::listen();
    tokio::select! {
        result = work => Ok(result),
        _ = signals.next() => Err(interrupted()),
    }
}

/// The failure of what was interrupted.
pub(crate) fn interrupted() -> Failure {
    Failure::new("interrupted", "it was interrupted")
}

//! The wish of somebody outside that a command ends: Ctrl-C, or what `kill` and container runtimes send.
//!
//! Every command hears it. A signal is for the innermost piece of work under way, which ends in its own way. To one
//! that was told already, or that cannot end by itself, the next signal is the end of the process.
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use crate::failure::Failure;

/// The pieces of work under way, the innermost last.
static UNDER_WAY: Mutex<Vec<Piece>> = Mutex::new(Vec::new());

/// A piece of work that a signal may be for.
struct Piece {
    told: Arc<Notify>,
    /// The next signal ends the process.
    is_last_time: bool,
}

/// A piece of work, until it is dropped.
struct UnderWay(Arc<Notify>);

impl UnderWay {
    fn begin(is_last_time: bool) -> Self {
        let told = Arc::new(Notify::new());
        under_way().push(Piece { told: Arc::clone(&told), is_last_time });
        Self(told)
    }

    /// Waits for a signal.
    async fn told(&self) {
        self.0.notified().await;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        under_way().retain(|piece| !Arc::ptr_eq(&piece.told, &self.0));
    }
}

fn under_way() -> MutexGuard<'static, Vec<Piece>> {
    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner)
}

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

/// Hears the signals from now on, whatever this process is busy with.
pub(crate) fn listen() {
    let mut signals = Signals::listen();
    tokio::spawn(async move {
        loop {
            let code = signals.next().await;
            match under_way().last_mut() {
                Some(piece) if !piece.is_last_time => {
                    piece.is_last_time = true;
                    piece.told.notify_one();
                }
                _ => std::process::exit(code),
            }
        }
    });
}

/// Works until it is done. Once interrupted, the work is told to end; twice, the process ends at once.
pub(crate) async fn until_interrupted<T>(work: impl Future<Output = T>, cancel: impl FnOnce()) -> T {
    let piece = UnderWay::begin(false);
    let mut work = pin!(work);
    tokio::select! {
        result = &mut work => return result,
        () = piece.told() => cancel(),
    }
    work.await
}

/// Works until it is done, or is interrupted and dropped.
pub(crate) async fn unless_interrupted<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let piece = UnderWay::begin(false);
    tokio::select! {
        result = work => Ok(result),
        () = piece.told() => Err(interrupted()),
    }
}

/// Waits for somebody who types, where nothing is lost if the process ends.
pub(crate) fn while_typed<T>(wait: impl FnOnce() -> T) -> T {
    let _piece = UnderWay::begin(true);
    wait()
}

/// The failure of what was interrupted.
pub(crate) fn interrupted() -> Failure {
    Failure::new("interrupted", "it was interrupted")
}

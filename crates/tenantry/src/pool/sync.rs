//! The pool's lock, and where its background work runs.
//!
//! Whoever takes or gives back the lock may be overtaken by anybody there. In test builds these are
//! the places where an exploration (`pool/exploration.rs`) decides who goes on; elsewhere both are
//! what the standard library and tokio have.

#[cfg(not(test))]
pub(super) use std::sync::{Mutex, MutexGuard};

#[cfg(not(test))]
pub(super) use tokio::runtime::Handle as Background;

#[cfg(not(test))]
pub(super) use self::entered as within;

#[cfg(test)]
pub(super) use self::explored::{Background, Mutex, MutexGuard, explore, within};

use std::future::{pending, poll_fn};
use std::pin::pin;

use tokio::runtime::Handle;

/// Polls work as if by a task of this runtime. A socket that it opens belongs there, and so does a task that it begins:
/// where each thread of an application has a runtime of its own, what is pooled depends on none of these. A runtime
/// that has ended opens nothing any more; then whoever waits does it.
pub(super) async fn entered<T>(runtime: &Handle, work: impl Future<Output = T>) -> T {
    if has_ended(runtime) {
        return work.await;
    }
    let mut work = pin!(work);
    poll_fn(|cx| {
        let _entered = runtime.enter();
        work.as_mut().poll(cx)
    })
    .await
}

/// Returns true if the runtime takes no task any more: one that never ends has ended at once.
fn has_ended(runtime: &Handle) -> bool {
    let endless = runtime.spawn(pending::<()>());
    let has_ended = endless.is_finished();
    endless.abort();
    has_ended
}

#[cfg(test)]
mod explored {
    use std::cell::Cell;
    use std::ops::{Deref, DerefMut};
    use std::sync::atomic::Ordering;
    use std::sync::{LockResult, PoisonError};

    use shuttle::sync::atomic::AtomicBool;
    use tokio::runtime::Handle;

    thread_local! {
        static IS_EXPLORING: Cell<bool> = const { Cell::new(false) };
    }

    fn is_exploring() -> bool {
        // A panic is the end of an exploration.
        IS_EXPLORING.get() && !std::thread::panicking()
    }

    /// Runs an exploration, on this thread, with everybody's turn in its hands.
    pub(in super::super) fn explore(run: impl FnOnce()) {
        IS_EXPLORING.set(true);
        run();
        IS_EXPLORING.set(false);
    }

    /// Enters the runtime, but not in an exploration: there, others take their turns in the middle of a poll.
    pub(in super::super) async fn within<T>(runtime: &Background, work: impl Future<Output = T>) -> T {
        if is_exploring() { work.await } else { super::entered(&runtime.0, work).await }
    }

    /// Somebody else may go on here.
    fn pause() {
        if is_exploring() {
            AtomicBool::new(false).load(Ordering::SeqCst);
        }
    }

    /// A lock like the standard library's. The section under it is one step: nobody else could get in.
    pub(in super::super) struct Mutex<T>(std::sync::Mutex<T>);

    /// Pauses when the lock has been given back.
    pub(in super::super) struct MutexGuard<'a, T>(Option<std::sync::MutexGuard<'a, T>>);

    impl<T> Mutex<T> {
        pub(in super::super) fn new(value: T) -> Self {
            Self(std::sync::Mutex::new(value))
        }

        pub(in super::super) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
            pause();
            match self.0.lock() {
                Ok(guard) => Ok(MutexGuard(Some(guard))),
                Err(poisoned) => Err(PoisonError::new(MutexGuard(Some(poisoned.into_inner())))),
            }
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.0.as_ref().expect("held until it is dropped")
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.0.as_mut().expect("held until it is dropped")
        }
    }

    impl<T> Drop for MutexGuard<'_, T> {
        fn drop(&mut self) {
            self.0 = None;
            pause();
        }
    }

    /// A handle like tokio's; in an exploration its tasks take their turns with everybody's.
    #[derive(Clone)]
    pub(in super::super) struct Background(Handle);

    impl Background {
        pub(in super::super) fn current() -> Self {
            Self(Handle::current())
        }

        pub(in super::super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
            if is_exploring() {
                // Not detached: the exploration ends when every task has.
                std::mem::forget(shuttle::future::spawn(task));
            } else {
                self.0.spawn(task);
            }
        }
    }
}

//! Names for the places where a future of the pool may be dropped.
//!
//! A cancellation test is worth as much as the places it reaches. In test builds every drop at one
//! of these places is counted; in any other build [`at`] is a plain `.await`.

/// A place in the pool's code where something is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AwaitPoint {
    /// In a line for a connection.
    Wait,
    /// While a connection is opened.
    Open,
    /// While a connection is switched and verified.
    Switch,
    /// While cached statements and types are dropped before a switch.
    Forget,
    /// While a preprocessor's hook has the connection.
    Hook,
    /// While a statement runs, before, between or after its rows.
    Statement,
    /// While a transaction is begun.
    Begin,
    /// While a transaction is committed.
    Commit,
    /// While a transaction is rolled back.
    Rollback,
}

/// Awaits a future at a named place.
#[cfg(not(test))]
pub(super) async fn at<F: Future>(_place: AwaitPoint, future: F) -> F::Output {
    future.await
}

#[cfg(test)]
pub(super) use self::counted::at;
#[cfg(test)]
pub(crate) use self::counted::drops;

#[cfg(test)]
mod counted {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::AwaitPoint;

    impl AwaitPoint {
        pub(crate) const ALL: [Self; 9] = [
            Self::Wait,
            Self::Open,
            Self::Switch,
            Self::Forget,
            Self::Hook,
            Self::Statement,
            Self::Begin,
            Self::Commit,
            Self::Rollback,
        ];
    }

    static DROPS: [AtomicU32; AwaitPoint::ALL.len()] = [const { AtomicU32::new(0) }; AwaitPoint::ALL.len()];

    /// The number of futures that were dropped there, in this process.
    pub(crate) fn drops(place: AwaitPoint) -> u32 {
        DROPS[place as usize].load(Ordering::Relaxed)
    }

    /// Awaits a future at a named place, and counts if it is dropped after its first poll.
    pub(in super::super) async fn at<F: Future>(place: AwaitPoint, future: F) -> F::Output {
        let armed = Armed(place);
        let output = future.await;
        std::mem::forget(armed);
        output
    }

    struct Armed(AwaitPoint);

    impl Drop for Armed {
        fn drop(&mut self) {
            DROPS[self.0 as usize].fetch_add(1, Ordering::Relaxed);
        }
    }
}

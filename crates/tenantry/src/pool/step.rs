//! The step at which a checkout is, for the error of one that takes too long.

use std::sync::atomic::{AtomicU8, Ordering};

/// A step of a checkout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Others hold all connections, or the tenant as many as it may.
    Waiting,
    Opening,
    Switching,
}

/// The step at which a checkout is, told from inside of its future.
pub(super) struct StepMarker(AtomicU8);

impl StepMarker {
    pub(super) fn new() -> Self {
        Self(AtomicU8::new(Step::Waiting as u8))
    }

    pub(super) fn note(&self, step: Step) {
        self.0.store(step as u8, Ordering::Relaxed);
    }

    pub(super) fn step(&self) -> Step {
        let step = self.0.load(Ordering::Relaxed);
        let others = [Step::Opening, Step::Switching];
        others.into_iter().find(|other| *other as u8 == step).unwrap_or(Step::Waiting)
    }
}

//! Who gets the next connection when all are in use.

use std::collections::VecDeque;

use tokio::sync::oneshot;

/// Those who wait, in the order in which they came.
pub(super) struct Queue<T> {
    waiters: VecDeque<oneshot::Sender<T>>,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self { waiters: VecDeque::new() }
    }

    /// Adds a waiter at the end. Dropping the receiver leaves the queue.
    pub(super) fn join(&mut self) -> oneshot::Receiver<T> {
        self.waiters.retain(|waiter| !waiter.is_closed());
        let (sender, receiver) = oneshot::channel();
        self.waiters.push_back(sender);
        receiver
    }

    /// Hands an item to the first who still waits, or gives it back.
    ///
    /// A receiver that is dropped after this drops the item, whose own `Drop` must bring it back.
    pub(super) fn hand_over(&mut self, mut item: T) -> Result<(), T> {
        while let Some(waiter) = self.waiters.pop_front() {
            match waiter.send(item) {
                Ok(()) => return Ok(()),
                Err(returned) => item = returned,
            }
        }
        Err(item)
    }

    pub(super) fn clear(&mut self) {
        self.waiters.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.waiters.iter().filter(|waiter| !waiter.is_closed()).count()
    }
}

//! The positions that a primary had written up to, and when.
//!
//! A replica that has replayed up to where the primary was at a moment is no older than that moment. So nobody's clock
//! but ours counts, nothing is written for the sake of measuring, and a primary that writes nothing makes nobody old.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::pool::wal_position::WalPosition;

/// The positions that a primary had written up to, from the oldest to the latest.
#[derive(Debug, Default)]
pub(super) struct Written {
    seen: VecDeque<(Instant, WalPosition)>,
}

impl Written {
    /// Older than any lag that is told apart, at one look a second or four within `max_lag`.
    const MOST: usize = 4096;

    /// Notes where the primary was, by an answer to a question that was asked at this moment.
    pub(super) fn note(&mut self, asked_at: Instant, position: WalPosition) {
        // Another server took over, or a backup.
        if self.seen.back().is_some_and(|(_, last)| *last > position) {
            self.seen.clear();
        }
        if let Some((at, _)) = self.seen.back_mut().filter(|(_, last)| *last == position) {
            *at = asked_at;
            return;
        }
        self.seen.push_back((asked_at, position));
        if self.seen.len() > Self::MOST {
            self.seen.pop_front();
        }
    }

    /// The time for which the primary was looked at; `None` before the first look.
    pub(super) fn known_for(&self, now: Instant) -> Option<Duration> {
        self.seen.front().map(|(at, _)| now.saturating_duration_since(*at))
    }

    /// The age of what a server answers that has replayed up to here. `None`: it is older than all that is known.
    ///
    /// One that has all that is known of has no age, also while the primary does not answer: whether it has written
    /// more, nobody knows then.
    pub(super) fn age_of(&self, replayed: WalPosition, now: Instant) -> Option<Duration> {
        let has = self.seen.partition_point(|(_, position)| *position <= replayed);
        let (at, _) = self.seen.get(has.checked_sub(1)?)?;
        Some(if has == self.seen.len() { Duration::ZERO } else { now.saturating_duration_since(*at) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(number: u32) -> WalPosition {
        WalPosition::parse(&format!("0/{number:X}")).expect("a position")
    }

    fn written(looks: &[(u64, u32)], begin: Instant) -> Written {
        let mut written = Written::default();
        for (seconds, number) in looks {
            written.note(begin + Duration::from_secs(*seconds), position(*number));
        }
        written
    }

    #[test]
    fn a_replica_is_as_old_as_the_last_moment_of_which_it_has_all() {
        let begin = Instant::now();
        let written = written(&[(0, 100), (1, 200), (2, 200), (3, 300)], begin);
        let now = begin + Duration::from_secs(5);
        for (replayed, expect) in [
            (99, None),
            (100, Some(5)),
            (199, Some(5)),
            // Nothing was written until the third look.
            (200, Some(3)),
            (299, Some(3)),
            (300, Some(0)),
            (900, Some(0)),
        ] {
            let age = written.age_of(position(replayed), now);
            assert_eq!(age, expect.map(Duration::from_secs), "{replayed}");
        }
    }

    #[test]
    fn nothing_is_known_before_the_first_look() {
        let now = Instant::now();
        assert_eq!(
            (Written::default().age_of(position(1), now), Written::default().known_for(now)),
            (None, None)
        );
    }

    #[test]
    fn a_primary_that_starts_over_is_another_one() {
        let begin = Instant::now();
        let written = written(&[(0, 100), (1, 200), (2, 50)], begin);
        assert_eq!(written.age_of(position(50), begin), Some(Duration::ZERO));
        assert_eq!(written.age_of(position(49), begin), None);
    }

    #[test]
    fn the_oldest_looks_are_forgotten() {
        let begin = Instant::now();
        let looks: Vec<_> = (0..u32::try_from(Written::MOST).expect("a small number") + 2)
            .map(|number| (u64::from(number), number))
            .collect();
        let written = written(&looks, begin);
        assert_eq!(written.age_of(position(1), begin), None);
        assert!(written.age_of(position(2), begin).is_some());
    }
}

//! Which idle connection a look-up gets.
//!
//! Pure: it sees what the connections last served and answers with a position.

use super::lease::Pooled;
use super::preparation::Preparation;

/// The best of the idle connections, which are ordered from the longest idle to the latest: the
/// one that last served the same preparation, else the one that was idle longest.
pub(super) fn choose<C>(idle: &[Pooled<C>], preparation: &Preparation) -> Option<usize> {
    let warm = idle.iter().rposition(|pooled| pooled.is_warm_for(preparation));
    warm.or(if idle.is_empty() { None } else { Some(0) })
}

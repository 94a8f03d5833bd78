//! The choice among the replicas that can be read. Without I/O.
//!
//! A tenant's reads go to the same replica, in every process, so that each server remembers the tables of its share of
//! the tenants only, and the pool's connections stay warm. Where that one has no connection left, they go to the one
//! that has most.

/// A replica that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReadableReplica {
    /// Its place in the configuration.
    pub(super) index: usize,
    /// The connections that it could give at once; less than nothing where others wait for one.
    pub(super) room: i64,
}

/// Chooses for the tenant of this number.
pub(super) fn choose(tenant: (u64, u64), candidates: &[ReadableReplica]) -> Option<usize> {
    let favourite = candidates.iter().max_by_key(|candidate| liking(tenant, candidate.index))?;
    if favourite.room > 0 {
        return Some(favourite.index);
    }
    // Of two that have as much room, the one that the tenant likes better.
    let key = |candidate: &&ReadableReplica| (candidate.room, liking(tenant, candidate.index));
    candidates.iter().max_by_key(key).map(|candidate| candidate.index)
}

/// The liking of a tenant for a replica: random, the same everywhere, and whichever others there are.
fn liking((high, low): (u64, u64), index: usize) -> u64 {
    scramble(scramble(high ^ index as u64) ^ low)
}

/// Mixes bits, like `SplitMix64`.
fn scramble(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_room(rooms: &[i64]) -> Vec<ReadableReplica> {
        rooms.iter().enumerate().map(|(index, room)| ReadableReplica { index, room: *room }).collect()
    }

    #[test]
    fn tenants_are_spread_and_each_stays_where_it_is() {
        let all = with_room(&[5, 5, 5]);
        let mut counts = [0_u32; 3];
        for tenant in (0..3_000).map(|number| (0, number)) {
            let chosen = choose(tenant, &all).expect("there are some");
            counts[chosen] += 1;
            // When another one is gone, nothing changes.
            let others: Vec<_> = all
                .iter()
                .copied()
                .filter(|candidate| candidate.index == chosen || candidate.index != (chosen + 1) % 3)
                .collect();
            assert_eq!(choose(tenant, &others), Some(chosen));
        }
        assert!(counts.iter().all(|count| (900..1_100).contains(count)), "{counts:?}");
    }

    #[test]
    fn the_one_with_most_room_helps_out() {
        for tenant in (0..100).map(|number| (number, 0)) {
            let favourite = choose(tenant, &with_room(&[1, 1])).expect("there are some");
            let mut rooms = [3, 3];
            rooms[favourite] = 0;
            assert_eq!(choose(tenant, &with_room(&rooms)), Some(1 - favourite));
            rooms = [-2, -2];
            assert_eq!(choose(tenant, &with_room(&rooms)), Some(favourite), "both have none");
        }
        assert_eq!(choose((0, 1), &[]), None);
    }
}

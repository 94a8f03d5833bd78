#![allow(clippy::unwrap_used, clippy::print_stdout)]
// A simulation: its numbers are small.
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]

use super::*;

fn idle(lines: &[u32], wanted: u32) -> impl DoubleEndedIterator<Item = Candidate<u32>> + Clone {
    lines.iter().map(move |line| Candidate { line: Some(*line), is_warm: *line == wanted, is_near: false })
}

#[test]
fn a_warm_connection_is_preferred_and_the_latest_of_them() {
    let affinity = Affinity::new(4);
    assert_eq!(affinity.choose(idle(&[1, 2, 2, 3], 2)), Some(2));
    assert_eq!(affinity.choose(idle(&[], 2)), None);
}

#[test]
fn of_the_warm_ones_a_near_one_is_preferred() {
    let affinity: Affinity<u32> = Affinity::new(4);
    let warm_and_near = [(true, true), (true, false), (false, true)];
    let idle = warm_and_near.iter().map(|(is_warm, is_near)| Candidate {
        line: Some(1),
        is_warm: *is_warm,
        is_near: *is_near,
    });
    assert_eq!(affinity.choose(idle), Some(0));
}

#[test]
fn a_tenant_in_demand_keeps_its_connection() {
    let mut affinity = Affinity::new(4);
    for line in [7, 7, 7, 1, 2] {
        affinity.note(line);
    }
    // The longest idle is in demand, so it is not the one.
    assert_eq!(affinity.choose(idle(&[7, 1, 2], 9)), Some(1));
}

#[test]
fn a_connection_that_serves_nobody_is_taken_first() {
    let affinity: Affinity<u32> = Affinity::new(4);
    let lines = [Some(1), None, Some(2)];
    let idle = lines.iter().map(|line| Candidate { line: *line, is_warm: false, is_near: false });
    assert_eq!(affinity.choose(idle), Some(1));
}

#[test]
fn of_two_tenants_in_equal_demand_the_one_with_more_connections_gives_one() {
    let mut affinity = Affinity::new(8);
    for line in [1, 2, 1, 2, 1, 2, 2, 1] {
        affinity.note(line);
    }
    assert_eq!(affinity.choose(idle(&[2, 1, 1, 1], 9)), Some(1));
}

#[test]
fn the_memory_is_bounded() {
    let mut affinity = Affinity::new(2);
    for line in 0..100_000_u32 {
        affinity.note(line);
    }
    assert!(affinity.demand.len() <= 2 * MEMORY_PER_CONNECTION);
}

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        f64::from((self.0 >> 40) as u32) / f64::from(1_u32 << 24)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() * limit as f64) as usize % limit
    }
}

struct Traffic {
    connections: u32,
    tenants: usize,
    /// Connections in use at any time.
    busy: usize,
    /// The popular tenants change after so many checkouts; never for 0.
    shift_after: usize,
}

#[derive(Clone, Copy)]
enum Rule {
    LongestIdle,
    LeastInDemand,
}

/// The share of checkouts that find a warm connection, under Zipf's distribution.
fn share_of_warm(traffic: &Traffic, rule: Rule) -> f64 {
    const CHECKOUTS: usize = 20_000;
    let weights: Vec<f64> = (1..=traffic.tenants).map(|rank| 1.0 / rank as f64).collect();
    let total: f64 = weights.iter().sum();
    let cumulative: Vec<f64> = weights
        .iter()
        .scan(0.0, |sum, weight| {
            *sum += weight / total;
            Some(*sum)
        })
        .collect();
    let mut random = Random(0x5eed_1234_5678_9abc);
    let mut affinity: Affinity<usize> = Affinity::new(traffic.connections);
    let mut idle: Vec<Option<usize>> = vec![None; traffic.connections as usize];
    let mut in_use: Vec<usize> = Vec::new();
    let (mut warm, mut offset) = (0, 0);
    for checkout in 1..=CHECKOUTS {
        if traffic.shift_after > 0 && checkout % traffic.shift_after == 0 {
            offset += 137;
        }
        while in_use.len() >= traffic.busy {
            let position = random.below(in_use.len());
            idle.push(Some(in_use.remove(position)));
        }
        let point = random.next();
        let rank = cumulative.partition_point(|sum| *sum < point).min(traffic.tenants - 1);
        let tenant = (rank + offset) % traffic.tenants;
        affinity.note(tenant);
        let candidates =
            idle.iter().map(|line| Candidate { line: *line, is_warm: *line == Some(tenant), is_near: false });
        let found = idle.iter().rposition(|line| *line == Some(tenant));
        warm += usize::from(found.is_some());
        let position = match rule {
            Rule::LongestIdle => found.unwrap_or(0),
            Rule::LeastInDemand => affinity.choose(candidates).unwrap(),
        };
        idle.remove(position);
        in_use.push(tenant);
    }
    warm as f64 / CHECKOUTS as f64
}

#[track_caller]
fn check(traffic: &Traffic, gain: f64) {
    let longest_idle = share_of_warm(traffic, Rule::LongestIdle);
    let least_in_demand = share_of_warm(traffic, Rule::LeastInDemand);
    let (before, after) = (longest_idle * 100.0, least_in_demand * 100.0);
    println!(
        "{} connections, {} tenants, {} busy, shift after {}: {before:.1} % warm by LRU, {after:.1} % by demand",
        traffic.connections, traffic.tenants, traffic.busy, traffic.shift_after
    );
    assert!(least_in_demand >= longest_idle + gain, "{before:.1} % → {after:.1} %");
}

#[test]
fn demand_beats_idleness_on_zipf() {
    check(&Traffic { connections: 20, tenants: 1_000, busy: 5, shift_after: 0 }, 0.08);
    check(&Traffic { connections: 20, tenants: 1_000, busy: 15, shift_after: 0 }, 0.06);
    check(&Traffic { connections: 50, tenants: 1_000, busy: 10, shift_after: 0 }, 0.06);
    check(&Traffic { connections: 100, tenants: 1_000, busy: 20, shift_after: 0 }, 0.04);
}

#[test]
fn demand_is_no_worse_where_popularity_shifts() {
    check(&Traffic { connections: 20, tenants: 1_000, busy: 5, shift_after: 2_000 }, 0.05);
    check(&Traffic { connections: 20, tenants: 1_000, busy: 5, shift_after: 500 }, 0.02);
    check(&Traffic { connections: 20, tenants: 1_000, busy: 5, shift_after: 100 }, -0.04);
}

#[test]
fn where_connections_suffice_the_rules_are_equal() {
    check(&Traffic { connections: 20, tenants: 20, busy: 5, shift_after: 0 }, -0.02);
}

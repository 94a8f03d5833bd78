#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

type Lines = Fairness<&'static str, u32>;

/// Serves as many as there are connections, each given back at once, and lists the lines.
fn serve(lines: &mut Lines, count: usize) -> Vec<&'static str> {
    let mut served = Vec::new();
    for _ in 0..count {
        let Some((line, _)) = lines.next(None) else { break };
        lines.end(&line);
        served.push(line);
    }
    served
}

fn fill(lines: &mut Lines, line: &'static str, weight: u32, count: u32) {
    for number in 0..count {
        lines.join(line, weight, number);
    }
}

#[test]
fn a_line_is_served_in_the_order_in_which_it_formed() {
    let mut lines = Lines::new(10);
    fill(&mut lines, "acme", 1, 3);
    let order: Vec<u32> = std::iter::from_fn(|| lines.next(None)).map(|(_, number)| number).collect();
    assert_eq!(order, [0, 1, 2]);
}

#[test]
fn lines_take_turns_by_their_weight() {
    let mut lines = Lines::new(100);
    fill(&mut lines, "heavy", 3, 20);
    fill(&mut lines, "light", 1, 20);
    // One each for being fresh, then by weight.
    assert_eq!(serve(&mut lines, 10).concat(), "heavylightheavyheavyheavylightheavyheavyheavylight");
}

#[test]
fn a_single_request_does_not_wait_for_hundreds() {
    let mut lines = Lines::new(100);
    fill(&mut lines, "noisy", 1, 500);
    serve(&mut lines, 5);
    lines.join("quiet", 1, 0);
    assert_eq!(lines.next(None).unwrap().0, "quiet");
}

#[test]
fn always_asking_once_more_is_not_always_first() {
    let mut lines = Lines::new(100);
    fill(&mut lines, "noisy", 1, 500);
    let mut noisy = 0;
    for _ in 0..100 {
        lines.join("sly", 1, 0);
        let (line, _) = lines.next(None).unwrap();
        lines.end(&line);
        noisy += u32::from(line == "noisy");
    }
    assert!((45..=55).contains(&noisy), "{noisy} of 100");
}

#[test]
fn a_tenant_at_its_cap_is_passed_over() {
    let mut lines = Lines::new(2);
    fill(&mut lines, "noisy", 1, 5);
    assert_eq!(lines.next(None).unwrap().0, "noisy");
    assert_eq!(lines.next(None).unwrap().0, "noisy");
    assert!(lines.next(None).is_none());
    assert!(!lines.may_pass(&"noisy"));
    lines.join("quiet", 1, 0);
    assert_eq!(lines.next(None).unwrap().0, "quiet");
    lines.end(&"noisy");
    assert_eq!(lines.next(Some(&"noisy")).unwrap().0, "noisy");
}

#[test]
fn within_its_quantum_a_connection_stays_with_its_tenant() {
    let mut lines = Lines::new(10);
    fill(&mut lines, "acme", 1, 3);
    fill(&mut lines, "globex", 1, 3);
    assert_eq!(lines.next(Some(&"globex")).unwrap().0, "globex");
    assert_eq!(lines.next(Some(&"globex")).unwrap().0, "globex");
    assert_eq!(lines.next(Some(&"initech")).unwrap().0, "acme", "nobody of its own waits");
}

#[test]
fn who_leaves_is_not_served() {
    let mut lines = Lines::new(10);
    let first = lines.join("acme", 1, 1);
    lines.join("acme", 1, 2);
    assert_eq!(lines.leave(&"acme", first), Some(1));
    assert_eq!(lines.leave(&"acme", first), None);
    assert_eq!((lines.waiting(), lines.next(None).unwrap()), (1, ("acme", 2)));
}

#[test]
fn nothing_is_kept_of_tenants_that_are_gone() {
    let mut lines = Lines::new(10);
    fill(&mut lines, "acme", 1, 2);
    serve(&mut lines, 3);
    let ticket = lines.join("initech", 1, 0);
    lines.leave(&"initech", ticket);
    lines.begin("globex");
    lines.end(&"globex");
    assert!(lines.next(None).is_none());
    assert!(lines.lines.is_empty() && lines.turns.is_empty() && lines.fresh.is_empty());
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask(u8),
    GiveBack(u8),
    GiveUp(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let tenant = 0..5_u8;
    let step = prop_oneof![
        tenant.clone().prop_map(Step::Ask),
        any::<u8>().prop_map(Step::GiveBack),
        any::<u8>().prop_map(Step::GiveUp),
    ];
    proptest::collection::vec(step, 0..200)
}

/// The promises of the rules, written down as plainly as possible.
#[derive(Default)]
struct Model {
    held: Vec<u8>,
    waiting: Vec<(u8, Ticket)>,
}

impl Model {
    fn held_by(&self, tenant: u8) -> usize {
        self.held.iter().copied().map(|other| usize::from(other == tenant)).sum()
    }
}

const CONNECTIONS: usize = 4;
const CAP: usize = 3;

proptest! {
    #[test]
    fn no_slot_is_idle_while_somebody_may_have_it(steps in steps()) {
        let mut lines: Fairness<u8, u32> = Fairness::new(3);
        let mut model = Model::default();
        for (number, step) in (0..).zip(steps) {
            match step {
                Step::Ask(tenant) if model.held.len() < CONNECTIONS && lines.may_pass(&tenant) => {
                    lines.begin(tenant);
                    model.held.push(tenant);
                }
                Step::Ask(tenant) => {
                    model.waiting.push((tenant, lines.join(tenant, 1 + u32::from(tenant), number)));
                }
                Step::GiveBack(index) if !model.held.is_empty() => {
                    let tenant = model.held.remove(usize::from(index) % model.held.len());
                    lines.end(&tenant);
                    let own = (index % 2 == 0).then_some(tenant);
                    while model.held.len() < CONNECTIONS {
                        let Some((next, _)) = lines.next(own.as_ref()) else { break };
                        // The first of that line.
                        let position = model.waiting.iter().position(|(other, _)| *other == next);
                        prop_assert!(position.is_some(), "somebody was served who does not wait");
                        model.waiting.remove(position.unwrap());
                        model.held.push(next);
                    }
                }
                Step::GiveUp(index) if !model.waiting.is_empty() => {
                    let (tenant, ticket) = model.waiting.remove(usize::from(index) % model.waiting.len());
                    prop_assert!(lines.leave(&tenant, ticket).is_some());
                }
                Step::GiveBack(_) | Step::GiveUp(_) => {}
            }
            prop_assert_eq!(lines.waiting(), model.waiting.len());
            for tenant in 0..5 {
                prop_assert!(model.held_by(tenant) <= CAP);
            }
            if model.held.len() < CONNECTIONS {
                let idle = model.waiting.iter().find(|(tenant, _)| model.held_by(*tenant) < CAP);
                prop_assert!(idle.is_none(), "a slot is free and {idle:?} waits");
            }
        }
    }

    #[test]
    fn in_the_long_run_everybody_gets_a_share_by_weight(weights in proptest::collection::vec(1..5_u32, 2..5)) {
        let mut lines: Fairness<usize, u32> = Fairness::new(100);
        let rounds = 50;
        for (line, weight) in weights.iter().enumerate() {
            for number in 0..rounds * 10 {
                lines.join(line, *weight, number);
            }
        }
        let total: u32 = weights.iter().sum();
        let mut served: BTreeMap<usize, u32> = BTreeMap::new();
        for _ in 0..rounds * total {
            let (line, _) = lines.next(None).unwrap();
            lines.end(&line);
            *served.entry(line).or_default() += 1;
        }
        for (line, weight) in weights.iter().enumerate() {
            let expected = rounds * weight;
            prop_assert!(served[&line].abs_diff(expected) <= weight + 2, "{served:?} for {weights:?}");
        }
    }
}

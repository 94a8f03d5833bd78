//! A hundred servers, played through in memory: how even placement keeps them, and how many moves it takes when some
//! are added or lost.

use std::collections::BTreeMap;

use super::size::{Measured, estimate};
use super::{DatabaseFigures, KnownDatabases, Newcomer, Placement, PlacementPlan, Policy, Rules};
use crate::tenant::{Alias, Slug};

const SERVERS: usize = 100;
const TENANTS: usize = 10_000;
/// Sign-ups between two measurements of the sizes.
const BETWEEN_MEASUREMENTS: usize = 500;

/// A server and the sizes of its tenants.
#[derive(Clone, Debug)]
struct Server {
    alias: Alias,
    tenants: Vec<u64>,
    turn: u64,
    measured: Option<Measured>,
}

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    /// The size of a tenant: most are small, one of a hundred takes the room of a hundred.
    fn size(&mut self) -> u64 {
        100_000 / (1 + self.roll(100))
    }
}

impl Server {
    fn new(number: usize) -> Self {
        let alias = Alias::parse(&format!("s{number:03}")).expect("an alias");
        Self { alias, tenants: Vec::new(), turn: 0, measured: None }
    }

    fn bytes(&self) -> u64 {
        self.tenants.iter().sum()
    }

    fn count(&self) -> u64 {
        self.tenants.len() as u64
    }
}

struct Fleet {
    servers: Vec<Server>,
    placement: Placement,
    dice: Dice,
    signed_up: usize,
}

impl Fleet {
    fn new(policy: Policy) -> Self {
        let servers = (0..SERVERS).map(Server::new).collect();
        Self { servers, placement: Placement::new(policy, Rules::default()), dice: Dice(42), signed_up: 0 }
    }

    /// The figures as a sign-up has them: sizes are measured now and then only.
    fn known(&self) -> KnownDatabases {
        let sizes: Vec<_> = self.servers.iter().map(|it| (it.count(), it.measured)).collect();
        let sizes = if self.placement.needs_sizes() { estimate(&sizes) } else { vec![None; sizes.len()] };
        let figures = self.servers.iter().zip(sizes).map(|(server, bytes)| DatabaseFigures {
            alias: server.alias.clone(),
            tenants: server.count(),
            bytes,
            turn: server.turn,
        });
        KnownDatabases { figures: figures.collect(), ..KnownDatabases::default() }
    }

    fn measure(&mut self) {
        for server in &mut self.servers {
            server.measured = Some(Measured { bytes: server.bytes(), tenants: server.count() });
        }
    }

    fn sign_up(&mut self, count: usize) {
        let slug = Slug::parse("acme").expect("a slug");
        for _ in 0..count {
            if self.signed_up.is_multiple_of(BETWEEN_MEASUREMENTS) {
                self.measure();
            }
            self.signed_up += 1;
            let size = self.dice.size();
            let alias = self.placement.place(&Newcomer::new(&slug), &self.known()).expect("a server");
            let server = self.servers.iter_mut().find(|it| it.alias == alias).expect("a known server");
            server.tenants.push(size);
            server.turn = self.signed_up as u64;
        }
    }

    /// Replaces customers of any age by others.
    fn churn(&mut self, count: usize) {
        for _ in 0..count {
            let all: u64 = self.servers.iter().map(Server::count).sum();
            let mut gone = self.dice.roll(all);
            for server in &mut self.servers {
                if gone < server.count() {
                    server.tenants.swap_remove(usize::try_from(gone).expect("a small number"));
                    break;
                }
                gone -= server.count();
            }
            self.sign_up(1);
        }
    }

    /// Moves all that is on these servers to the others, as `drain` does. Answers with the number of moves.
    fn lose(&mut self, lost: &[usize]) -> usize {
        let slug = Slug::parse("acme").expect("a slug");
        let mut around = self.known();
        around.closed = lost.iter().map(|number| self.servers[*number].alias.clone()).collect();
        let mut plan = PlacementPlan::new(&self.placement, around);
        let (mut moves, mut arrivals) = (0, BTreeMap::<Alias, Vec<u64>>::new());
        for number in lost {
            for size in std::mem::take(&mut self.servers[*number].tenants) {
                let alias = plan.place(&Newcomer::new(&slug)).expect("a server");
                arrivals.entry(alias).or_default().push(size);
                moves += 1;
            }
        }
        for server in &mut self.servers {
            server.tenants.extend(arrivals.remove(&server.alias).unwrap_or_default());
            let planned = plan.figures().iter().find(|it| it.alias == server.alias);
            let is_lost = server.tenants.is_empty();
            assert!(is_lost || planned.is_some_and(|it| it.tenants == server.count()), "{}", server.alias);
        }
        self.servers.retain(|server| !server.tenants.is_empty());
        moves
    }

    /// The largest by the average one, in percent: of the number of tenants and of their sizes.
    fn balance(&self) -> (u64, u64) {
        let percent = |of: fn(&Server) -> u64| {
            let most = self.servers.iter().map(of).max().unwrap_or_default();
            most * 100 * self.servers.len() as u64 / self.servers.iter().map(of).sum::<u64>()
        };
        (percent(Server::count), percent(Server::bytes))
    }

    /// Sign-ups until the servers are even, whose tenants nobody moves.
    fn sign_ups_until_even(&mut self) -> usize {
        let mut count = 0;
        let spread = |servers: &[Server]| {
            let counts = || servers.iter().map(Server::count);
            counts().max().unwrap_or_default() - counts().min().unwrap_or_default()
        };
        while spread(&self.servers) > 1 {
            self.sign_up(1);
            count += 1;
        }
        count
    }

    /// The fewest moves after which no server has more than one tenant above another.
    fn moves_to_even(&self) -> u64 {
        let mut counts: Vec<_> = self.servers.iter().map(Server::count).collect();
        counts.sort_unstable_by(|one, other| other.cmp(one));
        let (all, servers) = (counts.iter().sum::<u64>(), counts.len() as u64);
        let with_one_more = usize::try_from(all % servers).expect("a small number");
        let fair = |rank: usize| all / servers + u64::from(rank < with_one_more);
        counts.iter().enumerate().map(|(rank, count)| count.saturating_sub(fair(rank))).sum()
    }
}

#[test]
fn a_hundred_servers_stay_even() {
    let mut balances = BTreeMap::new();
    for policy in [Policy::FewestTenants, Policy::RoundRobin, Policy::Smallest] {
        let mut fleet = Fleet::new(policy);
        fleet.sign_up(TENANTS);
        let fresh = fleet.balance();
        fleet.churn(TENANTS / 2);
        balances.insert(policy.as_str(), (fresh, fleet.balance()));
    }
    let ((tenants, _), (tenants_later, _)) = balances["fewest-tenants"];
    assert!(tenants <= 101 && tenants_later <= 101, "{balances:?}");
    // It does not see who leaves.
    let ((tenants, _), (tenants_later, bytes_by_turns)) = balances["round-robin"];
    assert!(tenants <= 101 && (105..=125).contains(&tenants_later), "{balances:?}");
    // Tenants are of very different sizes, and those who only count them do not see that.
    let ((_, bytes), (_, bytes_later)) = balances["smallest"];
    assert!(bytes <= 130 && bytes_later <= 130 && bytes_by_turns >= 150, "{balances:?}");
}

#[test]
fn who_loses_servers_moves_what_was_on_them_and_stays_even() {
    let mut fleet = Fleet::new(Policy::FewestTenants);
    fleet.sign_up(TENANTS);
    let on_them: usize = [3, 50, 99].iter().map(|number| fleet.servers[*number].tenants.len()).sum();
    assert_eq!(fleet.lose(&[3, 50, 99]), on_them);
    assert_eq!((on_them, fleet.servers.len()), (TENANTS * 3 / SERVERS, SERVERS - 3));
    assert!(fleet.balance().0 <= 101, "{:?}", fleet.balance());
}

#[test]
fn servers_that_are_added_fill_up_without_moves_or_with_few() {
    let mut fleet = Fleet::new(Policy::FewestTenants);
    fleet.sign_up(TENANTS);
    fleet.servers.extend((SERVERS..SERVERS + 10).map(Server::new));
    // All that is above the new average has to move, and nothing else: one of eleven.
    let moves = fleet.moves_to_even();
    assert_eq!(moves, 10 * (TENANTS / (SERVERS + 10)) as u64);
    // Without a move, sign-ups go to the new ones until these have what the others have.
    let sign_ups = fleet.sign_ups_until_even();
    assert_eq!(sign_ups, 10 * (TENANTS / SERVERS - 1));
}

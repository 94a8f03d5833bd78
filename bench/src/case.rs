//! The cases, and which of them are meant by the words on the command line.

use std::fmt;

use anyhow::{Result, bail};

/// One thing to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// One tenant, more tasks than connections.
    Hot,
    /// One task per connection, against tasks with connections of their own.
    Limit,
    /// A thousand tenants, a few of them busy.
    Zipf,
    /// A thousand tenants, all of them alike.
    Uniform,
    /// Two tenants in turns on one connection of tokio-postgres, against one tenant.
    SwitchTokio,
    /// The same as `Hot`, on tokio-postgres against its usual pool with a `SET`.
    HotTokio,
    /// The same as `Zipf`, on tokio-postgres against its usual pool with a `SET`.
    ZipfTokio,
    /// A row by its key through Diesel, against its usual pool.
    DieselFind,
    /// A warm checkout without any statement.
    Own,
    /// A transaction that is dropped.
    TransactionDrop,
    /// A switch under each way of keeping prepared statements.
    Statements,
    /// One tenant with hundreds of requests.
    NoisyOne,
    /// Enough such tenants that no connection is free.
    NoisyAll,
    /// One tenant on a standby, more tasks than connections.
    ReplicaHot,
    /// An entity that `SeaORM` finds.
    SeaOrmFind,
    /// A page over real sockets.
    Http,
    /// A tenant that is in memory.
    Lookup,
    /// A tenant of twenty tables, by replay and of a spare.
    Create,
    /// A schema that is there already and becomes a tenant, among a thousand and among a hundred.
    Adopt,
    /// A copy of a tenant of forty tables among a thousand other schemas.
    Clone,
    /// An archive of each of two hundred tenants.
    Export,
    /// A tenant that goes to another server while others write, and is locked for that.
    MoveOffline,
    /// The same tenant, which others write to all the time.
    MoveOnline,
    /// A tenant of forty tables that is dropped.
    Purge,
    /// The end of answers once a tenant is suspended.
    SuspendFelt,
    /// A fleet that is up to date.
    MigrateNoop,
    /// A column for each tenant of a fleet.
    MigrateAddColumn,
    /// The memory of a run over few and over many tenants.
    MigrateRss,
    /// A tenant that doctor looks at, in a large fleet against a small one.
    Doctor,
    /// A thousand tenants over four servers, against one.
    ManyZipf,
    /// A clone, an archive and a look by doctor, in a large fleet against a small one.
    FleetCost,
    /// One of four servers that is away, and the tenants of the others.
    FleetDown,
    /// Tests with two tenants of twenty tables, against `#[sqlx::test]`.
    Testing,
}

const ALL: [Case; 33] = [
    Case::Hot,
    Case::Limit,
    Case::Zipf,
    Case::Uniform,
    Case::SwitchTokio,
    Case::HotTokio,
    Case::ZipfTokio,
    Case::DieselFind,
    Case::Own,
    Case::TransactionDrop,
    Case::Statements,
    Case::NoisyOne,
    Case::NoisyAll,
    Case::ReplicaHot,
    Case::SeaOrmFind,
    Case::Http,
    Case::Lookup,
    Case::Create,
    Case::Adopt,
    Case::Clone,
    Case::Export,
    Case::MoveOffline,
    Case::MoveOnline,
    Case::Purge,
    Case::SuspendFelt,
    Case::MigrateNoop,
    Case::MigrateAddColumn,
    Case::MigrateRss,
    Case::Doctor,
    Case::ManyZipf,
    Case::FleetCost,
    Case::FleetDown,
    Case::Testing,
];

impl Case {
    /// The bench it belongs to, and its name there.
    pub(crate) fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::Hot => ("checkout", "hot"),
            Self::Limit => ("checkout", "limit"),
            Self::Zipf => ("checkout", "zipf"),
            Self::Uniform => ("checkout", "uniform"),
            Self::SwitchTokio => ("checkout", "switch-tokio"),
            Self::HotTokio => ("checkout", "hot-tokio"),
            Self::ZipfTokio => ("checkout", "zipf-tokio"),
            Self::DieselFind => ("diesel", "find"),
            Self::Own => ("checkout", "own"),
            Self::TransactionDrop => ("tx", "drop"),
            Self::Statements => ("statements", "switch"),
            Self::NoisyOne => ("noisy", "one"),
            Self::NoisyAll => ("noisy", "all"),
            Self::ReplicaHot => ("replica", "hot"),
            Self::SeaOrmFind => ("sea-orm", "find"),
            Self::Http => ("http", "get"),
            Self::Lookup => ("lookup", "find"),
            Self::Create => ("create", "tenant"),
            Self::Adopt => ("adopt", "schema"),
            Self::Clone => ("clone", "tenant"),
            Self::Export => ("export", "200"),
            Self::MoveOffline => ("move", "offline"),
            Self::MoveOnline => ("move", "online"),
            Self::Purge => ("purge", "tenant"),
            Self::SuspendFelt => ("suspend", "felt"),
            Self::MigrateNoop => ("migrate", "noop"),
            Self::MigrateAddColumn => ("migrate", "add-column"),
            Self::MigrateRss => ("migrate", "rss"),
            Self::Doctor => ("doctor", "tenant"),
            Self::ManyZipf => ("many", "zipf"),
            Self::FleetCost => ("fleet", "cost"),
            Self::FleetDown => ("fleet", "down"),
            Self::Testing => ("testing", "two-tenants"),
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bench, name) = self.name();
        write!(f, "{bench}/{name}")
    }
}

/// Reads `checkout zipf noisy` as one case of `checkout` and all of `noisy`. No words are all cases.
pub(crate) fn chosen(words: &[String]) -> Result<Vec<Case>> {
    let mut words = words.iter().flat_map(|word| word.split('/')).peekable();
    let mut chosen = Vec::new();
    while let Some(bench) = words.next() {
        let mut cases: Vec<Case> = ALL.into_iter().filter(|case| case.name().0 == bench).collect();
        if cases.is_empty() {
            bail!(
                "there is no bench or case `{bench}`; the known ones are: {}",
                ALL.map(|case| case.to_string()).join(", ")
            );
        }
        let mut named = Vec::new();
        while let Some(case) = words.peek().and_then(|name| cases.iter().find(|case| case.name().1 == *name))
        {
            named.push(*case);
            words.next();
        }
        if !named.is_empty() {
            cases = named;
        }
        chosen.append(&mut cases);
    }
    Ok(if chosen.is_empty() { ALL.to_vec() } else { chosen })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(words: &str, expect: &[Case]) {
        let words: Vec<_> = words.split_whitespace().map(str::to_owned).collect();
        assert_eq!(chosen(&words).expect("known words"), expect);
    }

    #[test]
    fn a_bench_is_all_its_cases_and_a_case_is_itself() {
        check("", &ALL);
        check("noisy", &[Case::NoisyOne, Case::NoisyAll]);
        check("checkout zipf", &[Case::Zipf]);
        check("checkout/zipf", &[Case::Zipf]);
        check("checkout own hot http", &[Case::Own, Case::Hot, Case::Http]);
        check("lookup noisy/all", &[Case::Lookup, Case::NoisyAll]);
    }

    #[test]
    fn unknown_words_are_refused() {
        for words in ["zipf", "checkout nonsense", "noisy/hot"] {
            let words: Vec<_> = words.split_whitespace().map(str::to_owned).collect();
            assert!(chosen(&words).is_err(), "{words:?}");
        }
    }
}

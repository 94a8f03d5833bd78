use serde::{Deserialize, Serialize};

use super::database_figures::DatabaseFigures;
use super::newcomer::Newcomer;
use crate::tenant::Alias;

/// Chooses the database of a tenant: a [`Policy`], or a function of the application's own.
///
/// Databases that are closed to new tenants, or do not answer, are not among the candidates. No database is asked
/// while it chooses, so it says the same of the same figures.
///
/// ```
/// use tenantry::Tenancy;
/// use tenantry::placement::{DatabaseFigures, Newcomer};
///
/// // The large ones have a server of their own.
/// let builder = Tenancy::builder().placement(|newcomer: &Newcomer<'_>, candidates: &[DatabaseFigures]| {
///     let is_large = newcomer.setting("seats").and_then(|seats| seats.as_u64()) > Some(1_000);
///     let fits = |candidate: &&DatabaseFigures| (candidate.alias.as_str() == "large") == is_large;
///     let found = candidates.iter().filter(fits).min_by_key(|candidate| candidate.tenants);
///     found.map(|candidate| candidate.alias.clone())
/// });
/// # let _ = builder;
/// ```
pub trait PlaceTenant: Send + Sync + 'static {
    /// The alias of one of the candidates, or `None` where none of them will do.
    fn place(&self, newcomer: &Newcomer<'_>, candidates: &[DatabaseFigures]) -> Option<Alias>;

    /// The policy that it is, if it has a name. A function has none, and gets all figures there are.
    fn policy(&self) -> Option<Policy> {
        None
    }
}

impl<F> PlaceTenant for F
where
    F: Fn(&Newcomer<'_>, &[DatabaseFigures]) -> Option<Alias> + Send + Sync + 'static,
{
    fn place(&self, newcomer: &Newcomer<'_>, candidates: &[DatabaseFigures]) -> Option<Alias> {
        self(newcomer, candidates)
    }
}

/// A policy that has a name: the key `placement.policy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// The database `default`; where settings leave others to choose from, the first of them.
    #[default]
    Default,
    /// The one with the fewest tenants.
    FewestTenants,
    /// The one that takes the least room, by its size on disk.
    Smallest,
    /// The one that got a tenant the longest time ago.
    RoundRobin,
}

impl Policy {
    /// The name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::FewestTenants => "fewest-tenants",
            Self::Smallest => "smallest",
            Self::RoundRobin => "round-robin",
        }
    }
}

impl PlaceTenant for Policy {
    fn policy(&self) -> Option<Policy> {
        Some(*self)
    }

    /// Takes the first by the alias of those that are alike, so that several processes agree.
    fn place(&self, _: &Newcomer<'_>, candidates: &[DatabaseFigures]) -> Option<Alias> {
        let chosen = match self {
            Self::Default => candidates.first(),
            Self::FewestTenants => candidates.iter().min_by_key(|it| (it.tenants, &it.alias)),
            // One that was never measured has not had a tenant for long.
            Self::Smallest => {
                candidates.iter().min_by_key(|it| (it.bytes.unwrap_or(0), it.tenants, &it.alias))
            }
            Self::RoundRobin => candidates.iter().min_by_key(|it| (it.turn, &it.alias)),
        };
        chosen.map(|candidate| candidate.alias.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::Slug;

    #[test]
    fn each_policy_chooses_by_its_own_figure() {
        let candidate = |alias, tenants, bytes, turn| DatabaseFigures {
            alias: Alias::parse(alias).expect("an alias"),
            tenants,
            bytes,
            turn,
        };
        let figures = [
            candidate("default", 9, Some(90), 5),
            candidate("b", 3, Some(80), 6),
            candidate("a", 3, Some(70), 7),
            candidate("c", 8, None, 4),
        ];
        let slug = Slug::parse("acme").expect("a slug");
        let choose = |policy: Policy, among: &[DatabaseFigures]| {
            policy.place(&Newcomer::new(&slug), among).map(|alias| alias.to_string())
        };
        for (policy, all, without_last) in [
            (Policy::Default, "default", "default"),
            (Policy::FewestTenants, "a", "a"),
            (Policy::Smallest, "c", "a"),
            (Policy::RoundRobin, "c", "default"),
        ] {
            assert_eq!(choose(policy, &figures).as_deref(), Some(all), "{policy:?}");
            assert_eq!(choose(policy, &figures[..3]).as_deref(), Some(without_last), "{policy:?}");
            assert_eq!(choose(policy, &[]), None, "{policy:?}");
        }
    }
}

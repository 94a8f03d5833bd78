use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::database_figures::DatabaseFigures;
use super::newcomer::Newcomer;
use super::policy::{PlaceTenant, Policy};
use super::rules::{Narrowed, Rules};
use crate::error::{Error, ErrorKind, Result};
use crate::tenant::Alias;

/// The way in which tenants that name no database find one.
#[derive(Clone)]
pub(crate) struct Placement {
    policy: Arc<dyn PlaceTenant>,
    /// `None` for a function of the application's own.
    name: Option<Policy>,
    rules: Rules,
}

/// The databases there are, and those that take nobody at the moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownDatabases {
    /// All, the closed ones too: `default` first, then by the alias.
    pub(crate) figures: Vec<DatabaseFigures>,
    /// Closed to new tenants.
    pub(crate) closed: BTreeSet<Alias>,
    /// Not answering.
    pub(crate) away: BTreeSet<Alias>,
}

impl Default for Placement {
    fn default() -> Self {
        Self::new(Policy::Default, Rules::default())
    }
}

impl Placement {
    pub(crate) fn new(place: impl PlaceTenant, rules: Rules) -> Self {
        Self { name: place.policy(), policy: Arc::new(place), rules }
    }

    /// The same for tenants that leave a database: where all are made in the default one, they go where there are
    /// fewest.
    pub(crate) fn for_moves(&self) -> Self {
        match self.name {
            Some(Policy::Default) => Self::new(Policy::FewestTenants, self.rules.clone()),
            _ => self.clone(),
        }
    }

    /// Returns true if every tenant belongs into the default database, whatever is in the others.
    pub(crate) fn is_default(&self) -> bool {
        self.name == Some(Policy::Default) && self.rules.is_empty()
    }

    /// Returns true if it may look at how large databases are.
    pub(crate) fn needs_sizes(&self) -> bool {
        self.name.is_none_or(|policy| policy == Policy::Smallest)
    }

    /// # Errors
    /// [`ErrorKind::Configuration`] if a rule names a database that is not there.
    pub(crate) fn check<'a>(&self, known: impl Iterator<Item = &'a Alias>) -> Result<()> {
        let known: BTreeSet<_> = known.collect();
        let Some((key, alias)) = self.rules.named().find(|(_, alias)| !known.contains(alias)) else {
            return Ok(());
        };
        let known: Vec<_> = known.iter().map(|alias| alias.as_str()).collect();
        Err(Error::new(ErrorKind::Configuration, format!("`{key}`: no database is named `{alias}`"))
            .with_hint(format!("the known ones are: {}", known.join(", "))))
    }

    /// Chooses the database.
    ///
    /// # Errors
    /// [`ErrorKind::DatabaseClosed`] if all that come into question are closed,
    /// [`ErrorKind::DatabaseUnavailable`] if the rest of them does not answer, [`ErrorKind::Configuration`] if the
    /// rules contradict each other or the application's function names another one.
    pub(crate) fn place(&self, newcomer: &Newcomer<'_>, around: &KnownDatabases) -> Result<Alias> {
        let narrowed = self.rules.narrow(newcomer);
        let meant = self.meant(narrowed.as_ref(), around);
        let open = meant.iter().filter(|it| !around.closed.contains(&it.alias));
        let there = open.filter(|it| !around.away.contains(&it.alias)).map(|it| DatabaseFigures::clone(it));
        let there: Vec<_> = there.collect();
        if there.is_empty() {
            return Err(nothing_left(newcomer, narrowed.as_ref(), &meant, around));
        }
        let chosen = self.policy.place(newcomer, &there);
        match chosen {
            Some(alias) if there.iter().any(|candidate| candidate.alias == alias) => Ok(alias),
            other => Err(strange(newcomer, other.as_ref(), &there)),
        }
    }

    /// The databases that come into question, in the order of the rules.
    fn meant<'a>(&self, narrowed: Option<&Narrowed>, around: &'a KnownDatabases) -> Vec<&'a DatabaseFigures> {
        let find = |alias: &Alias| around.figures.iter().find(|it| it.alias == *alias);
        match narrowed {
            Some(narrowed) => narrowed.allowed.iter().filter_map(find).collect(),
            None if self.name == Some(Policy::Default) => find(&Alias::default()).into_iter().collect(),
            None => around.figures.iter().collect(),
        }
    }
}

fn nothing_left(
    newcomer: &Newcomer<'_>,
    narrowed: Option<&Narrowed>,
    meant: &[&DatabaseFigures],
    around: &KnownDatabases,
) -> Error {
    let slug = newcomer.slug();
    let by = narrowed.map(|it| format!(" with {}", it.by.join(" and "))).unwrap_or_default();
    if meant.is_empty() {
        let message = format!("the rules leave no database for a tenant{by}");
        return Error::new(ErrorKind::Configuration, message)
            .with_tenant(slug)
            .with_hint("name one in the lists of both, below `[placement.by]`");
    }
    let told = meant.iter().map(|DatabaseFigures { alias, .. }| {
        let is_closed = around.closed.contains(alias);
        format!("`{alias}` {}", if is_closed { "is closed to new tenants" } else { "does not answer" })
    });
    let message = format!("no database takes a tenant{by}: {}", told.collect::<Vec<_>>().join(", "));
    let is_one_away = meant.iter().any(|it| !around.closed.contains(&it.alias));
    let (kind, hint) = if is_one_away {
        (ErrorKind::DatabaseUnavailable, "try again when it is back, or name a database")
    } else {
        (
            ErrorKind::DatabaseClosed,
            "`tenantry database open ALIAS` opens one, unless the configuration closes it",
        )
    };
    Error::new(kind, message).with_tenant(slug).with_hint(hint)
}

/// The application's function has named what is not there.
fn strange(newcomer: &Newcomer<'_>, chosen: Option<&Alias>, there: &[DatabaseFigures]) -> Error {
    let there: Vec<_> = there.iter().map(|candidate| candidate.alias.as_str()).collect();
    let chosen = chosen.map_or_else(|| "no database".to_owned(), |alias| format!("database `{alias}`"));
    let message = format!("the application's placement chose {chosen}, out of {}", there.join(", "));
    Error::new(ErrorKind::Configuration, message).with_tenant(newcomer.slug())
}

impl fmt::Debug for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Placement")
            .field("policy", &self.name)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::tenant::Slug;

    fn alias(text: &str) -> Alias {
        Alias::parse(text).expect("an alias")
    }

    /// `default`, `a` and `b`, of which some are closed and some away.
    fn around(closed: &[&str], away: &[&str]) -> KnownDatabases {
        let candidate = |(text, tenants)| DatabaseFigures::new(alias(text), tenants);
        KnownDatabases {
            figures: [("default", 0), ("a", 3), ("b", 2)].map(candidate).to_vec(),
            closed: closed.iter().map(|text| alias(text)).collect(),
            away: away.iter().map(|text| alias(text)).collect(),
        }
    }

    fn rules() -> Rules {
        let of_eu = BTreeMap::from([("eu".to_owned(), vec![alias("b"), alias("a")])]);
        let of_plan = BTreeMap::from([("big".to_owned(), vec![alias("default")])]);
        BTreeMap::from([("plan".to_owned(), of_plan), ("region".to_owned(), of_eu)]).into()
    }

    #[track_caller]
    fn check(placement: &Placement, settings: &serde_json::Value, around: &KnownDatabases, expect: &str) {
        let slug = Slug::parse("acme").expect("a slug");
        let placed = placement.place(&Newcomer::new(&slug).with_settings(settings), around);
        let told = match placed {
            Ok(alias) => alias.to_string(),
            Err(error) => format!("{:?}: {error}", error.kind()),
        };
        assert_eq!(told, expect);
    }

    #[test]
    fn what_is_closed_or_away_is_passed_over_where_there_is_a_choice() {
        let none = json!({});
        let fewest = Placement::new(Policy::FewestTenants, Rules::default());
        check(&fewest, &none, &around(&[], &[]), "default");
        check(&fewest, &none, &around(&["default"], &[]), "b");
        check(&fewest, &none, &around(&["default"], &["b"]), "a");
        let message = "no database takes a tenant: `default` is closed to new tenants, `a` is closed to new tenants, \
                       `b` is closed to new tenants";
        check(&fewest, &none, &around(&["default", "a", "b"], &["b"]), &format!("DatabaseClosed: {message}"));
        let message = "no database takes a tenant: `default` is closed to new tenants, `a` does not answer, \
                       `b` does not answer";
        let away = around(&["default"], &["a", "b"]);
        check(&fewest, &none, &away, &format!("DatabaseUnavailable: {message}"));
    }

    #[test]
    fn the_default_policy_has_no_choice_but_where_a_rule_gives_one() {
        let (none, eu) = (json!({}), json!({ "region": "eu" }));
        let default = Placement::new(Policy::Default, rules());
        check(&default, &none, &around(&[], &[]), "default");
        let message = "DatabaseClosed: no database takes a tenant: `default` is closed to new tenants";
        check(&default, &none, &around(&["default"], &[]), message);
        check(&default, &eu, &around(&[], &[]), "b");
        check(&default, &eu, &around(&["b"], &[]), "a");
        let message = "DatabaseUnavailable: no database takes a tenant with region = eu: `b` does not answer, \
                       `a` is closed to new tenants";
        check(&default, &eu, &around(&["a"], &["b"]), message);
        let both = json!({ "region": "eu", "plan": "big" });
        let message =
            "Configuration: the rules leave no database for a tenant with plan = big and region = eu";
        check(&default, &both, &around(&[], &[]), message);
    }

    #[test]
    fn rules_come_before_the_policy() {
        let fewest = Placement::new(Policy::FewestTenants, rules());
        check(&fewest, &json!({ "region": "eu" }), &around(&[], &[]), "b");
        check(&fewest, &json!({ "plan": "big" }), &around(&[], &[]), "default");
    }

    #[test]
    fn a_function_of_the_application_chooses_among_what_is_there() {
        let by_slug = |chosen: Option<&'static str>| {
            let place = move |_: &Newcomer<'_>, candidates: &[DatabaseFigures]| {
                let found = candidates.iter().find(|it| Some(it.alias.as_str()) == chosen);
                found.map(|it| it.alias.clone()).or_else(|| chosen.map(alias))
            };
            Placement::new(place, Rules::default())
        };
        check(&by_slug(Some("a")), &json!({}), &around(&[], &[]), "a");
        let message = "Configuration: the application's placement chose database `a`, out of default, b";
        check(&by_slug(Some("a")), &json!({}), &around(&[], &["a"]), message);
        let message = "Configuration: the application's placement chose no database, out of default, a, b";
        check(&by_slug(None), &json!({}), &around(&[], &[]), message);
    }

    #[test]
    fn a_rule_with_an_unknown_database_is_found() {
        let known = ["default", "a"].map(alias);
        let placement = Placement::new(Policy::Default, rules());
        let error = placement.check(known.iter()).expect_err("`b` is not there");
        assert_eq!(error.to_string(), "`placement.by.region.eu`: no database is named `b`");
    }
}

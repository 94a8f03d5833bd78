//! Settings of a tenant that leave few databases to choose from.

use std::collections::BTreeMap;

use serde_json::Value;

use super::newcomer::Newcomer;
use crate::tenant::Alias;

/// The value of a setting that stands for all that have no databases of their own, and for none.
const ANY_OTHER: &str = "*";

/// By the name of a setting and by its value, the databases for tenants that have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules(BTreeMap<String, BTreeMap<String, Vec<Alias>>>);

/// The databases that the settings of a tenant leave.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Narrowed {
    /// In the order of the first rule.
    pub(super) allowed: Vec<Alias>,
    /// The rules that apply, as in `region = eu`.
    pub(super) by: Vec<String>,
}

impl From<BTreeMap<String, BTreeMap<String, Vec<Alias>>>> for Rules {
    fn from(rules: BTreeMap<String, BTreeMap<String, Vec<Alias>>>) -> Self {
        Self(rules)
    }
}

impl Rules {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every database that is named, with the key that names it.
    pub(super) fn named(&self) -> impl Iterator<Item = (String, &Alias)> {
        let values = self.0.iter().flat_map(|(setting, values)| values.iter().map(move |it| (setting, it)));
        values.flat_map(|(setting, (value, aliases))| {
            aliases.iter().map(move |alias| (format!("placement.by.{setting}.{value}"), alias))
        })
    }

    /// Leaves the databases that all rules name that apply. `None` where none applies.
    pub(super) fn narrow(&self, newcomer: &Newcomer<'_>) -> Option<Narrowed> {
        let mut narrowed: Option<Narrowed> = None;
        for (setting, databases) in &self.0 {
            let value = newcomer.setting(setting).and_then(text_of);
            let found = value.as_ref().and_then(|value| databases.get(value));
            let Some(aliases) = found.or_else(|| databases.get(ANY_OTHER)) else { continue };
            let rule = format!("{setting} = {}", value.as_deref().unwrap_or("(none)"));
            let narrowed =
                narrowed.get_or_insert_with(|| Narrowed { allowed: aliases.clone(), by: Vec::new() });
            narrowed.allowed.retain(|alias| aliases.contains(alias));
            narrowed.by.push(rule);
        }
        narrowed
    }
}

/// A value as it stands in the file.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tenant::Slug;

    fn alias(text: &str) -> Alias {
        Alias::parse(text).expect("an alias")
    }

    fn rules(of: &[(&str, &str, &[&str])]) -> Rules {
        let mut rules: BTreeMap<String, BTreeMap<String, Vec<Alias>>> = BTreeMap::new();
        for (setting, value, aliases) in of {
            let aliases = aliases.iter().map(|text| alias(text)).collect();
            rules.entry((*setting).to_owned()).or_default().insert((*value).to_owned(), aliases);
        }
        Rules::from(rules)
    }

    #[test]
    fn settings_leave_what_all_rules_that_apply_name() {
        let rules = rules(&[
            ("plan", "enterprise", &["big_us", "big_eu"]),
            ("plan", "3", &["third"]),
            ("region", "eu", &["eu", "big_eu"]),
            ("region", "us", &["us", "big_us"]),
            ("region", "*", &["us"]),
        ]);
        let slug = Slug::parse("acme").expect("a slug");
        for (settings, expect) in [
            (json!({ "region": "eu" }), "eu big_eu by region = eu"),
            (json!({ "region": "eu", "plan": "free" }), "eu big_eu by region = eu"),
            (json!({ "region": "eu", "plan": "enterprise" }), "big_eu by plan = enterprise, region = eu"),
            (json!({ "plan": "enterprise" }), " by plan = enterprise, region = (none)"),
            (json!({ "region": "ch" }), "us by region = ch"),
            (json!({ "region": null }), "us by region = (none)"),
            (json!({ "plan": 3 }), " by plan = 3, region = (none)"),
        ] {
            let narrowed = rules.narrow(&Newcomer::new(&slug).with_settings(&settings));
            let Narrowed { allowed, by } = narrowed.expect("`*` applies to all");
            let allowed: Vec<_> = allowed.iter().map(Alias::as_str).collect();
            assert_eq!(format!("{} by {}", allowed.join(" "), by.join(", ")), expect, "{settings}");
        }
    }

    #[test]
    fn without_a_rule_that_applies_nothing_is_left_out() {
        let rules = rules(&[("plan", "enterprise", &["big"])]);
        let slug = Slug::parse("acme").expect("a slug");
        assert_eq!(rules.narrow(&Newcomer::new(&slug)), None);
        assert_eq!(rules.narrow(&Newcomer::new(&slug).with_settings(&json!({ "plan": "free" }))), None);
        assert_eq!(Rules::default().narrow(&Newcomer::new(&slug)), None);
    }
}

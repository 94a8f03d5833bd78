use serde_json::{Map, Value};

use super::{InvalidTenantName, TenantName};

/// The name of a tenant is kept under this key.
pub(super) const NAME: &str = "name";

/// A change of settings that the registry can store: what to set, and what to remove.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SettingsChange {
    set: Map<String, Value>,
    unset: Vec<String>,
}

/// The reason why settings cannot be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSettings {
    /// They are not a JSON object.
    #[error("settings are not a JSON object")]
    NoObject,
    /// PostgreSQL stores no text with a NUL in it.
    #[error("a setting holds a NUL, which PostgreSQL cannot store")]
    Nul,
    /// The name cannot be shown.
    #[error(transparent)]
    Name(#[from] InvalidTenantName),
}

impl SettingsChange {
    /// Sets every key but those that are `null`, which are removed.
    pub(crate) fn parse(settings: Value) -> Result<Self, InvalidSettings> {
        let Value::Object(settings) = settings else { return Err(InvalidSettings::NoObject) };
        let (unset, set): (Vec<_>, Vec<_>) = settings.into_iter().partition(|(_, value)| value.is_null());
        let unset: Vec<_> = unset.into_iter().map(|(key, _)| key).collect();
        if unset.iter().any(|key| key.contains('\0')) {
            return Err(InvalidSettings::Nul);
        }
        Ok(Self { set: checked_settings(set.into_iter().collect())?, unset })
    }

    pub(crate) fn set(&self) -> &Map<String, Value> {
        &self.set
    }

    pub(crate) fn unset(&self) -> &[String] {
        &self.unset
    }
}

impl From<TenantName> for SettingsChange {
    fn from(name: TenantName) -> Self {
        let set = [(NAME.to_owned(), Value::from(name.as_str()))];
        Self { set: set.into_iter().collect(), unset: Vec::new() }
    }
}

/// The settings as they are stored: the name is one that can be shown, and nothing holds a NUL.
pub(crate) fn checked_settings(
    mut settings: Map<String, Value>,
) -> Result<Map<String, Value>, InvalidSettings> {
    if let Some(Value::String(name)) = settings.get_mut(NAME) {
        TenantName::parse(name)?.as_str().clone_into(name);
    }
    if settings.iter().any(|(key, value)| key.contains('\0') || has_nul(value)) {
        return Err(InvalidSettings::Nul);
    }
    Ok(settings)
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(object) => object.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn null_removes_and_everything_else_is_set() {
        let change =
            SettingsChange::parse(json!({ "plan": "gold", "trial": null, "limits": { "x": null } })).unwrap();
        assert_eq!(Value::Object(change.set().clone()), json!({ "plan": "gold", "limits": { "x": null } }));
        assert_eq!(change.unset(), ["trial"]);
    }

    #[test]
    fn what_cannot_be_stored_or_shown_is_refused() {
        for (settings, expect) in [
            (json!([]), InvalidSettings::NoObject),
            (json!(null), InvalidSettings::NoObject),
            (json!({ "a": [{ "b": "x\u{0}" }] }), InvalidSettings::Nul),
            (json!({ "a\u{0}": 1 }), InvalidSettings::Nul),
            (json!({ "a\u{0}": null }), InvalidSettings::Nul),
            (json!({ "name": " " }), InvalidTenantName::Empty.into()),
            (
                json!({ "name": "a\u{2028}b" }),
                InvalidTenantName::Character { character: '\u{2028}', at: 1 }.into(),
            ),
        ] {
            assert_eq!(SettingsChange::parse(settings.clone()), Err(expect), "{settings}");
        }
    }

    #[test]
    fn a_name_is_stored_without_the_space_around_it() {
        let change = SettingsChange::parse(json!({ "name": " Acme\n" })).unwrap();
        assert_eq!(change, SettingsChange::from(TenantName::parse("Acme").unwrap()));
        // Not a name of ours, so none of our business.
        assert_eq!(SettingsChange::parse(json!({ "name": 7 })).unwrap().set()["name"], 7);
    }
}

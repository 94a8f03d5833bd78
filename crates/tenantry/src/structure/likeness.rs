//! Leaves out of structures that are the same what two databases may have in different ways.

use serde_json::Value;

use super::fingerprint::Objects;

/// The place of the tablespace.
const TABLESPACES: [(&str, usize); 2] = [("relation", 6), ("index", 6)];

impl Objects {
    /// Leaves out tablespaces, extensions, the schemas of extensions in the paths of functions, and what foreign keys
    /// from elsewhere have here.
    pub(crate) fn without_surroundings(self, extensions: &[String]) -> Self {
        let mut objects = self.0;
        let is_surrounding =
            |kind: &str, name: &str| kind == "internal triggers" || (kind, name) == ("other", "pg_extension");
        objects.retain(|(kind, name), _| !is_surrounding(kind, name));
        for ((kind, _), definitions) in &mut objects {
            for definition in definitions.iter_mut() {
                if let Ok(mut value) = serde_json::from_str(definition) {
                    strip(kind, &mut value, extensions);
                    *definition = value.to_string();
                }
            }
            definitions.sort();
        }
        Self(objects)
    }

    /// Keeps the names alone: every major version of the server writes expressions in its own way, and not all of them
    /// make a constraint of `NOT NULL`.
    pub(crate) fn names_only(self) -> Self {
        let mut objects = self.0;
        objects.retain(|(kind, _), definitions| {
            !(kind == "constraint" && definitions.iter().all(|text| text.starts_with(r#"["n""#)))
        });
        for definition in objects.values_mut().flatten() {
            definition.clear();
        }
        Self(objects)
    }

    /// Returns true if both have the same objects.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

fn strip(kind: &str, definition: &mut Value, extensions: &[String]) {
    for (_, place) in TABLESPACES.iter().filter(|(of, _)| *of == kind) {
        if let Some(part) = definition.get_mut(place) {
            *part = Value::Null;
        }
    }
    if kind == "routine" {
        let settings = definition.as_array_mut().into_iter().flatten().filter_map(Value::as_array_mut);
        for setting in settings.flatten() {
            if let Some(path) = setting.as_str().and_then(|text| text.strip_prefix("search_path=")) {
                let is_own = |part: &&str| !extensions.iter().any(|name| name == part.trim_matches('"'));
                let path: Vec<_> = path.split(',').map(str::trim).filter(is_own).collect();
                *setting = format!("search_path={}", path.join(", ")).into();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn objects(kind: &str, definition: &str) -> Objects {
        let key = (kind.to_owned(), "x".to_owned());
        Objects(BTreeMap::from([(key, vec![definition.to_owned()])]))
    }

    #[test]
    fn where_tables_and_extensions_are_makes_no_difference() {
        let here = ["extensions".to_owned()];
        for (kind, is, should_be, is_like) in [
            ("relation", r#"["r",1,2,3,4,5,"fast"]"#, r#"["r",1,2,3,4,5,null]"#, true),
            ("relation", r#"["r",1,2,3,4,5,null]"#, r#"["r",1,2,3,4,6,null]"#, false),
            (
                "routine",
                r#"["sql",["search_path==own=, extensions, pg_temp"]]"#,
                r#"["sql",["search_path==own=, pg_temp"]]"#,
                true,
            ),
            ("routine", r#"["me",["search_path==own=, x"]]"#, r#"["me",["search_path==own="]]"#, false),
        ] {
            let [is, should_be] = [is, should_be].map(|text| objects(kind, text).without_surroundings(&here));
            assert_eq!(is.is_like(&should_be), is_like, "{kind}");
        }
        assert!(objects("internal triggers", "[1]").without_surroundings(&here).0.is_empty());
    }

    #[test]
    fn between_two_versions_only_names_are_compared() {
        let (old, new) = (objects("index", "[1]").names_only(), objects("index", "[2]").names_only());
        assert!(old.is_like(&new));
        assert!(objects("constraint", r#"["n", 1]"#).names_only().0.is_empty());
        assert!(!objects("constraint", r#"["c", 1]"#).names_only().0.is_empty());
    }
}

//! Leaves out of structures that are the same what two databases may have in different ways.

use serde_json::Value;

use super::fingerprint::Objects;

/// The place of the tablespace.
const TABLESPACES: [(&str, usize); 2] = [("relation", 6), ("index", 6)];

/// The place that says of a constraint whether it is a part of another one.
const PARENT_OF_CONSTRAINT: usize = 6;
/// The same place of a trigger.
const PARENT_OF_TRIGGER: usize = 2;

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

    /// Keeps the names alone: every major version of the server writes expressions in its own way, not all of them make
    /// a constraint of `NOT NULL`, and what foreign keys and triggers have for each partition is the server's affair.
    pub(crate) fn names_only(self) -> Self {
        let mut objects = self.0;
        objects.retain(|(kind, _), definitions| {
            kind != "internal triggers" && !definitions.iter().all(|text| depends_on_version(kind, text))
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

/// Returns true for a constraint or a trigger that one version of the server has, or has by another name.
fn depends_on_version(kind: &str, definition: &str) -> bool {
    let Ok(definition) = serde_json::from_str::<Value>(definition) else { return false };
    match (kind, definition[0].as_str()) {
        ("constraint", Some("n")) => true,
        ("constraint", Some("f")) => definition[PARENT_OF_CONSTRAINT] == true,
        ("trigger", _) => definition[PARENT_OF_TRIGGER] == true,
        _ => false,
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
        for (kind, definition, is_kept) in [
            ("constraint", r#"["n", 1]"#, false),
            ("constraint", r#"["c", 1]"#, true),
            ("constraint", r#"["f", "", true, false, true, 0, false]"#, true),
            ("constraint", r#"["f", "", true, false, false, 1, true]"#, false),
            ("constraint", r#"["p", "", true, false, false, 1, true]"#, true),
            ("trigger", r#"["CREATE TRIGGER", "O", false, null]"#, true),
            ("trigger", r#"["CREATE TRIGGER", "O", true, null]"#, false),
            ("internal triggers", "[1]", false),
        ] {
            let is_empty = objects(kind, definition).names_only().0.is_empty();
            assert_eq!(is_empty, !is_kept, "{definition}");
        }
    }
}

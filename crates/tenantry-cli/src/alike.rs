//! Texts about tenants that say the same of each.

/// The text without the names of a tenant and of its schema, so that one cause reads the same in all tenants. Where the
/// schema is not known, it is the one that the text itself names.
pub(crate) fn without_names(text: &str, slug: Option<&str>, schema: Option<&str>) -> String {
    let named = text.split_once("schema `").and_then(|(_, rest)| rest.split('`').next());
    let mut text = text.to_owned();
    if let Some(schema) = schema.or(named).filter(|schema| !schema.is_empty()) {
        text = without_word(&text, schema);
    }
    match slug {
        Some(slug) => text.replace(&format!("`{slug}`"), "`…`"),
        None => text,
    }
}

/// Leaves a word out where it is no part of another one.
fn without_word(text: &str, word: &str) -> String {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    let mut shortened = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(word) {
        let (before, behind) = (&rest[..start], &rest[start + word.len()..]);
        let is_whole = !before.ends_with(is_part) && !behind.starts_with(is_part);
        shortened.push_str(before);
        shortened.push_str(if is_whole { "…" } else { word });
        rest = behind;
    }
    shortened + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_alike(one: (&str, &str), other: (&str, &str), expect: bool) {
        let [one, other] = [one, other].map(|(slug, text)| without_names(text, Some(slug), None));
        assert_eq!(one == other, expect, "{one}\n{other}");
    }

    #[test]
    fn one_cause_reads_the_same_in_all_tenants() {
        let acme = "f.sql:1: no \"tag\" (tenant `acme`, schema `t_acme_1`, in `DROP TABLE tag`)";
        let globex = "f.sql:1: no \"tag\" (tenant `globex`, schema `t_globex_2`, in `DROP TABLE tag`)";
        check_alike(("acme", acme), ("globex", globex), true);
        check_alike(("acme", acme), ("globex", &globex.replace(":1:", ":2:")), false);
        let quoted = |name: &str| format!("permission denied for table {name}.note (schema `{name}`)");
        check_alike(("a", &quoted("s1")), ("b", &quoted("s2")), true);
        check_alike(("a", "no `s1` here (schema `s`)"), ("b", "no `s2` here (schema `s`)"), false);
        check_alike(("a", "the slug `a` is reserved"), ("b", "the slug `b` is reserved"), true);
        check_alike(("a", "schema `"), ("b", "schema ``"), false);
    }
}

//! Everything that the catalogs say of a schema, and how two schemas differ in it.

use std::collections::{BTreeMap, BTreeSet};

use crate::sql::lexer::{Lexer, Token, TokenKind};

/// Stands for the name of the schema in a fact.
const OWN_NAME: &str = "__tenant__";

/// Differences that an error tells of.
const TOLD: usize = 3;

/// The facts about one object. Each begins with its name, which has no space in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ObjectFacts {
    pub(super) exact: BTreeSet<String>,
    /// The texts that the server writes as SQL, and in another way once it has read what it wrote.
    pub(super) written: BTreeSet<String>,
}

/// Objects by their kind and name.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts(BTreeMap<String, ObjectFacts>);

/// The way in which two schemas are to be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Likeness {
    /// One was made by migrations, the other was read from what the server wrote of the first.
    InMeaning,
    /// Both were read from what the server wrote, of two replays at different times.
    ToTheLetter,
}

impl Facts {
    /// Adds what is known of an object in this schema.
    pub(super) fn add(&mut self, schema: &str, object: &str, exact: Vec<String>, written: Vec<String>) {
        let rename = |text: &str| text.replace(schema, OWN_NAME);
        let known = self.0.entry(rename(object)).or_default();
        known.exact.extend(exact.iter().map(|fact| rename(fact)));
        known.written.extend(written.iter().map(|fact| rename(fact)));
    }

    /// The objects that are new or other than they were, and not among these. What belongs to an extension is
    /// told by its name.
    pub(super) fn changed_since(&self, before: &Self, without: &Self) -> Vec<String> {
        let is_part =
            |object: &ObjectFacts| object.exact.iter().any(|fact| fact.starts_with("belongs to extension "));
        let changed = self.0.iter().filter(|(name, object)| before.0.get(*name) != Some(*object));
        let changed = changed.filter(|(_, object)| !is_part(object));
        let removed = before.0.keys().filter(|name| !self.0.contains_key(*name));
        let names = changed.map(|(name, _)| name).chain(removed);
        names.filter(|name| !without.0.contains_key(*name)).map(|name| shown(name)).collect()
    }

    /// Says how this differs from what it should be.
    pub(super) fn difference(&self, should_be: &Self, likeness: Likeness) -> Option<String> {
        let mut told = Vec::new();
        let missing: Vec<_> = should_be.0.keys().filter(|name| !self.0.contains_key(*name)).collect();
        let extra: Vec<_> = self.0.keys().filter(|name| !should_be.0.contains_key(*name)).collect();
        told.extend(wholes(&missing).map(|name| format!("{} is missing", shown(name))));
        told.extend(wholes(&extra).map(|name| format!("{} is extra", shown(name))));
        for (name, is) in &self.0 {
            let other = should_be.0.get(name).and_then(|should_be| is.difference(should_be, likeness));
            told.extend(other.map(|difference| format!("{} {}", shown(name), shown(&difference))));
        }
        let more = told.len().saturating_sub(TOLD);
        told.truncate(TOLD);
        match (told.is_empty(), more) {
            (true, _) => None,
            (false, 0) => Some(told.join("; ")),
            (false, more) => Some(format!("{}; and {more} more", told.join("; "))),
        }
    }
}

/// Leaves out the columns of what is there as a whole.
fn wholes<'a>(names: &'a [&'a String]) -> impl Iterator<Item = &'a str> {
    let is_part = |name: &str| {
        names
            .iter()
            .any(|whole| name.strip_prefix(whole.as_str()).is_some_and(|rest| rest.starts_with(['.', ' '])))
    };
    names.iter().map(|name| name.as_str()).filter(move |name| !is_part(name))
}

/// Without the schema in front of each name, for people.
fn shown(text: &str) -> String {
    text.replace(&format!("{OWN_NAME}."), "")
}

impl ObjectFacts {
    fn difference(&self, should_be: &Self, likeness: Likeness) -> Option<String> {
        let is_meant = |fact: &&String| likeness == Likeness::InMeaning || !differs_by_time(fact);
        let told = |these: &BTreeSet<String>, those: &BTreeSet<String>| {
            these.difference(those).find(is_meant).map(|fact| fact.trim().to_owned())
        };
        let exact = (told(&self.exact, &should_be.exact), told(&should_be.exact, &self.exact));
        let (is, should_be) = match exact {
            (None, None) if likeness == Likeness::InMeaning => self.rewritten(should_be)?,
            (None, None) => {
                (told(&self.written, &should_be.written), told(&should_be.written, &self.written))
            }
            exact => exact,
        };
        match (is, should_be) {
            (None, None) => None,
            (Some(is), None) => Some(format!("has `{is}`")),
            (None, Some(should_be)) => Some(format!("has no `{should_be}`")),
            (Some(is), Some(should_be)) => Some(format!("has `{is}` instead of `{should_be}`")),
        }
    }

    /// The first text that is another by more than the way it is written.
    fn rewritten(&self, should_be: &Self) -> Option<(Option<String>, Option<String>)> {
        let essences =
            |object: &Self| object.written.iter().map(|text| essence(text)).collect::<BTreeSet<_>>();
        let (own, wanted) = (essences(self), essences(should_be));
        let only = |object: &Self, other: &BTreeSet<Vec<String>>| {
            object.written.iter().find(|text| !other.contains(&essence(text))).cloned()
        };
        (own != wanted).then(|| (only(self, &wanted), only(should_be, &own)))
    }
}

/// Rows that a replay at another time makes in another way: with a moment or a random number in them.
fn differs_by_time(fact: &str) -> bool {
    fact.starts_with("rows ") || fact.starts_with("moment ")
}

/// The tokens of an expression without its parentheses and casts. These are what the server writes in another
/// way when it has read what it wrote: `(ARRAY['a'::varchar])::text[]` becomes `ARRAY[('a'::varchar)::text]`.
fn essence(text: &str) -> Vec<String> {
    let tokens: Vec<_> = Lexer::new(text).flatten().collect();
    let mut essence = Vec::new();
    let mut rest = tokens.as_slice();
    while let [token, behind @ ..] = rest {
        rest = behind;
        match (token.text, behind) {
            ("(" | ")" | "[" | "]", _) if token.kind == TokenKind::Punctuation => {}
            (":", [second, target @ ..]) if second.is_punctuation(":") => rest = behind_type(target),
            _ => essence.push(token.text.to_owned()),
        }
    }
    essence
}

/// The tokens behind the name of a type.
fn behind_type<'a, 'b>(mut tokens: &'b [Token<'a>]) -> &'b [Token<'a>] {
    while let [_, point, behind @ ..] = tokens {
        if !point.is_punctuation(".") {
            break;
        }
        tokens = behind;
    }
    tokens = tokens.get(1..).unwrap_or_default();
    while let [token, behind @ ..] = tokens {
        let is_modifier =
            token.is_punctuation("(") && behind.first().is_some_and(|it| it.kind == TokenKind::Number);
        if is_modifier {
            let end = behind.iter().position(|it| it.is_punctuation(")"));
            tokens = end.map_or(&[], |end| &behind[end + 1..]);
        } else if token.is_one_of("varying precision with without time zone") {
            tokens = behind;
        } else {
            break;
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(objects: &[(&str, &[&str], &[&str])]) -> Facts {
        let mut facts = Facts::default();
        for (object, exact, written) in objects {
            let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
            facts.add("s_1", object, owned(exact), owned(written));
        }
        facts
    }

    #[track_caller]
    fn check(is: &Facts, should_be: &Facts, likeness: Likeness, expect: Option<&str>) {
        assert_eq!(is.difference(should_be, likeness).as_deref(), expect);
    }

    #[test]
    fn what_is_missing_extra_or_another_is_told() {
        let note = |fact: &str| facts(&[("table s_1.note", &["relkind r", fact], &[])]);
        check(&note("a 1"), &note("a 1"), Likeness::InMeaning, None);
        let tells = Some("table note has `a 1` instead of `a 2`");
        check(&note("a 1"), &note("a 2"), Likeness::InMeaning, tells);
        check(&facts(&[]), &note("a"), Likeness::ToTheLetter, Some("table note is missing"));
        check(&note("a"), &facts(&[]), Likeness::ToTheLetter, Some("table note is extra"));
        let with_columns = facts(&[("table s_1.note", &[], &[]), ("table s_1.note.id", &[], &[])]);
        check(&facts(&[]), &with_columns, Likeness::InMeaning, Some("table note is missing"));
    }

    #[test]
    fn many_differences_are_counted() {
        let many =
            facts(&[("a", &[], &[]), ("b", &[], &[]), ("c", &[], &[]), ("d", &[], &[]), ("e", &[], &[])]);
        let tells = Some("a is missing; b is missing; c is missing; and 2 more");
        check(&facts(&[]), &many, Likeness::InMeaning, tells);
    }

    #[test]
    fn an_expression_may_be_written_in_another_way_once() {
        let of = |text: &str| facts(&[("check", &[], &[text])]);
        let made = "constraint CHECK (((name)::text = ANY ((ARRAY['ann'::character varying, 'b'::character \
            varying(80)])::text[])))";
        let read = "constraint CHECK (((name)::text = ANY (ARRAY[('ann'::character varying)::text, ('b'::character \
            varying(80))::text])))";
        check(&of(read), &of(made), Likeness::InMeaning, None);
        assert!(of(read).difference(&of(made), Likeness::ToTheLetter).is_some());
        for other in ["'ann'", "name", "=", "ANY"] {
            let other = made.replace(other, "other");
            assert!(of(&other).difference(&of(made), Likeness::InMeaning).is_some(), "{other}");
        }
        for (cast, without) in [
            ("a::timestamp(3) without time zone + 1", "a + 1"),
            ("(a::s_1.\"Mood\"[]) < 2", "a < 2"),
            ("a::numeric(10,2), b", "a, b"),
            ("a::double precision", "a"),
        ] {
            assert_eq!(essence(cast), essence(without), "{cast}");
        }
    }

    #[test]
    fn two_replays_may_differ_by_time() {
        let of = |fact: &str| facts(&[("rows of a", &["count 1", fact], &[])]);
        check(&of("moment a 1"), &of("moment a 2"), Likeness::ToTheLetter, None);
        assert!(of("moment a 1").difference(&of("moment a 2"), Likeness::InMeaning).is_some());
        assert!(of("column a 1").difference(&of("column a 2"), Likeness::ToTheLetter).is_some());
    }

    #[test]
    fn what_changed_elsewhere_is_named() {
        let before = facts(&[("extension a", &["v 1"], &[]), ("role b", &[], &[])]);
        let part: &[&str] = &["belongs to extension a"];
        let after = facts(&[
            ("extension a", &["v 2"], &[]),
            ("type a", part, &[]),
            ("cast c", &[], &[]),
            ("cast d", &[], &[]),
        ]);
        let own = facts(&[("cast d", &[], &[])]);
        assert_eq!(after.changed_since(&before, &own), ["cast c", "extension a", "role b"]);
    }
}

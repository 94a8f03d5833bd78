//! The owners and privileges in a schema, as far as not every tenant has them, and how they differ from what they
//! should be.
//!
//! What every tenant has is left out: the owner's own privileges, those of everybody on functions and types, and those
//! that the application and the tenant's role get without a word of the files. So a tenant can be compared with a
//! scratch schema, which has no role of its own. Roles stand for what they are: the owner of one is that of the other.

use std::collections::BTreeSet;

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection};

use super::difference::{Deviation, differences};
use super::fingerprint::{OBJECTS, Objects, Subject, prepare, restore};
use crate::error::Result;
use crate::sql::Identifier;

const PERMISSIONS: &str = include_str!("permissions.sql");

/// The kinds of objects that these are.
const OWNER: &str = "owner";
const GRANT: &str = "grant";

/// The places in the definition of both kinds.
const PART: usize = 0;
const PLACE: usize = 1;

/// The places in the definition of an owner.
const OWNED: usize = 2;
const ROLE: usize = 3;
const MAY_ACT: usize = 4;
const LIKE_SCHEMA: usize = 5;

/// The places in the definition of a grant.
const BEGINS: usize = 2;
const TARGET: usize = 3;
const RECEIVER: usize = 4;
const NOW: usize = 5;
const USUAL: usize = 6;

/// Ends a privilege that may be passed on.
const PASSED_ON: &str = " WITH GRANT OPTION";

/// The role that stands for the application's, at the end of a name.
const APPLICATION: &str = " to the application";

/// The roles that have something in every schema.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holders<'a> {
    pub(crate) application: &'a str,
    /// The role that migrates; `None` if it is the session's.
    pub(crate) maker: Option<&'a str>,
}

/// The texts that decide what is known of the structure that files make.
pub(crate) fn question() -> String {
    format!("{OBJECTS}{PERMISSIONS}")
}

impl Objects {
    /// Reads who owns and may use what, in a transaction that is open, without these tables. The transaction's
    /// `search_path` is another afterwards.
    pub(crate) async fn permissions(
        connection: &mut PgConnection,
        subject: Subject<'_>,
        holders: Holders<'_>,
        without: &[String],
    ) -> Result<Self> {
        prepare(connection).await?;
        let query =
            format!("{OBJECTS}, {PERMISSIONS} SELECT kind, name::text, definition::text FROM permission");
        let rows = sqlx::query_as(AssertSqlSafe(query))
            .bind(subject.schema.as_str())
            .bind(subject.own_role)
            .bind(false)
            .bind(without)
            .bind(vec![subject.schema.as_str()])
            .bind(holders.application)
            .bind(holders.maker)
            .persistent(false)
            .fetch_all(&mut *connection)
            .await?;
        restore(connection).await?;
        Ok(Self::from_rows(rows))
    }

    /// The permissions as they are once the application has got what it has on every tenant.
    pub(crate) fn served(mut self) -> Self {
        self.0.retain(|(_, name), definitions| {
            if !name.ends_with(APPLICATION) {
                return true;
            }
            definitions.retain_mut(|text| {
                let Ok(mut definition) = serde_json::from_str::<Value>(text) else { return true };
                let now: BTreeSet<_> =
                    [NOW, USUAL].iter().flat_map(|place| privileges(&definition, *place)).collect();
                let usual: BTreeSet<_> = privileges(&definition, USUAL).into_iter().collect();
                let is_usual = now == usual;
                definition[NOW] = now.into_iter().collect();
                *text = definition.to_string();
                !is_usual
            });
            !definitions.is_empty()
        });
        self
    }
}

/// The differences between who owns and may use what and who should: owners first, and only of what both schemas have,
/// since the rest is missing or extra with all that is said of it.
pub(crate) fn permission_differences(
    is: &Objects,
    should_be: &Objects,
    objects: [&Objects; 2],
) -> Vec<Deviation> {
    let is_shared = |it: &Deviation| {
        let (Some(part), Some(place)) = (it.text(PART), it.text(PLACE)) else { return false };
        let key = (part.to_owned(), place.to_owned());
        ["schema", "default"].contains(&part) || objects.iter().all(|objects| objects.0.contains_key(&key))
    };
    let mut all = differences(is, should_be);
    all.retain(|it| is_shared(it) && it.is_permission_other());
    all.sort_by_key(|it| it.kind != OWNER);
    all
}

fn privileges(definition: &Value, place: usize) -> Vec<String> {
    let list = definition.get(place).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

impl Deviation {
    /// Returns true if something belongs to a role for which the one that migrates may not act.
    pub(crate) fn is_out_of_reach(&self) -> bool {
        let may_act = self.is.as_ref().and_then(|it| it.get(MAY_ACT)?.as_bool());
        self.kind == OWNER && self.should_be.is_none() && may_act == Some(false)
    }

    /// Returns true if both are about the same object.
    pub(crate) fn is_about_the_same(&self, other: &Self) -> bool {
        self.text(PART) == other.text(PART) && self.text(PLACE) == other.text(PLACE)
    }

    /// Returns true for an object of the schema, and false for the schema itself.
    pub(crate) fn is_within(&self) -> bool {
        self.text(PART) != Some("schema")
    }

    /// Returns false where both sides say the same in other words.
    fn is_permission_other(&self) -> bool {
        if let Some([extra, missing]) = self.grants() {
            return extra != missing;
        }
        match (&self.is, &self.should_be) {
            (Some(is), Some(should_be)) => is.get(ROLE) != should_be.get(ROLE),
            // Somebody owns the schema and what is in it.
            (Some(is), None) => is.get(LIKE_SCHEMA).and_then(Value::as_bool) != Some(true),
            _ => true,
        }
    }

    /// The privileges that are too many and those that are missing.
    fn grants(&self) -> Option<[Vec<String>; 2]> {
        if self.kind != GRANT {
            return None;
        }
        let [is, should_be] = self.both();
        let beyond = |these: &[String], others: &[String]| {
            these.iter().filter(|it| !others.contains(it)).cloned().collect()
        };
        Some([beyond(&is, &should_be), beyond(&should_be, &is)])
    }

    /// The privileges that are there and those that should be. What is not told of one side is as usual.
    fn both(&self) -> [Vec<String>; 2] {
        let of = |own: &Option<Value>, other: &Option<Value>| match (own, other) {
            (Some(own), _) => privileges(own, NOW),
            (None, Some(other)) => privileges(other, USUAL),
            (None, None) => Vec::new(),
        };
        [of(&self.is, &self.should_be), of(&self.should_be, &self.is)]
    }

    pub(super) fn permission_told(&self) -> Option<String> {
        if self.kind == OWNER {
            let role = |definition: &Option<Value>| match definition {
                Some(it) => format!("role `{}`", it.get(ROLE).and_then(Value::as_str).unwrap_or_default()),
                None => "who migrates".to_owned(),
            };
            let what = self.text(PLACE).filter(|_| self.is_within());
            let what = what.map_or_else(|| "the schema".to_owned(), |name| format!("`{name}`"));
            return Some(format!(
                "{what} belongs to {} instead of {}",
                role(&self.is),
                role(&self.should_be)
            ));
        }
        let name = &self.name;
        match self.grants()? {
            [extra, missing] if missing.is_empty() => {
                Some(format!("grant `{} {name}` is extra", extra.join(", ")))
            }
            [extra, missing] if extra.is_empty() => {
                Some(format!("grant `{} {name}` is missing", missing.join(", ")))
            }
            _ => {
                let [is, should_be] = self.both().map(|it| it.join(", "));
                Some(format!("grant `{name}` is `{is}` instead of `{should_be}`"))
            }
        }
    }

    pub(super) fn permission_statements(&self) -> Option<String> {
        if self.kind == OWNER {
            let should_be = self.should_be.as_ref().and_then(|it| it.get(ROLE)?.as_str());
            let role =
                should_be.map_or_else(|| "CURRENT_USER".to_owned(), |role| Identifier(role).to_string());
            return Some(format!("ALTER {} OWNER TO {role}", self.text(OWNED)?));
        }
        let [extra, missing] = self.grants()?;
        let (begins, target, receiver) = (self.text(BEGINS)?, self.text(TARGET)?, self.text(RECEIVER)?);
        let plain = |it: &String| it.strip_suffix(PASSED_ON).unwrap_or(it).to_owned();
        let given = |passed_on: bool| -> Vec<String> {
            missing.iter().filter(|it| it.ends_with(PASSED_ON) == passed_on).map(plain).collect()
        };
        let taken: Vec<_> = extra.iter().map(plain).collect();
        let statement = |verb: &str, privileges: &[String], to: &str, end: &str| {
            (!privileges.is_empty())
                .then(|| format!("{begins}{verb} {} ON {target} {to} {receiver}{end}", privileges.join(", ")))
        };
        let all = [
            statement("REVOKE", &taken, "FROM", ""),
            statement("GRANT", &given(false), "TO", ""),
            statement("GRANT", &given(true), "TO", PASSED_ON),
        ];
        Some(all.into_iter().flatten().collect::<Vec<_>>().join("; "))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::mend::mend;
    use super::*;

    fn objects(kind: &str, name: &str, definition: Option<&str>) -> Objects {
        let row = |definition: &str| (kind.to_owned(), name.to_owned(), definition.to_owned());
        Objects::from_rows(definition.map(row).into_iter().collect())
    }

    #[track_caller]
    fn check(kind: &str, [is, should_be]: [Option<&str>; 2], told: &str, sql: &str) {
        let [is, should_be] = [is, should_be].map(|it| objects(kind, "on note to app", it));
        let [with, without] = [Some("[\"r\"]"), None].map(|it| objects("relation", "note", it));
        let differences = permission_differences(&is, &should_be, [&with, &with]);
        let all: Vec<_> = differences.iter().map(ToString::to_string).collect();
        assert_eq!((all.join("; "), mend(&differences)), (told.to_owned(), sql.to_owned()));
        // A table that is missing takes all with it.
        assert_eq!(permission_differences(&is, &should_be, [&with, &without]), []);
        assert_eq!(permission_differences(&is, &should_be, [&without, &with]), []);
    }

    fn grant(now: &str, usual: &str) -> String {
        format!(r#"["relation", "note", "", "TABLE note", "app", [{now}], [{usual}]]"#)
    }

    #[test]
    fn what_one_side_does_not_tell_is_as_usual_there() {
        let (given, taken) = (grant(r#""SELECT""#, ""), grant("", r#""SELECT""#));
        let (extra, revoke) =
            ("grant `SELECT on note to app` is extra", "REVOKE SELECT ON TABLE note FROM app");
        let (missing, give) =
            ("grant `SELECT on note to app` is missing", "GRANT SELECT ON TABLE note TO app");
        check(GRANT, [Some(&given), None], extra, revoke);
        check(GRANT, [None, Some(&given)], missing, give);
        check(GRANT, [Some(&taken), None], missing, give);
        check(GRANT, [None, Some(&taken)], extra, revoke);
        check(GRANT, [Some(&given); 2], "", "");
        let other = grant(r#""INSERT", "SELECT WITH GRANT OPTION", "UPDATE""#, "");
        check(
            GRANT,
            [Some(&given), Some(&other)],
            "grant `on note to app` is `SELECT` instead of `INSERT, SELECT WITH GRANT OPTION, UPDATE`",
            "REVOKE SELECT ON TABLE note FROM app; GRANT INSERT, UPDATE ON TABLE note TO app; \
             GRANT SELECT ON TABLE note TO app WITH GRANT OPTION",
        );
        let default = r#"["default", "tables to come", "ALTER … ", "TABLES", "app", ["SELECT"], []]"#;
        let is = objects(GRANT, "on tables to come to app", Some(default));
        let none = Objects::default();
        let told = permission_differences(&is, &none, [&none, &none]);
        assert_eq!(mend(&told), "ALTER … REVOKE SELECT ON TABLES FROM app");
    }

    #[test]
    fn an_owner_is_another_or_should_be() {
        let of = |role: &str| format!(r#"["relation", "note", "TABLE note", "{role}", false, false]"#);
        let (a, b) = (of("a"), of("B"));
        let to_own = "ALTER TABLE note OWNER TO CURRENT_USER";
        check(OWNER, [Some(&a), None], "`note` belongs to role `a` instead of who migrates", to_own);
        let to_other = "ALTER TABLE note OWNER TO \"B\"";
        check(OWNER, [None, Some(&b)], "`note` belongs to who migrates instead of role `B`", to_other);
        check(OWNER, [Some(&a.replace("false, false", "true, true")), Some(&a)], "", "");
        check(OWNER, [Some(&a.replace("false, false", "true, true")), None], "", "");
        check(OWNER, [Some(&a), Some(&b)], "`note` belongs to role `a` instead of role `B`", to_other);
    }

    #[test]
    fn the_application_gets_what_it_lacks_where_a_schema_is_adopted() {
        let name = "on note to the application";
        let served = |now: &str, usual: &str| objects(GRANT, name, Some(&grant(now, usual))).served();
        assert_eq!(served("", r#""SELECT""#), Objects::default());
        let more = served(r#""TRUNCATE""#, r#""SELECT""#);
        let should_be = objects(GRANT, name, None);
        let shape = objects("relation", "note", Some("[]"));
        let told = permission_differences(&more, &should_be, [&shape, &shape]);
        assert_eq!(mend(&told), "REVOKE TRUNCATE ON TABLE note FROM app");
    }
}

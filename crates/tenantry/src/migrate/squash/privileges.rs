//! Privileges that migrations give and take.
//!
//! They are read from the catalogs, wherever they were given: by a statement, in a block of code, by a function.
//! A dump would also hold those that Tenantry gives when it makes a schema, under the names of one installation.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use crate::error::Result;
use crate::tenant::SchemaName;

/// Stands for the name of the schema.
const OWN_NAME: &str = "__tenant__";

/// A privilege as a statement names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, sqlx::FromRow)]
pub(super) struct Privilege {
    /// `ALTER DEFAULT PRIVILEGES … `, or nothing.
    begin: String,
    /// `TABLE "a"."note"`
    target: String,
    grantee: String,
    is_grantable: bool,
    /// `SELECT ("title")`
    right: String,
}

/// All privileges on what is in a schema, and on the schema.
pub(super) async fn read(connection: &mut PgConnection, schema: &SchemaName) -> Result<BTreeSet<Privilege>> {
    let all: Vec<Privilege> =
        sqlx::query_as(include_str!("privileges.sql")).bind(schema.as_str()).fetch_all(connection).await?;
    let rename = |text: &str| text.replace(schema.as_str(), OWN_NAME);
    let renamed = |it: Privilege| Privilege { begin: rename(&it.begin), target: rename(&it.target), ..it };
    Ok(all.into_iter().map(renamed).collect())
}

/// The statements that give and take in this schema what differs.
pub(super) fn statements_for(
    schema: &SchemaName,
    is: &BTreeSet<Privilege>,
    should_be: &BTreeSet<Privilege>,
) -> Vec<String> {
    let statements = statements(is, should_be).into_iter();
    statements.map(|statement| statement.replace(OWN_NAME, schema.as_str())).collect()
}

/// One statement for each object, grantee and way.
fn statements(is: &BTreeSet<Privilege>, should_be: &BTreeSet<Privilege>) -> Vec<String> {
    let taken = groups(is.difference(should_be)).into_iter().map(|(it, privileges)| {
        format!("{}REVOKE {privileges} ON {} FROM {}", it.begin, it.target, it.grantee)
    });
    let given = groups(should_be.difference(is)).into_iter().map(|(it, privileges)| {
        let option = if it.is_grantable { " WITH GRANT OPTION" } else { "" };
        format!("{}GRANT {privileges} ON {} TO {}{option}", it.begin, it.target, it.grantee)
    });
    taken.chain(given).collect()
}

/// Says how privileges differ from what they should be, without the name of a schema.
pub(super) fn difference(is: &BTreeSet<Privilege>, should_be: &BTreeSet<Privilege>) -> Option<String> {
    let first = statements(is, should_be).into_iter().next()?;
    Some(format!("it lacks `{}`", first.replace(&format!("{OWN_NAME}."), "")))
}

fn groups<'a>(privileges: impl Iterator<Item = &'a Privilege>) -> Vec<(&'a Privilege, String)> {
    let mut groups: Vec<(&Privilege, String)> = Vec::new();
    let key = |it: &'a Privilege| (&it.begin, &it.target, &it.grantee, it.is_grantable);
    for privilege in privileges {
        match groups.last_mut() {
            Some((first, list)) if key(first) == key(privilege) => {
                list.push_str(", ");
                list.push_str(&privilege.right);
            }
            _ => groups.push((privilege, privilege.right.clone())),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(privileges: &[(&str, &str, bool)]) -> BTreeSet<Privilege> {
        let privilege = |&(right, grantee, is_grantable): &(&str, &str, bool)| Privilege {
            begin: String::new(),
            target: "TABLE note".to_owned(),
            grantee: grantee.to_owned(),
            is_grantable,
            right: right.to_owned(),
        };
        privileges.iter().map(privilege).collect()
    }

    #[test]
    fn what_differs_is_taken_and_given() {
        let is = set(&[("INSERT", "a", false), ("SELECT", "a", false), ("SELECT", "b", true)]);
        let should_be = set(&[("SELECT", "a", false), ("SELECT", "b", false), ("UPDATE", "b", false)]);
        assert_eq!(
            statements(&is, &should_be),
            [
                "REVOKE INSERT ON TABLE note FROM a",
                "REVOKE SELECT ON TABLE note FROM b",
                "GRANT SELECT, UPDATE ON TABLE note TO b",
            ]
        );
        assert!(statements(&is, &is).is_empty());
        assert_eq!(
            statements(&set(&[]), &set(&[("SELECT", "c", true)])),
            ["GRANT SELECT ON TABLE note TO c WITH GRANT OPTION"]
        );
    }
}

//! The words and statements of a finding about schemas that are alike.

use std::fmt;

use super::groups::Alike;
use super::question::OWN_NAME;
use crate::sql::{Identifier, Literal};

/// Differences of one schema that a finding tells of.
const MOST_DIFFERENCES: usize = 5;

/// ``tenant `a`, tenant `b`, tenant `c` and 4 more``.
pub(super) fn names(group: &Alike) -> String {
    let owners: Vec<_> = group.first.iter().map(|(_, owner)| owner.as_str()).collect();
    match group.count.saturating_sub(owners.len()) {
        0 => owners.join(", "),
        more => format!("{} and {more} more", owners.join(", ")),
    }
}

/// The first few differences, and how many more there are.
pub(super) fn sentence(differences: &[impl fmt::Display]) -> String {
    let told: Vec<_> = differences.iter().take(MOST_DIFFERENCES).map(ToString::to_string).collect();
    match differences.len().saturating_sub(told.len()) {
        0 => told.join("; "),
        more => format!("{}; and {more} more", told.join("; ")),
    }
}

/// The statements that make the schemas that are named what they should be, for their owner.
pub(super) fn statements_for(group: &Alike, statements: &str) -> String {
    let each = group.first.iter().map(|(schema, _)| {
        let literal = Literal(schema).to_string();
        let statements = statements
            .replace(&format!("'{OWN_NAME}'"), &literal)
            .replace(&format!("\"{OWN_NAME}\""), &Identifier(schema).to_string())
            .replace(OWN_NAME, schema);
        format!("SET search_path TO {}; {statements}", Identifier(schema))
    });
    let each: Vec<_> = each.collect();
    let more = match group.count.saturating_sub(group.first.len()) {
        0 => String::new(),
        more => format!(" -- for the {more} more, run `tenantry doctor` again"),
    };
    format!("{}; RESET search_path{more}", each.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_named_by_its_first() {
        let first = vec![("t_a".to_owned(), "tenant `a`".to_owned())];
        assert_eq!(names(&Alike { count: 1, first: first.clone() }), "tenant `a`");
        assert_eq!(names(&Alike { count: 5, first }), "tenant `a` and 4 more");
    }
}

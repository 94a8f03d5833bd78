use super::allow;
use super::finding::Finding;
use super::rule::Rule;
use crate::migration::script::Script;

/// Finds that a `.down.sql` undoes nothing.
pub(super) fn in_file(script: &Script) -> Option<Finding> {
    let message = "the file holds no statement, and so it undoes nothing".to_owned();
    is_empty_down(script).then_some(Finding { rule: Rule::EmptyDown, at: 0, message })
}

/// Returns true if a script is a `.down.sql` without a statement, and does not say that this is meant.
pub(crate) fn is_empty_down(script: &Script) -> bool {
    let is_down = script.source().migration_type.is_down_migration();
    let is_empty = is_down && script.statements().is_empty() && !script.is_code();
    is_empty && !allow::read(script, &[]).covers(0, Rule::EmptyDown)
}

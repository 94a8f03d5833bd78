//! The schemas that a test may change.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::look::{EndState, TemplateState};
use crate::pool::WriteRecord;

/// The changes that a test has said or shown to mean.
#[derive(Clone, Debug, Default)]
pub(super) struct Intentions {
    /// The slugs of tenants that it took a handle of.
    pub(super) handles: BTreeSet<String>,
    /// The slugs of tenants that it changes in ways of its own.
    pub(super) allowed: BTreeSet<String>,
    /// It changes the master schema in ways of its own.
    pub(super) changes_master: bool,
}

/// The schemas that were there before and may have changed.
pub(super) fn permitted(
    intentions: &Intentions,
    record: &Arc<WriteRecord>,
    master_schema: &str,
    (baseline, look): (&TemplateState, &EndState),
) -> BTreeSet<String> {
    let wrote = |schema: &str| record.may_have_written(schema, &look.writing_functions);
    let may_change = |(slug, schema): &&(String, String)| {
        let is_meant = intentions.handles.contains(slug) || record.is_of_a_fleet(schema);
        intentions.allowed.contains(slug) || (is_meant && wrote(schema))
    };
    let tenants = baseline.tenants.iter().filter(may_change).map(|(_, schema)| schema.clone());
    // Without tenants there is nobody whom anything could leak to.
    let is_alone = baseline.tenants.is_empty();
    let is_master = is_alone || intentions.changes_master || wrote(master_schema);
    let master = is_master.then(|| master_schema.to_owned());
    tenants.chain(master).chain(news(baseline, look)).collect()
}

/// The schemas of those who came or went by Tenantry itself, as the registry tells.
fn news(baseline: &TemplateState, look: &EndState) -> impl Iterator<Item = String> {
    let is_now = |schema: &String| look.tenants.iter().any(|(_, now)| now == schema);
    let was_then = |schema: &String| baseline.tenants.iter().any(|(_, then)| then == schema);
    let came = look.tenants.iter().map(|(_, schema)| schema).filter(|schema| !was_then(schema));
    let went = baseline.tenants.iter().map(|(_, schema)| schema).filter(|schema| !is_now(schema));
    came.chain(went).chain(&look.spares).cloned().collect::<Vec<_>>().into_iter()
}

//! Names that stand in a kept text for those that differ from tenant to tenant.

use crate::sql::Identifier;
use crate::tenant::SchemaName;

/// Every placeholder begins like this, and nothing else in a kept text holds it.
pub(super) const MARK: &str = "__tenant_";

/// The schema as a name.
pub(super) const SCHEMA: &str = "__tenant__";
/// The schema as a name, inside of a string.
pub(super) const SCHEMA_IN_TEXT: &str = "__tenant_text__";
/// The schema as the whole of a string.
pub(super) const SCHEMA_AS_TEXT: &str = "__tenant_name__";
/// The tenant's own role as a name.
pub(super) const ROLE: &str = "__tenant_role__";

/// Puts the names of a tenant in their places.
pub(super) fn filled(text: &str, schema: &SchemaName, own_role: Option<&str>) -> String {
    let name = Identifier(schema.as_str()).to_string();
    let filled = text
        .replace(SCHEMA, &name)
        .replace(SCHEMA_IN_TEXT, &doubled(&name))
        .replace(SCHEMA_AS_TEXT, &doubled(schema.as_str()));
    match own_role {
        Some(role) => filled.replace(ROLE, &Identifier(role).to_string()),
        None => filled,
    }
}

/// The text as it stands in a string without escapes.
fn doubled(text: &str) -> String {
    text.replace('\'', "''")
}

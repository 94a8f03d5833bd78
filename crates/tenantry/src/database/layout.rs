use super::engine::Dialects;
use crate::tenant::SchemaName;

/// The schemas that are the same for every checkout, and the kind of server each database is of.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) master_schema: SchemaName,
    pub(crate) extension_schemas: Vec<SchemaName>,
    pub(crate) dialects: Dialects,
}

impl Default for Layout {
    fn default() -> Self {
        let named = |name| SchemaName::parse(name).expect("a name of our own is a legal one");
        Self {
            master_schema: named("public"),
            extension_schemas: vec![named("extensions")],
            dialects: Dialects::default(),
        }
    }
}

use crate::tenant::SchemaName;

/// The schemas that are the same for every checkout.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) master_schema: SchemaName,
    pub(crate) extension_schemas: Vec<SchemaName>,
}

impl Default for Layout {
    fn default() -> Self {
        let named = |name| SchemaName::parse(name).expect("a name of our own is a legal one");
        Self { master_schema: named("public"), extension_schemas: vec![named("extensions")] }
    }
}

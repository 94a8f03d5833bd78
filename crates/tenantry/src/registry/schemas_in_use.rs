//! Parts of a question of what is in a database, which a test asks at its end.

/// Answers with slug and schema of each tenant, as JSON.
pub(crate) const OF_TENANTS: &str =
    "SELECT pg_catalog.json_agg(pg_catalog.json_build_array(slug, schema_name)) FROM tenantry.tenant";

/// Answers with the schema of each spare, as JSON.
pub(crate) const OF_SPARES: &str = "SELECT pg_catalog.json_agg(schema_name) FROM tenantry.spare";

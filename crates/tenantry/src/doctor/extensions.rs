//! Extensions in schemas that tenants do not see.

use sqlx::Row as _;

use super::{Check, Finding, Patient, list};
use crate::sql::{Identifier, Literal};
use crate::tenant::SchemaName;

/// The extensions of other schemas, with what decides how they are moved. Those that are about the server, such as
/// `pg_stat_statements`, have views and no types, and no tenant needs them. Since PostgreSQL 17 the arrays of what an
/// extension has are members of it, too.
const ELSEWHERE: &str = "\
    SELECT extname::text AS name, nspname::text AS schema, extrelocatable AS is_relocatable, rolname::text AS owner \
    FROM pg_catalog.pg_extension JOIN pg_catalog.pg_namespace ON pg_namespace.oid = extnamespace \
    JOIN pg_catalog.pg_roles ON pg_roles.oid = extowner, \
    LATERAL (SELECT coalesce(pg_catalog.bool_or(relkind = 'v'), false) AS has_views, \
            coalesce(pg_catalog.bool_or(typname IS NOT NULL), false) AS has_types \
        FROM pg_catalog.pg_depend \
        LEFT JOIN pg_catalog.pg_class \
            ON classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND pg_class.oid = objid \
        LEFT JOIN pg_catalog.pg_type \
            ON classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND pg_type.oid = objid AND typrelid = 0 \
            AND typcategory <> 'A' \
        WHERE refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND refobjid = pg_extension.oid \
            AND deptype = 'e') AS member \
    WHERE (has_types OR NOT has_views) AND nspname <> 'pg_catalog' AND nspname NOT IN";

/// Extensions that stand elsewhere than in the schemas for them.
pub(super) async fn elsewhere(patient: &mut Patient<'_>) -> Result<Vec<Finding>, sqlx::Error> {
    let visible = patient.layout.extension_schemas.iter().map(SchemaName::as_str);
    let query = format!("{ELSEWHERE} ({}) ORDER BY 1", list(visible.chain([""])));
    let rows = patient.catalog.rows(&query).await?;
    let mut findings = Vec::new();
    for row in &rows {
        let [name, schema, owner] = ["name", "schema", "owner"].map(|column| row.try_get::<&str, _>(column));
        let (name, schema, owner) = (name?, schema?, owner?);
        // A schema that the extension itself asks for is no mistake. This looks at files, so it is asked of few.
        if is_fixed(patient, name).await? {
            continue;
        }
        let what = format!("the extension `{name}` is in the schema `{schema}`, which tenants do not see");
        let why = "a migration or a statement of a tenant that needs its types, operators or functions fails";
        let mend = mend(patient, name, schema, row.try_get("is_relocatable")?, owner);
        findings.push(patient.warning(Check::ExtensionElsewhere, what, why).mend_by(mend));
    }
    Ok(findings)
}

async fn is_fixed(patient: &mut Patient<'_>, name: &str) -> Result<bool, sqlx::Error> {
    let query = format!(
        "SELECT schema::text FROM pg_catalog.pg_available_extension_versions \
         WHERE name = {} AND installed AND schema IS NOT NULL",
        Literal(name)
    );
    Ok(!patient.catalog.rows(&query).await?.is_empty())
}

fn mend(patient: &Patient<'_>, name: &str, schema: &str, is_relocatable: bool, owner: &str) -> String {
    let Some(home) = patient.layout.extension_schemas.first() else {
        return format!(
            "set `extension_schemas = [\"{schema}\"]` in tenantry.toml, so that tenants see that schema"
        );
    };
    let (extension, home) = (Identifier(name), Identifier(home.as_str()));
    let who = format!("-- as `{owner}`, who owns it, or a superuser");
    if is_relocatable {
        format!("ALTER EXTENSION {extension} SET SCHEMA {home} {who}")
    } else {
        format!("DROP EXTENSION {extension}; CREATE EXTENSION {extension} SCHEMA {home} {who}")
    }
}

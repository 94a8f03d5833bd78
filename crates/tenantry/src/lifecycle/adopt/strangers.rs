//! Roles that own what no migration can change, and, where it is not known what the files make, roles with privileges.

use sqlx::PgConnection;

use crate::error::Result;
use crate::tenant::SchemaName;

/// Begins at the schema, and reads only what is its own. $1 is the schema, $2 the role of the
/// application, $3 is true where privileges are compared with the files.
const STRANGERS: &str = "
    WITH member AS MATERIALIZED (
        SELECT classid, objid FROM pg_catalog.pg_depend AS d
        WHERE refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND deptype = 'n'
            AND refobjid = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1)
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS e
                WHERE e.classid = d.classid AND e.objid = d.objid AND e.deptype = 'e')
    ),
    object (name, owner, acl) AS MATERIALIZED (
        SELECT nspname::text, nspowner, nspacl FROM pg_catalog.pg_namespace WHERE nspname = $1
        UNION ALL
        SELECT relname, relowner, relacl FROM member JOIN pg_catalog.pg_class ON pg_class.oid = objid
        WHERE classid = 'pg_catalog.pg_class'::pg_catalog.regclass
        UNION ALL
        SELECT proname, proowner, proacl FROM member JOIN pg_catalog.pg_proc ON pg_proc.oid = objid
        WHERE classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
        UNION ALL
        SELECT typname, typowner, typacl FROM member JOIN pg_catalog.pg_type ON pg_type.oid = objid
        WHERE classid = 'pg_catalog.pg_type'::pg_catalog.regclass
    ),
    note (place, what) AS (
        SELECT 1, pg_catalog.format(
            'role `%s` owns `%s`%s: migrations run as `%s`, which cannot change what it owns',
            pg_catalog.pg_get_userbyid(owner), pg_catalog.min(name),
            CASE WHEN pg_catalog.count(*) > 1 THEN pg_catalog.format(' and %s more', pg_catalog.count(*) - 1) END,
            current_user)
        FROM object WHERE NOT pg_catalog.pg_has_role(owner, 'USAGE') GROUP BY owner
        UNION ALL
        SELECT 2, pg_catalog.format('role `%s` has privileges on `%s`%s, which no new tenant has',
            CASE grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(grantee) END, pg_catalog.min(name),
            CASE WHEN pg_catalog.count(DISTINCT name) > 1
                THEN pg_catalog.format(' and %s more', pg_catalog.count(DISTINCT name) - 1) END)
        FROM object, LATERAL pg_catalog.aclexplode(acl)
        -- Whoever it is may call a function and use a type.
        WHERE NOT $3 AND grantee <> owner AND NOT (grantee = 0 AND privilege_type IN ('EXECUTE', 'USAGE'))
            AND pg_catalog.pg_get_userbyid(grantee) NOT IN ($2, current_user)
        GROUP BY grantee
    )
    SELECT what FROM note ORDER BY place, what COLLATE \"C\"";

/// Tells of other owners, and of privileges beyond those of the application, unless these are compared.
pub(super) async fn strangers(
    connection: &mut PgConnection,
    schema: &SchemaName,
    application: &str,
    are_compared: bool,
) -> Result<Vec<String>> {
    let notes = sqlx::query_scalar(STRANGERS).bind(schema.as_str()).bind(application).bind(are_compared);
    Ok(notes.persistent(false).fetch_all(connection).await?)
}

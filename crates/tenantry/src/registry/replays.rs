//! The statements about replays of the files that are kept, one function each.

use sqlx::PgConnection;

use super::trim::trim;
use crate::database::Layout;
use crate::error::Result;
use crate::tenant::{Digest, SchemaName};

/// Replays that are kept, those used last. A fleet has one per release that is at work.
const MOST: i64 = 8;

/// A hash of what decides, beside the files, what they make: the server, the schemas that tenants share with what the
/// master has applied, the extensions, the roles with what they give by themselves, and `program`, which says how a
/// structure is read.
pub(crate) async fn environment(
    connection: &mut PgConnection,
    layout: &Layout,
    application: &str,
    program: &[u8],
) -> Result<Digest> {
    let extensions: Vec<_> = layout.extension_schemas.iter().map(SchemaName::as_str).collect();
    let hash = sqlx::query_scalar(
        "SELECT pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.jsonb_build_array(
             pg_catalog.current_setting('server_version_num')::int / 10000, $1, $2,
             (SELECT digest FROM tenantry.applied WHERE schema_name = $1),
             (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(extname, extversion, nspname) ORDER BY extname)
              FROM pg_catalog.pg_extension JOIN pg_catalog.pg_namespace ON pg_namespace.oid = extnamespace),
             (SELECT pg_catalog.jsonb_agg(setting ORDER BY name) FROM pg_catalog.pg_settings
              WHERE name IN ('default_table_access_method', 'default_toast_compression', 'default_tablespace')),
             current_user, $4,
             (SELECT pg_catalog.jsonb_object_agg(defaclobjtype::text, defaclacl::text)
              FROM pg_catalog.pg_default_acl JOIN pg_catalog.pg_roles ON pg_roles.oid = defaclrole
              WHERE defaclnamespace = 0 AND rolname = current_user)
         )::text, 'UTF8') || $3)",
    );
    let hash = hash.bind(layout.master_schema.as_str()).bind(extensions).bind(program).bind(application);
    Ok(Digest::from_bytes(hash.persistent(false).fetch_one(connection).await?))
}

/// The outcome of a replay of these files, if it was kept.
pub(crate) async fn find(
    connection: &mut PgConnection,
    files: &Digest,
    environment: &Digest,
) -> Result<Option<String>> {
    let find = "SELECT history FROM tenantry.replay WHERE digest = $1 AND environment = $2";
    let found =
        sqlx::query_scalar(find).bind(files.as_bytes().as_slice()).bind(environment.as_bytes().as_slice());
    Ok(found.persistent(false).fetch_optional(connection).await?)
}

/// Keeps a replay, and forgets those that were not used for the longest time.
pub(crate) async fn keep(
    connection: &mut PgConnection,
    files: &Digest,
    environment: &Digest,
    history: &str,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO tenantry.replay (digest, environment, history) VALUES ($1, $2, $3)
         ON CONFLICT (digest, environment) DO UPDATE SET history = excluded.history, used_at = now()",
    )
    .bind(files.as_bytes().as_slice())
    .bind(environment.as_bytes().as_slice())
    .bind(history)
    .execute(&mut *connection)
    .await?;
    trim(connection, "tenantry.replay", MOST).await
}

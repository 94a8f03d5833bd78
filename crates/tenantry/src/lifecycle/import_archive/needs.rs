//! Compares what an archive needs with what there is.

use sqlx::PgConnection;

use super::order::FromArchive;
use crate::archive::{ArchivedExtension, Manifest};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::lifecycle::contents::check_locks;
use crate::migrate::{Applied, Goal, plan, sentence};
use crate::tenant::Tenant;

/// The server that an archive is imported into.
#[derive(sqlx::FromRow)]
pub(super) struct Here {
    server_version: i32,
    encoding: String,
    owner: String,
}

impl Here {
    pub(super) async fn of(connection: &mut PgConnection) -> Result<Self> {
        let here = "SELECT pg_catalog.current_setting('server_version_num')::int AS server_version, \
                    pg_catalog.current_setting('server_encoding') AS encoding, current_user::text AS owner";
        Ok(sqlx::query_as(here).fetch_one(connection).await?)
    }

    fn major(&self) -> u32 {
        self.server_version.unsigned_abs() / 10_000
    }

    /// Returns true if the same structure has the same fingerprint here.
    pub(super) fn has_fingerprints_of(&self, manifest: &Manifest) -> bool {
        self.major() == manifest.server_major() && self.owner == manifest.owner
    }
}

/// The files that the tenant had applied, as its ledger would say.
pub(super) fn applied(manifest: &Manifest) -> Result<Vec<Applied>> {
    let rows = manifest.migrations.iter().map(|migration| {
        let (version, checksum) = (migration.version, from_hex(&migration.checksum)?);
        Some(Applied { version, checksum, success: true })
    });
    rows.collect::<Option<_>>().ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, "the manifest of the archive has a checksum that is none")
    })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<_>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    digits.chunks_exact(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect()
}

/// Returns true if the files go on where the archive ends.
///
/// # Errors
/// [`ErrorKind::Migration`] if they do not lead there: a version is not there, or its file was changed.
pub(super) fn behind(context: &Context, tenant: &Tenant, manifest: &Manifest) -> Result<bool> {
    let applied = applied(manifest)?;
    if context.migrations.is_none() {
        return Ok(false);
    }
    let goal = Goal::latest(context.migrations.files_of(tenant.type_name())?.set());
    let plan = plan(goal, &applied).map_err(|conflicts| {
        let hint = conflicts.first().map(|conflict| conflict.hint().to_string()).unwrap_or_default();
        refused(tenant, ErrorKind::Migration, sentence(&conflicts)).with_hint(hint)
    })?;
    Ok(!plan.steps.is_empty())
}

/// # Errors
/// [`ErrorKind::Unsupported`] with what is missing here. Nothing was made yet.
pub(super) async fn check_needs(
    connection: &mut PgConnection,
    context: &Context,
    tenant: &Tenant,
    order: &FromArchive,
    (manifest, here): (&Manifest, &Here),
) -> Result<()> {
    let unsupported = |reason: String, hint: &str| {
        Err(refused(tenant, ErrorKind::Unsupported, reason).with_hint(hint.to_owned()))
    };
    let (theirs, ours) = (manifest.server_major(), here.major());
    if ours < theirs {
        let reason = format!("it comes from PostgreSQL {theirs}, and this is PostgreSQL {ours}");
        return unsupported(reason, "import it into a server that is not older");
    }
    if here.encoding != "UTF8" && here.encoding != manifest.encoding {
        let reason = format!(
            "its texts are in {}, and those of this database in {}",
            manifest.encoding, here.encoding
        );
        return unsupported(reason, "import it into a database whose encoding is UTF8");
    }
    if let Some(missing) = missing_extension(connection, &manifest.extensions).await? {
        let hint = "install it as it was: `CREATE EXTENSION … SCHEMA …`, in a migration of the master schema";
        return unsupported(missing, hint);
    }
    if order.has_privileges() {
        let missing = missing_roles(connection, &manifest.roles).await?;
        if !missing.is_empty() {
            let reason = format!("roles have privileges in it that are not here: `{}`", missing.join("`, `"));
            return unsupported(reason, "create them, or leave privileges out: `--no-privileges`");
        }
        if manifest.has_own_role && context.role.is_none() {
            let reason = "it had a role of its own, and tenants have none here".to_owned();
            return unsupported(reason, "leave privileges out: `--no-privileges`");
        }
    }
    let whose = format!("tenant `{}` cannot be imported", tenant.slug());
    let checked = check_locks(connection, &whose, manifest.tables.len()).await;
    checked.map_err(|error| error.with_tenant(tenant.slug()))
}

pub(super) fn refused(tenant: &Tenant, kind: ErrorKind, reason: impl std::fmt::Display) -> Error {
    let message = format!("tenant `{}` cannot be imported: {reason}", tenant.slug());
    Error::new(kind, message).with_tenant(tenant.slug())
}

async fn missing_extension(
    connection: &mut PgConnection,
    needed: &[ArchivedExtension],
) -> Result<Option<String>> {
    let there: Vec<(String, String)> = sqlx::query_as(
        "SELECT extname::text, nspname::text FROM pg_catalog.pg_extension
         JOIN pg_catalog.pg_namespace AS n ON n.oid = extnamespace",
    )
    .fetch_all(connection)
    .await?;
    Ok(needed.iter().find_map(|ArchivedExtension { name, schema, .. }| {
        match there.iter().find(|(known, _)| known == name) {
            Some((_, place)) if place == schema => None,
            Some((_, place)) => {
                Some(format!("extension `{name}` is in schema `{place}` here, and was in `{schema}`"))
            }
            None => Some(format!("it needs extension `{name}` in schema `{schema}`")),
        }
    }))
}

async fn missing_roles(connection: &mut PgConnection, needed: &[String]) -> Result<Vec<String>> {
    let missing = "SELECT role FROM pg_catalog.unnest($1::text[]) AS role
                   WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role) ORDER BY role";
    Ok(sqlx::query_scalar(missing).bind(needed).fetch_all(connection).await?)
}

#[cfg(test)]
mod tests {
    use super::from_hex;

    #[test]
    fn a_checksum_is_read() {
        assert_eq!(from_hex("00ff1a"), Some(vec![0, 255, 26]));
        assert_eq!(from_hex(""), Some(Vec::new()));
        for text in ["0", "0g", "é0"] {
            assert_eq!(from_hex(text), None, "{text}");
        }
    }
}

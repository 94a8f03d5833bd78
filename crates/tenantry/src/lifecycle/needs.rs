//! Compares what a tenant needs with the database that it is to be made in.

use sqlx::PgConnection;

use crate::error::{Error, ErrorKind, Result};

/// An extension, in the schema that is part of the names of what it holds.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct NeededExtension {
    pub(super) name: String,
    pub(super) schema: String,
    #[cfg_attr(not(feature = "archive"), allow(dead_code, reason = "an archive says it"))]
    pub(super) version: String,
}

/// The things that there have to be in the database of a tenant.
#[derive(Clone, Debug)]
pub(super) struct Needs {
    pub(super) server_major: u32,
    pub(super) encoding: String,
    pub(super) extensions: Vec<NeededExtension>,
    pub(super) roles: Vec<String>,
    pub(super) tablespaces: Vec<String>,
    /// Foreign servers that tables of it are of.
    pub(super) servers: Vec<String>,
    /// Tables, views and sequences of schemas that tenants share, with these in front.
    pub(super) shared: Vec<String>,
}

/// The database that a tenant is made in.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Here {
    server_version: i32,
    pub(super) encoding: String,
    pub(super) owner: String,
}

impl Here {
    pub(super) async fn of(connection: &mut PgConnection) -> Result<Self> {
        let here = "SELECT pg_catalog.current_setting('server_version_num')::int AS server_version, \
                    pg_catalog.current_setting('server_encoding') AS encoding, current_user::text AS owner";
        Ok(sqlx::query_as(here).fetch_one(connection).await?)
    }

    pub(super) fn major(&self) -> u32 {
        self.server_version.unsigned_abs() / 10_000
    }
}

impl Needs {
    /// Begins its message with `whose`, and answers a missing role with `roles_hint`.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] with the first that is missing. Nothing was made yet.
    pub(super) async fn check(
        &self,
        connection: &mut PgConnection,
        here: &Here,
        whose: &str,
        roles_hint: &str,
    ) -> Result<()> {
        let missing = match self.misfit(here) {
            Some(misfit) => Some(misfit),
            None => self.missing(connection, roles_hint).await?,
        };
        match missing {
            None => Ok(()),
            Some((reason, hint)) => {
                let message = format!("{whose}: {reason}");
                Err(Error::new(ErrorKind::Unsupported, message).with_hint(hint))
            }
        }
    }

    fn misfit(&self, here: &Here) -> Option<(String, String)> {
        let (theirs, ours) = (self.server_major, here.major());
        if ours < theirs {
            let reason = format!("it comes from PostgreSQL {theirs}, and this is PostgreSQL {ours}");
            return Some((reason, "take a server that is not older".to_owned()));
        }
        if here.encoding != "UTF8" && here.encoding != self.encoding {
            let reason = format!(
                "its texts are in {}, and those of this database in {}",
                self.encoding, here.encoding
            );
            return Some((reason, "take a database whose encoding is UTF8".to_owned()));
        }
        None
    }

    async fn missing(
        &self,
        connection: &mut PgConnection,
        roles_hint: &str,
    ) -> Result<Option<(String, String)>> {
        if let Some(missing) = missing_extension(connection, &self.extensions).await? {
            let hint =
                "install it as it was: `CREATE EXTENSION … SCHEMA …`, in a migration of the master schema";
            return Ok(Some((missing, hint.to_owned())));
        }
        let roles = missing_roles(connection, &self.roles).await?;
        if !roles.is_empty() {
            let reason = format!("roles have privileges in it that are not here: `{}`", roles.join("`, `"));
            return Ok(Some((reason, roles_hint.to_owned())));
        }
        let spaces = "SELECT spcname FROM pg_catalog.pg_tablespace WHERE spcname = name";
        let spaces = absent(connection, &self.tablespaces, spaces).await?;
        if !spaces.is_empty() {
            let reason =
                format!("tables of it are in tablespaces that are not here: `{}`", spaces.join("`, `"));
            let hint = "create them: `CREATE TABLESPACE … LOCATION …`, and let the owner create there";
            return Ok(Some((reason, hint.to_owned())));
        }
        let servers = "SELECT srvname FROM pg_catalog.pg_foreign_server WHERE srvname = name";
        let servers = absent(connection, &self.servers, servers).await?;
        if !servers.is_empty() {
            let reason =
                format!("tables of it are of foreign servers that are not here: `{}`", servers.join("`, `"));
            return Ok(Some((reason, "create them: `CREATE SERVER …`".to_owned())));
        }
        let shared = absent(connection, &self.shared, "SELECT pg_catalog.to_regclass(name)").await?;
        if !shared.is_empty() {
            let reason = format!("it depends on what is not here: `{}`", shared.join("`, `"));
            let hint = "migrate the master schema of this database first: `tenantry migrate`";
            return Ok(Some((reason, hint.to_owned())));
        }
        Ok(None)
    }
}

pub(super) async fn missing_roles(connection: &mut PgConnection, names: &[String]) -> Result<Vec<String>> {
    absent(connection, names, "SELECT rolname FROM pg_catalog.pg_roles WHERE rolname = name").await
}

/// Picks the names of which a question finds nothing.
async fn absent(connection: &mut PgConnection, names: &[String], question: &str) -> Result<Vec<String>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let absent = format!(
        "SELECT name FROM pg_catalog.unnest($1::text[]) AS name
         WHERE NOT EXISTS (SELECT FROM ({question}) AS found (it) WHERE it IS NOT NULL) ORDER BY name"
    );
    let absent = sqlx::query_scalar(sqlx::AssertSqlSafe(absent)).bind(names).persistent(false);
    Ok(absent.fetch_all(connection).await?)
}

/// Says which extension is not in the schema where it has to be.
pub(super) async fn missing_extension(
    connection: &mut PgConnection,
    needed: &[NeededExtension],
) -> Result<Option<String>> {
    let there: Vec<(String, String)> = sqlx::query_as(
        "SELECT extname::text, nspname::text FROM pg_catalog.pg_extension
         JOIN pg_catalog.pg_namespace AS n ON n.oid = extnamespace",
    )
    .fetch_all(connection)
    .await?;
    Ok(needed.iter().find_map(|NeededExtension { name, schema, .. }| {
        match there.iter().find(|(known, _)| known == name) {
            Some((_, place)) if place == schema => None,
            Some((_, place)) => {
                Some(format!("extension `{name}` is in schema `{place}` here, and was in `{schema}`"))
            }
            None => Some(format!("it needs extension `{name}` in schema `{schema}`")),
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_neither_older_nor_of_an_encoding_that_lacks_signs() {
        let needs = |server_major, encoding: &str| Needs {
            server_major,
            encoding: encoding.to_owned(),
            extensions: Vec::new(),
            roles: Vec::new(),
            tablespaces: Vec::new(),
            servers: Vec::new(),
            shared: Vec::new(),
        };
        let here = |server_version, encoding: &str| Here {
            server_version,
            encoding: encoding.to_owned(),
            owner: "o".to_owned(),
        };
        for (there, here, says) in [
            (needs(16, "UTF8"), here(160_004, "UTF8"), None),
            (needs(15, "LATIN1"), here(160_004, "UTF8"), None),
            (needs(15, "LATIN1"), here(160_004, "LATIN1"), None),
            (needs(17, "UTF8"), here(160_004, "UTF8"), Some("this is PostgreSQL 16")),
            (needs(16, "UTF8"), here(160_004, "LATIN1"), Some("those of this database in LATIN1")),
        ] {
            let misfit = there.misfit(&here).map(|(reason, _)| reason);
            assert_eq!(misfit.is_some(), says.is_some(), "{misfit:?}");
            assert!(says.is_none_or(|says| misfit.is_some_and(|misfit| misfit.contains(says))));
        }
    }
}

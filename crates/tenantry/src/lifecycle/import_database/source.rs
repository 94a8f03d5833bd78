//! The database that is imported.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Postgres, Transaction};

use crate::database::DatabaseConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::lifecycle::contents::lockable;
use crate::lifecycle::locks::check_readable;
use crate::pool::Opener;
use crate::sql::Identifier;
use crate::tenant::{Alias, SchemaName};

/// Ends the limits that the role or the database sets: nobody knows how long it takes to read all rows.
const WITHOUT_LIMITS: &str = "SELECT pg_catalog.count(pg_catalog.set_config(name, '0', false))
    FROM pg_catalog.pg_settings WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_session_timeout',
        'idle_in_transaction_session_timeout', 'transaction_timeout')";

/// A customer's own database, one schema of which is to become a tenant.
///
/// ```
/// use tenantry::SourceDatabase;
///
/// let source = SourceDatabase::from_url("postgres://reader:secret@old-server/acme")?;
/// assert!(!format!("{source:?}").contains("secret"));
/// # Ok::<(), tenantry::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SourceDatabase {
    config: DatabaseConfig,
    schema: SchemaName,
    is_without_large_objects: bool,
    is_without_other_schemas: bool,
}

impl SourceDatabase {
    /// A database by its URL, as [`DatabaseConfig::from_url`] reads it. Its login needs to read: no more is done.
    ///
    /// # Errors
    /// As [`DatabaseConfig::from_url`]. The message does not repeat the URL, which may hold a password.
    pub fn from_url(url: &str) -> Result<Self> {
        let config = DatabaseConfig::from_url(url)?;
        Ok(Self {
            config,
            schema: SchemaName::parse("public")?,
            is_without_large_objects: false,
            is_without_other_schemas: false,
        })
    }

    /// Takes this schema. Default: `public`.
    #[must_use]
    pub fn schema(self, schema: SchemaName) -> Self {
        Self { schema, ..self }
    }

    /// Leaves large objects behind. Columns that name them go on naming what is not there.
    #[must_use]
    pub fn without_large_objects(self) -> Self {
        Self { is_without_large_objects: true, ..self }
    }

    /// Leaves behind what further schemas hold. Without it, a database with tables of its own in others is refused: a
    /// tenant has one schema, and the rest would be missed later.
    #[must_use]
    pub fn without_other_schemas(self) -> Self {
        Self { is_without_other_schemas: true, ..self }
    }

    /// The address without any secret: `user@host:port/name`.
    pub fn address(&self) -> String {
        self.config.address()
    }

    /// Tells the audit where a tenant came from, without any secret.
    pub(super) fn told(&self) -> Value {
        json!({ "from": self.address(), "schema": self.schema })
    }

    pub(super) fn name(&self) -> &SchemaName {
        &self.schema
    }

    pub(super) fn is_without_large_objects(&self) -> bool {
        self.is_without_large_objects
    }

    pub(super) fn is_without_other_schemas(&self) -> bool {
        self.is_without_other_schemas
    }

    /// Opens a session that can only read.
    pub(super) async fn open(&self) -> Result<PgConnection> {
        let alias = Alias::parse("source")?;
        let refused = |error: Error| {
            let message =
                format!("the database `{}`, which is to be imported, cannot be opened", self.address());
            let hint = error.hint().map(str::to_owned);
            let refused = Error::new(error.kind(), message).with_source(error);
            match hint {
                Some(hint) => refused.with_hint(hint),
                None => refused,
            }
        };
        let opener = Opener::of_owner(&alias, &self.config).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "a database cannot be imported through a pooler")
        })?;
        let mut connection = opener.open().await.map_err(refused)?;
        let limits = format!("SET default_transaction_read_only TO on; {WITHOUT_LIMITS}");
        sqlx::raw_sql(AssertSqlSafe(limits)).execute(&mut connection).await?;
        Ok(connection)
    }

    /// Locks the tables before the transaction has a snapshot: with an older one, it would find a table empty that was
    /// written anew since.
    pub(super) async fn begin<'c>(
        &self,
        connection: &'c mut PgConnection,
    ) -> Result<Transaction<'c, Postgres>> {
        let names = lockable(connection, &self.schema).await?;
        check_readable(connection, "its database cannot be imported", names.len()).await?;
        let mut tx = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        if !names.is_empty() {
            let lock = format!("LOCK TABLE {} IN ACCESS SHARE MODE", names.join(", "));
            sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut *tx).await?;
        }
        if lockable(&mut tx, &self.schema).await? != names {
            let message = "tables of the database that is to be imported came or went at this moment";
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        Ok(tx)
    }
}

/// Leads the path of a transaction to a schema and to those of extensions.
pub(super) async fn enter(
    connection: &mut PgConnection,
    schema: &SchemaName,
    extensions: &[String],
) -> Result<()> {
    let names = std::iter::once(schema.as_str()).chain(extensions.iter().map(String::as_str));
    let names: Vec<_> = names.map(|name| Identifier(name).to_string()).collect();
    let path = format!("SET LOCAL search_path TO {}", names.join(", "));
    sqlx::raw_sql(AssertSqlSafe(path)).execute(connection).await?;
    Ok(())
}

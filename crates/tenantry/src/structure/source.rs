use sqlx::PgConnection;

use super::casts;
use super::dumped::divided;
use super::fingerprint::{Fingerprint, Subject};
use super::origin::DumpOrigin;
use super::outside::OutsideNames;
use super::placeholder::filled;
#[cfg(feature = "archive")]
use super::psql::PsqlTexts;
use super::rename::OwnNames;
use crate::error::{Error, Result};
use crate::registry::LEDGER;
use crate::registry::structures::{self, KeptStructure};
use crate::sql::Identifier;
use crate::tenant::SchemaName;

/// The texts that make a structure in a schema.
#[derive(Clone, Debug)]
pub(crate) struct Structure {
    fingerprint: Fingerprint,
    server_major: i32,
    texts: KeptStructure,
    is_kept: bool,
}

impl Structure {
    /// Finds the texts of the structure that this schema has, or makes them of what `dump` gives: what `pg_dump` says
    /// of the database with these arguments. A transaction is open, whose snapshot the dump shares.
    pub(crate) async fn of<E: From<Error>>(
        connection: &mut PgConnection,
        subject: Subject<'_>,
        dump: &mut impl AsyncFnMut(&[String]) -> Result<String, E>,
    ) -> Result<Self, E> {
        let fingerprint = Fingerprint::of(connection, subject).await?;
        let server_major = server_major(connection).await?;
        if let Some(texts) = structures::find(connection, fingerprint.as_bytes(), server_major).await? {
            return Ok(Self { fingerprint, server_major, texts, is_kept: true });
        }
        // The path leads to the schema since it was asked for its fingerprint.
        let casts = casts::of_schema(connection, subject).await?;
        let dump = dump(&arguments(connection, subject.schema).await?).await?;
        let names = OwnNames { schema: subject.schema, own_role: subject.own_role, origin: None };
        Ok(Self { fingerprint, server_major, texts: divided(&dump, names, casts)?, is_kept: false })
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Returns true if the texts were there, so that nothing was dumped.
    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// The statements that make the tables, and all that they need, in this schema, which is there.
    pub(crate) fn before_rows(&self, schema: &SchemaName, own_role: Option<&str>) -> String {
        filled(&self.texts.pre_data, schema, own_role)
    }

    /// The statements that make the rest: indexes, constraints, triggers, policies, privileges.
    pub(crate) fn behind_rows(&self, schema: &SchemaName, own_role: Option<&str>) -> String {
        filled(&self.texts.post_data, schema, own_role)
    }

    /// The roles and tablespaces that the texts name.
    pub(crate) fn outside_names(&self) -> Result<OutsideNames> {
        OutsideNames::of(&self.texts)
    }

    /// The texts for `psql`.
    #[cfg(feature = "archive")]
    pub(crate) fn for_psql(&self) -> Result<PsqlTexts> {
        PsqlTexts::of(&self.texts)
    }

    /// Keeps the texts. Whoever uses them compares what they made.
    pub(crate) async fn keep(&self, connection: &mut PgConnection) -> Result<()> {
        structures::keep(connection, self.fingerprint.as_bytes(), self.server_major, &self.texts).await
    }
}

async fn server_major(connection: &mut PgConnection) -> Result<i32> {
    let major = "SELECT pg_catalog.current_setting('server_version_num')::int / 10000";
    Ok(sqlx::query_scalar(major).fetch_one(connection).await?)
}

/// The texts that make a structure which another database has.
#[derive(Clone, Debug)]
pub(crate) struct ForeignStructure(KeptStructure);

impl ForeignStructure {
    /// Makes the texts of what `dump` gives: what `pg_dump` says of that database with these arguments. A transaction
    /// is open there, whose path leads to the schema and to its extensions.
    pub(crate) async fn of<E: From<Error>>(
        connection: &mut PgConnection,
        schema: &SchemaName,
        origin: &DumpOrigin,
        dump: &mut impl AsyncFnMut(&[String]) -> Result<String, E>,
    ) -> Result<Self, E> {
        let casts = casts::of_schema(connection, Subject { schema, own_role: None }).await?;
        let mut arguments = arguments(connection, schema).await?;
        arguments.extend(["--encoding=UTF8".to_owned(), "--no-tablespaces".to_owned()]);
        let dump = dump(&arguments).await?;
        let names = OwnNames { schema, own_role: None, origin: Some(origin) };
        Ok(Self(divided(&dump, names, casts)?))
    }

    /// The statements that make the tables, and all that they need, in this schema, which is there.
    pub(crate) fn before_rows(&self, schema: &SchemaName) -> String {
        filled(&self.0.pre_data, schema, None)
    }

    /// The statements that make the rest.
    pub(crate) fn behind_rows(&self, schema: &SchemaName) -> String {
        filled(&self.0.post_data, schema, None)
    }
}

/// One schema without its rows, its ledger and its owners, as the open transaction sees it.
async fn arguments(connection: &mut PgConnection, schema: &SchemaName) -> Result<Vec<String>> {
    let snapshot: String =
        sqlx::query_scalar("SELECT pg_catalog.pg_export_snapshot()").fetch_one(connection).await?;
    let schema = Identifier(schema.as_str());
    Ok(vec![
        "--schema-only".to_owned(),
        "--no-owner".to_owned(),
        "--no-publications".to_owned(),
        "--no-security-labels".to_owned(),
        format!("--snapshot={snapshot}"),
        format!("--schema={schema}"),
        format!("--exclude-table={schema}.{LEDGER}"),
    ])
}

//! The schemas of a database as the registry has them, page by page.

use std::collections::{HashMap, HashSet};

use sqlx::Row as _;

use super::session::{Session, list};
use crate::database::DatabaseConfig;
use crate::registry::{examination, newest_step};
use crate::sql::Literal;
use crate::tenant::{Alias, Status, TypeName};

/// Schemas that one question is about.
pub(super) const PAGE: usize = 250;

/// The state of a database's part of the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RegistryState {
    Missing,
    Unreadable,
    Readable,
}

/// A schema that should be there.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) schema: String,
    /// `None` for a spare.
    pub(super) tenant: Option<TenantEntry>,
}

#[derive(Clone, Debug)]
pub(super) struct TenantEntry {
    pub(super) slug: String,
    pub(super) type_name: Option<TypeName>,
    pub(super) status: Status,
    pub(super) last_error: Option<String>,
}

/// A change of a tenant's type that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BegunChange {
    pub(super) slug: String,
    pub(super) schema: String,
    /// The new type, or `none`.
    pub(super) new: String,
    pub(super) undoes: bool,
    pub(super) last_error: Option<String>,
}

impl Entry {
    /// ``tenant `acme` `` or ``spare `tenantry_spare_…` ``.
    pub(super) fn whose(&self) -> String {
        match &self.tenant {
            Some(tenant) => format!("tenant `{}`", tenant.slug),
            None => format!("spare `{}`", self.schema),
        }
    }

    pub(super) fn status(&self) -> Option<Status> {
        self.tenant.as_ref().map(|tenant| tenant.status)
    }
}

/// The rows of tenants and spares, in the default database.
pub(super) struct Roster {
    session: Session,
}

impl Roster {
    /// `None` if the registry is not there or cannot be read, which the default database's own
    /// examination tells of.
    pub(super) async fn open(config: &DatabaseConfig) -> Option<Self> {
        let mut session = Session::for_catalog(config).await;
        let state = state(&mut session, &Alias::default()).await;
        matches!(state, Ok(RegistryState::Readable)).then_some(Self { session })
    }

    pub(super) async fn close(&mut self) {
        self.session.close().await;
    }

    /// A page of what should be in this database, by the names of the schemas.
    pub(super) async fn page_after(&mut self, alias: &Alias, after: &str) -> Result<Vec<Entry>, sqlx::Error> {
        let page = format!(
            "SELECT * FROM ({}) AS entry WHERE schema_name > {} ORDER BY schema_name LIMIT {PAGE}",
            examination::schemas_in(alias),
            Literal(after),
        );
        self.read(&page).await
    }

    /// The number of schemas that should be in this database.
    pub(super) async fn count(&mut self, alias: &Alias) -> Result<usize, sqlx::Error> {
        let query = format!("SELECT count(*) FROM ({}) AS entry", examination::schemas_in(alias));
        let rows = self.session.rows(&query).await?;
        let count: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
        Ok(usize::try_from(count).unwrap_or_default())
    }

    /// Returns true if somebody migrates the fleet at this moment.
    pub(super) async fn is_run_at_work(&mut self) -> Result<bool, sqlx::Error> {
        let rows = self.session.rows(&examination::is_run_at_work()).await?;
        rows.first().map_or(Ok(false), |row| row.try_get(0))
    }

    /// The tenants of a database whose type is half changed, or is being changed.
    pub(super) async fn begun_type_changes(
        &mut self,
        alias: &Alias,
    ) -> Result<Vec<BegunChange>, sqlx::Error> {
        let rows = self.session.rows(&examination::begun_type_changes(alias)).await?;
        let read = |row: &sqlx::postgres::PgRow| {
            Ok(BegunChange {
                slug: row.try_get("slug")?,
                schema: row.try_get("schema_name")?,
                new: row.try_get("new")?,
                undoes: row.try_get("undoes")?,
                last_error: row.try_get("last_error")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// The verbs that were to copy these tenants from something and have not ended, by slug.
    pub(super) async fn begun_copies(
        &mut self,
        entries: &[Entry],
    ) -> Result<HashMap<String, String>, sqlx::Error> {
        let slugs: Vec<_> = entries
            .iter()
            .filter_map(|entry| entry.tenant.as_ref())
            .filter(|tenant| tenant.status == Status::Provisioning)
            .map(|tenant| tenant.slug.as_str())
            .collect();
        if slugs.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = self.session.rows(&examination::begun_copies(&list(slugs))).await?;
        rows.iter().map(|row| Ok((row.try_get("slug")?, row.try_get("verb")?))).collect()
    }

    /// Picks the schemas that should still be in this database.
    pub(super) async fn entries_of(
        &mut self,
        alias: &Alias,
        schemas: &[&str],
    ) -> Result<Vec<Entry>, sqlx::Error> {
        let names = list(schemas.iter().copied());
        let entries = examination::schemas_in(alias);
        let query = format!("SELECT * FROM ({entries}) AS entry WHERE schema_name IN ({names})");
        self.read(&query).await
    }

    /// Picks the schemas that nobody owns. A tenant of another database counts too, since it may be on its way, and two
    /// aliases may lead to one database.
    pub(super) async fn without_owner(
        &mut self,
        alias: &Alias,
        schemas: &[String],
    ) -> Result<Vec<String>, sqlx::Error> {
        let mut orphans = Vec::new();
        for schemas in schemas.chunks(PAGE) {
            let names: Vec<_> = schemas.iter().map(String::as_str).collect();
            let owned = self.entries_of(alias, &names).await?;
            let owned: HashSet<_> = owned.iter().map(|entry| entry.schema.as_str()).collect();
            orphans.extend(names.into_iter().filter(|name| !owned.contains(name)).map(str::to_owned));
        }
        if orphans.is_empty() {
            return Ok(orphans);
        }
        // There is no index for this, and few are left.
        let names = list(orphans.iter().map(String::as_str));
        let owned: HashSet<_> = self.session.column(&examination::owned(&names)).await?.into_iter().collect();
        orphans.retain(|schema| !owned.contains(schema));
        Ok(orphans)
    }

    /// The rows that a question about the audit answers with.
    pub(super) async fn begun(&mut self, query: &str) -> Result<Vec<sqlx::postgres::PgRow>, sqlx::Error> {
        self.session.rows(query).await
    }

    async fn read(&mut self, query: &str) -> Result<Vec<Entry>, sqlx::Error> {
        let rows = self.session.rows_by_index(query).await?;
        let read = |row: &sqlx::postgres::PgRow| {
            let slug: Option<String> = row.try_get("slug")?;
            let status: Option<&str> = row.try_get("status")?;
            let last_error = row.try_get("last_error")?;
            let tenant = slug.zip(status.and_then(|status| Status::parse(status).ok()));
            let type_name: Option<&str> = row.try_get("type")?;
            let type_name = type_name.and_then(|name| TypeName::parse(name).ok());
            let tenant = tenant.map(|(slug, status)| TenantEntry { slug, type_name, status, last_error });
            Ok(Entry { schema: row.try_get("schema_name")?, tenant })
        };
        rows.iter().map(read).collect()
    }
}

/// Reads what a session sees of what a database should have of the registry.
pub(super) async fn state(session: &mut Session, alias: &Alias) -> Result<RegistryState, sqlx::Error> {
    let tables = session.rows_by_index(examination::TABLES).await?;
    if tables.is_empty() {
        return Ok(RegistryState::Missing);
    }
    for table in tables {
        if !table.try_get::<bool, _>("is_readable")? {
            return Ok(RegistryState::Unreadable);
        }
    }
    let step = session.rows(examination::NEWEST_STEP).await?;
    let newest = step.first().map_or(Ok(0), |row| row.try_get("newest"))?;
    Ok(if newest < newest_step(alias) { RegistryState::Missing } else { RegistryState::Readable })
}

//! The migrations that a database has applied.

use sqlx::PgConnection;

use super::refused::ImportRefusal;
use super::source::SourceDatabase;
use crate::context::Context;
use crate::error::Result;
use crate::lifecycle::contents::qualified;
use crate::lifecycle::transfer::CopyStatements;
use crate::migrate::{
    Applied, Goal, Ledger, Site, Versions, Workshop, plan, read_ledger, send_own, sentence, versions,
};
use crate::migration::Migration;
use crate::observe::Steps;
use crate::provision::{NewTenant, applied_files};
use crate::registry::LEDGER;
use crate::structure::{Fingerprint, Objects, Subject};
use crate::tenant::Tenant;

/// Differences that a note tells of.
const TOLD: usize = 3;

/// The source of what the tenant's ledger will say.
pub(super) enum Version<'a> {
    /// The ledger that is there.
    Noted(Vec<Applied>),
    /// The files that the caller says are applied.
    Told(Vec<&'a Migration>),
    /// Nobody knows.
    Unknown,
}

impl<'a> Version<'a> {
    /// Finds it. What the caller says comes before a ledger.
    pub(super) async fn of(
        context: &'a Context,
        reader: &mut PgConnection,
        source: &SourceDatabase,
        new: &NewTenant,
        tenant: &Tenant,
    ) -> Result<Result<Self, ImportRefusal>> {
        if new.through().is_some() {
            return Ok(Ok(Self::Told(applied_files(context, tenant, new.through())?)));
        }
        let rows = read_ledger(reader, source.name()).await?;
        if rows.is_empty() {
            return Ok(Ok(Self::Unknown));
        }
        if let Some(row) = rows.iter().find(|row| !row.success) {
            return Ok(Err(ImportRefusal::new(format!("migration {} was interrupted in it", row.version))
                .with_hint("finish it there first")));
        }
        if context.migrations.is_none() {
            return Ok(Ok(Self::Noted(rows)));
        }
        let files = context.migrations.files_of(tenant.type_name())?.set();
        let conflicts = plan(Goal::latest(files), &rows).err().unwrap_or_default();
        let past: Vec<_> = conflicts.iter().filter(|conflict| conflict.is_of_the_past()).collect();
        if past.is_empty() {
            return Ok(Ok(Self::Noted(rows)));
        }
        let refused = ImportRefusal::new(format!("its ledger is not of these files: {}", sentence(past)));
        Ok(Err(refused.with_hint("say with `--applied-through` which of the files it has applied")))
    }

    /// The newest that is applied.
    pub(super) fn newest(&self) -> Option<i64> {
        match self {
            Self::Noted(rows) => rows.iter().map(|row| row.version).max(),
            Self::Told(files) => files.iter().map(|file| file.version()).max(),
            Self::Unknown => None,
        }
    }

    /// Fills the tenant's ledger, which is there and empty.
    pub(super) async fn write(
        &self,
        reader: &mut PgConnection,
        writer: &mut PgConnection,
        source: &SourceDatabase,
        site: Site<'_>,
        tenant: &Tenant,
    ) -> Result<()> {
        let mut ledger = Ledger::empty(tenant.schema());
        let mut statements = Vec::new();
        match self {
            Self::Noted(rows) => {
                ledger = Ledger::of(tenant.schema(), rows);
                let columns = "(version, description, installed_on, success, checksum, execution_time)";
                let copy = CopyStatements {
                    from: format!("COPY {} {columns} TO STDOUT", qualified(source.name(), LEDGER)),
                    to: format!("COPY {} {columns} FROM STDIN", qualified(tenant.schema(), LEDGER)),
                };
                copy.run(reader, writer).await.map_err(sqlx::Error::from)?;
            }
            Self::Told(files) => {
                for file in files {
                    statements.push(ledger.insert(file, true));
                    ledger.add(file);
                }
            }
            Self::Unknown => {}
        }
        statements.push(ledger.summarise());
        send_own(writer, site, &statements.join(";\n")).await?;
        Ok(())
    }
}

/// Tells what the files make at each version. Where they cannot be replayed, nobody knows.
pub(super) async fn replayed(context: &Context, tenant: &Tenant, steps: &dyn Steps) -> Option<Versions> {
    let files = context.migrations.files_of(tenant.type_name()).ok()?.set();
    if files.is_empty() {
        return None;
    }
    versions(Workshop::of(context, tenant.database()).ok()?, files, steps).await.ok()
}

/// Returns true if files could say at which version a tenant is.
pub(super) fn has_files(context: &Context, tenant: &Tenant) -> bool {
    context.migrations.files_of(tenant.type_name()).is_ok_and(|files| !files.set().is_empty())
}

/// The version of a tenant whose database said none.
pub(super) enum VersionFound {
    /// Its structure is what the files make at this version.
    Like(i64),
    /// It is at none; a note says what it is near to.
    Unlike(String),
}

/// Finds the newest version whose files make what is in the tenant's schema.
pub(super) async fn find(
    writer: &mut PgConnection,
    versions: &Versions,
    tenant: &Tenant,
) -> Result<VersionFound> {
    let subject = Subject { schema: tenant.schema(), own_role: None };
    let fingerprint = Fingerprint::within(writer, subject, versions.extent()).await?;
    if let Some(version) = versions.history.versions_like(fingerprint).into_iter().flatten().next() {
        return Ok(VersionFound::Like(version));
    }
    let objects = Objects::within(writer, subject, versions.extent()).await?;
    let near = versions.history.nearest(&objects).map(|nearest| {
        let told: Vec<_> = nearest.differences.iter().take(TOLD).map(ToString::to_string).collect();
        let at = nearest.version.map_or_else(|| "none".to_owned(), |version| version.to_string());
        format!(" (nearest is {at}, but for: {})", told.join("; "))
    });
    Ok(VersionFound::Unlike(format!(
        "it is at no version of the files{}; {UNKNOWN}",
        near.unwrap_or_default()
    )))
}

/// The consequence where nothing says the version.
pub(super) const UNKNOWN: &str =
    "`tenantry migrate` would begin with the first file, and `--applied-through` says which it has";

/// Notes that all files up to a version are applied.
pub(super) async fn write_through(
    context: &Context,
    writer: &mut PgConnection,
    site: Site<'_>,
    tenant: &Tenant,
    version: i64,
) -> Result<()> {
    let mut ledger = Ledger::empty(tenant.schema());
    let mut statements = Vec::new();
    for file in applied_files(context, tenant, Some(version))? {
        statements.push(ledger.insert(file, true));
        ledger.add(file);
    }
    statements.push(ledger.summarise());
    send_own(writer, site, &statements.join(";\n")).await?;
    Ok(())
}

//! Writes a tenant into an archive.
//!
//! It is read like a clone reads its source: its tables are locked against a change of their structure, behind that a
//! snapshot is taken, and writers go on. Rows stream through; what is in memory at a time are a few members.

mod content;
mod pipe;

use std::io::Write;

use serde_json::json;
use sqlx::PgConnection;
use time::OffsetDateTime;

use self::content::Content;
use self::pipe::Pipe;
use super::source::{ReadFor, begin, check_source};
use crate::archive::{ArchiveWriter, WrittenArchive};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::fail_point::{self, FailPoint};
use crate::migrate::SchemaLock;
use crate::observe::{Step, Steps};
use crate::provision::{NotOnCitus, refuse_on_citus};
use crate::registry::audit::{self, Action};
use crate::registry::{AuditState, store};
use crate::structure::Structure;
use crate::tenant::{Digest, DomainName, Tenant, Verb};

/// The manner of writing an archive.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExportOptions {
    /// The level of zstd, from 1 to 19. Default: 3.
    pub level: i32,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self { level: 3 }
    }
}

/// An archive that was written.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Exported {
    /// Its tenant, as it was then.
    pub tenant: Tenant,
    /// The newest version that it had applied.
    pub version: Option<i64>,
    /// A hash of its structure: the same for all tenants at one version, unless somebody has changed one by hand.
    pub fingerprint: Digest,
    /// Its rows, without those of the table of its migrations.
    pub rows: u64,
    /// The length of the file.
    pub bytes: u64,
    /// The SHA-256 of the file, which the audit has, too.
    pub sha256: Digest,
    /// True if the structure was known, so that nothing had to be dumped.
    pub structure_was_kept: bool,
    /// Things that the archive is without: indexes that are not valid, publications.
    pub notes: Vec<String>,
}

/// Writes the archive, and enters it in the audit. No undo is needed: nothing of the tenant changes.
pub(crate) async fn export<E: From<Error>>(
    context: &Context,
    tenant: &Tenant,
    to: impl Write + Send + 'static,
    options: &ExportOptions,
    steps: &dyn Steps,
    dump: &mut impl AsyncFnMut(&[String]) -> Result<String, E>,
) -> Result<Exported, E> {
    refuse_on_citus(context, NotOnCitus::Export, &[tenant.database()]).await?;
    let mut connection = context.databases.reader(tenant.database()).await?;
    // 1. The lock of its schema, which goes with the session.
    let lock = SchemaLock::of(tenant.schema());
    lock.take(&mut connection, tenant.schema()).await?;
    let (tenant, domains) = look_up(context, tenant).await?;
    // 2. Everything that is read, as it is at one moment.
    let statement = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    let mut tx = begin(&mut connection, context, &tenant, ReadFor::Export, statement).await?;
    steps.step(Step::new("looking at the tenant", 0, None));
    let (structure, found) = Content::read(&mut tx, context, &tenant, domains, dump).await?;
    let seconds = u64::try_from(OffsetDateTime::now_utc().unix_timestamp()).unwrap_or_default();
    let level = options.level;
    let pipe = Pipe::open(move || ArchiveWriter::new(to, level, seconds));
    let written = found.write(&mut tx, context, pipe, steps).await?;
    tx.rollback().await.map_err(Error::from)?;
    fail_point::reached(FailPoint::ExportWritten);
    // 3. The entry in the audit, and the structure for the next archive.
    enter(context, &tenant, &written).await?;
    fail_point::reached(FailPoint::AfterExport);
    keep(&mut connection, &tenant, &structure).await;
    lock.release(&mut connection).await?;
    context.databases.keep_reader(tenant.database(), connection);
    let (rows, version) = (written.manifest.rows(), written.manifest.version);
    let WrittenArchive { manifest, bytes, sha256 } = written;
    let structure_was_kept = structure.is_kept();
    let (fingerprint, notes) = (manifest.fingerprint, found.notes);
    Ok(Exported { tenant, version, fingerprint, rows, bytes, sha256, structure_was_kept, notes })
}

/// The tenant as the registry has it now, with its domains.
async fn look_up(context: &Context, tenant: &Tenant) -> Result<(Tenant, Vec<DomainName>)> {
    let look_up = async |registry: &mut PgConnection| {
        let tenant = check_source(registry, tenant, ReadFor::Export).await?;
        let domains = store::domains_of(registry, tenant.id()).await?;
        let domains = domains.iter().map(|domain| Ok(DomainName::parse(domain)?)).collect::<Result<_>>()?;
        Ok((tenant, domains))
    };
    context.databases.with_registry(look_up).await
}

async fn enter(context: &Context, tenant: &Tenant, written: &WrittenArchive) -> Result<()> {
    let options = json!({ "rows": written.manifest.rows(), "bytes": written.bytes });
    let digest = Some(written.sha256);
    let action = Action { options, digest, ..Action::new(Verb::Export, &context.operator) };
    let enter =
        async |registry: &mut PgConnection| audit::enter(registry, tenant, &action, AuditState::Done).await;
    context.databases.with_registry(enter).await
}

/// The archive is whole without it.
async fn keep(connection: &mut PgConnection, tenant: &Tenant, structure: &Structure) {
    if let Err(error) = structure.keep(connection).await {
        tracing::warn!(%error, tenant = %tenant.slug(), "Wrote an archive, and did not keep its structure: {error}");
    }
}

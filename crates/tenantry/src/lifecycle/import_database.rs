//! Makes a tenant of a customer's own database.
//!
//! The source is only read, in one transaction: its first statement locks the tables against a change of their
//! structure, and its snapshot is taken behind that, while writers go on. The tenant is one transaction, too, in the
//! default database with its row in the registry. So what is interrupted leaves nothing, and is repeated. Of more
//! tables than one transaction has locks for it is made in several, behind that row, and the same call removes what is
//! half made.

mod examine;
mod extensions;
mod ledger;
mod proof;
mod refused;
mod source;
mod work;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use self::examine::{Findings, examine};
use self::ledger::{Version, has_files, replayed};
pub use self::refused::ImportRefusal;
use self::refused::refusal;
pub use self::source::SourceDatabase;
use self::source::enter;
use self::work::{Import, ImportedContent};
use super::contents::lockable;
use super::entry::{Interrupted, interrupted, serve, served};
use super::free::{check_free, reserve};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::migrate::{SchemaLock, read_ledger};
use crate::observe::{Step, Steps};
use crate::provision::{NewTenant, NotOnCitus, look, place, refuse_on_citus};
use crate::registry::{AuditEntry, audit};
use crate::structure::ForeignStructure;
use crate::tenant::{Alias, Tenant, Verb};

/// A tenant that was made of a database.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct ImportedDatabase {
    /// The tenant, which can be served.
    pub tenant: Tenant,
    /// The rows that were copied, without those of a ledger.
    pub rows: u64,
    /// The newest migration that its ledger has.
    pub version: Option<i64>,
    /// Things that were left out, or that mean something else here.
    pub notes: Vec<String>,
}

/// The findings about a database that may be imported.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct ExaminedDatabase {
    /// The reasons why it cannot be, if there are any.
    pub refused: Vec<ImportRefusal>,
    /// Things that would be left out, or would mean something else here.
    pub notes: Vec<String>,
    /// The number of tables with rows.
    pub tables: usize,
    /// The newest migration that the tenant's ledger would have.
    pub version: Option<i64>,
}

/// Makes the tenant, or nothing at all. `dump` gives what `pg_dump` says of the source with these arguments.
pub(crate) async fn import_database<E: From<Error>>(
    context: &Context,
    source: &SourceDatabase,
    new: &NewTenant,
    steps: &dyn Steps,
    dump: &mut impl AsyncFnMut(&[String]) -> Result<String, E>,
) -> Result<ImportedDatabase, E> {
    refuse_existing(new)?;
    let mut registry = context.databases.unlimited_owner_connection(&Alias::default()).await?;
    let tenant = place(context, &mut registry, new).await?;
    refuse_on_citus(context, NotOnCitus::ImportDatabase, &[tenant.database()]).await?;
    reserve(&mut registry, tenant.slug()).await?;
    if let Some(imported) = go_on(context, &mut registry, source, &tenant).await? {
        return Ok(imported);
    }
    check_free(&mut registry, new, &tenant).await?;
    let mut writer = context.databases.unlimited_owner_connection(tenant.database()).await?;
    SchemaLock::of(tenant.schema()).take(&mut writer, tenant.schema()).await?;
    let mut reader = source.open().await?;
    // 1. A look, before anything is locked or made.
    steps.step(Step::new("looking at the database", 0, None));
    let mut findings = examine(&mut reader, &mut writer, &context.layout, source).await?;
    if !findings.refused.is_empty() {
        return Err(refusal(&findings.refused).with_tenant(tenant.slug()).into());
    }
    // 2. One moment of the source. Its structure is known whole before anything is made here.
    let mut moment = source.begin(&mut reader).await?;
    enter(&mut moment, source.name(), &findings.extensions).await?;
    let version = match Version::of(context, &mut moment, source, new, &tenant).await? {
        Ok(version) => version,
        Err(refused) => return Err(refusal(&[refused]).with_tenant(tenant.slug()).into()),
    };
    let structure = ForeignStructure::of(&mut moment, source.name(), &findings.origin, dump).await?;
    let versions =
        if matches!(version, Version::Unknown) { replayed(context, &tenant, steps).await } else { None };
    // 3. Everything here, in one transaction that undoes itself.
    let work = Import { context, source, tenant: &tenant, new, steps, versions: versions.as_ref() };
    let ImportedContent { rows, version, note } =
        work.make([&mut registry, &mut moment, &mut writer], &findings, &structure, &version).await?;
    findings.notes.extend(note);
    // The source has nothing to keep.
    let _ = moment.rollback().await;
    let _ = reader.close().await;
    // 4. What the tenant can do without. It is served by now.
    if let Err(error) = gather_statistics(&mut writer, &tenant, steps).await {
        tracing::warn!(%error, tenant = %tenant.slug(), "Imported a database without statistics of its rows: {error}");
    }
    let made = served(context, &mut registry, &tenant).await?;
    for connection in [registry, writer] {
        let _ = connection.close().await;
    }
    Ok(ImportedDatabase { tenant: made, rows, version, notes: findings.notes })
}

/// Lets the tenant be served that the same call has made in another database than the default one, and not come to
/// serve.
async fn go_on(
    context: &Context,
    registry: &mut PgConnection,
    source: &SourceDatabase,
    tenant: &Tenant,
) -> Result<Option<ImportedDatabase>> {
    let told = source.told();
    let is_ours = |entry: &AuditEntry| ["from", "schema"].iter().all(|key| entry.options[*key] == told[*key]);
    let found = interrupted(context, registry, tenant, Verb::Import, is_ours).await?;
    let Interrupted::Filled { tenant, mut workplace } = found else { return Ok(None) };
    let entries = audit::entries_of(&mut *registry, tenant.id(), 1).await?;
    let rows = entries.first().and_then(|entry| entry.options["rows"].as_u64()).unwrap_or_default();
    let version = read_ledger(&mut workplace, tenant.schema()).await?.last().map(|row| row.version);
    serve(registry, &tenant).await?;
    let tenant = served(context, registry, &tenant).await?;
    Ok(Some(ImportedDatabase { tenant, rows, version, notes: Vec::new() }))
}

/// Looks at a database as [`import_database`] does, and makes nothing.
pub(crate) async fn examine_database<E: From<Error>>(
    context: &Context,
    source: &SourceDatabase,
    new: &NewTenant,
    dump: &mut impl AsyncFnMut(&[String]) -> Result<String, E>,
) -> Result<ExaminedDatabase, E> {
    refuse_existing(new)?;
    let mut registry = context.databases.owner_connection(&Alias::default()).await?;
    let tenant = look(context, &mut registry, new).await?;
    refuse_on_citus(context, NotOnCitus::ImportDatabase, &[tenant.database()]).await?;
    check_free(&mut registry, new, &tenant).await?;
    let mut writer = context.databases.unlimited_owner_connection(tenant.database()).await?;
    let mut reader = source.open().await?;
    let mut findings = examine(&mut reader, &mut writer, &context.layout, source).await?;
    let mut newest = None;
    // What cannot be read cannot be dumped either.
    if findings.refused.is_empty() {
        let mut moment = source.begin(&mut reader).await?;
        enter(&mut moment, source.name(), &findings.extensions).await?;
        match Version::of(context, &mut moment, source, new, &tenant).await? {
            Ok(version) => {
                note_version(context, &tenant, &version, &mut findings);
                newest = version.newest();
            }
            Err(refused) => findings.refused.push(refused),
        }
        let mut dump = async |arguments: &[String]| dump(arguments).await.map_err(Failed::Dump);
        match ForeignStructure::of(&mut moment, source.name(), &findings.origin, &mut dump).await {
            Ok(_) => {}
            Err(Failed::Own(error)) if error.kind() == ErrorKind::Unsupported => {
                let refused = ImportRefusal::new(error.to_string());
                findings.refused.push(error.hint().map_or(refused.clone(), |hint| refused.with_hint(hint)));
            }
            Err(Failed::Own(error)) => return Err(error.into()),
            Err(Failed::Dump(error)) => return Err(error),
        }
        let _ = moment.rollback().await;
    }
    let _ = reader.close().await;
    let Findings { refused, notes, tables, .. } = findings;
    Ok(ExaminedDatabase { refused, notes, tables, version: newest })
}

/// The failure of a look: of the caller's dump, or of anything else.
enum Failed<E> {
    Dump(E),
    Own(Error),
}

impl<E> From<Error> for Failed<E> {
    fn from(error: Error) -> Self {
        Self::Own(error)
    }
}

fn refuse_existing(new: &NewTenant) -> Result<()> {
    if new.registers_existing() {
        let message = format!(
            "`{}` cannot be imported there: a tenant that is made of a database gets a new schema",
            new.slug()
        );
        return Err(Error::new(ErrorKind::Unsupported, message).with_hint("leave out which one it gets"));
    }
    Ok(())
}

fn note_version(context: &Context, tenant: &Tenant, version: &Version<'_>, findings: &mut Findings) {
    if matches!(version, Version::Unknown) && has_files(context, tenant) && findings.tables > 0 {
        let note =
            "nothing says which migrations it has applied: it will be compared with what the files make";
        findings.notes.push(note.to_owned());
    }
}

async fn gather_statistics(writer: &mut PgConnection, tenant: &Tenant, steps: &dyn Steps) -> Result<()> {
    let names = lockable(writer, tenant.schema()).await?;
    if !names.is_empty() && !steps.is_cancelled() {
        steps.step(Step::new("gathering statistics", 0, None));
        sqlx::raw_sql(AssertSqlSafe(format!("ANALYZE {}", names.join(", ")))).execute(writer).await?;
    }
    Ok(())
}

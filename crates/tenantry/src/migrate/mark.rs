//! Has ledgers say that a version is applied or that it is not, where people know better.

use futures_util::TryStreamExt as _;
use sqlx::PgConnection;

use super::concurrent_index;
use super::fleet::{Fleet, tenants};
use super::ledger::{self, Ledger};
use super::lock::SchemaLock;
use super::message::Message;
use super::plan::Applied;
use super::send::send_whole;
use super::site::Site;
use super::workers::Workers;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::migration::{Migration, MigrationSet};
use crate::registry::store;

/// Schemas that are marked at a time.
const JOBS: usize = 4;

/// The word of people on a version that a schema has begun or applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It is applied, by the file as it is now: the file was changed in a way that does not matter, or an
    /// interrupted one was finished by hand.
    Applied,
    /// It is not applied, although it began: it is to run again. Concerns interrupted migrations only.
    Pending,
}

/// The outcome for the ledgers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Marking {
    /// Schemas whose ledgers were corrected.
    pub marked: usize,
    /// Schemas whose ledgers needed no correction, or do not know the version.
    pub untouched: usize,
}

/// Marks a version in the ledgers of a fleet, or in that of the master schema.
pub(crate) async fn mark(
    context: &Context,
    fleet: Option<&Fleet>,
    version: i64,
    mark: Mark,
) -> Result<Marking> {
    let Context { databases, layout, migrations, .. } = context;
    migrations.check_files()?;
    let workers = Workers::of(databases);
    let mut marking = Marking::default();
    match fleet {
        None => {
            let files = migrations.master();
            let order = Order { files, migration: files.get(version).ok_or_else(|| unknown(version))?, mark };
            let work =
                async |connection: &mut PgConnection| order.carry_out(connection, Site::master(layout)).await;
            marking.count(workers.in_registry(work).await?);
        }
        Some(fleet) => {
            let sets = || std::iter::once(migrations.tenant()).chain(migrations.types().map(|(_, set)| set));
            if sets().all(|set| set.get(version).is_none()) {
                return Err(unknown(version));
            }
            workers
                .in_registry(async |registry: &mut PgConnection| fleet.check_excluded(registry).await)
                .await?;
            let all = tenants(databases, &workers, fleet);
            let work = all.map_ok(|tenant| {
                let workers = &workers;
                async move {
                    // Of an unknown type, the files are known that all tenants have.
                    let files = migrations.of_type(tenant.type_name()).unwrap_or(migrations.tenant());
                    let Some(migration) = files.get(version) else { return Ok(false) };
                    let order = Order { files, migration, mark };
                    // It has applied what the files say, from the first one to this version or beyond.
                    let newest = tenant.digest().and_then(|digest| order.files.version_of(digest));
                    if newest >= Some(version) {
                        return Ok(false);
                    }
                    let site = Site::of_tenant(layout, &tenant);
                    let work = async |connection: &mut PgConnection| order.carry_out(connection, site).await;
                    workers.with(tenant.database(), work).await
                }
            });
            let mut work = std::pin::pin!(work.try_buffer_unordered(JOBS));
            while let Some(is_marked) = work.try_next().await? {
                marking.count(is_marked);
            }
        }
    }
    if marking.marked > 0 {
        workers
            .in_registry(async |registry: &mut PgConnection| store::announce_applied(registry).await)
            .await?;
    }
    Ok(marking)
}

fn unknown(version: i64) -> Error {
    let message = format!("there is no migration with version {version}");
    Error::new(ErrorKind::InvalidInput, message).with_hint("give the number of a file")
}

impl Marking {
    fn count(&mut self, is_marked: bool) {
        *if is_marked { &mut self.marked } else { &mut self.untouched } += 1;
    }
}

/// An order to say something of one version.
struct Order<'a> {
    files: &'a MigrationSet,
    migration: &'a Migration,
    mark: Mark,
}

impl Order<'_> {
    /// Returns true if the ledger had to be corrected.
    async fn carry_out(&self, connection: &mut PgConnection, site: Site<'_>) -> Result<bool> {
        let work = async |connection: &mut PgConnection| self.correct(connection, site).await;
        SchemaLock::of(site.schema).hold(connection, site.schema, work).await
    }

    async fn correct(&self, connection: &mut PgConnection, site: Site<'_>) -> Result<bool> {
        let rows = ledger::read(&mut *connection, site.schema).await?;
        let version = self.migration.version();
        let Some(row) = rows.iter().find(|row| row.version == version) else { return Ok(false) };
        let mut ledger = Ledger::of(site.schema, &rows);
        let correction = match self.mark {
            Mark::Applied if is_settled(row, self.migration) => return Ok(false),
            Mark::Applied => {
                self.check_indexes(connection, site, row).await?;
                ledger.add(self.migration);
                ledger.accept(self.migration)
            }
            Mark::Pending if row.success => return Ok(false),
            Mark::Pending => ledger.delete(version),
        };
        let mut message = Message::new();
        message.push_own("BEGIN");
        message.push_own(&correction);
        message.push_own(&ledger.summarise());
        message.push_own("COMMIT");
        send_whole(connection, site, &message).await?;
        Ok(true)
    }

    /// An index that is not there, or not valid, is never applied, whoever says so.
    async fn check_indexes(
        &self,
        connection: &mut PgConnection,
        site: Site<'_>,
        row: &Applied,
    ) -> Result<()> {
        if row.success {
            return Ok(());
        }
        match concurrent_index::unfinished(connection, site.schema, self.migration.up()).await? {
            None => Ok(()),
            Some(index) => {
                let message = format!(
                    "`{}` is not applied: index `{index}` is missing or not valid ({})",
                    self.migration.file(),
                    site.whose()
                );
                Err(site.error(ErrorKind::Migration, message).with_hint("`tenantry migrate` builds it"))
            }
        }
    }
}

fn is_settled(row: &Applied, migration: &Migration) -> bool {
    row.success && row.checksum == migration.checksum()
}

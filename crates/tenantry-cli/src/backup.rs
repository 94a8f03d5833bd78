//! Exports tenants into a place, each with an entry in the catalogue there.
use std::time::Duration;

use tenantry::archive;
use tenantry::lifecycle::{ExportOptions, Exported};
use tenantry::observe::{Step, Steps};
use tenantry::tenant::Tenant;
use tenantry::{Config, Tenancy};
use time::OffsetDateTime;

use crate::fail_point;
use crate::failure::{Failure, Report};
use crate::interrupt::interrupted;
use crate::pg_dump::PgDump;
use crate::progress::Progress;
use crate::store::{Download, Entry, Kind, Newest, Outcome, Stem, Store, StoredFile, Upload, retired};

/// The longest that an archive is written.
const LONGEST: Duration = Duration::from_hours(48);

/// One run of a command that exports.
pub(crate) struct Backup<'a> {
    pub(crate) config: &'a Config,
    pub(crate) tenancy: &'a Tenancy,
    pub(crate) store: Store,
    /// See [`new_run`](crate::store::new_run).
    pub(crate) run: String,
    /// Reads each archive back when it is there.
    pub(crate) verifies: bool,
    pub(crate) progress: &'a Progress,
}

/// An archive that is there and in the catalogue.
pub(crate) struct Kept {
    pub(crate) entry: Entry,
    /// The archive, as people type it.
    pub(crate) file: String,
}

impl Backup<'_> {
    /// Exports a tenant. Whatever fails, there is no archive that is not whole, and the catalogue says that it failed;
    /// what was interrupted is not entered.
    pub(crate) async fn export(&self, tenant: &Tenant) -> anyhow::Result<Kept> {
        let begun_at = OffsetDateTime::now_utc();
        let stem = Stem::new(begun_at, tenant.slug(), &self.run);
        let outcome = self.write(tenant, &stem).await;
        if self.progress.is_cancelled() && outcome.is_err() {
            return Err(interrupted().into());
        }
        let entry = |outcome| Entry {
            slug: tenant.slug().to_string(),
            id: tenant.id(),
            run: self.run.clone(),
            begun_at,
            ended_at: OffsetDateTime::now_utc(),
            outcome,
        };
        match outcome {
            Ok(outcome) => {
                let entry = entry(outcome);
                fail_point::reached(fail_point::BEFORE_ENTRY);
                // Undo: none is needed. What has no entry is nobody's archive, and is told as such.
                self.store.enter(&entry, &stem, Kind::Done).await?;
                self.store.sweep(tenant.id(), begun_at - LONGEST);
                Ok(Kept { entry, file: self.store.shown(&self.archive_of(tenant, &stem)) })
            }
            Err(error) => {
                let failed = Outcome::Failed { error: Report::of(error.as_ref()).error().to_owned() };
                // The first failure is the one to tell of.
                let _ = self.store.enter(&entry(failed), &stem, Kind::Failed).await;
                Err(error)
            }
        }
    }

    /// Writes the archive, and reads it back where that is wanted.
    async fn write(&self, tenant: &Tenant, stem: &Stem) -> anyhow::Result<Outcome> {
        let file = self.archive_of(tenant, stem);
        let (upload, writer) = Upload::begin(&self.store, file).await?;
        // The program is looked for only where it is needed.
        let dump = async |arguments: &[String]| {
            PgDump::for_server(self.config, self.tenancy, tenant.database()).await?.run(arguments)
        };
        let (options, steps) = (ExportOptions::default(), UntilCancelled(self.progress));
        let exported = self.tenancy.export_observed(tenant, writer, &options, steps, dump).await;
        let exported: Exported = match exported {
            Ok(exported) => exported,
            // The store knows better than the writer why it could not be written.
            Err(error) => return Err(upload.abort().await.unwrap_or(error)),
        };
        upload.complete(exported.bytes).await?;
        if self.verifies {
            self.verify(tenant, stem, &exported).await?;
        }
        Ok(Outcome::Done {
            version: exported.version,
            fingerprint: exported.fingerprint.to_string(),
            rows: exported.rows,
            bytes: exported.bytes,
            sha256: exported.sha256.to_string(),
            verified: self.verifies,
        })
    }

    /// Reads the archive back. One that is not what was written is removed.
    async fn verify(&self, tenant: &Tenant, stem: &Stem, exported: &Exported) -> anyhow::Result<()> {
        let file = self.archive_of(tenant, stem);
        let download = Download::begin(&self.store, &file).await?;
        let verified = tokio::task::spawn_blocking(move || archive::verify(download)).await?;
        let failure = match verified {
            Ok(verified) if verified.sha256 == exported.sha256 => return Ok(()),
            Ok(_) => {
                let message = format!("`{}` is not what was written", self.store.shown(&file));
                Failure::new("store", message).into()
            }
            Err(error) => anyhow::Error::from(error),
        };
        self.store.remove(&file).await?;
        Err(failure)
    }

    /// Removes what is older than this and not the newest good archive of the tenant, which was just exported. Answers
    /// with what was removed.
    pub(crate) async fn retire(&self, tenant: &Tenant, keep: Duration) -> anyhow::Result<Vec<String>> {
        let mut removed = Vec::new();
        for file in self.to_retire(tenant, keep, Newest::IsThere).await? {
            let path = self.store.file_of(tenant.id(), &file.name());
            self.store.remove(&path).await?;
            removed.push(self.store.shown(&path));
        }
        Ok(removed)
    }

    /// Tells what [`retire`](Self::retire) would remove after an export.
    pub(crate) async fn would_retire(&self, tenant: &Tenant, keep: Duration) -> anyhow::Result<Vec<String>> {
        let files = self.to_retire(tenant, keep, Newest::IsToCome).await?;
        let shown = |file: StoredFile| self.store.shown(&self.store.file_of(tenant.id(), &file.name()));
        Ok(files.into_iter().map(shown).collect())
    }

    async fn to_retire(
        &self,
        tenant: &Tenant,
        keep: Duration,
        newest: Newest,
    ) -> anyhow::Result<Vec<StoredFile>> {
        let files = self.store.files_of(tenant.id()).await?;
        Ok(retired(files, OffsetDateTime::now_utc() - keep, newest))
    }

    fn archive_of(&self, tenant: &Tenant, stem: &Stem) -> object_store::path::Path {
        self.store.file_of(tenant.id(), &stem.file(Kind::Archive))
    }
}

/// The steps of one of many tenants: they are not shown, and end when the command is told to.
struct UntilCancelled<'a>(&'a Progress);

impl Steps for UntilCancelled<'_> {
    fn step(&self, _: Step<'_>) {}

    fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}

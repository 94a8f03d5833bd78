//! The fleet: its migrations, their record, and the baseline that new tenants start from.

use super::Tenancy;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::{Error, Result};
use crate::migrate::{
    self, BaselineOptions, Fleet, Mark, Marking, MigrateOptions, Migrations, NewBaseline, Summary,
};
use crate::observe::{Observer, Steps};
use crate::registry::{Run, RunEntry, runs, store};
use crate::tenant::TypeName;

impl Tenancy {
    /// The migrations this was built with.
    pub fn migrations(&self) -> &Migrations {
        &self.inner.context.migrations
    }

    /// Returns true if the master schema has applied all of its migrations, and nothing else.
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub async fn is_master_up_to_date(&self) -> Result<bool> {
        let schema = &self.inner.context.layout.master_schema;
        let applied = store::applied(&self.master(), &[schema.as_str()]).await?;
        let files = self.migrations().master();
        Ok(applied.get(schema).map_or(files.is_empty(), |(digest, _)| *digest == files.digest()))
    }

    /// Brings the master schema and the fleet up to date, or where the options say. A tenant that fails
    /// does not stop the others; the observer hears of each.
    ///
    /// A [`Fleet`](crate::Fleet) is migrated with the default [`MigrateOptions`]: four tenants at a time, and
    /// none of them waits for a lock for more than three seconds at a stretch. What needs the same files as
    /// another tenant, and can have them in one transaction, costs one round trip. The commits wait for the
    /// disk once for each database, before this returns; after a crash of the server until then, some tenants
    /// may be behind again. Dropping the future leaves each schema at the end of some file.
    ///
    /// Where there is something to do, it is a [run](Self::runs) that is recorded, and nobody else migrates
    /// the fleet at the same time. An interrupted run is continued by
    /// [`MigrateOptions::resuming`]; any other run gets to the same point, since what is applied is applied.
    ///
    /// # Errors
    /// If the master schema's migrations fail, or the registry cannot be reached. [`ErrorKind::Migration`], before
    /// any schema is touched, if a file was changed after some tenant had applied it ([`mark`](Self::mark) says that it
    /// does not matter), or if one that is pending may not run or comes
    /// [too late](MigrateOptions::allow_out_of_order).
    /// [`ErrorKind::Conflict`] if somebody else migrates the fleet. Where several servers migrate when they
    /// start, let them [wait](MigrateOptions::wait).
    pub async fn migrate(
        &self,
        options: impl Into<MigrateOptions>,
        observer: impl Observer,
    ) -> Result<Summary> {
        let summary = migrate::migrate_fleet(&self.inner.context, &options.into(), &observer).await;
        self.inner.registry.forget_all();
        summary
    }

    /// Tells of each schema what [`migrate`](Self::migrate) would do with it, and changes nothing.
    ///
    /// What has applied the same as another tenant is not asked again, so where all are up to date no
    /// schema is opened.
    ///
    /// ```no_run
    /// # async fn example(tenancy: tenantry::Tenancy) -> tenantry::Result<()> {
    /// let mut behind = 0;
    /// tenancy
    ///     .preview(tenantry::Fleet::all(), |preview| {
    ///         behind += usize::from(preview.changes.is_ok_and(|changes| !changes.is_empty()));
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the registry cannot be read, or a tenant that was named cannot be migrated; and where
    /// [`migrate`](Self::migrate) fails before it touches a schema.
    pub async fn preview(
        &self,
        options: impl Into<MigrateOptions>,
        each: impl FnMut(migrate::Preview<'_>),
    ) -> Result<()> {
        migrate::preview(&self.inner.context, &options.into(), each).await
    }

    /// Warns of the files that [`migrate`](Self::migrate) would apply, and changes nothing.
    /// [`Rule`](migrate::Rule) says what is warned of; [`Migrations::lint`] looks at all files.
    ///
    /// # Errors
    /// If the registry cannot be read, or a tenant that was named cannot be migrated.
    pub async fn lint(&self, options: impl Into<MigrateOptions>) -> Result<Vec<migrate::Warning>> {
        migrate::lint_pending(&self.inner.context, &options.into()).await
    }

    /// Has the ledgers of tenants say of a version that it is applied by the file as it is now, or that it is not
    /// applied after all; nothing is run. That is for people who have looked: [`Mark`] says when.
    ///
    /// Only ledgers that know the version are corrected. Repeating it after an error goes on where it stopped.
    ///
    /// ```no_run
    /// # async fn example(tenancy: tenantry::Tenancy) -> tenantry::Result<()> {
    /// use tenantry::Fleet;
    /// use tenantry::migrate::Mark;
    ///
    /// // A typing error in a comment was mended, after all tenants had applied the file.
    /// let marking = tenancy.mark(&Fleet::all(), 7, Mark::Applied).await?;
    /// println!("{} ledgers were corrected", marking.marked);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if no file has this version. [`ErrorKind::Migration`] if it was interrupted while
    /// it built an index that is missing or not valid.
    pub async fn mark(&self, fleet: &Fleet, version: i64, mark: Mark) -> Result<Marking> {
        let marking = migrate::mark(&self.inner.context, Some(fleet), version, mark).await;
        self.inner.registry.forget_all();
        marking
    }

    /// Does what [`mark`](Self::mark) does for a version of the master schema.
    ///
    /// # Errors
    /// Like [`mark`](Self::mark).
    pub async fn mark_master(&self, version: i64, mark: Mark) -> Result<Marking> {
        migrate::mark(&self.inner.context, None, version, mark).await
    }

    /// The newest recorded runs, the newest first.
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub async fn runs(&self, limit: u32) -> Result<Vec<Run>> {
        runs::newest(&self.master(), i64::from(limit)).await
    }

    /// The run of this number.
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub async fn run(&self, id: i64) -> Result<Option<Run>> {
        runs::find(&self.master(), id).await
    }

    /// The newest run that is not done: it was interrupted, stopped, had failures, or is under way. It is the one that
    /// [`MigrateOptions::resuming`] is for.
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub async fn unfinished_run(&self) -> Result<Option<Run>> {
        runs::newest_unfinished(&self.master()).await
    }

    /// Reads what a run did, page by page: up to `limit` schemas after the one with this slug, in the order of
    /// their slugs. The first page comes after `None` and begins with the master schema. Schemas that had
    /// nothing to do are not among them.
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub async fn run_entries_after(
        &self,
        run: &Run,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<RunEntry>> {
        runs::entries_after(&self.master(), run.id, after, i64::from(limit)).await
    }

    /// Makes the text of a `baseline.sql`: what the tenant migrations make of an empty schema, up to the version of
    /// the options or the newest one. `dump` gives what `pg_dump` says of the default database when it is called
    /// as the owner with these arguments.
    ///
    /// The migrations are replayed in a scratch schema of the default database. Then the text is applied to a
    /// second one, and accepted if the catalogs of the server say the same of both: definitions, privileges,
    /// options, comments, positions of sequences, and rows. Both schemas are dropped again. A future that is
    /// dropped leaves one behind, which the next call removes.
    ///
    /// Without a version, a baseline ends before the first version that leaves rows in a table whose rows are
    /// not [carried](BaselineOptions::with_rows), and says so in [`NewBaseline::rows`].
    ///
    /// # Errors
    /// If the migrations fail; if they make what no dump of a schema holds, which is named; if they change what is
    /// outside of the schema, or have a function or a string name it; or whatever `dump` fails with.
    pub async fn make_baseline<E: From<Error>>(
        &self,
        options: BaselineOptions,
        dump: impl AsyncFnMut(&[String]) -> Result<String, E>,
    ) -> Result<NewBaseline, E> {
        self.make_baseline_observed(options, (), dump).await
    }

    /// Does what [`make_baseline`](Self::make_baseline) does, and tells of its steps. Cancelled, it fails, and leaves
    /// no scratch schema.
    ///
    /// # Errors
    /// Like [`make_baseline`](Self::make_baseline).
    pub async fn make_baseline_observed<E: From<Error>>(
        &self,
        options: BaselineOptions,
        steps: impl Steps,
        dump: impl AsyncFnMut(&[String]) -> Result<String, E>,
    ) -> Result<NewBaseline, E> {
        migrate::make_baseline(&self.inner.context, &options, &steps, dump).await
    }

    /// Proves that starting from the baseline makes what the migrations make, and answers with the version. The
    /// catalogs of scratch schemas are compared, as in [`make_baseline`](Self::make_baseline). Rows that it carries
    /// may differ in dates, times and UUIDs, which another replay makes anew.
    ///
    /// # Errors
    /// [`ErrorKind::Migration`] with what differs; [`ErrorKind::InvalidInput`] if there is no baseline.
    pub async fn check_baseline<E: From<Error>>(
        &self,
        dump: impl AsyncFnMut(&[String]) -> Result<String, E>,
    ) -> Result<i64, E> {
        self.check_baseline_observed((), dump).await
    }

    /// Does what [`check_baseline`](Self::check_baseline) does, and tells of its steps.
    ///
    /// # Errors
    /// Like [`check_baseline`](Self::check_baseline).
    pub async fn check_baseline_observed<E: From<Error>>(
        &self,
        steps: impl Steps,
        dump: impl AsyncFnMut(&[String]) -> Result<String, E>,
    ) -> Result<i64, E> {
        migrate::check_baseline(&self.inner.context, None, &steps, dump).await
    }

    /// Does what [`check_baseline_observed`](Self::check_baseline_observed) does for the baseline of a type.
    ///
    /// # Errors
    /// Like [`check_baseline`](Self::check_baseline); [`ErrorKind::Configuration`] if there is no such type.
    pub async fn check_baseline_of_type<E: From<Error>>(
        &self,
        type_name: &TypeName,
        steps: impl Steps,
        dump: impl AsyncFnMut(&[String]) -> Result<String, E>,
    ) -> Result<i64, E> {
        migrate::check_baseline(&self.inner.context, Some(type_name), &steps, dump).await
    }
}

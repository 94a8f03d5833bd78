//! Exports many tenants into a place, several at a time: the backup of a night.
use std::future::ready;
use std::num::NonZeroU32;
use std::pin::pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use tenantry::tenant::{Slug, Status, Tenant};
use tenantry::{Config, ErrorKind, Tenancy};

use crate::backup::{Backup, Kept};
use crate::causes::Causes;
use crate::context::{Context, Finish};
use crate::failure::Report;
use crate::fleet::{Listed, Pages};
use crate::interrupt::{interrupted, until_interrupted};
use crate::output::{Format, Output, note};
use crate::progress::Progress;
use crate::store::{Outcome, Place, Store, new_run};

/// The tenants that are meant.
pub(super) enum Choice {
    Named(Vec<Slug>),
    Matching(Option<String>),
}

/// The terms for each of them.
pub(super) struct Terms {
    pub(super) place: Place,
    pub(super) exclude: Vec<Slug>,
    pub(super) jobs: NonZeroU32,
    pub(super) keep: Option<Duration>,
    pub(super) verifies: bool,
    pub(super) is_dry: bool,
}

/// The outcome for one tenant.
#[derive(Default)]
struct Done {
    kept: Option<Kept>,
    removed: Vec<String>,
    failure: Option<anyhow::Error>,
}

pub(super) async fn run(
    cx: &mut Context,
    config: &Config,
    tenancy: &Tenancy,
    choice: Choice,
    terms: Terms,
) -> anyhow::Result<Finish> {
    let format = cx.output.format();
    let progress = Progress::new(format);
    let is_there = !matches!(&terms.place, Place::Folder(folder) if !folder.exists());
    let store = if !terms.is_dry {
        Some(Store::create(&terms.place)?)
    } else if is_there {
        Some(Store::open(&terms.place)?)
    } else {
        None
    };
    let backup = store.map(|store| {
        let (run, verifies) = (new_run(), terms.verifies);
        Backup { config, tenancy, store, run, verifies, progress: &progress }
    });
    let mut summary = Summary { is_dry: terms.is_dry, ..Summary::default() };
    let work = async {
        let tenants = tenants_of(tenancy, &choice, &terms.exclude).await?;
        let tenants = tenants.take_while(|_| ready(!progress.is_cancelled()));
        let job = async |tenant: anyhow::Result<Tenant>| {
            let tenant = tenant?;
            let done = Box::pin(one(backup.as_ref(), &tenant, &terms)).await;
            anyhow::Ok((tenant, done))
        };
        let mut done = pin!(tenants.map(job).buffer_unordered(terms.jobs.get() as usize));
        while let Some(done) = done.next().await {
            let (tenant, done) = done?;
            progress.suspend(|| summary.tell(&mut cx.output, &tenant, done));
            progress.note("tenants done", summary.tenants as u64, None);
        }
        anyhow::Ok(())
    };
    let result = until_interrupted(work, || progress.cancel()).await;
    progress.finish();
    summary.finish(&mut cx.output, backup.as_ref().map_or("", |backup| &backup.run));
    result?;
    if progress.is_cancelled() {
        return Err(interrupted().with_hint("run it again: it exports all of them anew").into());
    }
    Ok(if summary.failed > 0 { Finish::SomeFailed } else { Finish::Done })
}

/// Exports a tenant, and then removes what is too old. A failure is part of the answer.
async fn one(backup: Option<&Backup<'_>>, tenant: &Tenant, terms: &Terms) -> Done {
    let Some(backup) = backup else { return Done::default() };
    if terms.is_dry {
        return match terms.keep {
            Some(keep) => Done::of_removal(backup.would_retire(tenant, keep).await),
            None => Done::default(),
        };
    }
    let kept = match backup.export(tenant).await {
        Ok(kept) => kept,
        Err(error) => return Done { failure: Some(error), ..Done::default() },
    };
    let done = match terms.keep {
        Some(keep) => Done::of_removal(backup.retire(tenant, keep).await),
        None => Done::default(),
    };
    Done { kept: Some(kept), ..done }
}

impl Done {
    fn of_removal(removed: anyhow::Result<Vec<String>>) -> Self {
        match removed {
            Ok(removed) => Self { removed, ..Self::default() },
            Err(error) => Self { failure: Some(error), ..Self::default() },
        }
    }
}

/// The tenants in the order of their slugs. All there are: those that are served or suspended. Who is named may be
/// deleted, too.
async fn tenants_of<'a>(
    tenancy: &'a Tenancy,
    choice: &'a Choice,
    exclude: &'a [Slug],
) -> anyhow::Result<impl Stream<Item = anyhow::Result<Tenant>> + 'a> {
    for slug in exclude {
        tenancy.tenant(slug.as_str()).await?;
    }
    let tenants = match choice {
        Choice::Named(slugs) => {
            let mut named = Vec::new();
            for slug in slugs {
                named.push(Ok(tenancy.tenant(slug.as_str()).await?));
            }
            stream::iter(named).boxed_local()
        }
        Choice::Matching(condition) => pages(tenancy, condition.as_deref()).boxed_local(),
    };
    let is_left_out = move |tenant: &Tenant| exclude.contains(tenant.slug());
    Ok(tenants.filter(move |tenant| ready(!tenant.as_ref().is_ok_and(is_left_out))))
}

fn pages<'a>(
    tenancy: &'a Tenancy,
    condition: Option<&'a str>,
) -> impl Stream<Item = anyhow::Result<Tenant>> + 'a {
    let pages = stream::try_unfold(Pages::matching(tenancy, condition), async |mut pages| {
        let page = pages.next().await?;
        anyhow::Ok((!page.is_empty()).then_some((page, pages)))
    });
    let is_meant = |tenant: &Tenant| matches!(tenant.status(), Status::Active | Status::Suspended);
    let tenants = move |page: Vec<Listed>| {
        stream::iter(page.into_iter().map(|listed| listed.tenant).filter(is_meant).map(anyhow::Ok))
    };
    pages.map_ok(tenants).try_flatten()
}

/// The answer of the command, which grows while it works.
#[derive(Default)]
struct Summary {
    is_dry: bool,
    tenants: usize,
    exported: Vec<Value>,
    written: usize,
    removed: Vec<String>,
    gone: usize,
    failed: usize,
    causes: Causes,
}

impl Summary {
    fn tell(&mut self, output: &mut Output, tenant: &Tenant, done: Done) {
        let format = output.format();
        self.tenants += 1;
        if let Some(error) = &done.failure {
            let report = Report::of(error.as_ref()).of_tenant(tenant);
            // It was purged meanwhile, or is among those that the interruption ended.
            let is_gone = error.downcast_ref::<tenantry::Error>().map(tenantry::Error::kind);
            if is_gone != Some(ErrorKind::UnknownTenant) && report.kind() != "interrupted" {
                self.failed += 1;
                self.causes.tell(format, &report);
            }
        } else if self.is_dry {
            match format {
                Format::Table => output.line(&format!("would export {}", tenant.slug())),
                Format::Json => self.exported.push(json!({ "slug": tenant.slug() })),
            }
        }
        if let Some(kept) = &done.kept {
            self.written += 1;
            self.tell_kept(output, kept);
        }
        self.gone += done.removed.len();
        let what = if self.is_dry { "would remove" } else { "removed" };
        match format {
            Format::Table => done.removed.iter().for_each(|file| output.line(&format!("{what} {file}"))),
            Format::Json => self.removed.extend(done.removed),
        }
    }

    fn tell_kept(&mut self, output: &mut Output, Kept { entry, file }: &Kept) {
        let Outcome::Done { version, rows, bytes, sha256, verified, .. } = &entry.outcome else { return };
        let slug = &entry.slug;
        match output.format() {
            Format::Table => output.line(&format!("exported {slug}: {rows} rows, {bytes} bytes, {file}")),
            Format::Json => self.exported.push(json!({
                "slug": slug, "file": file, "version": version, "rows": rows, "bytes": bytes, "sha256": sha256,
                "verified": verified,
            })),
        }
    }

    fn finish(&self, output: &mut Output, run: &str) {
        let format = output.format();
        self.causes.finish(format);
        if format == Format::Json {
            output.json(&json!({
                "run": run, "exported": self.exported, "removed": self.removed, "failed": self.failed,
                "groups": self.causes,
            }));
        }
        if !self.is_dry {
            let (written, failed, gone) = (self.written, self.failed, self.gone);
            note(format, &format!("archives: {written} written, {failed} failed; {gone} files removed"));
        }
    }
}

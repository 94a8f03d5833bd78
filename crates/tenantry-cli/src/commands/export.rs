//! Writes tenants into files: one, or all of them as the backup of a night.
mod file;
mod fleet;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap_complete::ArgValueCompleter;
use tenantry::tenant::Slug;

use self::fleet::{Choice, Terms};
use crate::connect::{configuration, with_tenancy_of};
use crate::context::{Context, Finish};
use crate::duration::parse_span;
use crate::failure::Failure;
use crate::slugs::complete_slugs;
use crate::store::Place;

/// Write tenants into files
///
/// A file is of one moment, and is written while the tenant is served; the files of several tenants are of several
/// moments. `tenantry import` makes a tenant of it, here or in another installation, and `tar` and `psql` restore it
/// without Tenantry. It appears under its name when it is whole. Keep it as you keep the database: it holds every row,
/// and whoever changes it can have the owner run SQL.
///
/// Into a folder that is there, one named with a slash at its end, or a bucket, each tenant goes under a name of its
/// own, and into a catalogue that `tenantry archives` shows. One that fails does not stop the others.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples: tenantry export acme --to acme.tar.zst
          tenantry export --all --to /srv/backup --jobs 4 --keep 7d
          tenantry export --all --to s3://backup/shop --verify")]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    /// Leave out this tenant; repeatable
    #[arg(long, value_name = "SLUG", conflicts_with = "slugs", add = ArgValueCompleter::new(complete_slugs))]
    exclude: Vec<Slug>,
    /// The file, by custom NAME.tar.zst, or the folder or `s3://BUCKET/PREFIX`
    #[arg(long, value_name = "FILE|PLACE")]
    to: Place,
    /// Replace the file if it is there
    #[arg(long)]
    replace: bool,
    /// The number of tenants at a time
    #[arg(long, value_name = "N", default_value = "4")]
    jobs: NonZeroU32,
    /// Then remove what is older from the folder or bucket, like 7d: of tenants whose export succeeded, and never the
    /// newest good archive of one, nor a file that is not in the catalogue
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    keep: Option<Duration>,
    /// Read each archive back from the folder or bucket, and compare every part of it
    #[arg(long)]
    verify: bool,
    /// Only tell what would be exported and removed
    #[arg(long)]
    dry_run: bool,
}

/// The tenants. There is no default.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// The tenants; they may be suspended or deleted
    #[arg(add = ArgValueCompleter::new(complete_slugs))]
    slugs: Vec<Slug>,
    /// All tenants that are active or suspended
    #[arg(long)]
    all: bool,
    /// All for which this holds: SQL over the columns of `tenantry.tenant`, such as "settings->>'plan' = 'pro'"
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    let file = options.file();
    options.check(file.is_some())?;
    let Options { target, exclude, to: place, replace, jobs, keep, verify: verifies, dry_run: is_dry } =
        options;
    let config = configuration(&cx.global).await?;
    with_tenancy_of(cx, &config, async |cx, tenancy| {
        if let Some((slug, to)) = &file {
            file::run(cx, &config, tenancy, slug, to, replace).await?;
            return Ok(Finish::Done);
        }
        let choice = match &*target.slugs {
            [] => Choice::Matching(target.condition),
            _ => Choice::Named(target.slugs),
        };
        let terms = Terms { place, exclude, jobs, keep, verifies, is_dry };
        Box::pin(fleet::run(cx, &config, tenancy, choice, terms)).await
    })
    .await
}

impl Options {
    /// The one tenant and the file, unless it is a place for many.
    fn file(&self) -> Option<(Slug, PathBuf)> {
        let (Place::Folder(path), [slug]) = (&self.to, &*self.target.slugs) else { return None };
        let is_file = !path.is_dir() && !path.to_string_lossy().ends_with('/');
        is_file.then(|| (slug.clone(), path.clone()))
    }

    /// Refuses options that mean nothing there.
    fn check(&self, is_file: bool) -> Result<(), Failure> {
        if !is_file {
            let message = "`--replace` is for one file; in a folder or bucket no archive replaces another";
            return if self.replace { Err(Failure::usage(message)) } else { Ok(()) };
        }
        let given = [("--keep", self.keep.is_some()), ("--verify", self.verify), ("--dry-run", self.dry_run)];
        let Some((option, _)) = given.iter().find(|(_, is_given)| *is_given) else { return Ok(()) };
        let message = format!("`{option}` is for a folder or bucket, and `{}` is no folder", self.to);
        Err(Failure::usage(message).with_hint("end it with a slash to make a folder of this name"))
    }
}

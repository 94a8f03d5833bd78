//! Makes the files of the next migration.
mod name;
mod text;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;
use tenantry::migrate::NextVersion;
use tenantry::tenant::TypeName;
use tenantry::{Config, Migrations};
use time::OffsetDateTime;

use self::text::Kind;
use crate::connect;
use crate::context::{Context, Finish};
use crate::failure::Failure;
use crate::output::{Format, note};

/// Make the next migration file, or the pair of them
///
/// It gets the next number, or the time where the other files have times, and a file that undoes it where others
/// have one. No file that is there is changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: tenantry new add_title")]
#[allow(clippy::struct_excessive_bools, reason = "flags")]
pub(crate) struct Options {
    /// The name behind the number: letters, digits and `_`
    name: String,
    /// Make it for the master schema instead of the tenants'
    #[arg(long)]
    master: bool,
    /// Make it for the tenants of this type
    #[arg(long = "type", value_name = "TYPE", value_parser = TypeName::parse, conflicts_with = "master")]
    type_name: Option<TypeName>,
    /// Make a file that undoes it, too
    #[arg(long)]
    down: bool,
    /// Make no file that undoes it
    #[arg(long, conflicts_with = "down")]
    no_down: bool,
    /// Make it for a statement that cannot run in a transaction, such as `CREATE INDEX CONCURRENTLY`
    #[arg(long)]
    no_transaction: bool,
    /// Make it for a function of the application, which `Migrations::with_code` names
    #[arg(long, conflicts_with_all = ["master", "no_transaction"])]
    code: bool,
}

impl Options {
    fn kind(&self) -> Kind<'_> {
        Kind {
            is_master: self.master,
            type_name: self.type_name.as_ref(),
            is_alone: self.no_transaction,
            is_code: self.code,
        }
    }
}

/// A migration that was made.
#[derive(Serialize)]
struct Made {
    version: i64,
    files: Vec<PathBuf>,
}

pub(crate) fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    name::check(&options.name)?;
    let config = connect::read(&cx.global)?;
    let directory = directory(&options, &config)?;
    // Two that run at the same time get two numbers.
    let locked = File::open(&directory).map_err(|error| absent(&directory, error))?;
    match locked.lock() {
        // On a file system without locks, it is only that no file is overwritten.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
        result => result.with_context(|| format!("`{}` cannot be locked", directory.display()))?,
    }
    let next = next_version(&Migrations::of(&config), &options)?;
    let made = make(&directory, &options, &next)?;
    match cx.output.format() {
        Format::Json => cx.output.json(&made),
        Format::Table => made.files.iter().for_each(|file| cx.output.line(&file.display().to_string())),
    }
    note(cx.output.format(), "next: write it, and let `tenantry lint` judge it");
    Ok(Finish::Done)
}

fn directory(options: &Options, config: &Config) -> Result<PathBuf, Failure> {
    let (master, tenant) = config.migration_directories();
    match &options.type_name {
        None if options.master => Ok(master),
        None => Ok(tenant),
        Some(type_name) => config.type_directories().remove(type_name).ok_or_else(|| {
            Failure::new("configuration", format!("there is no type `{type_name}` of tenants"))
                .with_hint(format!("write `[types.{type_name}]` into tenantry.toml, and make its directory"))
        }),
    }
}

fn absent(directory: &Path, error: io::Error) -> anyhow::Error {
    let failure = Failure::new("migration", format!("`{}` cannot be opened: {error}", directory.display()));
    failure.with_hint("`tenantry init` makes the directories of the migrations").into()
}

fn next_version(migrations: &Migrations, options: &Options) -> anyhow::Result<NextVersion> {
    migrations.check_all_files().map_err(tenantry::Error::from)?;
    let (master, tenant) = (migrations.master(), migrations.tenant());
    let now = OffsetDateTime::now_utc();
    let next = match &options.type_name {
        None if options.master => NextVersion::after(master, tenant, now),
        None => {
            let of_types: Vec<_> = migrations.types().map(|(_, set)| set).collect();
            NextVersion::after(tenant, master, now).and_then(|next| next.free_in(&of_types))
        }
        some => migrations.of_type(some.as_ref()).and_then(|set| NextVersion::of_type(set, now)),
    };
    next.ok_or_else(|| {
        Failure::new("migration", "the newest version is the largest that there can be").into()
    })
}

/// Writes all files, or none.
fn make(directory: &Path, options: &Options, next: &NextVersion) -> anyhow::Result<Made> {
    let has_down = options.down || next.has_downs && !options.no_down;
    let mut files: Vec<PathBuf> = Vec::new();
    for (ending, text) in text::files(options.kind(), next, has_down) {
        let file = directory.join(format!("{}_{}{ending}", next.digits, options.name));
        let made = OpenOptions::new().write(true).create_new(true).open(&file);
        files.extend(made.is_ok().then(|| file.clone()));
        if let Err(error) = made.and_then(|mut new| new.write_all(text.as_bytes())) {
            // Made a moment ago, and by nobody else.
            for file in &files {
                let _ = fs::remove_file(file);
            }
            return Err(error).with_context(|| format!("`{}` cannot be made", file.display()));
        }
    }
    Ok(Made { version: next.version, files })
}

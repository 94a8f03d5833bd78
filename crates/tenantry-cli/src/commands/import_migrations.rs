//! Turns the migrations of another tool into files of ours.
mod source;
mod target;

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use serde::Serialize;
use tenantry::Config;
use tenantry::migrate::{
    ImportFinding, ImportOptions, ImportRemark, ImportTool, Imported, Migrations, NextVersion, import,
};
use time::OffsetDateTime;

use self::target::{Target, check_free};
use crate::connect;
use crate::context::{Context, Finish};
use crate::failure::Failure;
use crate::output::{Format, note};
use crate::visible::visible;

/// Convert the migrations of another tool, or a dump
///
/// Names, versions and ways back stay. `BEGIN` and `COMMIT` around a file, `SET search_path` and `public.` are taken
/// out, and extensions move to a migration of the master. All that is changed or cannot be converted is told with
/// file and line; then the exit code is 3 if something could not. The files that are read stay as they are.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: tenantry import-migrations goose db/migrations --dry-run")]
pub(crate) struct Options {
    /// The tool; `dump` is the output of `pg_dump`
    #[arg(value_parser = PossibleValuesParser::new(ImportTool::ALL.map(ImportTool::as_str))
        .try_map(|name| ImportTool::parse(&name).ok_or("there is no such tool")))]
    tool: ImportTool,
    /// The folder of its migrations; for `dump`, the file
    from: PathBuf,
    /// Write to the folders `master` and `tenant` in here, instead of those of the configuration
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// The schema whose name is taken out
    #[arg(long, value_name = "NAME", default_value = "public")]
    schema: String,
    /// Tables of a dump whose rows every new tenant gets
    #[arg(long, value_name = "TABLE", num_args = 1..)]
    with_rows: Vec<String>,
    /// Roles whose privileges every tenant gives; `PUBLIC` is everybody. All others are left out
    #[arg(long, value_name = "ROLE", num_args = 1..)]
    with_grants_to: Vec<String>,
    /// Write nothing
    #[arg(long)]
    dry_run: bool,
}

/// The answer for programs.
#[derive(Serialize)]
struct Answer<'a> {
    dry_run: bool,
    files: Vec<Written>,
    findings: &'a [ImportFinding],
}

#[derive(Serialize)]
struct Written {
    file: PathBuf,
    version: i64,
    master: bool,
}

pub(crate) fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    if !options.with_rows.is_empty() && options.tool != ImportTool::Dump {
        return Err(Failure::usage("only a dump has rows").with_hint("leave `--with-rows` out").into());
    }
    let config = connect::read(&cx.global)?;
    let target = Target::of(&config, options.to.as_deref());
    let present = target.migrations()?;
    let folder = source::read(&options.from)?;
    let imported = import(options.tool, &folder, &choices(&options, &config, &present)?)
        .map_err(tenantry::Error::from)?;
    check_free(&imported.files, &present)?;
    if !options.dry_run {
        target.write(&imported.files)?;
    }
    print(cx, &options, &target, &imported);
    let is_whole = imported.findings.iter().all(|finding| finding.remark == ImportRemark::Changed);
    Ok(if is_whole { Finish::Done } else { Finish::SomeFailed })
}

fn choices(options: &Options, config: &Config, present: &Migrations) -> anyhow::Result<ImportOptions> {
    let (master, tenant) = (present.master(), present.tenant());
    let digits = |set, other| {
        let next = NextVersion::after(set, other, OffsetDateTime::now_utc());
        next.map(|next| next.digits)
            .ok_or_else(|| Failure::new("migration", "the newest version is the largest that there can be"))
    };
    let extensions = config.extension_schemas().and_then(<[_]>::first);
    Ok(ImportOptions {
        schema: options.schema.clone(),
        with_rows: options.with_rows.clone(),
        with_grants_to: options.with_grants_to.clone(),
        extension_schema: extensions.map_or("extensions", |schema| schema.as_str()).to_owned(),
        master_digits: digits(master, tenant)?,
        tenant_digits: digits(tenant, master)?,
    })
}

fn print(cx: &mut Context, options: &Options, target: &Target, imported: &Imported) {
    let Imported { files, findings } = imported;
    let dry_run = options.dry_run;
    if cx.output.format() == Format::Json {
        let files = files.iter().map(|file| Written {
            file: target.path_of(file),
            version: file.version,
            master: file.is_master,
        });
        return cx.output.json(&Answer { dry_run, files: files.collect(), findings });
    }
    for file in files {
        cx.output.line(&visible(&target.path_of(file).display().to_string()));
    }
    for finding in findings {
        cx.output.line(&visible(&finding.to_string()));
    }
    let left = findings.iter().filter(|it| it.remark == ImportRemark::NotConverted).count();
    let verb = if dry_run { "would be written" } else { "written" };
    let counts = format!(
        "{} {verb}: {} changed, {left} not converted",
        counted(files.len(), "file"),
        counted(findings.len() - left, "place")
    );
    note(Format::Table, &counts);
    let makes_extensions = files.iter().any(|file| file.is_master);
    if !dry_run && makes_extensions {
        note(
            Format::Table,
            "next: read them, let `tenantry lint` judge them, and `tenantry migrate` make the extensions",
        );
    } else if !dry_run {
        note(Format::Table, "next: read them, and let `tenantry lint` judge them");
    }
}

/// `1 file`, `2 files`
fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

//! One file per command: its `Options`, as clap reads them, and `run`.
mod baseline;
mod completions;
mod create;
mod dev;
mod doctor;
mod domain;
mod exec;
mod init;
mod lint;
mod list;
mod migrate;
mod psql;
mod runs;
mod show;
mod spare;
mod status;

use std::path::PathBuf;

use clap::{ColorChoice, Parser, Subcommand};

use crate::output::{Format, Output};

/// Operates a fleet of PostgreSQL tenant schemas.
#[derive(Debug, Parser)]
#[command(name = "tenantry", version, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 finished with some tenants failed.")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The flags of every command.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// How data is printed on stdout, and errors on stderr
    #[arg(long, global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub(crate) format: Format,
    /// The default database; before `TENANTRY_DATABASES_DEFAULT_URL`, `DATABASE_URL` and the file
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) database_url: Option<String>,
    /// The configuration; without it, the nearest `tenantry.toml` from here upwards
    #[arg(long, global = true, value_name = "FILE", env = "TENANTRY_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Logs to stderr what goes on; more of it when repeated
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// When to colour stderr; `NO_COLOR` is honoured
    #[arg(long, global = true, value_enum, default_value_t = ColorChoice::Auto, value_name = "WHEN")]
    color: ColorChoice,
}

impl Global {
    pub(crate) fn color(&self) -> anstream::ColorChoice {
        match self.color {
            ColorChoice::Auto => anstream::ColorChoice::Auto,
            ColorChoice::Always => anstream::ColorChoice::Always,
            ColorChoice::Never => anstream::ColorChoice::Never,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::Options),
    Create(create::Options),
    List(list::Options),
    Show(show::Options),
    Domain(domain::Options),
    Migrate(migrate::Options),
    Runs(runs::Options),
    Lint(lint::Options),
    Spare(spare::Options),
    Baseline(baseline::Options),
    Status(status::Options),
    Exec(exec::Options),
    Psql(psql::Options),
    Doctor(doctor::Options),
    Dev(dev::Options),
    Completions(completions::Options),
}

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    Done,
    /// The work went on past the tenants that failed, and each was reported.
    SomeFailed,
}

/// What every command is given.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) output: Output,
}

impl Context {
    pub(crate) fn new(global: Global) -> Self {
        let output = Output::new(global.format);
        Self { global, output }
    }
}

impl Command {
    pub(crate) async fn run(self, cx: &mut Context) -> anyhow::Result<Finish> {
        match self {
            Self::Init(options) => init::run(options, cx).await,
            Self::Create(options) => create::run(options, cx).await,
            Self::List(options) => list::run(options, cx).await,
            Self::Show(options) => show::run(options, cx).await,
            Self::Domain(options) => domain::run(options, cx).await,
            Self::Migrate(options) => migrate::run(options, cx).await,
            Self::Runs(options) => runs::run(options, cx).await,
            Self::Lint(options) => lint::run(options, cx),
            Self::Spare(options) => spare::run(options, cx).await,
            Self::Baseline(options) => baseline::run(options, cx).await,
            Self::Status(options) => status::run(options, cx).await,
            Self::Exec(options) => exec::run(options, cx).await,
            Self::Psql(options) => psql::run(options, cx).await,
            Self::Doctor(options) => doctor::run(options, cx).await,
            Self::Dev(options) => dev::run(options, cx).await,
            Self::Completions(options) => Ok(completions::run(options, cx)),
        }
    }
}

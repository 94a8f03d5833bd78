//! One file per command: its `Options`, as clap reads them, and `run`.
mod adopt;
mod archives;
mod baseline;
mod bypass;
mod clone;
mod completions;
mod create;
mod database;
mod delete;
mod dev;
mod doctor;
mod domain;
mod drain;
mod exec;
mod export;
mod import;
mod import_migrations;
mod init;
mod lint;
mod list;
mod migrate;
mod new;
mod psql;
mod purge;
mod rebalance;
mod release;
mod relocate;
mod rename;
mod resume;
mod runs;
mod set;
mod show;
mod spare;
mod status;
mod suspend;
mod undelete;
mod verify;

use clap::{Parser, Subcommand};

use crate::context::{Context, Finish, Global};

/// The help on one screen: what every command accepts stands with the commands.
const SCREEN: &str = "\
{about}
{usage-heading} {usage}

{subcommands}

Everywhere: --format json, --database-url URL, --config FILE, -v, -q, --color
Exit codes: 0 done, 1 failed, 2 usage, 3 finished with some tenants failed";

/// Operate a fleet of PostgreSQL tenant schemas
#[derive(Debug, Parser)]
#[command(name = "tenantry", version, max_term_width = 100, help_template = SCREEN)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::Options),
    Create(create::Options),
    Clone(clone::Options),
    Export(export::Options),
    Verify(verify::Options),
    Import(Box<import::Options>),
    List(list::Options),
    Show(show::Options),
    Set(set::Options),
    Suspend(suspend::Options),
    Resume(resume::Options),
    Bypass(bypass::Options),
    Domain(domain::Options),
    Adopt(adopt::Options),
    Move(relocate::Options),
    Release(release::Options),
    Rename(rename::Options),
    Delete(delete::Options),
    Undelete(undelete::Options),
    Purge(purge::Options),
    Archives(archives::Options),
    Database(database::Options),
    Drain(drain::Options),
    Rebalance(rebalance::Options),
    New(new::Options),
    ImportMigrations(import_migrations::Options),
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

impl Command {
    /// Returns true if it runs migrations.
    pub(crate) fn migrates(&self) -> bool {
        matches!(self, Self::Create(_) | Self::Import(_) | Self::Migrate(_) | Self::Spare(_))
    }

    /// Returns true if it shows what the server says to each statement.
    pub(crate) fn hears(&self) -> bool {
        matches!(self, Self::Exec(_))
    }

    /// The advice to whoever interrupts it. What only reads needs none, and long work has its own.
    pub(crate) fn hint_if_interrupted(&self) -> Option<&'static str> {
        match self {
            Self::Suspend(_)
            | Self::Resume(_)
            | Self::Release(_)
            | Self::Rename(_)
            | Self::Delete(_)
            | Self::Undelete(_) => Some("it was done completely or not at all: `tenantry show SLUG` tells"),
            _ => None,
        }
    }

    pub(crate) async fn run(self, cx: &mut Context) -> anyhow::Result<Finish> {
        match self {
            Self::Init(options) => init::run(options, cx).await,
            Self::Create(options) => create::run(options, cx).await,
            Self::Clone(options) => Box::pin(clone::run(options, cx)).await,
            Self::Export(options) => Box::pin(export::run(options, cx)).await,
            Self::Verify(options) => verify::run(options, cx).await,
            Self::Import(options) => Box::pin(import::run(*options, cx)).await,
            Self::List(options) => list::run(options, cx).await,
            Self::Show(options) => show::run(options, cx).await,
            Self::Set(options) => set::run(options, cx).await,
            Self::Suspend(options) => suspend::run(options, cx).await,
            Self::Resume(options) => resume::run(options, cx).await,
            Self::Bypass(options) => bypass::run(options, cx).await,
            Self::Domain(options) => domain::run(options, cx).await,
            Self::Adopt(options) => Box::pin(adopt::run(options, cx)).await,
            Self::Move(options) => Box::pin(relocate::run(options, cx)).await,
            Self::Release(options) => release::run(options, cx).await,
            Self::Rename(options) => rename::run(options, cx).await,
            Self::Delete(options) => delete::run(options, cx).await,
            Self::Undelete(options) => undelete::run(options, cx).await,
            Self::Purge(options) => purge::run(options, cx).await,
            Self::Archives(options) => archives::run(options, cx).await,
            Self::Database(options) => database::run(options, cx).await,
            Self::Drain(options) => drain::run(options, cx).await,
            Self::Rebalance(options) => rebalance::run(options, cx).await,
            Self::New(options) => new::run(options, cx),
            Self::ImportMigrations(options) => import_migrations::run(options, cx),
            Self::Migrate(options) => Box::pin(migrate::run(options, cx)).await,
            Self::Runs(options) => runs::run(options, cx).await,
            Self::Lint(options) => lint::run(options, cx),
            Self::Spare(options) => spare::run(options, cx).await,
            Self::Baseline(options) => baseline::run(options, cx).await,
            Self::Status(options) => status::run(options, cx).await,
            Self::Exec(options) => exec::run(options, cx).await,
            Self::Psql(options) => psql::run(options, cx).await,
            Self::Doctor(options) => doctor::run(options, cx).await,
            Self::Dev(options) => dev::run(options, cx).await,
            Self::Completions(options) => completions::run(options, cx),
        }
    }
}

//! The command line that operates a fleet of tenants.
//!
//! A command is a file in [`commands`]: its `Options`, as clap reads them, and `run`. What they share:
//!
//! * [`context`]: the flags of every command, where it prints to, how it ends.
//! * [`connect`]: from flags, environment and `tenantry.toml` to a database, the embedded one included.
//! * [`output`]: data on stdout, as a table or as JSON; everything else on stderr.
//! * [`failure`]: what went wrong, why, and what to do about it.
//! * [`alike`]: texts that say the same of each tenant.
//! * [`away`]: databases that do not answer, while the others do.
//! * [`backup`]: tenants exported into a place, with a catalogue.
//! * [`causes`]: equal failures, told once.
//! * [`input`]: text from a file or from stdin.
//! * [`interrupt`]: the wish of somebody outside that a command ends.
//! * [`fleet`]: all tenants, page by page.
//! * [`notices`]: what the server says beside its answers.
//! * [`order`]: a tenant to be made, as arguments or a line of a list give it.
//! * [`duration`]: spans of time, as they are typed.
//! * [`progress`]: a line about long work.
//! * [`pg_dump`]: PostgreSQL's own program, where it is new enough.
//! * [`visible`]: text that cannot steer the terminal.
//! * [`session_url`]: a URL whose sessions begin in the schema of a tenant.
//! * [`setting`]: settings of a tenant, as they are typed.
//! * [`slugs`]: the slugs that a shell offers.
//! * [`store`]: the place where archives are kept.
//! * [`usage`]: mistakes in the arguments, for programs.
//! * `man`: the man pages, in the tests only.
//!
//! What tenants are and how they are made and migrated is the library's work, not done here.
mod alike;
mod away;
mod backup;
mod causes;
mod commands;
mod connect;
mod context;
mod duration;
mod fail_point;
mod failure;
mod fleet;
mod input;
mod interrupt;
#[cfg(test)]
mod man;
mod notices;
mod order;
mod output;
mod pg_dump;
mod progress;
mod session_url;
mod setting;
mod slugs;
mod store;
mod usage;
mod visible;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use clap_complete::CompleteEnv;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::commands::{Cli, Command};
use crate::context::{Context, Finish, Global};
use crate::failure::Report;
use crate::interrupt::unless_interrupted;
use crate::notices::Notices;
use crate::output::{Format, Output, print_report};

#[tokio::main]
async fn main() -> ExitCode {
    // A shell that completes a line asks by a variable, and gets no further.
    CompleteEnv::with_factory(Cli::command).complete();
    let cli = Cli::try_parse().unwrap_or_else(|error| refuse(&error));
    anstream::ColorChoice::write_global(cli.global.color());
    if cli.global.quiet {
        output::be_quiet();
    }
    log_to_stderr(&cli.global, &cli.command);
    let mut cx = Context::new(cli.global);
    interrupt::listen();
    let hint = cli.command.hint_if_interrupted();
    let Ok(result) = unless_interrupted(Box::pin(cli.command.run(&mut cx))).await else {
        end_interrupted(&mut cx.output, hint)
    };
    cx.output.flush();
    match result {
        Ok(Finish::Done) => ExitCode::SUCCESS,
        Ok(Finish::SomeFailed) => ExitCode::from(3),
        Err(error) => {
            cx.output.failure(&error);
            ExitCode::from(failure::exit_code(&error))
        }
    }
}

/// Ends where a command was interrupted that does not end in a way of its own, whatever is still at work in the
/// background. The server ends a statement whose client is gone.
fn end_interrupted(output: &mut Output, hint: Option<&'static str>) -> ! {
    output.flush();
    let mut failure = interrupt::interrupted();
    if let Some(hint) = hint {
        failure = failure.with_hint(hint);
    }
    let failure = failure.into();
    output.failure(&failure);
    std::process::exit(failure::exit_code(&failure).into())
}

/// Ends with what clap says of the arguments, or with the help that was asked for. A URL among them stays untold.
fn refuse(error: &clap::Error) -> ! {
    let text = error.render();
    let told = failure::without_urls(&text.to_string());
    if error.use_stderr() && usage::wants_json(std::env::args_os()) {
        print_report(Format::Json, &Report::of(&usage::failure_of(&told)));
        std::process::exit(error.exit_code())
    }
    if !error.use_stderr() || told == text.to_string() {
        error.exit();
    }
    let _ = anstream::stderr().write_all(told.as_bytes());
    std::process::exit(error.exit_code())
}

/// Shows the library's log with `-v` only: whatever a user must know is in the output or the error. What the
/// server says of migrations is shown without it, too, and what it says of statements is part of their answer.
fn log_to_stderr(global: &Global, command: &Command) {
    let level = match global.verbose {
        0 => LevelFilter::OFF,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let is_shown = command.migrates() && level == LevelFilter::OFF && !global.quiet;
    let notices = (is_shown || command.hears()).then(|| {
        let notices = Notices::shown_as(is_shown.then_some(global.format));
        notices.with_filter(filter_fn(Notices::are_in))
    });
    let is_coloured = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    let log = tracing_subscriber::fmt::layer().with_ansi(is_coloured).with_writer(std::io::stderr);
    tracing_subscriber::registry().with(notices).with(log.with_filter(level)).init();
}

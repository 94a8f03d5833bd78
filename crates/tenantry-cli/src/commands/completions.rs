//! Prints a completion script.
use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, Context, Finish};

/// Print the completion script of a shell
#[derive(Debug, clap::Args)]
#[command(
    after_help = "For bash: tenantry completions bash > ~/.local/share/bash-completion/completions/tenantry"
)]
pub(crate) struct Options {
    shell: Shell,
}

pub(crate) fn run(options: Options, cx: &mut Context) -> Finish {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "tenantry", &mut script);
    cx.output.text(&String::from_utf8_lossy(&script));
    Finish::Done
}

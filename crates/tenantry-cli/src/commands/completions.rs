//! Prints a completion script.
use clap_complete::Shell;

use crate::context::{Context, Finish};

/// Print the completion script of a shell
#[derive(Debug, clap::Args)]
#[command(
    after_help = "For bash: tenantry completions bash > ~/.local/share/bash-completion/completions/tenantry"
)]
pub(crate) struct Options {
    shell: Shell,
}

pub(crate) fn run(options: Options, mut cli: clap::Command, cx: &mut Context) -> Finish {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut cli, "tenantry", &mut script);
    cx.output.text(&String::from_utf8_lossy(&script));
    Finish::Done
}

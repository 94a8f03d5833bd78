//! Prints a completion script.
use clap_complete::Shell;
use clap_complete::env::Shells;

use crate::context::{Context, Finish};
use crate::failure::Failure;

/// Print the completion script of a shell
///
/// The script asks this program for what fits: commands, options, and the slugs of tenants, of the database that the
/// options of your line, the environment or `tenantry.toml` name.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "For bash: tenantry completions bash > ~/.local/share/bash-completion/completions/tenantry"
)]
pub(crate) struct Options {
    shell: Shell,
}

pub(crate) fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    let name = options.shell.to_string();
    let shells = Shells::builtins();
    let shell = shells.completer(&name).ok_or_else(|| Failure::usage(format!("{name} is not known")))?;
    let mut script = Vec::new();
    shell.write_registration("COMPLETE", "tenantry", "tenantry", "tenantry", &mut script)?;
    cx.output.text(&String::from_utf8_lossy(&script));
    Ok(Finish::Done)
}

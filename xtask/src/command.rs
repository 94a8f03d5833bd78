//! Running other programs, and the reason why one of them failed.

use std::{
    env, fmt, io,
    path::Path,
    process::{Command, ExitStatus, Stdio},
};

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Chooses the packages of the gate. What is left out has a command of its own.
pub(crate) const IN_GATE: &str = "--workspace --exclude jobs";

/// A message, and the way to mend what it says.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Makes the closure that turns an [`io::Error`] into a failure: `.map_err(Failure::to("read the list"))`.
    pub(crate) fn to(action: impl fmt::Display) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::new(format!("cannot {action}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

/// The folder of the checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// A command of a program and its arguments, in the root of the checkout and without standard input.
pub(crate) fn command(line: &str) -> Command {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).current_dir(root()).stdin(Stdio::null());
    // cargo tells about this package. Build scripts that read it would be run again for a test started by hand.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

/// A command of cargo.
pub(crate) fn cargo(line: &str) -> Command {
    command(&format!("cargo {line}"))
}

/// Runs a command to its end and expects success.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().map_err(Failure::to(format!("run `{}`", shown(command))))?;
    expect_success(command, status)
}

/// Runs a command to its end, and gives what it printed to standard output.
pub(crate) fn output_of(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.map_err(Failure::to(format!("run `{}`", shown(command))))?;
    expect_success(command, output.status)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command in silence; returns true if it succeeds.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn expect_success(command: &Command, status: ExitStatus) -> Result<()> {
    if status.success() { Ok(()) } else { Err(Failure::new(format!("`{}`: {status}", shown(command)))) }
}

fn shown(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

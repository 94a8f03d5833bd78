//! The programs of PostgreSQL, which others use for what a case does.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use tenantry_embedded::Binaries;

/// Returns what `pg_dump` says with these arguments, as the library asks for it.
pub(crate) fn dumped(url: &str, arguments: &[String]) -> Result<String> {
    let output = program("pg_dump")?.args(arguments).arg("--dbname").arg(url).output()?;
    ensure!(output.status.success(), "pg_dump failed");
    Ok(String::from_utf8(output.stdout)?)
}

/// Writes a schema into a file, as a backup of it.
pub(crate) fn dump_into(file: &Path, url: &str, schema: &str, options: &[&str]) -> Result<()> {
    let mut pg_dump = program("pg_dump")?;
    let done = pg_dump.args(["-Fc", "-n", schema, "-f"]).arg(file).args(options).arg(url).status();
    ensure!(done.context("there is no pg_dump")?.success(), "pg_dump failed");
    Ok(())
}

/// Makes of such a file what it says, in one transaction.
pub(crate) fn restore(file: &Path, url: &str, options: &[&str]) -> Result<()> {
    let mut pg_restore = program("pg_restore")?;
    let done = pg_restore.args(["-1", "-d", url]).args(options).arg(file).stdout(Stdio::null()).status();
    ensure!(done.context("there is no pg_restore")?.success(), "pg_restore failed");
    Ok(())
}

/// A file of this process.
pub(crate) fn dump_file() -> PathBuf {
    std::env::temp_dir().join(format!("tenantry-bench-{}.dump", std::process::id()))
}

fn program(name: &str) -> Result<Command> {
    Ok(Command::new(Binaries::find()?.directory().join(name)))
}

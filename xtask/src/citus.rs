//! The suite for Citus, on a real cluster. The gate runs it on an emulation, which proves less.

use crate::command::{Result, cargo, run};

const SUITE: &str = "test -p tenantry --test it citus::the_suite_passes";

/// Says that nothing was shown: a suite that did not run has not passed.
#[expect(clippy::unnecessary_wraps, reason = "a command, like the others")]
pub(crate) fn skip() -> Result<()> {
    println!("citus: SKIPPED, because no cluster is named; `--url` names a database on its coordinator");
    Ok(())
}

/// Runs it. The database is to be a new one, with the nodes added, and its owner need not be a superuser.
pub(crate) fn conform(url: &str) -> Result<()> {
    run(cargo(SUITE).env("TENANTRY_CITUS_URL", url))?;
    println!("citus: passed on the cluster that was named");
    Ok(())
}

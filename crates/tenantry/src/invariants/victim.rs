//! Processes that die at a moment of their work.

use std::process::Command;

use crate::fail_point::FailPoint;

/// A process that runs one test of this crate, and dies at that moment. What the test wants to know is for the caller
/// to add, as variables.
pub(super) fn victim_at(test: &str, point: FailPoint) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env("TENANTRY_DIE_AT", point.name());
    command
}

/// Has it die there, or fails the test.
pub(super) fn dies(victim: &mut Command) {
    let output = victim.output().unwrap();
    assert!(!output.status.success(), "the moment was not reached: {victim:?}");
    assert!(output.status.code().is_none(), "it died of something else: {victim:?}: {output:?}");
}

//! The gate: everything a change must pass, on a clean checkout, as root, on two cores.
//!
//! It needs the Rust toolchain with rustfmt and clippy, and package registries; it installs the rest.

use std::{num::NonZeroUsize, thread, time::Instant};

use crate::{
    command::{Failure, IN_GATE, Result, cargo, run, succeeds},
    guards, packages, remains, setup,
};

/// The steps that have passed, with how long each took.
struct Gate {
    started: Instant,
    passed: Vec<String>,
}

impl Gate {
    fn step(&mut self, name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let begun = Instant::now();
        println!("=== {name}");
        work()?;
        let took = format!("{name} {} s", begun.elapsed().as_secs());
        println!("=== {took}");
        self.passed.push(took);
        Ok(())
    }

    fn cargo(&mut self, name: &str, line: &str) -> Result<()> {
        self.step(name, || run(&mut cargo(line)))
    }
}

/// Runs every step, and ends at the first that fails.
pub(crate) fn pass() -> Result<()> {
    let mut gate = Gate { started: Instant::now(), passed: Vec::new() };
    gate.step("tools", tools)?;
    // Other servers on this machine are none of our business.
    let before = remains::remains()?;
    gate.cargo("format", "fmt --all --check")?;
    gate.cargo("clippy", &format!("clippy {IN_GATE} --all-targets --all-features -- -D warnings"))?;
    gate.cargo("clippy without features", "clippy -p tenantry --no-default-features -- -D warnings")?;
    // Of what is published: the other packages say `doc = false`. All are chosen, so that nothing is compiled anew.
    let documentation = format!("doc {IN_GATE} --no-deps --all-features");
    gate.step("documentation", || run(cargo(&documentation).env("RUSTDOCFLAGS", "-D warnings")))?;
    // The features of all these packages here and below, so that everything is built once.
    gate.step("tests", tests)?;
    gate.step("packages", packages::package)?;
    if succeeds(&mut cargo("deny --version")) {
        // Advisories need a network; the other checks do not.
        gate.cargo("licences and sources", "deny --offline check bans licenses sources")?;
    }
    gate.step("guards", || guards::check(&[]))?;
    gate.step("nothing left behind", || remains::expect_nothing_but(&before))?;
    println!("ci: passed in {} s: {}", gate.started.elapsed().as_secs(), gate.passed.join(", "));
    Ok(())
}

fn tools() -> Result<()> {
    for component in ["fmt", "clippy"] {
        if !succeeds(&mut cargo(&format!("{component} --version"))) {
            let hint = "run `rustup component add rustfmt clippy`";
            return Err(Failure::new(format!("there is no `cargo {component}`")).with_hint(hint));
        }
    }
    setup::setup()
}

/// One test more than there are processors runs at a time, because some do nothing but wait for a limit to pass.
fn tests() -> Result<()> {
    let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    run(cargo(&format!("test {IN_GATE}")).env("RUST_TEST_THREADS", (processors + 1).to_string()))
}

/// The example of jobs, which runs two queues: they bring 51 packages, and minutes to build them.
pub(crate) fn jobs() -> Result<()> {
    setup::setup()?;
    run(&mut cargo("clippy -p jobs --all-targets -- -D warnings"))?;
    run(&mut cargo("test -p jobs"))
}

/// The example on Loco, which is no member of the workspace: Loco brings 400 packages.
pub(crate) fn loco() -> Result<()> {
    setup::setup()?;
    let there = "--manifest-path examples/loco/Cargo.toml";
    run(&mut cargo(&format!("fmt {there} --package notebook --package migration --check")))?;
    run(&mut cargo(&format!("clippy {there} --workspace --all-targets -- -D warnings")))?;
    run(&mut cargo(&format!("test {there} --workspace")))
}

/// An example with a workspace of its own, because of the packages that it brings.
pub(crate) fn example(folder: &str) -> Result<()> {
    setup::setup()?;
    let there = format!("--manifest-path examples/{folder}/Cargo.toml");
    run(&mut cargo(&format!("fmt {there} --check")))?;
    let there = format!("{there} --target-dir target/examples");
    run(&mut cargo(&format!("clippy {there} --all-targets --no-deps -- -D warnings")))?;
    run(&mut cargo(&format!("test {there}")))
}

/// The longest form of the chaos test: 200 tenants and a million checkouts, which takes the better part of an hour.
/// Before it, two processes behind a pooler read ten times more than in the gate.
pub(crate) fn torture() -> Result<()> {
    setup::setup()?;
    run(cargo("test --workspace --test it pooler::traffic").env("TENANTRY_TRAFFIC_READS", "200000"))?;
    run(cargo("test --workspace --lib chaos -- --nocapture")
        .env("TENANTRY_CHAOS_CHECKOUTS", "1000000")
        .env("TENANTRY_CHAOS_TENANTS", "200"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::command::output_of;

    /// Every crate with the features that it is compiled with, along these dependencies.
    fn compiled(edges: &str) -> BTreeSet<String> {
        let line = format!("tree {IN_GATE} --all-features --offline --edges {edges} --prefix none");
        let tree =
            output_of(cargo(&line).args(["--format", "{p} {f}"])).unwrap_or_else(|error| panic!("{error}"));
        tree.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
    }

    #[test]
    fn the_documentation_needs_nothing_compiled_that_the_tests_do_not() {
        let (documentation, tests) = (compiled("normal,build"), compiled("normal,build,dev"));
        let more: Vec<_> = documentation.difference(&tests).collect();
        assert!(more.is_empty(), "have `docs` depend on these with the features of tests: {more:#?}");
    }
}

//! The gate: everything a change must pass, on a clean checkout, as root, on two cores.
//!
//! It needs the Rust toolchain with rustfmt and clippy, and package registries; it installs the rest.

use std::{env, ops::RangeInclusive, path::PathBuf, time::Instant};

use crate::{
    command::{Failure, Result, cargo, run, succeeds},
    guards, remains,
    search::{Version, folders_of_postgresql},
    setup,
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
    gate.cargo("clippy", "clippy --workspace --all-targets --all-features -- -D warnings")?;
    gate.cargo("clippy without features", "clippy -p tenantry --no-default-features -- -D warnings")?;
    gate.step("documentation", documentation)?;
    // The features of the whole workspace here and below, so that the dependencies are built once.
    gate.cargo("tests", "test --workspace")?;
    gate.cargo("metrics", "test --workspace --features tenantry/metrics --test metrics")?;
    let private = "--exclude notes --exclude bench --exclude docs --exclude xtask";
    gate.cargo("packages", &format!("package --workspace {private} --no-verify --allow-dirty"))?;
    if succeeds(&mut cargo("deny --version")) {
        // Advisories need a network; the other checks do not.
        gate.cargo("licences and sources", "deny --offline check bans licenses sources")?;
    }
    gate.step("guards", || guards::check(&[]))?;
    gate.step("chaos", chaos)?;
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

fn documentation() -> Result<()> {
    run(cargo("doc --workspace --no-deps --all-features").env("RUSTDOCFLAGS", "-D warnings"))
}

fn chaos() -> Result<()> {
    run(cargo("test --workspace --lib chaos -- --nocapture").env("TENANTRY_CHAOS_CHECKOUTS", "100000"))
}

/// The long form of the chaos test: 200 tenants and a million checkouts, which takes the better part of an hour.
pub(crate) fn torture() -> Result<()> {
    setup::setup()?;
    run(cargo("test --workspace --lib chaos -- --nocapture")
        .env("TENANTRY_CHAOS_CHECKOUTS", "1000000")
        .env("TENANTRY_CHAOS_TENANTS", "200"))
}

/// Runs the tests on each of these major versions of PostgreSQL, and tells at the end which failed.
pub(crate) fn matrix(versions: &str) -> Result<()> {
    setup::setup()?;
    let mut failed = Vec::new();
    for major in majors(versions)? {
        let folder = folder_of(major)?;
        println!("=== PostgreSQL {major} in {}", folder.display());
        if run(cargo("test --workspace --no-fail-fast").env("TENANTRY_PG_BIN", &folder)).is_err() {
            failed.push(major.to_string());
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("the tests failed on PostgreSQL {}", failed.join(", "))))
}

/// Reads `16`, or `14..18` with both ends.
fn majors(versions: &str) -> Result<RangeInclusive<u32>> {
    let (first, last) = versions.split_once("..").unwrap_or((versions, versions));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok(first..=last),
        _ => Err(Failure::new(format!("`{versions}` is no version of PostgreSQL and no range of them"))
            .with_hint("write `16` or `14..18`")),
    }
}

/// The programs of a version: where packages put them, or below the folder that `TENANTRY_PG_FOLDERS` names, in
/// `14/bin` and so on.
fn folder_of(major: u32) -> Result<PathBuf> {
    let named = env::var_os("TENANTRY_PG_FOLDERS").map(PathBuf::from);
    let named = named.map(|folder| folder.join(major.to_string()).join("bin"));
    let is_it = |folder: &PathBuf| {
        Version::of(&folder.join("postgres")).is_some_and(|version| version.major == major)
    };
    named.into_iter().chain(folders_of_postgresql()).find(is_it).ok_or_else(|| {
        Failure::new(format!("there is no PostgreSQL {major} on this machine")).with_hint(
            "install it, or name the folder that holds `14/bin`, `15/bin`, … in `TENANTRY_PG_FOLDERS`",
        )
    })
}

//! The rules of the house that neither the compiler, rustfmt nor clippy holds.
//!
//! Every source file is parsed once, into the facts that the rules ask for; no server is needed. A rule is a
//! function from facts to findings, one file each: it is first shown to find a small mistake, then run over
//! the sources of all packages.

mod circles;
mod documents;
mod facts;
mod features;
mod files;
mod names;
mod order;
mod paths;
mod registry;
mod source;
mod sqlstate;
mod text;
mod voice;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use self::source::Source;

/// The sources of each package, by its folder as seen from the workspace: `crates/tenantry`.
static PACKAGES: LazyLock<BTreeMap<PathBuf, Vec<Source>>> = LazyLock::new(|| {
    let root = workspace().unwrap_or_else(library);
    let folders = package_folders().into_iter().map(|folder| {
        let name = folder.strip_prefix(&root).unwrap_or(&folder).to_owned();
        (name, source::read(&folder))
    });
    folders.collect()
});

fn library() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The checkout around the library. A published package has none.
fn workspace() -> Option<PathBuf> {
    let root = library().ancestors().nth(2)?.to_owned();
    root.join("crates/tenantry").is_dir().then_some(root)
}

/// The library, and every package beside it.
fn package_folders() -> Vec<PathBuf> {
    let Some(root) = workspace() else { return vec![library()] };
    let parents = [root.join("crates"), root.join("examples"), root];
    let entries = parents.iter().filter_map(|parent| fs::read_dir(parent).ok()).flatten().flatten();
    let folders = entries.map(|entry| entry.path());
    folders.filter(|folder| folder.join("Cargo.toml").is_file()).collect()
}

fn sources_of_library() -> &'static [Source] {
    let name = if workspace().is_some() { Path::new("crates/tenantry") } else { Path::new("") };
    &PACKAGES[name]
}

/// Runs a rule over every package and fails with all it finds.
#[track_caller]
fn check_packages(rule: impl Fn(&[Source]) -> Vec<String>) {
    let findings = PACKAGES.iter().flat_map(|(package, sources)| {
        let found = rule(sources);
        found.into_iter().map(|finding| package.join(finding).display().to_string())
    });
    assert_none(&findings.collect::<Vec<_>>());
}

#[track_caller]
fn assert_none(findings: &[String]) {
    assert!(findings.is_empty(), "{} found:\n{}\n", findings.len(), findings.join("\n"));
}

/// Fails unless a rule finds `expect` mistakes in one file.
#[track_caller]
fn check(rule: impl Fn(&Source) -> Vec<String>, text: &str, expect: usize) {
    let findings = rule(&Source::new("src/a.rs", text));
    assert_eq!(findings.len(), expect, "{text}\n{findings:?}");
}

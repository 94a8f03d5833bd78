//! The documents as a whole: their links, and that no block is left to chance.

use std::collections::BTreeSet;
use std::path::Path;

use docs::{anchors, blocks, links, pages, read, root};

/// The documents at the root, and in the folders of the packages.
const DOCUMENTS: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "DESIGN.md",
    "INVARIANTS.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "crates/tenantry/README.md",
    "crates/tenantry-actix/README.md",
    "crates/tenantry-cli/README.md",
    "crates/tenantry-embedded/README.md",
];
/// The languages of blocks, and the tests that run them. Those of Rust are in the tests word for word, or else in an
/// example that has tests of its own.
const RUN_HERE: &[&str] = &["sql", "toml", "python", "dockerfile", "yaml", "rust"];
const TYPED_BY_THE_COMMAND_LINES_TESTS: &[&str] = &["sh", "console"];

fn documents() -> Vec<String> {
    DOCUMENTS.iter().map(|path| (*path).to_owned()).chain(pages()).collect()
}

#[track_caller]
fn assert_none(findings: &[String]) {
    assert!(findings.is_empty(), "{} found:\n{}\n", findings.len(), findings.join("\n"));
}

/// Finds out whether a link inside the repository leads nowhere.
fn dead_end(document: &str, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let folder = Path::new(document).parent().unwrap_or(Path::new(""));
    let target = if file.is_empty() { Path::new(document).to_owned() } else { folder.join(file) };
    if !root().join(&target).exists() {
        return Some(format!("{document}: `{link}`: there is no such file"));
    }
    let anchor = anchor?;
    let is_there = anchors(&read(&target.to_string_lossy())).iter().any(|known| known == anchor);
    (!is_there).then(|| format!("{document}: `{link}`: there is no such heading"))
}

#[test]
fn every_link_leads_somewhere() {
    let of = |document: &String| {
        let text = read(document);
        links(&text).into_iter().filter_map(|link| dead_end(document, link)).collect::<Vec<_>>()
    };
    assert_none(&documents().iter().flat_map(of).collect::<Vec<_>>());
    assert!(dead_end("docs/README.md", "nowhere.md").is_some());
    assert!(dead_end("docs/README.md", "../README.md#nowhere").is_some());
}

#[test]
fn every_page_is_in_the_index() {
    let index = read("docs/README.md");
    let listed: BTreeSet<_> = links(&index).into_iter().map(|link| format!("docs/{link}")).collect();
    let missing = pages().into_iter().filter(|page| page != "docs/README.md" && !listed.contains(page));
    assert_none(&missing.collect::<Vec<_>>());
}

/// The tests of a page: `docs/other-languages.md` is tested by `other_languages.rs`.
fn tests_of(page: &str) -> String {
    let name = page.trim_start_matches("docs/").trim_end_matches(".md").replace('-', "_");
    std::fs::read_to_string(root().join(format!("docs/tests/it/{name}.rs"))).unwrap_or_default()
}

#[test]
fn every_block_of_a_page_is_run_by_a_test() {
    let mut findings = Vec::new();
    for page in pages() {
        let tests = tests_of(&page);
        for block in blocks(&read(&page)) {
            let language = block.language.as_str();
            let is_run = match language {
                "rust" if tests.contains(&block.text) => true,
                _ if RUN_HERE.contains(&language) => {
                    tests.contains(&format!("blocks_of(PAGE, \"{language}\")"))
                }
                _ => TYPED_BY_THE_COMMAND_LINES_TESTS.contains(&language),
            };
            if !is_run {
                findings.push(format!("{page}: no test runs this block of {language}:\n{}", block.text));
            }
        }
    }
    assert_none(&findings);
}

/// The README's only example is compiled with the library, whose README shows the same.
#[test]
fn the_readme_has_blocks_of_rust_and_of_commands_only() {
    let languages: Vec<_> = blocks(&read("README.md")).into_iter().map(|block| block.language).collect();
    assert!(languages.iter().all(|it| it == "rust" || it == "sh"), "{languages:?}");
}

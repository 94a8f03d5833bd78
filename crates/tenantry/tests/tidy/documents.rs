//! The documents speak of what there is, in lines that can be read beside each other.

use std::fs;
use std::path::{Path, PathBuf};

use super::source::Source;
use super::text::untidy_lines;
use super::{assert_none, sources_of_library, workspace};

const LONGEST_LINE: usize = 160;
/// The most lines that a document may have.
const LENGTHS: &[(&str, usize)] = &[("README.md", 180), ("ARCHITECTURE.md", 180)];

/// Every document of the checkout, but for what is built or hidden.
fn documents(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let (mut documents, mut folders) = (Vec::new(), Vec::new());
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            folders.push(path);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            documents.push(path);
        }
    }
    documents.extend(folders.iter().flat_map(|folder| self::documents(folder)));
    documents.sort();
    documents
}

/// Finds the lines that are too long. A row of a table cannot be wrapped.
fn long_lines(text: &str) -> Vec<usize> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('|'));
    lines.filter(|(_, line)| line.chars().count() > LONGEST_LINE).map(|(index, _)| index + 1).collect()
}

/// The tests that a text names by module and function: `it::find::a_warm_cache_asks_nothing`.
fn named_tests<'a>(text: &'a str, sources: &[Source]) -> Vec<&'a str> {
    let is_path = |quoted: &&str| quoted.chars().all(|it| it.is_ascii_lowercase() || "_:".contains(it));
    let is_module =
        |name: &str| sources.iter().any(|source| place(source).first().is_some_and(|it| it == name));
    let is_test = |quoted: &&str| {
        let first = quoted.split("::").next().is_some_and(is_module);
        // A test's name is a sentence.
        first && quoted.rsplit("::").next().is_some_and(|last| last.matches('_').count() > 1)
    };
    text.split('`').filter(is_path).filter(|quoted| quoted.contains("::")).filter(is_test).collect()
}

/// The path by which `cargo test` knows the tests of a file, led by the name of the binary.
fn place(source: &Source) -> Vec<String> {
    let root = source.root();
    let binary = root.strip_prefix("tests").ok().map(|name| name.display().to_string());
    binary.into_iter().chain(source.module()).collect()
}

fn has_test(name: &str, sources: &[Source]) -> bool {
    let Some((path, function)) = name.rsplit_once("::") else { return false };
    let places = [path, path.strip_suffix("::tests").unwrap_or(path)];
    let mut files = sources.iter().filter(|source| places.contains(&place(source).join("::").as_str()));
    files.any(|source| source.text.contains(&format!("fn {function}(")))
}

/// The blocks of Rust in a document.
fn rust_blocks(text: &str) -> Vec<&str> {
    let blocks = text.split("```").skip(1).step_by(2);
    blocks.filter(|block| block.starts_with("rust")).collect()
}

#[test]
fn the_documents_speak_of_what_there_is() {
    let Some(root) = workspace() else { return };
    let sources = sources_of_library();
    let mut findings = Vec::new();
    for file in documents(&root) {
        let text = fs::read_to_string(&file).expect("a document that was just listed");
        let document = file.strip_prefix(&root).expect("a document of the checkout");
        let mut report = |message: String| findings.push(format!("{}: {message}", document.display()));
        for name in named_tests(&text, sources) {
            if !has_test(name, sources) {
                report(format!("there is no test `{name}`"));
            }
        }
        for line in long_lines(&text) {
            report(format!("line {line} has more than {LONGEST_LINE} characters and is in no table"));
        }
        let lines = text.lines().count();
        for (_, most) in LENGTHS.iter().filter(|(name, most)| document == Path::new(name) && lines > *most) {
            report(format!("{lines} lines, at most {most} are allowed"));
        }
        findings.extend(untidy_lines(document, &text));
    }
    assert_none(&findings);
}

#[test]
fn every_document_is_found() {
    let Some(root) = workspace() else { return };
    let found = documents(&root);
    for name in
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "crates/tenantry/README.md"]
    {
        assert!(found.contains(&root.join(name)), "{name} is not among {found:?}");
    }
}

#[test]
fn both_readmes_show_one_example() {
    let Some(root) = workspace() else { return };
    let read = |file| fs::read_to_string(root.join(file)).unwrap_or_default();
    let (outer, inner) = (read("README.md"), read("crates/tenantry/README.md"));
    assert_eq!(rust_blocks(&outer).len(), 1);
    assert_eq!(rust_blocks(&outer), rust_blocks(&inner), "the compiled one is the one in the crate");
}

#[test]
fn a_document_that_errs_is_found() {
    assert_eq!(rust_blocks("```sh\nx\n```\n```rust\ny\n```"), ["rust\ny\n"]);
    let long = "x".repeat(LONGEST_LINE + 1);
    assert_eq!(long_lines(&format!("# a\n{long}\n| {long} |\n{}", &long[1..])), [2]);
}

#[test]
fn a_test_that_is_named_and_missing_is_found() {
    let sources = [
        Source::new("src/pool/kept.rs", "mod tests { fn a_is_b() {} }"),
        Source::new("tests/it/runs.rs", "async fn c_is_d() {}"),
    ];
    let text =
        "`pool::kept::tests::a_is_b`, `it::runs::c_is_d`, `it::runs::e_is_f`, `pool::Lease`, `std::a_b_c`";
    let named = named_tests(text, &sources);
    assert_eq!(named, ["pool::kept::tests::a_is_b", "it::runs::c_is_d", "it::runs::e_is_f"]);
    let missing: Vec<_> = named.into_iter().filter(|name| !has_test(name, &sources)).collect();
    assert_eq!(missing, ["it::runs::e_is_f"]);
}

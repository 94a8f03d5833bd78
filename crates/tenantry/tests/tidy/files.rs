//! Every file is declared by a `mod`, says what it is, and has a name that does.

use std::path::PathBuf;

use super::check_packages;
use super::source::{Source, declarations, mark_tests};

/// File names that do not say what is in the file.
const EMPTY_NAMES: &[&str] = &["utils", "common", "helpers", "manager"];

fn dead(sources: &[Source]) -> Vec<String> {
    let below = sources.iter().filter(|source| !source.module().is_empty());
    let dead = below.filter(|source| declarations(sources, source).next().is_none());
    dead.map(|source| source.at(1, "no `mod` declares this file")).collect()
}

/// A front page explains its folder. Any other file explains itself, or the first thing it offers does.
fn undocumented(source: &Source) -> Option<String> {
    if source.facts.has_preface {
        None
    } else if source.is_front_page() {
        Some(source.at(1, "a front page begins with `//!`"))
    } else {
        let is_told = source.is_test || source.facts.is_item_documented;
        (!is_told).then(|| source.at(1, "the file has no `//!`, and its first item no `///`"))
    }
}

fn badly_named(source: &Source) -> Option<String> {
    let module = source.module();
    let empty = module.iter().find(|name| EMPTY_NAMES.contains(&name.as_str()))?;
    Some(source.at(1, &format!("`{empty}` does not say what is inside")))
}

#[test]
fn every_file_is_declared() {
    check_packages(dead);
}

#[test]
fn every_file_says_what_it_is() {
    check_packages(|sources| sources.iter().filter_map(undocumented).collect());
}

#[test]
fn every_file_has_a_name_that_says_something() {
    check_packages(|sources| sources.iter().filter_map(badly_named).collect());
}

#[test]
fn a_dead_file_is_found() {
    let mut sources = [
        Source::new("src/lib.rs", "mod a;\nmod b { fn f() {} }\n// mod dead;\n#[cfg(test)]\nmod probe;"),
        Source::new("src/a.rs", "pub mod deep;"),
        Source::new("src/a/deep.rs", ""),
        Source::new("src/dead.rs", ""),
        Source::new("src/bin/tool.rs", ""),
        Source::new("src/probe/mod.rs", "mod inner;"),
        Source::new("src/probe/inner.rs", ""),
        Source::new("tests/it/main.rs", "mod case;"),
        Source::new("tests/it/case.rs", ""),
    ];
    assert_eq!(dead(&sources), ["src/dead.rs:1: no `mod` declares this file"]);
    mark_tests(&mut sources);
    let tests: Vec<_> = sources.iter().filter(|source| source.is_test).map(|it| it.path.clone()).collect();
    assert_eq!(tests.len(), 4, "{tests:?}");
    assert!(tests.contains(&PathBuf::from("src/probe/inner.rs")), "a test module's own modules are tests");
}

#[test]
fn a_file_without_documentation_is_found() {
    #[track_caller]
    fn check(path: &str, text: &str, is_documented: bool) {
        assert_eq!(undocumented(&Source::new(path, text)).is_none(), is_documented, "{text}");
    }
    check("src/pool/mod.rs", "//! Connections.\nmod a;", true);
    check("src/pool/mod.rs", "/// A thing.\npub struct Thing;", false);
    check("src/slug.rs", "use x;\nconst N: u8 = 1;\n/// A slug.\n#[derive(Debug)]\npub struct Slug;", true);
    check("src/slug.rs", "use x;\n\npub struct Slug;\n\n/// Another.\npub struct Other;", false);
    check("src/slug.rs", "use x;\n\n/// Private, but explained.\nfn f() {}", true);
    check("src/slug.rs", "use x;", false);
}

#[test]
fn an_empty_name_is_found() {
    assert!(badly_named(&Source::new("src/pool/utils.rs", "")).is_some());
    assert!(badly_named(&Source::new("src/helpers/mod.rs", "")).is_some());
    assert!(badly_named(&Source::new("src/pool/lease.rs", "")).is_none());
}

//! A feature chooses modules, imports, items and fields. A body of code is the same in every build.

use std::path::Path;

use super::source::Source;
use super::{assert_none, check, sources_of_library};

/// The files that may not keep to it yet. One that does is reported.
const EXCEPTIONS: &[&str] = &["src/pool/counters.rs", "src/pool/databases.rs", "src/pool/lease.rs"];

fn switches(source: &Source) -> Vec<String> {
    let lines = if source.is_test { &[] } else { source.facts.switches.as_slice() };
    lines.iter().map(|line| source.at(*line, "`cfg(feature)` inside a body")).collect()
}

#[test]
fn features_choose_items_and_not_statements() {
    let mut findings = Vec::new();
    for source in sources_of_library() {
        let found = switches(source);
        match EXCEPTIONS.iter().any(|known| source.path == Path::new(known)) {
            true if found.is_empty() => findings.push(source.at(1, "is no exception any more")),
            true => {}
            false => findings.extend(found),
        }
    }
    assert_none(&findings);
}

#[test]
fn a_feature_in_a_body_is_found() {
    check(switches, "fn f() { #[cfg(feature = \"a\")] g(); }", 1);
    check(switches, "fn f() -> S { S { #[cfg(all(unix, not(feature = \"a\")))] x: 1 } }", 1);
    check(switches, "fn f() { if cfg!(feature = \"a\") {} }", 1);
    check(switches, "macro_rules! m { () => { #[cfg(feature = \"a\")] g(); } }", 1);
    check(switches, "#[cfg(feature = \"a\")] mod x; struct S { #[cfg(feature = \"a\")] x: u8 }", 0);
    check(switches, "impl S { #[cfg(feature = \"a\")] fn f() {} }", 0);
    check(switches, "fn f() { if cfg!(unix) {} #[cfg(test)] g(); }", 0);
    check(switches, "#[cfg(test)]\nmod tests { fn f() { #[cfg(feature = \"a\")] g(); } }", 0);
}

//! A feature chooses modules, imports, items and fields. A body of code is the same in every build.

use super::source::Source;
use super::{check, check_packages};

fn switches(source: &Source) -> Vec<String> {
    let lines = if source.is_test { &[] } else { source.facts.switches.as_slice() };
    lines.iter().map(|line| source.at(*line, "`cfg(feature)` inside a body")).collect()
}

#[test]
fn features_choose_items_and_not_statements() {
    check_packages(|sources| sources.iter().flat_map(switches).collect());
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

//! Lines are short, without tabs, promise nothing for later and skip no test.

use std::path::Path;

use super::source::Source;
use super::{check, check_packages};

const LONGEST_LINE: usize = 120;
// Joined here, or this file would hold them itself.
const FORBIDDEN: &[&str] = &[concat!("FIX", "ME"), concat!("TO", "DO")];

/// Finds what no text of the project may have, be it Rust or prose.
pub(crate) fn untidy_lines(path: &Path, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut report =
            |message: &str| findings.push(format!("{}:{}: {message}", path.display(), index + 1));
        if line.contains('\t') {
            report("a tab");
        }
        if line.ends_with(char::is_whitespace) {
            report("white space at the end");
        }
        for word in FORBIDDEN.iter().filter(|word| line.contains(**word)) {
            report(&format!("`{word}`"));
        }
    }
    findings
}

fn untidy(source: &Source) -> Vec<String> {
    let lines = source.text.lines().enumerate();
    let long = lines.filter(|(_, line)| line.chars().count() > LONGEST_LINE);
    let long = long.map(|(index, _)| source.at(index + 1, "a line of more than 120 characters"));
    let skipped = source.facts.skipped.iter().map(|line| source.at(*line, "`#[ignore]`"));
    untidy_lines(&source.path, &source.text).into_iter().chain(long).chain(skipped).collect()
}

#[test]
fn the_text_is_tidy() {
    check_packages(|sources| sources.iter().flat_map(untidy).collect());
}

#[test]
fn untidy_text_is_found() {
    check(untidy, "/*\nc\td\nd \ne\r\nfine*/", 2);
    check(untidy, concat!("// FIX", "ME: later\n// TO", "DO"), 2);
    check(untidy, &format!("//{}", "ä".repeat(119)), 1);
    check(untidy, &format!("//{}", "ä".repeat(118)), 0);
    check(untidy, "#[ignore]\nfn a() {}\n#[ignore = \"slow\"]\nfn b() {}", 2);
    check(untidy, "// #[ignore]\nfn a() { \"#[ignore]\"; }", 0);
}

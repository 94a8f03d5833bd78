//! Documentation starts with a verb, or with the noun it speaks of.

use super::source::Source;
use super::{check, check_packages};

/// The words that make a first line a clause without its subject: "Whether …", "For whom …", "As many …".
const HEADLESS: &[&str] = &[
    "what",
    "how",
    "whether",
    "where",
    "who",
    "whom",
    "whose",
    "why",
    "when",
    "which",
    "whatever",
    "wherever",
    "whoever",
    "whenever",
    "whichever",
    "so",
    "as",
    "those",
];
const PREPOSITIONS: &[&str] = &["at", "by", "for", "from", "in", "of", "on", "to", "with"];
/// The words that make "one" the head of such a clause.
const AFTER_ONE: &[&str] = &["that", "which", "who", "whose"];

fn is_headless(line: &str) -> bool {
    let words = line.split_whitespace().map(|word| word.trim_end_matches(|it: char| !it.is_alphanumeric()));
    let words: Vec<_> = words.take(2).map(str::to_lowercase).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["one", second] => AFTER_ONE.contains(&second),
        [first, second] if PREPOSITIONS.contains(&first) => HEADLESS.contains(&second),
        [first, ..] => HEADLESS.contains(&first),
        [] => false,
    }
}

fn headless(source: &Source) -> Vec<String> {
    let lines = source.facts.docs.iter().filter(|(_, line)| is_headless(line));
    lines.map(|(number, line)| source.at(*number, line)).collect()
}

#[test]
fn documentation_starts_with_a_verb_or_a_noun() {
    check_packages(|sources| sources.iter().flat_map(headless).collect());
}

#[test]
fn a_headless_first_line_is_found() {
    check(headless, "//! What it does.\n\n/// Whether\n/// it is.\nstruct A {\n/** How. */ b: u8 }", 3);
    check(headless, "enum E {\n/// Who, then?\nA,\n/// For whom it waits.\nB,\n/// One that waits.\nC }", 3);
    check(headless, "/// So many of them.\nfn f() {}\n\n/// As many as fit.\n#[test]\nfn g() {}", 2);
    check(headless, "/// Returns whether it is.\n/// What else.\nfn f() {}\n\n/// One of two.\nfn g() {}", 0);
    check(headless, "/// Asks.\n///\n/// How it does so.\nfn f() { /* What */ let s = \"/// What\"; }", 0);
}

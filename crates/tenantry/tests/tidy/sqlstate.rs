//! SQLSTATEs go by name.

use std::path::Path;

use super::source::Source;
use super::{assert_none, check, sources_of_library};

/// The only file that spells them.
const NAMES: &str = "src/error/sqlstate.rs";

/// The classes that do not begin with a digit.
const CLASSES: &[&str] = &["F0", "HV", "P0", "XX"];

fn is_sqlstate(text: &str) -> bool {
    text.len() == 5
        && text.bytes().all(|it| it.is_ascii_digit() || it.is_ascii_uppercase())
        && (text.starts_with(|it: char| it.is_ascii_digit()) || CLASSES.iter().any(|it| text.starts_with(it)))
}

fn codes(source: &Source) -> Vec<String> {
    let texts = if source.is_test { &[] } else { source.facts.texts.as_slice() };
    let codes = texts.iter().filter(|(_, text)| is_sqlstate(text));
    codes
        .map(|(line, text)| source.at(*line, &format!("`{text}` has a name in `{NAMES}`, or needs one")))
        .collect()
}

#[test]
fn sqlstates_go_by_name() {
    let sources = sources_of_library().iter().filter(|source| source.path != Path::new(NAMES));
    assert_none(&sources.flat_map(codes).collect::<Vec<_>>());
}

#[test]
fn a_code_without_a_name_is_found() {
    check(codes, "const A: &str = \"42P01\"; fn f() { matches!(code, \"40001\" | \"P0001\") }", 3);
    check(
        codes,
        "fn f() { \"BEGIN\"; \"1234\"; \"abc01\"; \"SQL92\"; }\n#[cfg(test)]\nfn g() { \"42P01\" }",
        0,
    );
}

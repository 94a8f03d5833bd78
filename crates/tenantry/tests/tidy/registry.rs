//! The registry's tables are named in `registry/` only.

use std::path::Path;

use super::source::Source;
use super::{PACKAGES, assert_none, check};

/// The only folder whose statements name tables of the schema `tenantry`.
const HOME: &str = "src/registry";

/// The words of SQL that stand in front of a table.
const BEFORE_TABLE: &[&str] = &["FROM", "JOIN", "UPDATE", "INTO"];

fn names_table(text: &str) -> bool {
    BEFORE_TABLE.iter().any(|word| text.contains(&format!("{word} tenantry.")))
}

fn statements(source: &Source) -> Vec<String> {
    let texts = if source.is_test { &[] } else { source.facts.texts.as_slice() };
    let strangers = texts.iter().filter(|(_, text)| names_table(text));
    strangers
        .map(|(line, _)| {
            source.at(*line, &format!("a statement on the registry's tables belongs to `{HOME}`"))
        })
        .collect()
}

#[test]
fn statements_on_the_registry_are_in_its_folder() {
    let products = ["crates/tenantry", "crates/tenantry-cli"].map(Path::new);
    let sources = products.iter().filter_map(|package| PACKAGES.get(*package)).flatten();
    let strangers = sources.filter(|source| !source.path.starts_with(HOME));
    assert_none(&strangers.flat_map(statements).collect::<Vec<_>>());
}

#[test]
fn a_statement_elsewhere_is_found() {
    check(
        statements,
        "const A: &str = \"SELECT 1 FROM tenantry.tenant\"; fn f() { g!(\"JOIN tenantry.run\") }",
        2,
    );
    check(
        statements,
        "fn f() { \"a row in `tenantry.applied`\" }\n#[cfg(test)]\nfn g() { \"FROM tenantry.run\" }",
        0,
    );
}

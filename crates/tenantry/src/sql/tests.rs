#![allow(clippy::unwrap_used)]

use super::*;

fn schema(name: &str) -> SchemaName {
    SchemaName::parse(name).unwrap()
}

#[test]
fn a_search_path_ends_in_the_void_and_the_temporary_schema() {
    let path = SearchPathValue { schema: &schema("t\"x"), extensions: &[schema("extensions")] };
    assert_eq!(path.to_string(), "\"t\"\"x\", tenantry_void, \"extensions\", pg_temp");
}

#[test]
fn a_tag_survives_a_comment_at_the_end() {
    let digest = Digest::from_bytes([0xab; 32]);
    assert_eq!(tagged("SELECT 1 -- one", &digest), "SELECT 1 -- one\n/* abababababababab */");
}

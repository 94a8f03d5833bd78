use tenantry_embedded::ScratchDatabase;

use super::{MADE, connect, of, run};

/// Functions and operators of the server's, with exactly its arguments, that fail when somebody calls them.
const PLANTED: &[&str] = &[
    "format_type(oid, int)",
    "pg_get_viewdef(oid)",
    "pg_get_constraintdef(oid)",
    "pg_get_expr(pg_node_tree, oid)",
    "obj_description(oid, name)",
    "quote_ident(text)",
    "set_config(text, text, boolean)",
];

#[tokio::test]
async fn nothing_in_a_schema_stands_for_what_the_server_has() {
    let database = ScratchDatabase::create().await.unwrap();
    let mut connection = connect(&database).await;
    let body = "LANGUAGE plpgsql AS 'BEGIN RAISE ''planted''; END'";
    let planted: Vec<_> =
        PLANTED.iter().map(|function| format!("CREATE FUNCTION {function} RETURNS text {body}")).collect();
    for name in ["acme", "globex", "initech"] {
        run(&mut connection, name, "CREATE SCHEMA {s}").await;
        run(&mut connection, name, MADE).await;
        run(&mut connection, name, &planted.join(";")).await;
    }
    run(
        &mut connection,
        "initech",
        "CREATE OR REPLACE VIEW titles AS SELECT id, title FROM note WHERE id > 0",
    )
    .await;
    let acme = of(&mut connection, "acme").await;
    assert_eq!(of(&mut connection, "globex").await, acme);
    assert_ne!(of(&mut connection, "initech").await, acme);

    // The server compares by these when it writes a view.
    let operators = ["oid", "name"].map(|of| {
        format!(
            "CREATE FUNCTION same({of}, {of}) RETURNS bool {body};
             CREATE OPERATOR = (LEFTARG = {of}, RIGHTARG = {of}, FUNCTION = {{s}}.same)"
        )
    });
    let mut seen = vec![acme];
    for operator in operators {
        run(&mut connection, "acme", &operator).await;
        let now = of(&mut connection, "acme").await;
        assert!(!seen.contains(&now), "{operator}");
        seen.push(now);
    }
}

//! 5. One place renders SQL text, and the server reads it as it was meant.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use tenantry_embedded::ScratchDatabase;

use crate::sql::{Bytes, Identifier, Literal};

/// Text as hostile as PostgreSQL can store it: no NUL, but everything else.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("'".to_owned()),
        Just("\"".to_owned()),
        Just("\\".to_owned()),
        Just("$$".to_owned()),
        Just("--".to_owned()),
        Just("/*".to_owned()),
        Just(";".to_owned()),
        Just("\n".to_owned()),
        "[^\0]{0,3}",
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

#[test]
fn the_server_reads_back_what_was_quoted() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(ScratchDatabase::create()).unwrap();
    let connection = runtime.block_on(PgConnection::connect(database.url())).unwrap();
    let connection = std::cell::RefCell::new(connection);

    let mut runner = TestRunner::new(Config::with_cases(500));
    let check = |text: String| {
        let mut connection = connection.borrow_mut();
        let bytes = text.as_bytes();
        let name: String = text.chars().take(15).collect();
        let sql = format!(
            "SELECT {} AS quoted, {} AS bytes, 1 AS {}",
            Literal(&text),
            Bytes(bytes),
            if name.is_empty() { "x".to_owned() } else { Identifier(&name).to_string() }
        );
        let row = runtime.block_on(sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut *connection)).unwrap();
        prop_assert_eq!(row.get::<String, _>(0), text.clone());
        let same: bool = runtime
            .block_on(
                sqlx::query_scalar(AssertSqlSafe(format!("SELECT $1::bytea = {}::bytea", Bytes(bytes))))
                    .bind(bytes)
                    .fetch_one(&mut *connection),
            )
            .unwrap();
        prop_assert!(same);
        if !name.is_empty() {
            use sqlx::Column as _;
            prop_assert_eq!(row.column(2).name(), name.as_str());
        }
        Ok(())
    };
    runner.run(&hostile(), check).unwrap();
}

#[test]
fn literals_are_what_quote_literal_makes() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(ScratchDatabase::create()).unwrap();
    let connection = runtime.block_on(PgConnection::connect(database.url())).unwrap();
    let connection = std::cell::RefCell::new(connection);
    let mut runner = TestRunner::new(Config::with_cases(500));
    let check = |text: String| {
        let mut connection = connection.borrow_mut();
        let quoted: (String, String) = runtime
            .block_on(
                sqlx::query_as("SELECT quote_literal($1), quote_ident($1)")
                    .bind(&text)
                    .fetch_one(&mut *connection),
            )
            .unwrap();
        prop_assert_eq!(Literal(&text).to_string(), quoted.0);
        // The server leaves the quotes out where a name needs none.
        let ours = Identifier(&text).to_string();
        let unquoted_form = format!("\"{}\"", quoted.1);
        prop_assert!(ours == quoted.1 || ours == unquoted_form);
        Ok(())
    };
    runner.run(&hostile(), check).unwrap();
}

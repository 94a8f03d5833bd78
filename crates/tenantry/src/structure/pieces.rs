//! Divides the statements of a structure where one transaction cannot hold them all. Pure.

use super::outside::incomplete;
use crate::error::Result;
use crate::sql::lexer::{Statements, Token, begins_with};

/// The texts of at most so many statements each, in their order, each of which may be a transaction of its own. What
/// runs under another path than the rest is not divided.
pub(crate) fn pieces(sql: &str, most: usize) -> Result<Vec<String>> {
    let mut pieces = Vec::new();
    let (mut piece, mut count, mut is_elsewhere) = (String::new(), 0, false);
    for statement in Statements::of(sql) {
        let tokens = statement.map_err(incomplete)?.tokens;
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { continue };
        piece.push_str(&sql[first.start..last.end()]);
        piece.push_str(";\n");
        count += 1;
        if begins_with(&tokens, "set local search_path") {
            is_elsewhere = !leads_to_server(&tokens);
        }
        if count >= most && !is_elsewhere {
            pieces.push(std::mem::take(&mut piece));
            count = 0;
        }
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    Ok(pieces)
}

/// From `SET LOCAL search_path TO pg_catalog`, which a structure ends with what ran under another path.
fn leads_to_server(tokens: &[Token<'_>]) -> bool {
    matches!(tokens, [_, _, _, _, only] if only.is_keyword("pg_catalog"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn statements_stay_in_their_order_and_casts_together() {
        let sql = "CREATE TYPE a;\nSET LOCAL search_path TO \"t\", pg_catalog;\nCREATE CAST (a AS b) WITH INOUT;\n\
                   SET LOCAL search_path TO pg_catalog;\nCREATE TABLE c (x text DEFAULT ';');\n\
                   SET default_tablespace = d;\n\
                   CREATE TABLE e ();\n";
        let divided = pieces(sql, 2).unwrap();
        assert_eq!(divided.concat(), sql);
        let lines: Vec<_> = divided.iter().map(|piece| piece.lines().count()).collect();
        assert_eq!(lines, [4, 2, 1]);
        assert_eq!(pieces(sql, 100).unwrap().len(), 1);
        assert_eq!(pieces("", 100).unwrap(), [""; 0]);
    }
}

//! Judging an interrupted `CREATE INDEX CONCURRENTLY`, the one statement that tells how far it came.

use sqlx::PgConnection;

use crate::error::Result;
use crate::migration::Script;
use crate::sql::Identifier;
use crate::sql::lexer::Token;
use crate::tenant::SchemaName;

/// The index that an interrupted build left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remains {
    /// Nothing: it can run again.
    Nothing,
    /// An index that was removed here, because it was never finished. It can run again.
    InvalidIndex,
    /// The finished index: only the ledger was not told.
    Index,
}

/// Looks for the index and removes an invalid one. `None` if the file builds no named index
/// concurrently.
pub(super) async fn judge(
    connection: &mut PgConnection,
    schema: &SchemaName,
    script: &Script,
) -> Result<Option<Remains>> {
    let Some(index) = script.statements().first().and_then(|it| index_name(&script.tokens_of(it))) else {
        return Ok(None);
    };
    let is_valid: Option<bool> = sqlx::query_scalar(
        "SELECT indisvalid FROM pg_catalog.pg_index
         JOIN pg_catalog.pg_class ON pg_class.oid = indexrelid
         JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
         WHERE nspname = $1 AND relname = $2",
    )
    .bind(schema.as_str())
    .bind(&index)
    .fetch_optional(&mut *connection)
    .await?;
    match is_valid {
        None => Ok(Some(Remains::Nothing)),
        Some(true) => Ok(Some(Remains::Index)),
        Some(false) => {
            let drop = format!("DROP INDEX {}.{}", Identifier(schema.as_str()), Identifier(&index));
            sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(connection).await?;
            Ok(Some(Remains::InvalidIndex))
        }
    }
}

/// The name in `CREATE [UNIQUE] INDEX CONCURRENTLY [IF NOT EXISTS] name ON …`, as the catalog has it.
fn index_name(statement: &[Token<'_>]) -> Option<String> {
    let mut rest = statement;
    expect(&mut rest, "create")?;
    let _ = expect(&mut rest, "unique");
    expect(&mut rest, "index")?;
    expect(&mut rest, "concurrently")?;
    if expect(&mut rest, "if").is_some() {
        expect(&mut rest, "not")?;
        expect(&mut rest, "exists")?;
    }
    let (name, rest) = rest.split_first()?;
    rest.first().filter(|next| next.is_keyword("on"))?;
    let raw = name.name()?;
    // A quoted name keeps its case. The server folds only ASCII in others, and cuts both.
    let whole = if name.text.starts_with('"') { raw.replace("\"\"", "\"") } else { raw.to_ascii_lowercase() };
    Some(whole[..whole.floor_char_boundary(SchemaName::MAX_BYTES)].to_owned())
}

fn expect(tokens: &mut &[Token<'_>], keyword: &str) -> Option<()> {
    let (first, rest) = tokens.split_first()?;
    first.is_keyword(keyword).then(|| *tokens = rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::lexer::Lexer;

    #[track_caller]
    fn check(sql: &str, expect: Option<&str>) {
        let tokens: Vec<_> = Lexer::new(sql).flatten().filter(|token| !token.is_comment()).collect();
        assert_eq!(index_name(&tokens).as_deref(), expect, "{sql}");
    }

    #[test]
    fn the_name_is_read_as_the_server_reads_it() {
        check("CREATE INDEX CONCURRENTLY Note_Title ON note (title)", Some("note_title"));
        check(
            "create unique index /* why */ concurrently if not exists \"A \"\"b\" on t (x);",
            Some("A \"b"),
        );
        check("CREATE INDEX CONCURRENTLY NOTE_Ä ON note (title)", Some("note_Ä"));
        let (long, cut) = (format!("{}ää", "n".repeat(60)), format!("{}ä", "n".repeat(60)));
        check(&format!("CREATE INDEX CONCURRENTLY {long} ON note (title)"), Some(&cut));
    }

    #[test]
    fn other_statements_have_no_name() {
        check("CREATE INDEX note_title ON note (title)", None);
        check("CREATE INDEX CONCURRENTLY ON note (title)", None);
        check("VACUUM note", None);
        check("", None);
    }
}

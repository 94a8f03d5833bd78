//! Statements that tell by the catalog how far they came, and may therefore share a file without transaction.

use crate::sql::lexer::{Token, begins_with};
use crate::tenant::SchemaName;

/// An index that is built or dropped concurrently, by its name as the catalog has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IndexStep {
    Build(String),
    Drop(String),
}

impl IndexStep {
    /// Reads `CREATE [UNIQUE] INDEX CONCURRENTLY [IF NOT EXISTS] name ON …` or `DROP INDEX CONCURRENTLY [IF EXISTS]
    /// name`. `None` for anything else, and for a name with a schema.
    pub(crate) fn of(statement: &[Token<'_>]) -> Option<Self> {
        let mut rest = statement;
        if expect(&mut rest, "drop").is_some() {
            expect(&mut rest, "index")?;
            expect(&mut rest, "concurrently")?;
            if expect(&mut rest, "if").is_some() {
                expect(&mut rest, "exists")?;
            }
            let (name, rest) = rest.split_first()?;
            let is_whole = match rest {
                [] => true,
                [behaviour] => behaviour.is_keyword("cascade") || behaviour.is_keyword("restrict"),
                _ => false,
            };
            return in_catalog(name).filter(|_| is_whole).map(Self::Drop);
        }
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
        in_catalog(name).map(Self::Build)
    }
}

/// Returns true for `SET` of a setting, such as a timeout: it lasts as long as its file.
pub(super) fn is_setting(statement: &[Token<'_>]) -> bool {
    const OTHERS: [&str; 4] =
        ["SET LOCAL", "SET TRANSACTION", "SET CONSTRAINTS", "SET SESSION CHARACTERISTICS"];
    begins_with(statement, "SET") && !OTHERS.iter().any(|other| begins_with(statement, other))
}

/// A quoted name keeps its case. The server folds only ASCII in others, and cuts both.
fn in_catalog(name: &Token<'_>) -> Option<String> {
    let raw = name.name()?;
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

    fn tokens(sql: &str) -> Vec<Token<'_>> {
        Lexer::new(sql).flatten().filter(|token| !token.is_comment()).collect()
    }

    #[track_caller]
    fn check(sql: &str, expect: Option<&str>) {
        assert_eq!(
            IndexStep::of(&tokens(sql)),
            expect.map(|name| IndexStep::Build(name.to_owned())),
            "{sql}"
        );
    }

    #[track_caller]
    fn check_drop(sql: &str, expect: Option<&str>) {
        assert_eq!(IndexStep::of(&tokens(sql)), expect.map(|name| IndexStep::Drop(name.to_owned())), "{sql}");
    }

    #[test]
    fn the_name_is_read_as_the_server_reads_it() {
        check("CREATE INDEX CONCURRENTLY Note_Title ON note (title)", Some("note_title"));
        check("create unique index /* why */ concurrently if not exists \"A \"\"b\" on t (x)", Some("A \"b"));
        check("CREATE INDEX CONCURRENTLY NOTE_Ä ON note (title)", Some("note_Ä"));
        let (long, cut) = (format!("{}ää", "n".repeat(60)), format!("{}ä", "n".repeat(60)));
        check(&format!("CREATE INDEX CONCURRENTLY {long} ON note (title)"), Some(&cut));
        check_drop("DROP INDEX CONCURRENTLY Note_Title", Some("note_title"));
        check_drop("DROP INDEX CONCURRENTLY IF EXISTS \"A\" RESTRICT", Some("A"));
    }

    #[test]
    fn other_statements_have_no_name() {
        check("CREATE INDEX note_title ON note (title)", None);
        check("CREATE INDEX CONCURRENTLY ON note (title)", None);
        check("VACUUM note", None);
        check("", None);
        check_drop("DROP INDEX note_title", None);
        check_drop("DROP INDEX CONCURRENTLY public.note_title", None);
        check_drop("DROP INDEX CONCURRENTLY a, b", None);
    }

    #[test]
    fn a_setting_lasts_as_long_as_its_file() {
        for sql in ["SET lock_timeout = '2s'", "set session statement_timeout to 0", "SET a.b = 1"] {
            assert!(is_setting(&tokens(sql)), "{sql}");
        }
        for sql in [
            "SET LOCAL lock_timeout = 1",
            "SET TRANSACTION READ ONLY",
            "SET CONSTRAINTS ALL DEFERRED",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            "RESET lock_timeout",
            "VACUUM",
        ] {
            assert!(!is_setting(&tokens(sql)), "{sql}");
        }
    }
}

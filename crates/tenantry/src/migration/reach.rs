//! Tells how far a file can reach, which decides what the server is asked after it.

use crate::sql::lexer::{Token, TokenKind, begins_with};

/// The objects that a file may change, in the order of how much has to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FileReach {
    /// These tables, by their names as they are written, without a schema: nothing but their columns and
    /// constraints.
    OwnTables(Vec<String>),
    /// Tables. What is done to them, or to rows in them, leaves a lock.
    Tables,
    /// Anything; also in case of doubt.
    Anything,
}

/// The reach of nothing at all.
impl Default for FileReach {
    fn default() -> Self {
        Self::OwnTables(Vec::new())
    }
}

impl FileReach {
    /// The reach of both.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Anything, _) | (_, Self::Anything) => Self::Anything,
            (Self::OwnTables(mut tables), Self::OwnTables(others)) => {
                tables.extend(others);
                Self::OwnTables(tables)
            }
            _ => Self::Tables,
        }
    }

    /// Judges one statement by its tokens, comments left out.
    pub(super) fn of(tokens: &[Token<'_>]) -> Self {
        if let Some(table) = altered_table(tokens) {
            return Self::OwnTables(vec![table.to_owned()]);
        }
        // What is dropped is gone from the catalogs, the ledger is no table like others, and what code does is not in
        // its text.
        let is_about_tables = ABOUT_TABLES.iter().any(|words| begins_with(tokens, words));
        let is_special = |token: &Token<'_>| {
            token.is_keyword("drop") || token.name().is_some_and(|name| name.contains("sqlx"))
        };
        if is_about_tables && !tokens.iter().any(is_special) { Self::Tables } else { Self::Anything }
    }
}

const ABOUT_TABLES: [&str; 8] = [
    "alter table",
    "create table",
    "create index",
    "create unique index",
    "comment on",
    "insert into",
    "update",
    "delete from",
];

/// The table in `ALTER TABLE note ADD COLUMN …`, if the statement can change nothing else.
fn altered_table<'a>(tokens: &[Token<'a>]) -> Option<&'a str> {
    const CHANGES: &str = "add alter";
    const BEYOND: &str = "references inherit attach detach partition schema owner rename drop of trigger rule \
                          tablespace using enable disable cluster replica generated if only";
    const BEFORE_PARENTHESIS: &str = "numeric decimal varchar char character varying bit timestamp timestamptz time \
                                      interval check unique key in and or not";
    let [alter, object, table, change, ..] = tokens else { return None };
    let is_name = matches!(table.kind, TokenKind::Word | TokenKind::QuotedName);
    let is_meant = alter.is_keyword("alter") && object.is_keyword("table") && change.is_one_of(CHANGES);
    let is_call = |pair: &[Token<'_>]| {
        let may_be_followed = matches!(pair[0].kind, TokenKind::Operator | TokenKind::Punctuation)
            || pair[0].is_one_of(BEFORE_PARENTHESIS);
        pair[1].is_punctuation("(") && !may_be_followed
    };
    let is_harmless = !tokens.iter().any(|token| token.is_punctuation(".") || token.is_one_of(BEYOND))
        && !tokens.windows(2).any(is_call);
    (is_name && is_meant && is_harmless).then_some(table.text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::lexer::Lexer;

    fn reach_of(statement: &str) -> FileReach {
        FileReach::of(
            &Lexer::new(statement).flatten().filter(|token| !token.is_comment()).collect::<Vec<_>>(),
        )
    }

    #[test]
    fn columns_of_a_table_without_a_schema_are_its_own() {
        for (statement, table) in [
            ("ALTER TABLE note ADD COLUMN done boolean NOT NULL DEFAULT false", "note"),
            ("alter table \"Note\" add price numeric(10, 2), alter column title set not null", "\"Note\""),
            (
                "ALTER TABLE Note ADD CONSTRAINT positive CHECK (price > 0 AND (price < 9 OR kind IN ('a')))",
                "Note",
            ),
        ] {
            assert_eq!(reach_of(statement), FileReach::OwnTables(vec![table.to_owned()]), "{statement}");
        }
    }

    #[test]
    fn what_leaves_a_lock_is_about_tables() {
        for statement in [
            "ALTER TABLE public.note ADD COLUMN done boolean",
            "ALTER TABLE note ADD COLUMN plan int REFERENCES plan",
            "ALTER TABLE IF EXISTS note ADD COLUMN done boolean",
            "ALTER TABLE note ADD COLUMN id uuid DEFAULT make_id()",
            "ALTER TABLE note SET SCHEMA public",
            "CREATE TABLE note (id int)",
            "CREATE UNIQUE INDEX ON note (id)",
            "INSERT INTO note SELECT 1",
            "UPDATE note SET id = 1",
        ] {
            assert_eq!(reach_of(statement), FileReach::Tables, "{statement}");
        }
    }

    #[test]
    fn anything_else_may_reach_anything() {
        for statement in [
            "ALTER TABLE note DROP COLUMN done",
            "DROP TABLE note",
            "DELETE FROM _sqlx_migrations",
            "DO $$ BEGIN END $$",
            "SELECT 1",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "GRANT SELECT ON note TO PUBLIC",
            "WITH a AS (SELECT f()) INSERT INTO note SELECT 1 FROM a",
            "CREATE TEMP TABLE note ()",
            "",
        ] {
            assert_eq!(reach_of(statement), FileReach::Anything, "{statement}");
        }
    }

    #[test]
    fn a_file_reaches_as_far_as_its_statements() {
        let own = |table: &str| FileReach::OwnTables(vec![table.to_owned()]);
        assert_eq!(own("a").and(own("b")), FileReach::OwnTables(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(FileReach::default().and(own("a")), own("a"));
        assert_eq!(own("a").and(FileReach::Tables), FileReach::Tables);
        assert_eq!(FileReach::Tables.and(FileReach::Anything), FileReach::Anything);
    }
}

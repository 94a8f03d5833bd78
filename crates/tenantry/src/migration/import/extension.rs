//! Extensions are in the database, where all tenants share them: a migration of the master makes them.

use super::imported::ImportedFile;
use crate::sql::Identifier;
use crate::sql::lexer::{Token, begins_with};

/// A statement about an extension, as it is to stand in a migration of the master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExtensionStatement {
    /// Makes the extension, where the other kind is a comment on it.
    makes: bool,
    name: String,
    text: String,
}

impl ExtensionStatement {
    /// `None` for the one that is in every database.
    pub(super) fn of(tokens: &[Token<'_>], schema: &str) -> Option<Self> {
        let makes = begins_with(tokens, "create");
        let announcement = if makes { 2 } else { 3 };
        let rest = tokens.iter().skip(announcement).skip_while(|it| it.is_one_of("if not exists"));
        let (name, rest) =
            rest.collect::<Vec<_>>().split_first().map(|(name, rest)| (**name, rest.to_vec()))?;
        let plain = name.name().map(str::to_ascii_lowercase)?;
        if plain == "plpgsql" {
            return None;
        }
        let text = if makes {
            let own = rest.windows(2).find(|pair| pair[0].is_keyword("schema")).map(|pair| pair[1]);
            // What is in there is seen by all.
            let schema = match own {
                Some(own) if own.is_keyword("pg_catalog") => own.text.to_owned(),
                _ => Identifier(schema).to_string(),
            };
            let more = if rest.iter().any(|it| it.is_keyword("cascade")) { " CASCADE" } else { "" };
            format!("CREATE EXTENSION IF NOT EXISTS {} WITH SCHEMA {schema}{more}", name.text)
        } else {
            let rest: Vec<_> = rest.iter().map(|token| token.text).collect();
            format!("COMMENT ON EXTENSION {} {}", name.text, rest.join(" "))
        };
        Some(Self { makes, name: plain, text })
    }

    /// Returns true for two statements of which one is enough.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.makes == other.makes && self.name == other.name
    }
}

/// The migration that makes them.
pub(super) fn file(statements: &[ExtensionStatement], digits: &str) -> Option<ImportedFile> {
    let version = digits.parse().ok().filter(|_| !statements.is_empty())?;
    let mut text = "-- Extensions of the database, which every tenant sees.\n".to_owned();
    for statement in statements {
        text.push_str(&statement.text);
        text.push_str(";\n");
    }
    Some(ImportedFile { is_master: true, version, name: format!("{digits}_extensions.sql"), text })
}

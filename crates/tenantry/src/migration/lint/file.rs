use super::piece::{FileReading, Piece};
use crate::sql::lexer::Token;

/// The objects that the statements of one file know of each other.
#[derive(Debug, Default)]
pub(super) struct File {
    /// The tables that it makes.
    tables: Vec<String>,
    /// The tables that it gives a primary key by `ALTER TABLE`.
    with_key: Vec<String>,
    /// The types that it makes.
    types: Vec<String>,
    /// It undoes a migration.
    is_down: bool,
}

impl File {
    pub(super) fn of(readings: &[FileReading<'_>], is_down: bool) -> Self {
        let pieces = || readings.iter().flat_map(|reading| &reading.pieces);
        let tables = pieces().filter_map(created_table).collect();
        let types = pieces().filter_map(|piece| name_behind(piece, &["create", "type"])).collect();
        let with_key = pieces().filter_map(keyed_table).collect();
        Self { tables, with_key, types, is_down }
    }

    pub(super) fn makes_table(&self, name: &str) -> bool {
        self.tables.iter().any(|table| table == name)
    }

    pub(super) fn adds_key(&self, name: &str) -> bool {
        self.with_key.iter().any(|table| table == name)
    }

    pub(super) fn makes_type(&self, name: &str) -> bool {
        self.types.iter().any(|own| own == name)
    }

    pub(super) fn is_down(&self) -> bool {
        self.is_down
    }
}

/// The table of `CREATE TABLE`, be it temporary or not.
fn created_table(piece: &Piece<'_>) -> Option<String> {
    let table = piece.iter().take(4).position(|token| token.is_keyword("table"))?;
    let creates = piece[0].is_keyword("create");
    creates.then(|| name_at(&piece[table + 1..])).flatten()
}

/// The table of `ALTER TABLE … ADD PRIMARY KEY`.
fn keyed_table(piece: &Piece<'_>) -> Option<String> {
    let has_key = piece.windows(2).any(|pair| pair[0].is_keyword("primary") && pair[1].is_keyword("key"));
    name_behind(piece, &["alter", "table"]).filter(|_| has_key)
}

/// The name behind these words.
pub(super) fn name_behind(tokens: &[Token<'_>], words: &[&str]) -> Option<String> {
    let begins = words.iter().zip(tokens).all(|(word, token)| token.is_keyword(word));
    begins.then(|| name_at(tokens.get(words.len()..)?)).flatten()
}

/// The name of an object at the beginning, without its schema, as the catalogs have it.
pub(super) fn name_at(tokens: &[Token<'_>]) -> Option<String> {
    let fillers =
        tokens.iter().take_while(|token| token.is_one_of("if not exists only concurrently")).count();
    let mut rest = &tokens[fillers..];
    while let [_, point, behind @ ..] = rest
        && point.is_punctuation(".")
    {
        rest = behind;
    }
    let name = rest.first()?;
    let text = name.name()?;
    Some(if name.text.starts_with('"') { text.replace("\"\"", "\"") } else { text.to_ascii_lowercase() })
}

use super::file::{File, name_behind};
use super::finding::Finding;
use super::piece::Piece;
use super::rule::Rule;
use crate::sql::lexer::Token;

/// A value that a file adds to an enum which was there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Added<'a>(&'a str);

/// The value in `ALTER TYPE state ADD VALUE 'b'`. In an enum that the same file makes it can be used at once.
pub(super) fn added<'a>(piece: &Piece<'a>, file: &File) -> Option<Added<'a>> {
    let name = name_behind(piece, &["alter", "type"])?;
    let add = piece.windows(2).position(|pair| pair[0].is_keyword("add") && pair[1].is_keyword("value"))?;
    let value = piece[add + 2..].iter().find_map(Token::literal)?;
    (!file.makes_type(&name)).then_some(Added(value))
}

/// The first place at which one of these values is used.
pub(super) fn used(piece: &Piece<'_>, values: &[Added<'_>]) -> Option<Finding> {
    if piece[0].is_keyword("alter") && piece.get(1).is_some_and(|object| object.is_keyword("type")) {
        return None;
    }
    let is_new = |text: &str| values.iter().any(|value| value.0 == text);
    let token = piece.iter().find(|token| token.literal().is_some_and(is_new))?;
    let message = format!("{} is used in the transaction that adds it to an enum", token.text);
    Some(Finding { rule: Rule::EnumValueUsed, at: token.start, message })
}

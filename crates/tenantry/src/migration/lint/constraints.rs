use super::finding::Finding;
use super::piece::Piece;
use super::rule::Rule;
use crate::sql::lexer::Token;

/// Constraints whose names PostgreSQL would make up from more than the table and one column.
pub(super) fn unnamed(piece: &Piece<'_>) -> Vec<Finding> {
    let elements = created_elements(piece).or_else(|| added_elements(piece)).unwrap_or_default();
    let unnamed = elements.into_iter().flat_map(|element| match of_table(element) {
        Some(constraint) => vec![constraint],
        None => checks_of_column(element),
    });
    unnamed.map(|(name, token)| finding(name, token)).collect()
}

fn finding(name: &str, token: &Token<'_>) -> Finding {
    Finding { rule: Rule::UnnamedConstraint, at: token.start, message: format!("this `{name}` has no name") }
}

/// The parts between the parentheses of `CREATE TABLE`. A temporary table has no later migration.
pub(super) fn created_elements<'a, 'b>(piece: &'b Piece<'a>) -> Option<Vec<&'b [Token<'a>]>> {
    let table = piece.iter().take(4).position(|token| token.is_keyword("table"))?;
    let is_temporary = piece[..table].iter().any(|token| token.is_one_of("temp temporary"));
    if !piece[0].is_keyword("create") || is_temporary {
        return None;
    }
    let open = piece.iter().position(|token| token.is_punctuation("("))?;
    let inside = &piece[open + 1..];
    let mut depth = 1;
    let close = inside.iter().position(|token| {
        depth += nesting(token);
        depth == 0
    });
    Some(split(&inside[..close.unwrap_or(inside.len())]))
}

/// The parts behind each `ADD` of `ALTER TABLE`.
pub(super) fn added_elements<'a, 'b>(piece: &'b Piece<'a>) -> Option<Vec<&'b [Token<'a>]>> {
    let [verb, object, rest @ ..] = &**piece else { return None };
    if !(verb.is_keyword("alter") && object.is_keyword("table")) {
        return None;
    }
    let add = rest.iter().position(|token| token.is_keyword("add"));
    let actions = split(&rest[add?..]);
    Some(actions.into_iter().filter_map(added).collect())
}

fn added<'a, 'b>(action: &'b [Token<'a>]) -> Option<&'b [Token<'a>]> {
    let (add, mut element) = action.split_first()?;
    for word in ["column", "if", "not", "exists"] {
        if let Some((_, rest)) = element.split_first().filter(|(first, _)| first.is_keyword(word)) {
            element = rest;
        }
    }
    add.is_keyword("add").then_some(element)
}

/// Splits at the commas that stand in no parentheses.
pub(super) fn split<'a, 'b>(tokens: &'b [Token<'a>]) -> Vec<&'b [Token<'a>]> {
    let mut depth = 0;
    let parts = tokens.split(|token| {
        depth += nesting(token);
        depth == 0 && token.is_punctuation(",")
    });
    parts.collect()
}

fn nesting(token: &Token<'_>) -> i32 {
    match token.text {
        "(" | "[" => 1,
        ")" | "]" => -1,
        _ => 0,
    }
}

/// An unnamed constraint of the table. An index that becomes one (`USING INDEX`) gives it its name.
fn of_table<'a, 'b>(element: &'b [Token<'a>]) -> Option<(&'static str, &'b Token<'a>)> {
    let [first, second, ..] = element else { return None };
    let has_columns = second.is_punctuation("(");
    let name = if first.is_keyword("foreign") && second.is_keyword("key") {
        "FOREIGN KEY"
    } else if first.is_keyword("unique") && (has_columns || second.is_keyword("nulls")) {
        "UNIQUE"
    } else if first.is_keyword("check") && has_columns {
        "CHECK"
    } else if first.is_keyword("exclude") && (has_columns || second.is_keyword("using")) {
        "EXCLUDE"
    } else {
        return None;
    };
    Some((name, first))
}

/// The unnamed `CHECK`s behind a column's type. Their names depend on the columns in the expression, and
/// the second one gets a number.
fn checks_of_column<'a, 'b>(element: &'b [Token<'a>]) -> Vec<(&'static str, &'b Token<'a>)> {
    let mut depth = 0;
    let mut checks = Vec::new();
    for (at, token) in element.iter().enumerate() {
        let is_named = at >= 2 && element[at - 2].is_keyword("constraint");
        if depth == 0 && token.is_keyword("check") && !is_named {
            checks.push(("CHECK", token));
        }
        depth += nesting(token);
    }
    checks
}

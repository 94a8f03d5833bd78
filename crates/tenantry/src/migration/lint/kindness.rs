use super::constraints::added_elements;
use super::file::{File, name_at, name_behind};
use super::finding::Finding;
use super::piece::Piece;
use super::rule::Rule;
use crate::sql::lexer::Token;

/// Changes that tenants feel who are served while their schema is migrated.
pub(super) fn to_live_tenants(piece: &Piece<'_>, file: &File) -> Vec<Finding> {
    if file.is_down() {
        return Vec::new();
    }
    let mut findings = dropped_tables(piece, file);
    findings.extend(built_index(piece, file));
    let table = name_behind(piece, &["alter", "table"]);
    if table.is_some_and(|table| !file.makes_table(&table)) {
        findings.extend(dropped_columns(piece));
        findings.extend(required_columns(piece));
    }
    findings
}

fn finding(rule: Rule, token: &Token<'_>, message: String) -> Finding {
    Finding { rule, at: token.start, message }
}

/// The tables in `DROP TABLE a, b`.
fn dropped_tables(piece: &Piece<'_>, file: &File) -> Vec<Finding> {
    let [drop, object, names @ ..] = &**piece else { return Vec::new() };
    if !(drop.is_keyword("drop") && object.is_keyword("table")) {
        return Vec::new();
    }
    let names = names.split(|token| token.is_punctuation(",")).filter_map(name_at);
    let first = names.into_iter().find(|name| !file.makes_table(name));
    let message = |name| format!("`{name}` is dropped, and the release before may still use it");
    first.map(|name| finding(Rule::DropTable, drop, message(name))).into_iter().collect()
}

fn built_index(piece: &Piece<'_>, file: &File) -> Option<Finding> {
    let is_index = piece.iter().skip(1).take(2).any(|token| token.is_keyword("index"));
    if !(piece[0].is_keyword("create") && is_index)
        || piece.iter().any(|token| token.is_keyword("concurrently"))
    {
        return None;
    }
    let on = piece.iter().position(|token| token.is_keyword("on"))?;
    let table = name_at(&piece[on + 1..]).filter(|table| !file.makes_table(table))?;
    let message = format!("nobody can write to `{table}` while this index is built");
    Some(finding(Rule::IndexNotConcurrent, &piece[0], message))
}

/// `DROP COLUMN a`, `DROP a`, but not `ALTER a DROP NOT NULL` or `DROP CONSTRAINT a`.
fn dropped_columns(piece: &Piece<'_>) -> Vec<Finding> {
    let is_start = |at: usize| piece[at - 1].is_punctuation(",") || !is_inside_action(piece, at);
    let drops = (2..piece.len()).filter(|at| piece[*at].is_keyword("drop") && is_start(*at));
    let column = |at: usize| {
        let rest = &piece[at + 1..];
        let rest = if rest.first()?.is_keyword("column") { &rest[1..] } else { rest };
        (!rest.first()?.is_keyword("constraint")).then(|| name_at(rest)).flatten().map(|name| (at, name))
    };
    let message = |name| format!("the column `{name}` is dropped, and the release before may still use it");
    drops.filter_map(column).map(|(at, name)| finding(Rule::DropColumn, &piece[at], message(name))).collect()
}

/// Returns true for `ALTER COLUMN a DROP …`, where the action has begun before.
fn is_inside_action(piece: &Piece<'_>, at: usize) -> bool {
    let begins = piece[..at].iter().rposition(|token| token.is_punctuation(",")).map_or(2, |comma| comma + 1);
    piece[begins..at].iter().any(|token| token.is_keyword("alter"))
}

/// `ADD COLUMN a … NOT NULL` of something that has no value of its own.
fn required_columns(piece: &Piece<'_>) -> Vec<Finding> {
    const HAS_VALUE: &str = "default generated serial bigserial smallserial serial2 serial4 serial8";
    const IS_CONSTRAINT: &str = "constraint check unique primary foreign exclude";
    let is_required = |column: &&[Token<'_>]| {
        let is_not_null = |pair: &[Token<'_>]| pair[0].is_keyword("not") && pair[1].is_keyword("null");
        let is_key = |pair: &[Token<'_>]| pair[0].is_keyword("primary") && pair[1].is_keyword("key");
        column.first().is_some_and(|name| !name.is_one_of(IS_CONSTRAINT))
            && column.windows(2).any(|pair| is_not_null(pair) || is_key(pair))
            && !column.iter().any(|token| token.is_one_of(HAS_VALUE))
    };
    let columns = added_elements(piece).unwrap_or_default();
    let message =
        |name: &str| format!("`{name}` must have a value, and gives none to the rows that are there");
    let required = columns.into_iter().filter(is_required);
    required.map(|column| finding(Rule::NotNullWithoutDefault, &column[0], message(column[0].text))).collect()
}

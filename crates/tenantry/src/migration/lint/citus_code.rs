//! Code that Citus refuses: functions, triggers, and what is computed row by row.

use super::finding::Finding;
use super::piece::Piece;
use super::rule::Rule;
use crate::sql::lexer::{Token, begins_with};

/// Everything that a statement has computed, or is to run later, and Citus cannot run on a worker.
pub(super) fn judge(piece: &Piece<'_>) -> Vec<Finding> {
    [volatile_change(piece), trigger(piece), function_without_path(piece)].into_iter().flatten().collect()
}

/// Functions that answer something else at each call.
const VOLATILE: &str = "random clock_timestamp timeofday gen_random_uuid uuid_generate_v1 uuid_generate_v4 nextval \
                        setval uuidv4 uuidv7";

/// `UPDATE … SET a = random()`
fn volatile_change(piece: &Piece<'_>) -> Option<Finding> {
    if !piece[0].is_one_of("update delete") {
        return None;
    }
    let is_call = |pair: &[Token<'_>]| pair[0].is_one_of(VOLATILE) && pair[1].is_punctuation("(");
    let call = piece.windows(2).find(|pair| is_call(pair))?;
    let message = format!("`{}` answers something else for each row", call[0].text);
    Some(Finding { rule: Rule::CitusVolatileUpdate, at: call[0].start, message })
}

fn trigger(piece: &Piece<'_>) -> Option<Finding> {
    let words = piece.iter().skip(1).take_while(|token| token.is_one_of("or replace constraint")).count();
    let is_trigger = piece[0].is_keyword("create") && piece.get(1 + words)?.is_keyword("trigger");
    let message = "a table that is distributed gets no trigger".to_owned();
    is_trigger.then(|| Finding { rule: Rule::CitusTrigger, at: piece[0].start, message })
}

/// A function whose body is read anew wherever it runs.
fn function_without_path(piece: &Piece<'_>) -> Option<Finding> {
    let words = piece.iter().skip(1).take_while(|token| token.is_one_of("or replace")).count();
    let kind = piece.get(1 + words)?;
    if !(piece[0].is_keyword("create") && kind.is_one_of("function procedure")) {
        return None;
    }
    let is_bound = piece.iter().any(|token| token.is_one_of("return atomic"));
    let has_path = piece.windows(2).any(|pair| begins_with(pair, "set search_path"));
    let message = "a worker runs this function with another `search_path`".to_owned();
    (!is_bound && !has_path).then(|| Finding { rule: Rule::CitusFunctionPath, at: piece[0].start, message })
}

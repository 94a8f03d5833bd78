use super::file::name_at;
use super::finding::Finding;
use super::piece::{FileReading, Piece};
use super::rule::Rule;
use crate::migration::script::Script;
use crate::sql::lexer::{Lexer, Token};

/// The tables that a file has copied to every node: `SELECT create_reference_table('plan')`.
pub(crate) fn reference_tables(script: &Script) -> Vec<String> {
    let statements = script.statements().iter().map(|statement| FileReading::of(script.tokens_of(statement)));
    let pieces = statements.flat_map(|reading| reading.pieces);
    pieces.flat_map(|piece| named_in(&piece)).collect()
}

fn named_in(piece: &Piece<'_>) -> Vec<String> {
    let is_call = |it: &[Token<'_>]| it[0].is_keyword("create_reference_table") && it[1].is_punctuation("(");
    let calls = piece.windows(3).filter(|it| is_call(it));
    let name = |it: &[Token<'_>]| {
        let tokens: Vec<_> = Lexer::new(it[2].literal()?).flatten().collect();
        name_at(&tokens)
    };
    calls.filter_map(name).collect()
}

/// Returns true for a foreign key to one of these, which every node has.
pub(super) fn is_fine(piece: &Piece<'_>, finding: &Finding, reference_tables: &[String]) -> bool {
    let at = piece.iter().position(|token| token.start == finding.at);
    let name = at.and_then(|at| name_at(&piece[at..]));
    finding.rule == Rule::SharedForeignKey && name.is_some_and(|name| reference_tables.contains(&name))
}

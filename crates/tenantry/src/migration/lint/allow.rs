use super::finding::Finding;
use super::piece::FileReading;
use super::rule::Rule;
use crate::migration::script::Script;
use crate::migration::silence::silenced;
use crate::sql::lexer::{StatementSpan, Token, TokenKind};

/// The rules that the comments of a file silence, and the statements they do so for.
#[derive(Debug, Default)]
pub(super) struct Allowed {
    /// The index of the statement, and the rule.
    rules: Vec<(usize, Rule)>,
    /// A word that is no rule, and its place.
    unknown: Vec<(String, usize)>,
}

/// Reads `-- lint: allow rule, rule` in the file and in the bodies of its functions.
pub(super) fn read(script: &Script, readings: &[FileReading<'_>]) -> Allowed {
    let mut allowed = Allowed::default();
    let ends = ends(script);
    let in_bodies = readings.iter().flat_map(|reading| reading.comments.iter().copied());
    for comment in script.comments().chain(in_bodies) {
        let statement = ends.partition_point(|end| *end < comment.start);
        for name in names(&comment) {
            match Rule::parse(name) {
                Some(rule) => allowed.rules.push((statement, rule)),
                None => allowed.unknown.push((name.to_owned(), comment.start)),
            }
        }
    }
    allowed
}

impl Allowed {
    pub(super) fn covers(&self, statement: usize, rule: Rule) -> bool {
        self.rules.contains(&(statement, rule))
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let finding = |(name, at): &(String, usize)| Finding {
            rule: Rule::UnknownRule,
            at: *at,
            message: format!("`{name}` is no rule of the lint"),
        };
        self.unknown.iter().map(finding).collect()
    }
}

/// Up to where a comment belongs to each statement: the end of its last line, unless another statement
/// begins there.
fn ends(script: &Script) -> Vec<usize> {
    let sql = script.sql();
    let statements = script.statements();
    let end = |(index, statement): (usize, &StatementSpan)| {
        let rest = &sql[statement.range.end..];
        let line = statement.range.end + rest.find(['\n', '\r']).unwrap_or(rest.len());
        statements.get(index + 1).map_or(line, |next| line.min(next.range.start))
    };
    statements.iter().enumerate().map(end).collect()
}

/// The names that a comment silences.
fn names<'a>(comment: &Token<'a>) -> Vec<&'a str> {
    if comment.kind == TokenKind::LineComment { silenced(comment.text) } else { Vec::new() }
}

//! A `BEGIN` and a `COMMIT` around a whole file: other tools want them, and here they say what is so anyway.

use std::ops::Range;

use crate::sql::lexer::{StatementSpan, Token, begins_with};

/// The first statement of a file if it is `BEGIN`, and a `COMMIT` that may be the last.
#[derive(Debug, Default)]
pub(super) struct Around {
    is_past_first: bool,
    begin: Option<Bracket>,
    commit: Option<Bracket>,
}

/// A statement that is either, without any mode.
#[derive(Clone, Debug)]
pub(super) struct Bracket {
    pub(super) span: StatementSpan,
    pub(super) command: &'static str,
}

impl Around {
    /// Takes a statement, if it is one of the two. A `COMMIT` that turns out not to be the last is answered, with its
    /// `BEGIN`: both are statements like any other.
    pub(super) fn take(&mut self, span: &StatementSpan, tokens: &[Token<'_>]) -> (bool, Vec<Bracket>) {
        let is_first = !std::mem::replace(&mut self.is_past_first, true);
        let was_not_last = if self.commit.is_some() { self.both() } else { Vec::new() };
        let bracket = |command| Some(Bracket { span: span.clone(), command });
        if is_first && let Some(command) = plain(tokens, &["BEGIN", "START TRANSACTION"]) {
            self.begin = bracket(command);
        } else if self.begin.is_some()
            && let Some(command) = plain(tokens, &["COMMIT", "END"])
        {
            self.commit = bracket(command);
        } else {
            return (false, was_not_last);
        }
        (true, was_not_last)
    }

    /// The places of both at the end of the file, or the one that stands alone.
    pub(super) fn close(mut self) -> Result<Option<[Range<usize>; 2]>, Vec<Bracket>> {
        match (&self.begin, &self.commit) {
            (Some(begin), Some(commit)) => Ok(Some([begin.span.range.clone(), commit.span.range.clone()])),
            (None, None) => Ok(None),
            _ => Err(self.both()),
        }
    }

    fn both(&mut self) -> Vec<Bracket> {
        self.begin.take().into_iter().chain(self.commit.take()).collect()
    }
}

/// The command that a statement consists of, with or without `WORK` or `TRANSACTION` behind it.
fn plain(tokens: &[Token<'_>], commands: &[&'static str]) -> Option<&'static str> {
    let command = commands.iter().copied().find(|command| begins_with(tokens, command))?;
    let rest = &tokens[command.split(' ').count()..];
    let is_plain = rest.is_empty() || rest.len() == 1 && rest[0].is_one_of("work transaction");
    is_plain.then_some(command)
}

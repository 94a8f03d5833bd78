//! The question whether a file runs in a transaction, which some tools answer and others leave open.

use std::ops::Range;

use crate::migration::concurrently::{IndexStep, is_setting};
use crate::migration::refusal::Refusal;
use crate::sql::lexer::Token;

/// A statement that stays.
#[derive(Clone, Debug)]
pub(super) struct Kept<'a> {
    pub(super) start: usize,
    pub(super) range: Range<usize>,
    /// Without `public.`; none where the statement was written anew.
    pub(super) tokens: Vec<Token<'a>>,
}

/// The answer.
#[derive(Debug, Default)]
pub(super) struct Isolation {
    pub(super) is_one: bool,
    pub(super) changed: Option<&'static str>,
    pub(super) not_converted: Vec<(usize, String)>,
}

impl Isolation {
    /// A statement that cannot run in one, alone in its file, is enough to do without. A file that does without, as its
    /// tool says, but could be one, becomes one: so it is applied as a whole or not at all.
    pub(super) fn of(is_meant: bool, kept: &[Kept<'_>]) -> Self {
        let working: Vec<_> = kept.iter().filter(|it| !is_setting(&it.tokens)).collect();
        let refused = working.iter().filter_map(|it| Some((it.start, Refusal::in_transaction(&it.tokens)?)));
        let refused: Vec<_> = refused.collect();
        let can_be_told = working.len() == 1 || working.iter().all(|it| IndexStep::of(&it.tokens).is_some());
        let does_without = !working.is_empty() && can_be_told && !(is_meant && refused.is_empty());
        if does_without {
            return Self::default();
        }
        let why = |refusal: &Refusal| {
            format!("{refusal}, and needs a file of its own that begins with `-- no-transaction`")
        };
        let has_changed = !is_meant && refused.is_empty() && !working.is_empty();
        Self {
            is_one: true,
            changed: has_changed.then_some(
                "becomes one transaction: its statements can share one, and a file without holds a single statement",
            ),
            not_converted: refused.iter().map(|(at, refusal)| (*at, why(refusal))).collect(),
        }
    }
}

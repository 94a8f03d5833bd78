//! Tells whether a statement leaves something behind in its session, judged by its text alone.
//!
//! A connection may go to its next tenant without a round trip of cleaning only when every statement
//! since checkout was [neutral](Effect::Neutral). Doubt therefore counts as touched: it costs one
//! message on return and never correctness. Not seen from a text is what happens inside functions,
//! triggers, rules and views of the user's own; `verify = "always"` is for those who have them.

use std::sync::{PoisonError, RwLock};

use foldhash::HashMap;

use crate::sql::lexer::{Lexer, Token, TokenKind};

/// The effect of a text on the session that runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The session is afterwards as it was before.
    Neutral,
    /// The session may have changed.
    Touched,
}

/// The words that a neutral statement begins with.
const READS_AND_WRITES: [&str; 9] =
    ["select", "insert", "update", "delete", "merge", "with", "values", "table", "show"];

/// Functions and relations whose names begin like this change the session from inside an ordinary query, or
/// run SQL that they are given, which may do anything.
///
/// `classify/catalog.rs` compares the names here with the functions of a server and of its extensions.
const SESSION_NAMES: [&str; 19] = [
    "set_config",
    "setseed",
    "set_limit", // of pg_trgm
    "isn_weak",  // of isn
    "pg_temp",
    // An `UPDATE` of this view calls `set_config`.
    "pg_settings",
    "binary_upgrade_",
    // These hold sessions elsewhere.
    "dblink",
    "postgres_fdw_",
    // These run SQL that is given to them as text, or by name.
    "query_to_xml",
    "cursor_to_xml",
    "table_to_xml",
    "schema_to_xml",
    "database_to_xml",
    "ts_rewrite",
    "ts_stat",
    "crosstab",    // of tablefunc
    "connectby",   // of tablefunc
    "xpath_table", // of xml2
];

/// The server's own functions that leave nothing behind, of those whose names begin with `pg_`. A call of any other
/// such name is doubtful, so that what a later version adds is touched until somebody has judged it.
const HARMLESS: [&str; 35] = [
    "pg_advisory_unlock",
    "pg_advisory_xact_lock",
    "pg_backend_pid",
    "pg_blocking_pids",
    "pg_client_encoding",
    "pg_collation_",
    "pg_column_",
    "pg_current_",
    "pg_database_size",
    "pg_encoding_to_char",
    "pg_function_is_visible",
    "pg_get_",
    "pg_has_role",
    "pg_indexes_size",
    "pg_input_",
    "pg_is_in_recovery",
    "pg_last_",
    "pg_listening_channels",
    "pg_notify",
    "pg_postmaster_start_time",
    "pg_relation_",
    "pg_sequence_",
    "pg_size_",
    "pg_sleep",
    "pg_snapshot_",
    "pg_stat_get_",
    "pg_table_",
    "pg_total_relation_size",
    "pg_trigger_depth",
    "pg_try_advisory_xact_lock",
    "pg_type_is_visible",
    "pg_typeof",
    "pg_visible_in_snapshot",
    "pg_wal_lsn_diff",
    "pg_xact_",
];

/// Judges one text.
///
/// Neutral is a single statement that reads or writes rows and holds none of the names that change a
/// session; so is a text without any statement.
pub(crate) fn classify(sql: &str) -> Effect {
    let mut progress = Stage::Before;
    let mut previous = None;
    for token in Lexer::new(sql) {
        let Ok(token) = token else { return Effect::Touched };
        if token.is_comment() {
            continue;
        }
        progress = match progress.after(token, previous) {
            Some(progress) => progress,
            None => return Effect::Touched,
        };
        previous = Some(token);
    }
    Effect::Neutral
}

/// The part of the one statement that has been read.
#[derive(Clone, Copy)]
enum Stage {
    Before,
    Inside,
    Behind,
}

impl Stage {
    /// `None` when the token makes the text doubtful.
    fn after(self, token: Token<'_>, previous: Option<Token<'_>>) -> Option<Self> {
        let is_semicolon = token.kind == TokenKind::Semicolon;
        match self {
            Self::Before if is_semicolon || token.is_punctuation("(") => Some(Self::Before),
            Self::Before => {
                READS_AND_WRITES.iter().any(|word| token.is_keyword(word)).then_some(Self::Inside)
            }
            Self::Inside if is_semicolon => Some(Self::Behind),
            Self::Inside => (!touches(token, previous)).then_some(Self::Inside),
            Self::Behind => is_semicolon.then_some(Self::Behind),
        }
    }
}

fn touches(token: Token<'_>, previous: Option<Token<'_>>) -> bool {
    match token.kind {
        TokenKind::UnicodeName | TokenKind::MetaCommand | TokenKind::Other => true,
        TokenKind::Word if token.is_keyword("temp") || token.is_keyword("temporary") => {
            // Anywhere else in a query it is a name of the user's.
            let makes_table =
                |word: Token<'_>| ["into", "local", "global"].iter().any(|it| word.is_keyword(it));
            previous.is_some_and(makes_table)
        }
        TokenKind::Punctuation if token.text == "(" => {
            previous.and_then(|name| name.name()).is_some_and(is_doubtful_call)
        }
        _ => token.name().is_some_and(|name| begins_with_one_of(name, &SESSION_NAMES)),
    }
}

fn is_doubtful_call(name: &str) -> bool {
    begins_with_one_of(name, &["pg_"]) && !begins_with_one_of(name, &HARMLESS)
}

fn begins_with_one_of(name: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| {
        name.get(..prefix.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(prefix))
    })
}

/// Remembers what was judged, because an application sends the same few texts over and over.
#[derive(Debug, Default)]
pub(crate) struct Classifier {
    known: RwLock<Effects>,
}

#[derive(Debug, Default)]
struct Effects {
    effects: HashMap<Box<str>, Effect>,
    size_bytes: usize,
}

/// Emptied when full: an application with more texts than this builds them, and then none recurs.
const MOST_TEXTS: usize = 4096;
const MOST_BYTES: usize = 8 << 20;
/// Longer texts are judged anew each time.
const LONGEST_TEXT_BYTES: usize = 16 << 10;

impl Classifier {
    /// Like [`classify`], from memory where possible.
    pub(crate) fn effect(&self, sql: &str) -> Effect {
        if sql.len() > LONGEST_TEXT_BYTES {
            return classify(sql);
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).effects.get(sql).copied();
        known.unwrap_or_else(|| self.learn(sql))
    }

    fn learn(&self, sql: &str) -> Effect {
        let effect = classify(sql);
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(sql, effect);
        effect
    }
}

impl Effects {
    fn insert(&mut self, sql: &str, effect: Effect) {
        if self.effects.len() >= MOST_TEXTS || self.size_bytes + sql.len() > MOST_BYTES {
            *self = Self::default();
        }
        if self.effects.insert(sql.into(), effect).is_none() {
            self.size_bytes += sql.len();
        }
    }
}

#[cfg(test)]
mod catalog;
#[cfg(test)]
mod tests;

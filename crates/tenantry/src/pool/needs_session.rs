//! Judges by its text alone whether a statement can run behind a pooler in transaction mode.
//!
//! What only means something in a session that lasts is refused, because the caller would find
//! it gone with the next statement; so is what ends the transaction around it. Whatever is not
//! seen here, such as the text of a function, leaves nothing behind either: before its transaction ends
//! the session is cleaned.

use crate::sql::lexer::{Statements, Token};

/// The reason why a statement may not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NeedsSession {
    /// The kind of statement.
    pub(super) what: &'static str,
    pub(super) hint: &'static str,
}

const fn refusal(what: &'static str, hint: &'static str) -> NeedsSession {
    NeedsSession { what, hint }
}

const CONTROL: NeedsSession = refusal(
    "a statement that begins or ends a transaction",
    "use `db.begin()`, `tx.commit()` and `tx.rollback()`",
);
const SET: NeedsSession = refusal(
    "`SET` without `LOCAL`",
    "use `SET LOCAL` in a transaction, or a preprocessor where every transaction shall have it",
);
const SET_CONFIG: NeedsSession =
    refusal("`set_config` for a session", "give it `true` as third argument, in a transaction");
const RESET: NeedsSession = refusal("`RESET`", "what was set with `SET LOCAL` ends with the transaction");
const LISTEN: NeedsSession = refusal("`LISTEN`", "listen on a connection of your own, past the pooler");
const PREPARED: NeedsSession =
    refusal("a statement prepared by SQL", "send the statement itself; its parameters are bound in any case");
const CURSOR: NeedsSession =
    refusal("a cursor `WITH HOLD`", "leave `WITH HOLD` out and fetch in the same transaction");
const COPY: NeedsSession =
    refusal("`COPY`", "use `INSERT … SELECT FROM unnest(…)`, or a connection past the pooler");
const LOAD: NeedsSession = refusal("`LOAD`", "set `session_preload_libraries` for the role");
const DISCARD: NeedsSession =
    refusal("`DISCARD`", "leave it out: nothing of a session outlives its transaction");
const TEMPORARY: NeedsSession = refusal(
    "a temporary object that outlives its transaction",
    "add `ON COMMIT DROP` to a table, in a transaction",
);
const LOCK: NeedsSession =
    refusal("an advisory lock of a session", "use `pg_advisory_xact_lock` in a transaction");
const ORIGIN: NeedsSession = refusal("a replication origin of a session", "set it past the pooler");
const DBLINK: NeedsSession =
    refusal("a `dblink` connection of a session", "give the connection string to `dblink` itself");
const OUTSIDE: NeedsSession = refusal(
    "what must run outside of a transaction",
    "run it as a `-- no-transaction` migration, or on a connection past the pooler; `direct_url` leads there",
);

/// Judges a text of one or more statements.
pub(super) fn runs_without_session(sql: &str) -> Result<(), NeedsSession> {
    for statement in Statements::of(sql) {
        // Where our reading ends, the server's ends as well: it refuses the whole text.
        let Ok(statement) = statement else { return Ok(()) };
        judge(&statement.tokens)?;
    }
    Ok(())
}

fn judge(tokens: &[Token<'_>]) -> Result<(), NeedsSession> {
    let start = tokens.iter().take_while(|token| token.is_punctuation("(")).count();
    let tokens = &tokens[start..];
    let Some((first, rest)) = tokens.split_first() else { return Ok(()) };
    match first.text.to_ascii_lowercase().as_str() {
        "begin" | "start" | "commit" | "end" | "abort" => Err(CONTROL),
        "rollback" if !rest.iter().any(|token| token.is_keyword("to")) => Err(CONTROL),
        "prepare" if begins_with(rest, &["transaction"]) => Err(CONTROL),
        "set" if !["local", "transaction", "constraints"].iter().any(|word| begins_with(rest, &[word])) => {
            Err(SET)
        }
        "reset" => Err(RESET),
        "listen" | "unlisten" => Err(LISTEN),
        "prepare" | "execute" | "deallocate" => Err(PREPARED),
        "declare" if contains(rest, &["with", "hold"]) => Err(CURSOR),
        "copy" => Err(COPY),
        "load" => Err(LOAD),
        "discard" => Err(DISCARD),
        "vacuum" => Err(OUTSIDE),
        "create" | "drop" | "alter" | "reindex" if contains(rest, &["concurrently"]) => Err(OUTSIDE),
        "create" if makes_temporary(rest) => Err(TEMPORARY),
        // The body of a function does nothing yet.
        "create" | "alter" | "drop" => Ok(()),
        _ => judge_query(tokens),
    }
}

/// `CREATE OR REPLACE LOCAL TEMP …`, without `ON COMMIT DROP`.
fn makes_temporary(rest: &[Token<'_>]) -> bool {
    let filler = ["or", "replace", "local", "global"];
    let word = rest.iter().find(|token| !filler.iter().any(|word| token.is_keyword(word)));
    word.is_some_and(is_temporary) && !contains(rest, &["on", "commit", "drop"])
}

fn is_temporary(token: &Token<'_>) -> bool {
    token.is_keyword("temp") || token.is_keyword("temporary")
}

/// Judges what reads or writes rows, or explains how it would.
fn judge_query(tokens: &[Token<'_>]) -> Result<(), NeedsSession> {
    for (index, token) in tokens.iter().enumerate() {
        let rest = &tokens[index + 1..];
        if token.is_keyword("into") {
            let target = rest.iter().find(|token| !token.is_keyword("local") && !token.is_keyword("global"));
            if target.is_some_and(is_temporary) {
                return Err(TEMPORARY);
            }
        }
        let Some(name) = token.name().map(str::to_ascii_lowercase) else { continue };
        match name.as_str() {
            "set_config" if !is_local(rest) => return Err(SET_CONFIG),
            name if name.starts_with("pg_advisory_lock") => return Err(LOCK),
            name if name.starts_with("pg_try_advisory_lock") => return Err(LOCK),
            name if name.starts_with("pg_replication_origin_session") => return Err(ORIGIN),
            name if name.starts_with("dblink_connect") => return Err(DBLINK),
            _ => {}
        }
    }
    Ok(())
}

/// Returns true if the arguments of a call end in `true`.
fn is_local(call: &[Token<'_>]) -> bool {
    let mut depth = 0_usize;
    for (index, token) in call.iter().enumerate() {
        if token.is_punctuation("(") {
            depth += 1;
        } else if token.is_punctuation(")") {
            depth = depth.saturating_sub(1);
        }
        if depth == 0 {
            return index >= 2 && call[index - 1].is_keyword("true") && call[index - 2].is_punctuation(",");
        }
    }
    false
}

fn begins_with(tokens: &[Token<'_>], words: &[&str]) -> bool {
    tokens.len() >= words.len() && tokens.iter().zip(words).all(|(token, word)| token.is_keyword(word))
}

fn contains(tokens: &[Token<'_>], words: &[&str]) -> bool {
    (0..tokens.len()).any(|start| begins_with(&tokens[start..], words))
}

#[cfg(test)]
mod tests;

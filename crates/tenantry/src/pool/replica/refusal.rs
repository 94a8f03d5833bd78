//! Refuses texts that would let a session write which is there to read.
//!
//! A replica does not let itself be written. The primary, which answers where no replica can, would, and so would a
//! replica that was promoted a moment ago. This is a guard against mistakes: code inside functions is not seen.

use crate::error::{Error, ErrorKind, Result};
use crate::pool::classify::{Effect, classify};

/// Refuses a text that asks for a transaction which writes.
pub(in crate::pool) fn refuse_write_mode(sql: &str) -> Result<()> {
    if classify(sql) == Effect::Neutral || !asks_for_writes(sql) {
        return Ok(());
    }
    let message = "a statement would let a session write that is there to read";
    Err(Error::new(ErrorKind::Unsupported, message)
        .with_hint("write on the handle that `tenancy.db(…)` gives"))
}

fn asks_for_writes(sql: &str) -> bool {
    let text = sql.to_ascii_lowercase();
    let words = text.split(|it: char| !it.is_alphanumeric() && it != '_').filter(|word| !word.is_empty());
    let words: Vec<_> = words.collect();
    words.iter().any(|word| word.ends_with("transaction_read_only"))
        || words.windows(2).any(|pair| pair == ["read", "write"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_asks_for_writes_is_refused_and_what_reads_is_not() {
        for sql in [
            "SET default_transaction_read_only TO off",
            "set transaction_read_only = off; INSERT INTO note VALUES (1)",
            "BEGIN ISOLATION LEVEL READ COMMITTED, READ  WRITE",
            "SET TRANSACTION READ\nWRITE",
            "SELECT set_config('transaction_read_only', 'off', false)",
            "DO $$ BEGIN SET LOCAL transaction_read_only TO off; END $$",
        ] {
            assert_eq!(refuse_write_mode(sql).expect_err(sql).kind(), ErrorKind::Unsupported, "{sql}");
        }
        for sql in [
            "SHOW transaction_read_only",
            "SELECT current_setting('transaction_read_only')",
            "SELECT read, write FROM note",
            "SET statement_timeout TO '1s'",
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        ] {
            refuse_write_mode(sql).expect(sql);
        }
    }
}

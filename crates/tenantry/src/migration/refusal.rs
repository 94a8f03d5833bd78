use crate::sql::lexer::{Token, TokenKind, begins_with};

/// A statement that a migration must not hold.
///
/// The runner owns the transaction and the session: which schema and which role a file works in is
/// decided outside of it, and its ledger row is written in the same transaction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("`{0}` is not allowed in a migration")]
    TransactionControl(&'static str),
    #[error("`{0}` is not allowed in a migration")]
    Session(String),
    #[error("`SET standard_conforming_strings` to anything but `on` is not allowed in a migration")]
    Backslashes,
    #[error("`COPY` from or to the client is not allowed in a migration")]
    CopyWithClient,
    #[error("`COPY` with a file or a program of the server is not allowed in a migration")]
    CopyOnServer,
    #[error("`{0}` is a command of psql, not SQL")]
    MetaCommand(String),
    #[error("`{0}` is a variable of psql, not SQL")]
    PsqlVariable(String),
    #[error("`{0}` cannot run in a transaction")]
    NeedsNoTransaction(&'static str),
}

impl Refusal {
    /// Judges one statement by its tokens, comments and psql's commands left out.
    pub(super) fn of(tokens: &[Token<'_>]) -> Option<Self> {
        transaction_control(tokens)
            .or_else(|| session(tokens))
            .or_else(|| set_config(tokens))
            .or_else(|| copy(tokens))
    }

    /// Judges one statement of a file that runs in a transaction, in addition to [`Refusal::of`].
    pub(super) fn in_transaction(tokens: &[Token<'_>]) -> Option<Self> {
        never_in_a_transaction(tokens).map(Self::NeedsNoTransaction)
    }

    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::TransactionControl(_) => {
                "leave it out: each file is one transaction already; several transactions are several files"
            }
            Self::Session(_) => {
                "leave it out: unqualified names already mean the schema that is being migrated, and the runner \
                 sets the role"
            }
            Self::Backslashes => "leave it out and write escapes as E'…'",
            Self::CopyWithClient => {
                "use INSERT, as `pg_dump --inserts` writes it, or load the data outside of migrations"
            }
            Self::CopyOnServer => {
                "it would run once per tenant, on what the server's machine has at that moment: use INSERT, or load \
                 the data outside of migrations"
            }
            Self::MetaCommand(_) => {
                "leave it out: the file goes to the server as it is; a script for psql runs by `tenantry psql --tenant \
                 SLUG -- -f FILE`"
            }
            Self::PsqlVariable(_) => {
                "write the value: the file goes to the server as it is; a script for psql runs by `tenantry psql \
                 --tenant SLUG -- -f FILE`"
            }
            Self::NeedsNoTransaction(_) => {
                "put `-- no-transaction` on the first line and leave this statement alone in its file"
            }
        }
    }
}

fn transaction_control(tokens: &[Token<'_>]) -> Option<Refusal> {
    const COMMANDS: [&str; 9] = [
        "BEGIN",
        "START TRANSACTION",
        "COMMIT PREPARED",
        "COMMIT",
        "END",
        "ROLLBACK PREPARED",
        "ROLLBACK",
        "ABORT",
        "PREPARE TRANSACTION",
    ];
    let command = COMMANDS.into_iter().find(|command| begins_with(tokens, command))?;
    let to_savepoint = command == "ROLLBACK" && tokens.iter().any(|token| token.is_keyword("to"));
    (!to_savepoint).then_some(Refusal::TransactionControl(command))
}

fn session(tokens: &[Token<'_>]) -> Option<Refusal> {
    if let Some(command) =
        ["RESET ALL", "DISCARD ALL"].into_iter().find(|command| begins_with(tokens, command))
    {
        return Some(Refusal::Session(command.to_owned()));
    }
    let verb = ["SET", "RESET"].into_iter().find(|verb| begins_with(tokens, verb))?;
    let setting = without_scope(&tokens[1..]);
    let first = setting.first()?;
    if begins_with(setting, "SESSION AUTHORIZATION") {
        return Some(Refusal::Session(format!("{verb} SESSION AUTHORIZATION")));
    }
    if first.kind == TokenKind::UnicodeName
        || first.is_keyword("schema")
        || first.name().is_some_and(is_guarded)
    {
        return Some(Refusal::Session(format!("{verb} {}", first.text)));
    }
    let sets_backslashes = verb == "SET"
        && first.name().is_some_and(|name| name.eq_ignore_ascii_case("standard_conforming_strings"))
        && !setting.last().is_some_and(|value| value.is_keyword("on") || value.literal() == Some("on"));
    sets_backslashes.then_some(Refusal::Backslashes)
}

/// `SET LOCAL x` and `SET SESSION x` set the same as `SET x`.
fn without_scope<'a, 'b>(setting: &'b [Token<'a>]) -> &'b [Token<'a>] {
    let scoped = begins_with(setting, "LOCAL")
        || begins_with(setting, "SESSION") && !begins_with(setting, "SESSION AUTHORIZATION");
    if scoped { &setting[1..] } else { setting }
}

/// `set_config('search_path', …)` with the name spelled out.
fn set_config(tokens: &[Token<'_>]) -> Option<Refusal> {
    // What CREATE and ALTER define (functions, policies, defaults) does not run now.
    if begins_with(tokens, "CREATE") || begins_with(tokens, "ALTER") {
        return None;
    }
    let calls = tokens.windows(3).filter(|call| {
        call[0].name().is_some_and(|name| name.eq_ignore_ascii_case("set_config"))
            && call[1].is_punctuation("(")
    });
    let setting = calls.filter_map(|call| call[2].literal()).find(|setting| is_guarded(setting))?;
    Some(Refusal::Session(format!("set_config('{setting}', …)")))
}

/// Settings' names are the same in any case, even in quotes.
fn is_guarded(setting: &str) -> bool {
    ["search_path", "role", "session_authorization"]
        .iter()
        .any(|guarded| setting.eq_ignore_ascii_case(guarded))
}

/// The server reads and writes a file or a program if the direction is followed by a string. It takes either
/// name of the client in either direction.
fn copy(tokens: &[Token<'_>]) -> Option<Refusal> {
    if !begins_with(tokens, "COPY") {
        return None;
    }
    let mut depth = 0_i32;
    let mut top_level = tokens.windows(2).filter(|pair| {
        depth += i32::from(pair[0].is_punctuation("(")) - i32::from(pair[0].is_punctuation(")"));
        depth == 0
    });
    let direction = top_level.find(|pair| pair[0].is_one_of("from to"))?;
    let is_client = direction[1].is_one_of("stdin stdout");
    Some(if is_client { Refusal::CopyWithClient } else { Refusal::CopyOnServer })
}

/// Returns true if lines of data follow a statement, which are no SQL.
pub(super) fn is_followed_by_data(tokens: &[Token<'_>]) -> bool {
    copy(tokens) == Some(Refusal::CopyWithClient) && !tokens.iter().any(|token| token.is_keyword("to"))
}

fn never_in_a_transaction(tokens: &[Token<'_>]) -> Option<&'static str> {
    const COMMANDS: [&str; 9] = [
        "CREATE INDEX CONCURRENTLY",
        "CREATE UNIQUE INDEX CONCURRENTLY",
        "DROP INDEX CONCURRENTLY",
        "VACUUM",
        "CREATE DATABASE",
        "DROP DATABASE",
        "CREATE TABLESPACE",
        "DROP TABLESPACE",
        "ALTER SYSTEM",
    ];
    let concurrently = || tokens.iter().any(|token| token.is_keyword("concurrently"));
    match COMMANDS.into_iter().find(|command| begins_with(tokens, command)) {
        Some(command) => Some(command),
        None if begins_with(tokens, "CLUSTER") && names_nothing(&tokens[1..]) => Some("CLUSTER"),
        None if begins_with(tokens, "CREATE SUBSCRIPTION") && makes_slot(tokens) => {
            Some("CREATE SUBSCRIPTION")
        }
        None if begins_with(tokens, "REINDEX") && concurrently() => Some("REINDEX CONCURRENTLY"),
        None if begins_with(tokens, "REINDEX") => reindex_of_many(&tokens[1..]),
        None if begins_with(tokens, "ALTER TABLE") && concurrently() => Some("DETACH PARTITION CONCURRENTLY"),
        None => None,
    }
}

/// `CLUSTER` and `CLUSTER VERBOSE` go through all tables, one transaction for each.
fn names_nothing(tokens: &[Token<'_>]) -> bool {
    match tokens {
        [open, ..] if open.is_punctuation("(") => tokens.last().is_some_and(|last| last.is_punctuation(")")),
        [] => true,
        [only] => only.is_keyword("verbose"),
        _ => false,
    }
}

/// A subscription makes a slot at the publisher unless it is told not to.
fn makes_slot(tokens: &[Token<'_>]) -> bool {
    let is_off = |value: &Token<'_>| {
        value.is_one_of("false off")
            || value.literal().is_some_and(|it| ["false", "off"].contains(&it))
            || value.text == "0"
    };
    !tokens.windows(3).any(|option| {
        option[0].is_one_of("connect create_slot") && option[1].text == "=" && is_off(&option[2])
    })
}

/// `REINDEX (options) SCHEMA x` commits after each table.
fn reindex_of_many(tokens: &[Token<'_>]) -> Option<&'static str> {
    let has_options = tokens.first().is_some_and(|token| token.is_punctuation("("));
    let options =
        if has_options { tokens.iter().position(|token| token.is_punctuation(")"))? + 1 } else { 0 };
    let many = [("SCHEMA", "REINDEX SCHEMA"), ("DATABASE", "REINDEX DATABASE"), ("SYSTEM", "REINDEX SYSTEM")];
    many.into_iter().find(|(what, _)| begins_with(&tokens[options..], what)).map(|(_, command)| command)
}

#[cfg(test)]
mod tests;

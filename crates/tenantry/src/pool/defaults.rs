//! The settings that every session begins with, and gets again whenever it was cleaned.
//!
//! A pooler refuses most parameters of a start-up message, or drops them without a word. So settings are made
//! by the first message on a new connection, whose answer confirms them; that of cleaning makes them again, and fails
//! unless they are in force. What no message can make is the value that `RESET` goes back to. That the server
//! takes from the start-up options; they are offered, and left out from there on where somebody refuses them. The
//! first message tells whether they arrived.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::database::{PoolConfig, PoolMode};
use crate::error::{Error, ErrorKind, Result, sqlstate};
use crate::guard::{Guard, stands};
use crate::sql::{Literal, VOID_SCHEMA};

const CLIENT_CHECK: &str = "client_connection_check_interval";

/// Settings that sqlx makes on each of its connections, so that a statement means the same on all.
const OF_SQLX: &str = "SET client_encoding TO 'UTF8'; SET DateStyle TO 'ISO, MDY'; SET TimeZone TO 'UTC'; ";

/// The time after which the server looks whether a silent client is there; it keeps the way open through whatever
/// forgets connections that are not used. A client that does not answer is given up after half a minute more.
const KEEPALIVE: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "60s"),
];

/// The settings that change what a text means, as they are in force.
macro_rules! in_force {
    () => {
        "pg_catalog.concat_ws('|', pg_catalog.current_setting('standard_conforming_strings'), \
         pg_catalog.current_setting('client_encoding'), pg_catalog.current_setting('DateStyle'), \
         pg_catalog.current_setting('TimeZone'))"
    };
}

/// The same, as they are to be.
macro_rules! wanted {
    () => {
        "on|UTF8|ISO, MDY|UTC"
    };
}

/// Answers with the path that a session falls back to, and with the settings that are in force.
const CONFIRM: &str = concat!(
    "SELECT pg_catalog.concat_ws('|', pg_catalog.current_setting('search_path'), \
     pg_catalog.set_config('search_path', 'tenantry_void', false), ",
    in_force!(),
    ")"
);

/// The end of that answer: all but the path that a session falls back to.
const CONFIRMED: &str = concat!("|tenantry_void|", wanted!());

/// Leaves the session in the void, if the settings are in force. Otherwise it asks for one that nobody has, whose name
/// is the error.
const INSIST: &str = concat!(
    "SELECT pg_catalog.set_config('search_path', CASE ",
    in_force!(),
    " WHEN '",
    wanted!(),
    "' THEN 'tenantry_void' ELSE pg_catalog.current_setting('the settings that were made') END, false); "
);

/// The settings of sessions that are reached in one way, and what stands in that way.
pub(crate) struct Defaults {
    is_session: bool,
    /// All settings, and all but the one that a server whose platform cannot look at its client refuses.
    statements: [String; 2],
    first_messages: [String; 2],
    /// The interval at which the server looks for its client, in milliseconds.
    client_check: Option<String>,
    refuses_client_check: AtomicBool,
    refuses_options: AtomicBool,
    resets_elsewhere: AtomicBool,
    /// It was logged that the server cannot look for its client.
    is_told: AtomicBool,
}

impl Defaults {
    /// Settings of sessions that call themselves this.
    pub(crate) fn of_sessions(application_name: &str, config: &PoolConfig) -> Self {
        let mut shared = format!(
            "{OF_SQLX}SET application_name TO {}; SET standard_conforming_strings TO on; ",
            Literal(application_name)
        );
        for (name, value) in KEEPALIVE {
            let _ = write!(shared, "SET {name} TO '{value}'; ");
        }
        let interval = config.client_connection_check_interval;
        // Rounded up: zero would turn it off.
        let milliseconds = interval.as_nanos().div_ceil(1_000_000).to_string();
        let client_check = (!interval.is_zero()).then_some(milliseconds);
        let mut all = shared.clone();
        if let Some(milliseconds) = &client_check {
            let _ = write!(all, "SET {CLIENT_CHECK} TO {milliseconds}; ");
        }
        let settings = [all, shared];
        Self {
            is_session: true,
            first_messages: settings.each_ref().map(|settings| format!("{settings}{CONFIRM}")),
            statements: settings.map(|settings| format!("{settings}{INSIST}")),
            refuses_client_check: AtomicBool::new(client_check.is_none()),
            client_check,
            refuses_options: AtomicBool::new(false),
            resets_elsewhere: AtomicBool::new(false),
            is_told: AtomicBool::new(false),
        }
    }

    /// Settings behind a pooler in transaction mode: only what such a pooler keeps for its client.
    fn of_transactions(application_name: &str) -> Self {
        let statements = format!("{OF_SQLX}SET application_name TO {}; ", Literal(application_name));
        Self {
            is_session: false,
            statements: [statements.clone(), statements],
            first_messages: Default::default(),
            client_check: None,
            refuses_client_check: AtomicBool::new(true),
            refuses_options: AtomicBool::new(true),
            resets_elsewhere: AtomicBool::new(false),
            is_told: AtomicBool::new(false),
        }
    }

    /// Settings of the sessions or transactions of a pool.
    pub(super) fn of_pool(application_name: &str, config: &PoolConfig) -> Self {
        match config.mode {
            PoolMode::Session => Self::of_sessions(application_name, config),
            PoolMode::Transaction => Self::of_transactions(application_name),
        }
    }

    /// The statements that make the settings, each ending in `; `. A session is in the void then; they fail where it
    /// does not have the settings.
    pub(super) fn statements(&self) -> &str {
        if stands(Guard::Defaults) { self.without_refused(&self.statements) } else { "" }
    }

    /// The options to start a session with, but for those that somebody has refused. `RESET ALL` goes back to them,
    /// which migrations say after each file.
    pub(super) fn options(&self) -> Vec<(&'static str, &str)> {
        if self.refuses_options.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let client_check = self.client_check.as_deref().filter(|_| !self.has_no_client_check());
        let of_void = [("search_path", VOID_SCHEMA), ("standard_conforming_strings", "on")];
        let client_check = client_check.map(|milliseconds| (CLIENT_CHECK, milliseconds));
        of_void.into_iter().chain(KEEPALIVE).chain(client_check).collect()
    }

    /// Returns true if a session may have been refused for its options. From there on they are left out: first the one
    /// that a platform may refuse, then all.
    pub(super) fn are_options_refused(&self, code: &str) -> bool {
        if self.options().is_empty() || !sqlstate::is_about_parameters(code) {
            return false;
        }
        if code == sqlstate::INVALID_PARAMETER_VALUE && !self.has_no_client_check() {
            self.refuses_client_check.store(true, Ordering::Relaxed);
            return true;
        }
        self.refuses_options.store(true, Ordering::Relaxed);
        // It was not for that one, so the first message asks for it.
        self.refuses_client_check.store(self.client_check.is_none(), Ordering::Relaxed);
        true
    }

    fn has_no_client_check(&self) -> bool {
        self.refuses_client_check.load(Ordering::Relaxed)
    }

    /// The first message on a new connection, whose answer is for [`confirm`](Self::confirm).
    pub(super) fn first_message(&self) -> Option<&str> {
        self.is_session.then(|| self.without_refused(&self.first_messages))
    }

    /// Returns true if the first message failed where another one may not.
    pub(super) fn is_first_message_refused(&self, error: &Error) -> bool {
        let is_refused = !self.has_no_client_check()
            && error.database_code().as_deref() == Some(sqlstate::INVALID_PARAMETER_VALUE);
        if is_refused {
            self.refuses_client_check.store(true, Ordering::Relaxed);
        }
        is_refused
    }

    /// Judges the answer to the first message.
    pub(super) fn confirm(&self, answer: Option<&str>) -> Result<()> {
        let answer = answer.unwrap_or_default();
        let Some(default_path) = answer.strip_suffix(CONFIRMED) else {
            let message = format!("a new session does not have the settings that were made: {answer}");
            return Err(Error::new(ErrorKind::Configuration, message)
                .with_hint("check what stands between this program and the server"));
        };
        if self.client_check.is_some()
            && self.has_no_client_check()
            && !self.is_told.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                "The server refuses `{CLIENT_CHECK}`: the statement of a cancelled request will run to its end"
            );
        }
        if default_path != VOID_SCHEMA && !self.resets_elsewhere.swap(true, Ordering::Relaxed) {
            tracing::debug!(default_path, "The start-up options did not arrive");
        }
        Ok(())
    }

    /// Returns true if a session may see tables after it was reset.
    pub(crate) fn resets_elsewhere(&self) -> bool {
        self.resets_elsewhere.load(Ordering::Relaxed)
    }

    fn without_refused<'a>(&self, variants: &'a [String; 2]) -> &'a str {
        &variants[usize::from(self.has_no_client_check())]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use sqlx::Connection as _;

    use super::*;

    fn defaults(interval: Duration) -> Defaults {
        let config = PoolConfig { client_connection_check_interval: interval, ..PoolConfig::default() };
        Defaults::of_pool("it's", &config)
    }

    #[test]
    fn what_the_server_cannot_do_is_asked_for_once() {
        let defaults = defaults(Duration::from_nanos(1));
        assert!(defaults.statements().contains("client_connection_check_interval TO 1;"));
        assert!(defaults.statements().contains("application_name TO 'it''s';"));
        assert!(defaults.first_message().unwrap().contains("client_connection_check_interval TO 1;"));
        defaults.refuses_client_check.store(true, Ordering::Relaxed);
        assert!(!defaults.statements().contains("client_connection_check_interval"));
        assert!(!defaults.first_message().unwrap().contains("client_connection_check_interval"));
    }

    #[test]
    fn an_interval_of_zero_asks_for_nothing() {
        assert!(!defaults(Duration::ZERO).statements().contains("client_connection_check_interval"));
    }

    #[test]
    fn options_that_were_refused_are_left_out() {
        for (code, expect) in [("08P01", true), ("0A000", true), ("22023", true), ("28P01", false)] {
            let defaults = defaults(Duration::ZERO);
            assert!(!defaults.options().is_empty());
            assert_eq!(defaults.are_options_refused(code), expect, "{code}");
            assert_eq!(defaults.options().is_empty(), expect, "{code}");
            assert!(
                !expect || !defaults.are_options_refused(code),
                "refused again, it is for something else"
            );
        }
    }

    #[test]
    fn what_a_platform_may_refuse_is_left_out_first() {
        let defaults = defaults(Duration::from_secs(1));
        let has_check = || defaults.options().contains(&(CLIENT_CHECK, "1000"));
        assert!(has_check());
        assert!(defaults.are_options_refused("22023"));
        assert!(!has_check() && defaults.options().contains(&("search_path", VOID_SCHEMA)));
        assert!(!defaults.statements().contains(CLIENT_CHECK));
        // It was for another one.
        assert!(defaults.are_options_refused("22023"));
        assert!(defaults.options().is_empty() && defaults.statements().contains(CLIENT_CHECK));
        assert!(!defaults.are_options_refused("22023"));
    }

    #[test]
    fn an_answer_confirms_the_settings_and_tells_where_a_reset_leads() {
        for (path, expect) in [("tenantry_void", false), ("\"$user\", public", true), ("", true)] {
            let defaults = defaults(Duration::ZERO);
            defaults.confirm(Some(&format!("{path}{CONFIRMED}"))).unwrap();
            assert_eq!(defaults.resets_elsewhere(), expect, "{path}");
        }
        for answer in [None, Some("x|tenantry_void|on|UTF8|ISO, MDY|Asia/Tokyo")] {
            defaults(Duration::ZERO).confirm(answer).unwrap_err();
        }
    }

    #[tokio::test]
    async fn settings_that_do_not_last_through_a_cleaning_are_an_error() {
        let database = tenantry_embedded::ScratchDatabase::create().await.unwrap();
        let defaults = defaults(Duration::ZERO);
        let made = ["client_encoding", "DateStyle", "TimeZone", "standard_conforming_strings"];
        let others = ["'LATIN1'", "'SQL, DMY'", "'Asia/Tokyo'", "off"];
        for (name, other) in made.into_iter().zip(others) {
            let mut connection = sqlx::PgConnection::connect(database.url()).await.unwrap();
            let mut send = async |message: &str| crate::pool::message::send(&mut connection, message).await;
            send(&format!("SET {name} TO {other}; {}", defaults.statements())).await.unwrap();
            assert_eq!(send("SHOW search_path").await.unwrap().as_deref(), Some(VOID_SCHEMA));
            // Somebody in between makes another one of it.
            let swallowed = format!("SET {name} TO");
            let swallowed =
                defaults.statements().replace(&swallowed, &format!("{swallowed} {other}; SET my.own TO"));
            let error = send(&swallowed).await.unwrap_err();
            assert!(
                error.database_error().unwrap().message().contains("the settings that were made"),
                "{name}: {error}"
            );
        }
    }

    #[test]
    fn behind_a_pooler_in_transaction_mode_nothing_is_asked_first() {
        let config = PoolConfig { mode: PoolMode::Transaction, ..PoolConfig::default() };
        let defaults = Defaults::of_pool("a", &config);
        assert_eq!((defaults.first_message(), defaults.options()), (None, Vec::new()));
        assert!(!defaults.statements().contains("search_path"));
    }
}

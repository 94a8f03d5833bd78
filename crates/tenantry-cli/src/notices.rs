//! Messages of the server beside its answers, which are for whoever wrote the SQL: `already exists, skipping`.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::output::{Format, tell};

/// The target under which sqlx passes on what the server says beside its answers.
const TARGET: &str = "sqlx::postgres::notice";
/// The target under which the library says which databases it has passed over for a tenant.
const PLACEMENT: &str = "tenantry::placement";
/// The most that are shown of a fleet whose tenants all say something else, and that wait for the one who reads them.
const MOST: usize = 100;

/// A message of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Notice {
    severity: &'static str,
    message: String,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity, self.message)
    }
}

tokio::task_local! {
    /// The place for what is said to a piece of work.
    static HEARER: Hearer;
}

/// Hears what the server says to some work.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hearer(Arc<Mutex<Heard>>);

#[derive(Debug, Default)]
struct Heard {
    notices: Vec<Notice>,
    /// Messages for which there was no place.
    missed: usize,
}

impl Hearer {
    /// Works, and hears what the server says meanwhile.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        HEARER.scope(self.clone(), work).await
    }

    /// Takes what was said so far.
    pub(crate) fn take(&self) -> Vec<Notice> {
        let Heard { mut notices, missed } = std::mem::take(&mut *self.heard());
        if missed > 0 {
            let message = format!("{missed} more messages of the server are not shown");
            notices.push(Notice { severity: "warning", message });
        }
        notices
    }

    fn hear(&self, notice: Notice) {
        let mut heard = self.heard();
        if heard.notices.len() < MOST {
            heard.notices.push(notice);
        } else {
            heard.missed += 1;
        }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands each message to the work that it is for. What is for none is shown once, if a format is given.
#[derive(Debug)]
pub(crate) struct Notices {
    format: Option<Format>,
    shown: Mutex<HashSet<String>>,
}

impl Notices {
    pub(crate) fn shown_as(format: Option<Format>) -> Self {
        Self { format, shown: Mutex::default() }
    }

    /// Returns true for an event that is a message of the server, or of a database that was passed over.
    pub(crate) fn are_in(metadata: &Metadata<'_>) -> bool {
        matches!(metadata.target(), TARGET | PLACEMENT)
    }

    fn show(&self, format: Format, notice: &Notice) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.len() < MOST && shown.insert(notice.message.clone()) {
            match format {
                Format::Table => tell(&format!("{notice}\n")),
                Format::Json => tell(&format!("{}\n", serde_json::json!(notice))),
            }
        }
    }
}

impl<S: Subscriber> Layer<S> for Notices {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if !Self::are_in(event.metadata()) {
            return;
        }
        let mut text = Message::default();
        event.record(&mut text);
        let level = *event.metadata().level();
        let notice = Notice { severity: severity(level), message: text.0 };
        if HEARER.try_with(|hearer| hearer.hear(notice.clone())).is_ok() {
            return;
        }
        if let Some(format) =
            self.format.filter(|_| level <= Level::INFO && !is_of_the_runner(&notice.message))
        {
            self.show(format, &notice);
        }
    }
}

/// The word for the level that sqlx gives a message.
fn severity(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "notice",
        Level::DEBUG => "debug",
        Level::TRACE => "info",
    }
}

/// The runner makes its ledger unless it is there, and ends transactions that may have ended.
fn is_of_the_runner(text: &str) -> bool {
    text.contains("_sqlx_migrations") || text == "there is no transaction in progress"
}

#[derive(Debug, Default)]
struct Message(String);

impl Visit for Message {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.0);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_reads_in_time_is_counted() {
        let hearer = Hearer::default();
        for number in 0..MOST + 3 {
            hearer.hear(Notice { severity: "notice", message: number.to_string() });
        }
        let heard = hearer.take();
        assert_eq!(heard.len(), MOST + 1);
        assert_eq!(heard[MOST].to_string(), "warning: 3 more messages of the server are not shown");
        assert!(hearer.take().is_empty());
    }
}

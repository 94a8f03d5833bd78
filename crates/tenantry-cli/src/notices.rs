//! Notices of the server while a migration runs, which are for whoever wrote it: `already exists, skipping`.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// The target under which sqlx passes on what the server says beside its answers.
const TARGET: &str = "sqlx::postgres::notice";
/// The most that are shown of a fleet whose tenants all say something else.
const MOST: usize = 100;

/// Shows every notice and warning of the server once, on stderr.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    shown: Mutex<HashSet<String>>,
}

impl<S: Subscriber> Layer<S> for Notices {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if metadata.target() != TARGET || *metadata.level() > Level::INFO {
            return;
        }
        let mut text = Message::default();
        event.record(&mut text);
        if is_of_the_runner(&text.0) {
            return;
        }
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.len() < MOST && shown.insert(text.0.clone()) {
            let word = if *metadata.level() == Level::INFO { "notice" } else { "warning" };
            anstream::eprintln!("{word}: {}", text.0);
        }
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

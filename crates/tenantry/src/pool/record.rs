//! Notes of what the statements of a pool may have changed, for a test that looks for leaks at its end.
//!
//! Nothing is noted unless somebody asked for it, and without the feature `testing` nobody can.

#[cfg(feature = "testing")]
mod text;

#[cfg(not(feature = "testing"))]
pub(super) use self::off::Recorder;
#[cfg(feature = "testing")]
pub(super) use self::on::Recorder;
#[cfg(feature = "testing")]
pub(crate) use self::on::WriteRecord;

#[cfg(feature = "testing")]
mod on {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

    use super::text::{Writing, judge};
    use crate::tenant::SchemaName;

    /// The schemas that may have been changed, by whom.
    #[derive(Debug, Default)]
    pub(crate) struct WriteRecord(Mutex<Notes>);

    #[derive(Debug, Default)]
    struct Notes {
        /// Somebody works where no statement is seen.
        is_blind: bool,
        written: BTreeSet<String>,
        /// The functions that were called in statements which only read otherwise.
        called: BTreeMap<String, BTreeSet<String>>,
        /// Schemas of tenants that a job was run for, because it was run for all.
        fleet: BTreeSet<String>,
    }

    impl WriteRecord {
        fn lock(&self) -> MutexGuard<'_, Notes> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        /// Returns true if a statement that ran in this schema may have written, given the functions that may.
        pub(crate) fn may_have_written(&self, schema: &str, writing_functions: &[String]) -> bool {
            let notes = self.lock();
            let calls =
                |called: &BTreeSet<String>| writing_functions.iter().any(|name| called.contains(name));
            notes.is_blind || notes.written.contains(schema) || notes.called.get(schema).is_some_and(calls)
        }

        /// Returns true if a job was run for the tenant of this schema.
        pub(crate) fn is_of_a_fleet(&self, schema: &str) -> bool {
            self.lock().fleet.contains(schema)
        }
    }

    /// The record of a pool, once somebody asked for one.
    #[derive(Default)]
    pub(in crate::pool) struct Recorder(OnceLock<Arc<WriteRecord>>);

    impl Recorder {
        pub(in crate::pool) fn note_in(&self, record: &Arc<WriteRecord>) {
            // Nobody asks twice.
            let _ = self.0.set(Arc::clone(record));
        }

        /// Notes a statement that is about to run.
        pub(in crate::pool) fn statement(&self, schema: &SchemaName, sql: &str) {
            let Some(record) = self.0.get() else { return };
            match judge(sql) {
                Writing::Certain => self.anything(schema),
                Writing::ByCalls(names) if names.is_empty() => {}
                Writing::ByCalls(names) => {
                    record.lock().called.entry(schema.to_string()).or_default().extend(names);
                }
            }
        }

        /// Notes that statements may run which nobody sees.
        pub(in crate::pool) fn anything(&self, schema: &SchemaName) {
            if let Some(record) = self.0.get() {
                record.lock().written.insert(schema.to_string());
            }
        }

        /// Notes that statements may run which nobody sees, for whomever.
        pub(in crate::pool) fn anything_anywhere(&self) {
            if let Some(record) = self.0.get() {
                record.lock().is_blind = true;
            }
        }

        /// Notes that a job runs for this tenant, as one of all.
        pub(in crate::pool) fn fleet(&self, schema: &SchemaName) {
            if let Some(record) = self.0.get() {
                record.lock().fleet.insert(schema.to_string());
            }
        }
    }
}

/// The same without the feature: nobody asks.
#[cfg(not(feature = "testing"))]
mod off {
    use crate::tenant::SchemaName;

    #[derive(Default)]
    pub(in crate::pool) struct Recorder {}

    #[expect(clippy::unused_self, reason = "the signatures are those of the feature")]
    impl Recorder {
        pub(in crate::pool) fn statement(&self, _: &SchemaName, _: &str) {}

        pub(in crate::pool) fn anything(&self, _: &SchemaName) {}

        pub(in crate::pool) fn anything_anywhere(&self) {}

        pub(in crate::pool) fn fleet(&self, _: &SchemaName) {}
    }
}

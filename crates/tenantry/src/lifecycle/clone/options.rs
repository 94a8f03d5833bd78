//! The extent of a copy.

use std::num::NonZeroUsize;

use serde_json::{Value, json};

use crate::error::{Error, ErrorKind, Result};
use crate::migration::Script;

const JOBS: NonZeroUsize = NonZeroUsize::new(2).expect("2 is not zero");

/// The part of its source that a clone has, beside the structure, which it always has.
///
/// ```
/// use tenantry::CloneOptions;
///
/// let demo = CloneOptions::default()
///     .except_tables(["audit_log"])
///     .anonymize("anonymize.sql", "UPDATE customer SET email = 'customer' || id || '@example.com'");
/// # let _ = demo;
/// ```
#[derive(Clone, Debug)]
pub struct CloneOptions {
    rows: ClonedRows,
    anonymize: Option<(String, String)>,
    jobs: NonZeroUsize,
    may_commit_before: bool,
}

impl Default for CloneOptions {
    fn default() -> Self {
        Self { rows: ClonedRows::default(), anonymize: None, jobs: JOBS, may_commit_before: false }
    }
}

#[derive(Clone, Debug, Default)]
enum ClonedRows {
    #[default]
    All,
    None,
    Only(Vec<String>),
    Except(Vec<String>),
}

impl CloneOptions {
    /// Tables without rows, and sequences at their beginning.
    #[must_use]
    pub fn without_rows(self) -> Self {
        Self { rows: ClonedRows::None, ..self }
    }

    /// Rows of these tables only. The name of a partitioned table stands for all of its partitions.
    #[must_use]
    pub fn only_tables(self, tables: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { rows: ClonedRows::Only(tables.into_iter().map(Into::into).collect()), ..self }
    }

    /// Rows of all tables but these.
    #[must_use]
    pub fn except_tables(self, tables: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { rows: ClonedRows::Except(tables.into_iter().map(Into::into).collect()), ..self }
    }

    /// SQL that runs in the clone before anybody can see it, and `file`, which errors name as its place. It may change
    /// rows of the clone and nothing else. Like a migration it stays within its transaction and its schema.
    #[must_use]
    pub fn anonymize(self, file: impl Into<String>, sql: impl Into<String>) -> Self {
        Self { anonymize: Some((file.into(), sql.into())), ..self }
    }

    /// Tables that are copied at a time, by as many sessions, where the tenant is large and its clone is in the same
    /// database. They are committed one by one, and the clone is `provisioning` until all are there: a process that
    /// dies meanwhile leaves what the same call makes anew. With 1, and with [`anonymize`](Self::anonymize), all of it
    /// is one transaction. Default: 2.
    #[must_use]
    pub fn jobs(self, jobs: NonZeroUsize) -> Self {
        Self { jobs, ..self }
    }

    /// Lets rows be committed before [`anonymize`](Self::anonymize) has run, if there are more tables than one
    /// transaction has locks for. No tenant is served from them before, but a superuser could read them, and they stay,
    /// as a tenant that is `provisioning`, if the process dies. Without it, such a clone is refused.
    #[must_use]
    pub fn anonymize_in_pieces(self) -> Self {
        Self { may_commit_before: true, ..self }
    }

    /// The SQL that was read.
    pub(super) fn script(&self) -> Result<Option<Script>> {
        let Some((file, sql)) = &self.anonymize else { return Ok(None) };
        let script = Script::of_sql(file, sql.clone());
        if script.is_code() || !script.is_transactional() {
            let message =
                format!("{file}: what makes a clone anonymous is plain SQL in the clone's transaction");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        match script.refusals().first() {
            Some(refusal) => Err(refusal.clone().into()),
            None => Ok(Some(script)),
        }
    }

    /// Returns true if the rows of a table are copied, which may be a part of another one.
    pub(super) fn includes(&self, table: &str, root: Option<&str>) -> bool {
        let is_named =
            |names: &[String]| names.iter().any(|name| name == table || Some(name.as_str()) == root);
        match &self.rows {
            ClonedRows::All => true,
            ClonedRows::None => false,
            ClonedRows::Only(names) => is_named(names),
            ClonedRows::Except(names) => !is_named(names),
        }
    }

    pub(super) fn sessions(&self) -> usize {
        self.jobs.get()
    }

    pub(super) fn may_commit_before(&self) -> bool {
        self.may_commit_before
    }

    pub(super) fn has_rows(&self) -> bool {
        !matches!(self.rows, ClonedRows::None)
    }

    /// The tables that are called by their names.
    pub(super) fn named(&self) -> &[String] {
        match &self.rows {
            ClonedRows::Only(names) | ClonedRows::Except(names) => names,
            ClonedRows::All | ClonedRows::None => &[],
        }
    }

    /// Tells the audit what was asked for.
    pub(super) fn told(&self) -> Value {
        let mut told = match &self.rows {
            ClonedRows::All => json!({}),
            ClonedRows::None => json!({ "rows": false }),
            ClonedRows::Only(names) => json!({ "only_tables": names }),
            ClonedRows::Except(names) => json!({ "except_tables": names }),
        };
        if let Some((file, _)) = &self.anonymize {
            told["anonymize"] = file.as_str().into();
        }
        told
    }
}

//! Bringing schemas up to date.
//!
//! | file | what it does | talks to PostgreSQL |
//! | --- | --- | --- |
//! | `source`, `set`, `script` | read migration files, sqlx's format; refuse what no migration may hold | no |
//! | `lint` | warn of what works and makes a fleet hard to operate | no |
//! | `plan` | compare the files with one schema's ledger | no |
//! | `message` | put files into one message, and find the way back from an error to file and line | no |
//! | `ledger`, `lock` | what a schema has applied; who works on it | yes |
//! | `apply` | bring one schema up to date | yes |
//! | `pending` | warn of the files that a fleet is about to apply | yes |
//! | `fleet` | bring the master schema and all tenants up to date | yes |
//!
//! Each file is one transaction that holds its own ledger row and the row in `tenantry.applied`, so
//! after any crash a file is applied completely or not at all. A `-- no-transaction` file holds one
//! statement and leaves a mark in the ledger before it starts.

mod apply;
mod concurrent_index;
mod error;
mod fleet;
mod ledger;
mod lint;
mod lock;
mod message;
mod pending;
mod plan;
mod refusal;
mod script;
mod set;
mod source;

pub(crate) use self::apply::{
    Site, bring_up_to_date, commit, creation_message, needs_own_transaction, run_message, schema_message,
};
pub use self::error::MigrationError;
pub(crate) use self::fleet::migrate;
pub use self::fleet::{Fleet, Summary};
pub(crate) use self::ledger::{Ledger, read as read_ledger};
pub use self::lint::{Rule, Warning};
pub(crate) use self::lock::SchemaLock;
pub(crate) use self::pending::lint_pending;
pub use self::script::Script;
pub use self::set::{Migration, MigrationSet, digest_of};
pub use self::source::Migrations;

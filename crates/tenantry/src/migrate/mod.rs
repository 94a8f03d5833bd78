//! Bringing schemas up to date.
//!
//! | file | what it does | talks to PostgreSQL |
//! | --- | --- | --- |
//! | `source`, `set`, `script` | read migration files, sqlx's format; refuse what no migration may hold | no |
//! | `lint` | warn of what works and makes a fleet hard to operate | no |
//! | `code` | migrations that are functions of the application | no |
//! | `types` | which statements leave a schema the types it owns | no |
//! | `plan` | compare what is wanted with one schema's ledger | no |
//! | `wave` | who is migrated first, and when to give up | no |
//! | `message` | put files into one message, and find the way back from an error to file and line | no |
//! | `ledger`, `lock` | what a schema has applied; who works on it | yes |
//! | `apply` | bring one schema where it is to be | yes |
//! | `baseline` | start new schemas from a snapshot; make it and compare it with a replay | yes |
//! | `fleet` | which tenants are meant, read page by page | yes |
//! | `pending` | warn of the files that a fleet is about to apply | yes |
//! | `preview` | tell what a run would do | yes |
//! | `groups` | what tenants need who have applied the same | yes |
//! | `workers`, `blockers` | connections to work on; who makes one wait | yes |
//! | `run`, `options` | bring the master schema and all tenants there, in waves, several at a time | yes |
//! | `record` | the lock of a run, its token, and what it writes down | yes |
//!
//! Each file is one transaction that holds its own ledger row and the row in `tenantry.applied`, so
//! after any crash a file is applied completely or not at all. A `-- no-transaction` file holds one
//! statement and leaves a mark in the ledger before it starts.

mod apply;
mod baseline;
mod blockers;
mod code;
mod concurrent_index;
mod error;
mod fleet;
mod groups;
mod ledger;
mod lint;
mod lock;
mod message;
mod options;
mod pending;
mod plan;
mod preview;
mod record;
mod refusal;
mod run;
mod script;
mod set;
mod source;
mod types;
mod wave;
mod workers;

pub(crate) use self::apply::{
    Site, bring_up_to_date, commit, creation_message, needs_own_transaction, run_message, schema_message,
};
pub use self::baseline::{Baseline, pg_dump_arguments};
pub(crate) use self::baseline::{
    check as check_baseline, make as make_baseline, start as start_from_baseline,
};
pub use self::code::CodeFuture;
pub use self::error::MigrationError;
pub use self::fleet::Fleet;
pub(crate) use self::ledger::{Ledger, read as read_ledger};
pub use self::lint::{Rule, Warning};
pub(crate) use self::lock::{SchemaLock, jittered};
pub use self::options::{Limits, MigrateOptions, Resumed};
pub(crate) use self::pending::lint_pending;
pub use self::plan::{Change, Direction};
pub use self::preview::Preview;
pub(crate) use self::preview::preview;
pub(crate) use self::run::migrate;
pub use self::run::{Stopped, Summary};
pub use self::script::Script;
pub use self::set::{Migration, MigrationSet, digest_of};
pub use self::source::Migrations;
pub use self::wave::{Canaries, MaxFailures};

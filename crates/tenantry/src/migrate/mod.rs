//! Bringing schemas up to date.
//!
//! | file | what it does | talks to PostgreSQL |
//! | --- | --- | --- |
//! | `plan` | compare what is wanted with one schema's ledger | no |
//! | `wave` | who is migrated first, and when to give up | no |
//! | `message` | put files into one message, and find the way back from an error to file and line | no |
//! | `ledger`, `lock` | what a schema has applied; who works on it | yes |
//! | `apply` | bring one schema where it is to be | yes |
//! | `creation` | make a schema and all that is in it | yes |
//! | `squash` | make a baseline, and compare it with a replay | yes |
//! | `fleet` | which tenants are meant, read page by page | yes |
//! | `pending` | warn of the files that a fleet is about to apply | yes |
//! | `preview` | tell what a run would do | yes |
//! | `groups` | what tenants need who have applied the same | yes |
//! | `workers`, `blockers` | connections to work on; who makes one wait | yes |
//! | `run`, `options` | bring the master schema and all tenants there, in waves, several at a time | yes |
//! | `record` | the lock of a run, its token, and what it writes down | yes |
//!
//! The files are read in [`migration`](crate::migration), which knows no server.
//!
//! Each file is one transaction that holds its own ledger row and the row in `tenantry.applied`, so
//! after any crash a file is applied completely or not at all. A `-- no-transaction` file holds one
//! statement and leaves a mark in the ledger before it starts.

mod apply;
mod blockers;
mod concurrent_index;
mod creation;
mod fleet;
mod groups;
mod ledger;
mod lock;
mod message;
mod options;
mod pending;
mod plan;
mod preview;
mod record;
mod run;
mod squash;
mod wave;
mod workers;

pub(crate) use self::apply::{Site, bring_up_to_date, commit, needs_own_transaction, run_message};
pub(crate) use self::creation::{creation_message, schema_message, start_from_baseline};
pub use self::fleet::Fleet;
pub(crate) use self::ledger::{Ledger, read as read_ledger};
pub(crate) use self::lock::{SchemaLock, jittered};
pub use self::options::{Limits, MigrateOptions, Resumed};
pub(crate) use self::pending::lint_pending;
pub use self::plan::{Change, Direction};
pub use self::preview::Preview;
pub(crate) use self::preview::preview;
pub(crate) use self::run::migrate;
pub use self::run::{Stopped, Summary};
pub use self::squash::pg_dump_arguments;
pub(crate) use self::squash::{check as check_baseline, make as make_baseline};
pub use self::wave::{Canaries, MaxFailures};
pub use crate::migration::{
    Baseline, CodeFuture, Migration, MigrationError, MigrationSet, Migrations, Rule, Script, Warning,
    digest_of,
};

//! Bringing schemas up to date.
//!
//! The work has six levels, and the names of the calls say which. `migrate_fleet` goes through the waves of a
//! fleet, `migrate_wave` through the tenants of one, `migrate_tenant` tries a tenant until it succeeds.
//! `migrate_schema` is the recipe for one schema, be it the master's or a tenant's; `apply_…` puts files into it,
//! and `send_…` is one message to the server.
//!
//! Each file uses only those below it:
//!
//! | level | file | what it does | talks to PostgreSQL |
//! | --- | --- | --- | --- |
//! | before a run | `pending` | warns of the files that a fleet is about to apply | yes |
//! | | `mark` | has ledgers say that a version is applied, or that it is not | yes |
//! | | `preview` | tells what a run would do | yes |
//! | beside it | `squash` | makes a baseline, and compares it with a replay | yes |
//! | | `versions` | tells what the files make at each version | yes |
//! | | `scratch` | makes a schema, fills it, and drops it again | yes |
//! | | `distribution` | distributes a schema over the nodes of Citus | yes |
//! | | `creation`, `removal` | makes a schema and all that is in it; drops one, a large one in parts | yes |
//! | | `survey` | looks for what stands in the way of a run before any schema is touched | yes |
//! | fleet, wave | `wave` | goes through the master schema and the tenants, several at a time | yes |
//! | tenant | `tenant` | tries several that are alike at once, or one until it succeeds | yes |
//! | | `unheard` | finds out what a connection had done that was lost | yes |
//! | | `moving` | waits for a tenant that is on its way to another database | yes |
//! | | `run`, `progress` | what all schemas of a run share; what has become of them | no |
//! | | `record` | holds the lock of a run and its token, and writes its diary | yes |
//! | | `catch_up` | enters in the diary what an interrupted run did not write down | yes |
//! | | `options`, `caution` | what is migrated, and when to give up | no |
//! | | `fleet` | reads the tenants that are meant, page by page | yes |
//! | | `type_change` | compares a ledger with the files of another type of tenants | no |
//! | | `groups` | finds what tenants need who have applied the same | yes |
//! | | `workers`, `blockers` | connections to work on; sessions that make one wait | yes |
//! | schema | `schema` | the recipe: lock, ledger, plan, files | yes |
//! | file | `file` | applies files that share a transaction, to one schema or to several | yes |
//! | | `alone` | applies a file outside of a transaction, or as a function | yes |
//! | | `inspection` | what the server is asked around a file: has it stayed in its schema? | no |
//! | | `concurrent_index` | judges an interrupted `CREATE INDEX CONCURRENTLY` | yes |
//! | message | `send` | sends a message, and maps an error back to file and line | yes |
//! | | `message` | puts statements of our own and files into one text | no |
//! | | `site` | the schema that is worked on, its owner, and the terms | no |
//! | | `limits` | timeouts, the terms of a run | no |
//! | | `patience` | the attempts while others are in the way | no |
//! | | `citus` | what differs on Citus | no |
//! | | `goals` | the goals of a run, one for each type of tenants | no |
//! | | `plan`, `conflict` | compares a goal with one schema's ledger | no |
//! | | `ledger`, `lock` | what a schema has applied; the process that works on it | yes |
//!
//! The files are read in `migration`, which knows no server.
//!
//! Each file is in one transaction with its own ledger row and the row in `tenantry.applied`, so
//! after any crash a file is applied completely or not at all. Tenants that need only new columns, and are quick,
//! share one: see `groups`. A `-- no-transaction` file holds one
//! statement and leaves a mark in the ledger before it starts.

mod alone;
mod blockers;
mod catch_up;
mod caution;
mod citus;
mod concurrent_index;
mod conflict;
mod creation;
mod distribution;
mod file;
mod fleet;
mod goals;
mod groups;
mod inspection;
mod ledger;
mod limits;
mod lock;
mod mark;
mod message;
mod moving;
mod options;
mod patience;
mod pending;
mod plan;
mod preview;
mod progress;
mod record;
mod removal;
mod review;
mod run;
mod schema;
mod scratch;
mod send;
mod site;
mod squash;
mod survey;
mod tenant;
mod type_change;
mod unheard;
mod versions;
mod wave;
mod workers;

pub use self::caution::{Canaries, MaxFailures};
pub(crate) use self::conflict::{Conflict, sentence};
pub(crate) use self::creation::{creation_message, schema_message, start_from_baseline};
pub(crate) use self::distribution::{distribute, distribute_alone};
pub(crate) use self::file::needs_own_transaction;
pub use self::fleet::Fleet;
#[cfg(feature = "archive")]
pub(crate) use self::ledger::creation as ledger_creation;
pub(crate) use self::ledger::{LEDGER_DIGEST, Ledger, read as read_ledger};
pub use self::limits::Limits;
pub(crate) use self::lock::{SchemaLock, jittered};
pub(crate) use self::mark::mark;
pub use self::mark::{Mark, Marking};
pub(crate) use self::message::Message;
pub use self::options::{MigrateOptions, Resumed};
pub(crate) use self::patience::Patience;
pub(crate) use self::pending::lint_pending;
pub(crate) use self::plan::{Applied, Goal, plan};
pub use self::plan::{Change, Direction};
pub use self::preview::Preview;
pub(crate) use self::preview::preview;
pub use self::progress::{Stopped, Summary};
pub(crate) use self::removal::{Dependents, drop_schema, empty_schema, refuse_dependents};
pub(crate) use self::schema::migrate_schema;
pub(crate) use self::scratch::Workshop;
pub(crate) use self::send::{commit, send, send_own};
pub(crate) use self::site::Site;
pub use self::squash::{BaselineOptions, FirstRows, NewBaseline};
pub(crate) use self::squash::{check_baseline, make_baseline};
pub(crate) use self::type_change::{Leaving, LedgerChange, plan_type_change};
pub(crate) use self::versions::{Obstacle, Versions, kept_versions, versions};
pub(crate) use self::wave::migrate_fleet;
pub use crate::migration::{
    Baseline, CodeFuture, ImportFinding, ImportOptions, ImportRemark, ImportTool, Imported, ImportedFile,
    Migration, MigrationError, MigrationSet, Migrations, NextVersion, Rule, Script, SourceFolder, Warning,
    digest_of, import, sql_text,
};

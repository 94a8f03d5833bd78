//! The verbs of a tenant's life, one file each.
//!
//! A verb is a list of steps, each with what undoes it. What one transaction can hold is one, together with its
//! entry in the audit; what takes several is entered before the first of them, and the same call goes on with it.
//! So whoever dies on the way leaves all of it, nothing, or what the same verb finishes.
//!
//! Making a tenant is `provision`'s work, and nothing here serves requests.
//!
//! | file | what it does | its undo |
//! | --- | --- | --- |
//! | `suspend` | stops serving a tenant; serves it again | each other |
//! | `drain` | waits until nothing of a suspended tenant is under way | none is needed |
//! | `adopt` | makes tenants of schemas that are there, compared with what the files make | `release` |
//! | `release` | takes a tenant out of the registry, and leaves its schema | adopting it |
//! | `rename` | gives a tenant another slug | itself, back |
//! | `set_type` | gives a tenant another type, and its schema the files of that | itself, back |
//! | `clone` | makes a tenant as a copy of another one | `delete` and `purge` |
//! | `import_database` | makes a tenant of a customer's own database | `delete` and `purge` |
//! | `relocate` | moves a tenant to another database | itself, back |
//! | `nodes` | moves a tenant to another node of Citus | itself, back |
//! | `export` | writes a tenant into an archive | none is needed |
//! | `import_archive` | makes a tenant of an archive | `delete` and `purge` |
//! | `delete` | hides a tenant and dates its purge; brings it back | each other |
//! | `purge` | drops the schema of a deleted tenant, then its row | none |
//! | `databases` | closes a database to new tenants, opens it, tells of all | each other |
//! | `drain_database` | says where the tenants of a closed database go | none is needed |
//! | `footprint` | measures a tenant, and changes nothing | none is needed |
//! | `source`, `making` | open what is copied, make the tables of the copy | none is needed |
//! | `transfer` | makes all that a tenant has once more, from one connection to another | its transaction |
//! | `entry` | enters a tenant whose schema may be in another database | the same verb, or `create --abort` |
//! | `archived` | turns what is known of a tenant's files into what an archive says, and back | none is needed |
//! | `in_pieces` | makes a schema in several transactions | `entry` |
//! | `contents`, `needs`, `locks`, `rounds`, `free` | do what several verbs need | none is needed |

mod adopt;
#[cfg(feature = "archive")]
mod archived;
mod clone;
mod contents;
mod databases;
mod delete;
mod drain;
mod drain_database;
mod entry;
#[cfg(feature = "archive")]
mod export;
mod find;
mod footprint;
mod free;
#[cfg(feature = "archive")]
mod import_archive;
mod import_database;
mod in_pieces;
mod locks;
mod making;
mod needs;
mod nodes;
mod purge;
mod release;
mod relocate;
mod rename;
mod rounds;
mod set_type;
mod source;
mod suspend;
mod transfer;

pub use self::adopt::{Adoptable, Adoption, SchemaChoice};
pub(crate) use self::adopt::{adopt, adoptable, owned};
pub(crate) use self::clone::clone;
pub use self::clone::{CloneOptions, Cloned};
pub use self::databases::DatabaseState;
pub(crate) use self::databases::{close_database, databases, open_database};
pub(crate) use self::delete::{delete, undelete};
pub(crate) use self::drain::drain;
pub use self::drain_database::{DrainPlan, PlannedMove};
pub(crate) use self::drain_database::{drain_spares, plan_drain};
#[cfg(feature = "archive")]
pub(crate) use self::export::export;
#[cfg(feature = "archive")]
pub use self::export::{ExportOptions, Exported};
pub use self::footprint::Footprint;
pub(crate) use self::footprint::footprint;
#[cfg(feature = "archive")]
pub(crate) use self::import_archive::import_archive;
#[cfg(feature = "archive")]
pub use self::import_archive::{FromArchive, ImportedTenant};
pub use self::import_database::{ExaminedDatabase, ImportRefusal, ImportedDatabase, SourceDatabase};
pub(crate) use self::import_database::{examine_database, import_database};
pub use self::nodes::{NodeMoved, PlannedNodeMove};
pub(crate) use self::nodes::{move_to_node, plan_rebalance, record_nodes};
pub use self::purge::PurgeOptions;
pub(crate) use self::purge::purge;
pub(crate) use self::release::release;
pub use self::relocate::{MoveOptions, MovePlan, MoveRefusal, Moved};
pub(crate) use self::relocate::{abort_move, examine_move, purge_copy, relocate};
pub(crate) use self::rename::rename;
pub(crate) use self::set_type::set_type;
pub use self::set_type::{FormerFiles, TypeChange};
pub(crate) use self::suspend::{resume, suspend};

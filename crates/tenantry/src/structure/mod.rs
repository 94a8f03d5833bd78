//! The structure of a schema: everything in it but its rows, and the same for every tenant at one version.
//!
//! It is told by its [`Fingerprint`], which the server computes, and made by two texts, which `pg_dump` writes once for
//! all schemas that have it: a dump of one schema reads the whole catalog, and costs more the more tenants there are.
//! Nothing here knows rows, migrations or the registry of tenants, and nothing here runs `pg_dump`.
//!
//! | file | what it does |
//! | --- | --- |
//! | `source` | finds the texts of a structure, or has them made; makes a structure in another schema |
//! | `fingerprint` | hashes what the server says of a schema, and names what two schemas differ in |
//! | `history` | the structures that a set of files makes, one after the other |
//! | `difference` | names what a schema has less, more or otherwise than it should |
//! | `permissions` | tells who owns and may use what, and how that differs from what it should be |
//! | `mend` | writes the statement that takes a difference away, where one does |
//! | `dumped` | divides a dump into what comes before the rows and what comes behind them |
//! | `casts` | reads what a dump of one schema leaves out |
//! | `rename` | puts placeholders where a statement names its own schema |
//! | `own_name` | leaves the name of a schema out of its functions, where it is compared with another |
//! | `origin` | says where a dump of another database finds extensions and roles here |
//! | `outside` | names the roles and tablespaces that a structure needs |
//! | `pieces` | divides the texts where one transaction cannot hold all of them |
//! | `per_table` | divides them where several sessions build indexes |
//! | `likeness` | leaves out what two databases may have in different ways |
//! | `psql` | writes the texts for `psql`, and reads them again |
//! | `placeholder` | puts the names of a tenant in their places |

mod casts;
mod difference;
mod dumped;
mod fingerprint;
mod history;
mod likeness;
mod mend;
mod origin;
mod outside;
mod own_name;
mod per_table;
mod permissions;
mod pieces;
mod placeholder;
#[cfg(feature = "archive")]
mod psql;
mod rename;
mod source;

pub(crate) use self::difference::{Deviation, differences};
pub(crate) use self::fingerprint::{Fingerprint, Objects, StructurePart, Subject};
pub(crate) use self::history::History;
pub(crate) use self::mend::{mend, mend_in};
pub(crate) use self::origin::{DumpOrigin, ExtensionMember};
pub(crate) use self::outside::{OutsideNames, with_role};
pub(crate) use self::per_table::{PerTable, per_table};
pub(crate) use self::permissions::{Holders, permission_differences, question};
pub(crate) use self::pieces::pieces;
#[cfg(feature = "archive")]
pub(crate) use self::psql::{PsqlTexts, from_psql};
pub(crate) use self::source::{ForeignStructure, Structure};

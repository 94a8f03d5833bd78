//! The built program, against real servers.
#![allow(clippy::unwrap_used)]

/// Schemas that are there become tenants, and tenants schemas.
mod adoption;
mod archive;
/// Archives of all tenants in a folder or bucket.
mod backup;
/// The baseline that new tenants start from.
mod baseline;
/// A folder with a database, and the program run in it.
mod bench;
/// Tenants that are made as copies of others.
mod clone;
/// Several databases, of which one may be away.
mod databases;
/// The embedded server: started, found, stopped.
mod dev;
/// Trouble of an installation, and what mends it.
mod doctor;
/// The commands that the documents show, typed as they stand there.
mod documents;
/// A dump that `pg_dump` wrote, converted and applied.
mod dumped;
/// Tenants that leave: delete, undelete, purge.
mod endings;
/// SQL in one schema and in all.
mod exec;
/// Migration files that are wrong, late, changed or gone.
mod files;
/// The life of a fleet, from `init` on.
mod fleet;
/// Migrations of other tools, converted and applied.
mod import;
/// Customers' own databases that become tenants.
mod import_database;
/// Commands that are told to end while they wait.
mod interrupts;
/// The keys of all JSON.
mod keys;
/// Warnings about the migration files.
mod lint;
/// Many tenants at once, their settings, and choosing among them.
mod many;
/// Migrations that work, and those that do not.
mod migrate;
/// The files of the next migration.
mod new;
/// Moves between the nodes of a cluster, on an emulation of Citus.
mod nodes;
/// The files in `packaging/`: the image, manifests for Kubernetes, units for systemd, the package for Debian.
mod packages;
/// Queries that were checked at compile time, asked once more.
mod prepared;
/// Refusals: how they are said, and with which exit code.
mod refusals;
/// Moves between databases.
mod relocate;
/// The SQL of a run, printed for people to read.
mod review;
/// Recorded runs, and processes that are killed in the middle of one.
mod runs;
/// A small S3-compatible store.
mod s3;
/// URLs and psql: other programs in the schema of a tenant.
mod sessions;
/// Tenants that are suspended and resumed.
mod suspend;
/// Colour, pipes, completions.
mod terminal;

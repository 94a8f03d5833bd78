//! Migration files: read once, judged once, then trusted.
//!
//! Everything here is about text. Nothing asks a server; [`migrate`](crate::migrate) does that, with what is
//! read here.
//!
//! | file | what it does |
//! | --- | --- |
//! | `import` | turns the migrations of other tools into files of ours |
//! | `source` | the files of both kinds of schemas: [`Migrations`] |
//! | `next_version` | the version of a migration that is about to be written: [`NextVersion`] |
//! | `directory`, `file_name` | finds the files, in sqlx's format, and overlooks none |
//! | `baseline` | reads the snapshot that new schemas start from, and writes it from a dump |
//! | `tenant_files` | the files of the tenants of one type, or without one: [`TenantFiles`] |
//! | `set` | orders the files of one kind of schema by version: [`MigrationSet`] |
//! | `lint` | warns of what works and makes a fleet hard to operate |
//! | `script` | splits one file into statements, and refuses what no migration may hold: [`Script`] |
//! | `psql`, `plain_dump`, `divided` | recognise what is for psql, a whole dump, and files of other tools |
//! | `refusal`, `types`, `around`, `concurrently`, `reach` | rules about one statement |
//! | `foreign_ledger` | the tables in which other tools note what they have applied |
//! | `code`, `silence` | migrations that are functions of the application; comments that silence the lint |
//! | `text` | the text of a file, and where its statements are |
//! | `error` | names file, line and problem: [`MigrationError`] |
//!
//! Each uses only those below it.

mod around;
mod baseline;
mod code;
mod concurrently;
mod directory;
mod divided;
mod error;
mod file_name;
mod foreign_ledger;
mod import;
mod lint;
mod next_version;
mod plain_dump;
mod psql;
mod reach;
mod refusal;
mod script;
mod set;
mod silence;
mod source;
mod tenant_files;
mod text;
mod types;

pub use self::baseline::Baseline;
pub(crate) use self::baseline::{BaselineHead, baseline_of, is_cast_to_name};
pub(crate) use self::code::Code;
pub use self::code::CodeFuture;
pub(crate) use self::concurrently::IndexStep;
pub use self::error::MigrationError;
pub(crate) use self::foreign_ledger::FOREIGN_LEDGERS;
pub use self::import::{
    ImportFinding, ImportOptions, ImportRemark, ImportTool, Imported, ImportedFile, SourceFolder, import,
};
pub(crate) use self::lint::{Home, TenantServer, lint};
pub use self::lint::{Rule, Warning};
pub use self::next_version::NextVersion;
pub(crate) use self::plain_dump::{is_complete, without_meta_commands};
pub(crate) use self::reach::FileReach;
pub use self::script::Script;
#[cfg(test)]
pub(crate) use self::script::tests as scripts;
pub use self::set::{Migration, MigrationSet, digest_of};
pub use self::source::Migrations;
pub(crate) use self::tenant_files::TenantFiles;
pub(crate) use self::text::FileText;
pub use self::text::sql_text;

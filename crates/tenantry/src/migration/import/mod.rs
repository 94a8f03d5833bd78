//! Turns the migrations of other tools into files of ours.
//!
//! Pure: the texts of files go in, new files and findings come out. What cannot be converted stays as it is and is
//! named with its line, or is left out and named; nothing is lost without a word.
//!
//! | file | what it does |
//! | --- | --- |
//! | `goose`, `golang_migrate`, `dbmate`, `diesel` | read the layout of one tool |
//! | `refinery`, `flyway`, `prisma`, `dump` | likewise |
//! | `tool` | the tools there are: [`ImportTool`] |
//! | `numbers` | versions in the order in which the tool applies them |
//! | `annotated` | divides a file by comments of the tool |
//! | `convert`, `unit` | the text of a section, statement by statement |
//! | `isolation` | whether a file runs in one |
//! | `verdict` | what becomes of one statement |
//! | `qualifier` | takes `public.` away, by tokens |
//! | `grants` | privileges of the roles that somebody names |
//! | `extension` | extensions, which all tenants share, for a migration of the master |
//! | `rows` | the data of a dump, as `INSERT` |
//! | `source_folder`, `source_file`, `draft` | what is read |
//! | `options`, `imported`, `finding` | what is asked for, what is made, and what is told |

mod annotated;
mod convert;
mod dbmate;
mod diesel;
mod draft;
mod dump;
mod extension;
mod finding;
mod flyway;
mod golang_migrate;
mod goose;
mod grants;
mod imported;
mod isolation;
mod numbers;
mod options;
mod prisma;
mod qualifier;
mod refinery;
mod rows;
mod source_file;
mod source_folder;
mod tool;
mod unit;
mod verdict;

use self::convert::Converter;
pub use self::finding::{ImportFinding, ImportRemark};
pub use self::imported::{Imported, ImportedFile};
pub use self::options::ImportOptions;
pub use self::source_folder::SourceFolder;
pub use self::tool::ImportTool;
use super::error::{MigrationError, Problem};

/// Turns the files of another tool into migrations.
///
/// ```
/// use tenantry::migrate::{ImportOptions, ImportTool, SourceFolder, import};
///
/// # fn example() -> Result<(), tenantry::migrate::MigrationError> {
/// let options = ImportOptions {
///     schema: "public".to_owned(),
///     with_rows: Vec::new(),
///     with_grants_to: Vec::new(),
///     extension_schema: "extensions".to_owned(),
///     master_digits: "0001".to_owned(),
///     tenant_digits: "0001".to_owned(),
/// };
/// let sql = "-- migrate:up\nCREATE TABLE public.note (id int);\n";
/// let mut folder = SourceFolder::new("db/migrations");
/// folder.add("20240131120000_note.sql", sql.into())?;
/// let imported = import(ImportTool::Dbmate, &folder, &options)?;
/// assert_eq!(imported.files[0].name, "20240131120000_note.sql");
/// assert_eq!(imported.files[0].text, "CREATE TABLE note (id int);\n");
/// # Ok(())
/// # }
/// # example().unwrap();
/// ```
///
/// # Errors
/// If there is no migration of the tool among the files, or two have the same version: then nobody knows their order.
pub fn import(
    tool: ImportTool,
    folder: &SourceFolder,
    options: &ImportOptions,
) -> Result<Imported, MigrationError> {
    let mut findings = Vec::new();
    let drafts = tool.read(folder.files(), &mut findings);
    if drafts.is_empty() {
        return Err(MigrationError::in_file(
            folder.name(),
            Problem::NothingToImport { tool: tool.as_str(), layout: tool.layout() },
        ));
    }
    let numbered = numbers::assign(drafts, &options.tenant_digits, &mut findings)?;
    let mut converter = Converter::new(tool, options, findings);
    let mut files: Vec<_> = numbered.iter().flat_map(|it| converter.files_of(it)).collect();
    let (extensions, mut findings) = converter.finish();
    files.extend(extension::file(&extensions, &options.master_digits));
    files.sort_by_key(|file| (!file.is_master, file.version));
    findings.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    Ok(Imported { files, findings })
}

#[cfg(test)]
mod tests;

//! Prisma: a folder for each migration, with `migration.sql`. The alphabet says in which order they are applied.

use super::draft::{Draft, Section, SortKey};
use super::finding::ImportFinding;
use super::source_file::SourceFile;

pub(super) fn read<'a>(files: &'a [SourceFile], findings: &mut Vec<ImportFinding>) -> Vec<Draft<'a>> {
    let in_folder =
        |folder: &str, name: &str| files.iter().find(|file| file.folder() == folder && file.name() == name);
    let mut drafts = Vec::new();
    for file in files {
        let folder = file.folder();
        let is_known = !folder.is_empty() && !folder.contains('/');
        match file.name() {
            "migration.sql" if is_known => {
                let name = folder.trim_start_matches(|it: char| it.is_ascii_digit() || it == '_');
                drafts.push(Draft {
                    key: SortKey::Name(folder.to_owned()),
                    name: name.to_owned(),
                    up: Section::whole(file),
                    down: in_folder(folder, "down.sql").map(Section::whole),
                });
            }
            "down.sql" if is_known && in_folder(folder, "migration.sql").is_some() => {}
            _ => {
                let why = "Prisma's files are `migration.sql` in a folder";
                findings.extend(ImportFinding::left_out(file, "", why));
            }
        }
    }
    drafts
}

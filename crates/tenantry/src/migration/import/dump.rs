//! The output of `pg_dump`: one file, which makes everything.

use super::draft::{Draft, Section, SortKey};
use super::finding::ImportFinding;
use super::source_file::SourceFile;

pub(super) fn read<'a>(files: &'a [SourceFile], findings: &mut Vec<ImportFinding>) -> Vec<Draft<'a>> {
    let mut sql = files.iter().filter(|file| file.is_sql());
    let draft = sql.next().map(|file| Draft {
        key: SortKey::Single,
        name: file.stem(".sql").unwrap_or_default().to_owned(),
        up: Section::whole(file),
        down: None,
    });
    findings.extend(
        sql.filter_map(|file| ImportFinding::left_out(file, "", "only one dump can be imported at a time")),
    );
    draft.into_iter().collect()
}

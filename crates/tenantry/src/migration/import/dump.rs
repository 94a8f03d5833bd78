//! The output of `pg_dump`: one file, which makes everything.

use super::draft::{Draft, Section, SortKey};
use super::finding::ImportFinding;
use super::source_file::SourceFile;

pub(super) fn read<'a>(files: &'a [SourceFile], findings: &mut Vec<ImportFinding>) -> Vec<Draft<'a>> {
    // A file that somebody names may have any ending.
    let mut sql = files.iter().filter(|file| file.is_sql() || files.len() == 1 && !file.text().is_empty());
    let draft = sql.next().map(|file| Draft {
        key: SortKey::Single,
        name: file.name().rsplit_once('.').map_or(file.name(), |(stem, _)| stem).to_owned(),
        up: Section::whole(file),
        down: None,
    });
    findings.extend(
        sql.filter_map(|file| ImportFinding::left_out(file, "", "only one dump can be imported at a time")),
    );
    draft.into_iter().collect()
}

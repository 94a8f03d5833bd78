//! refinery: `V1__note.sql`, and `U2__tag.sql`, which is applied like any other and may come late.

use super::draft::{Draft, Section, SortKey};
use super::finding::ImportFinding;
use super::source_file::SourceFile;

pub(super) fn read<'a>(files: &'a [SourceFile], findings: &mut Vec<ImportFinding>) -> Vec<Draft<'a>> {
    files.iter().filter_map(|file| read_file(file, findings)).collect()
}

fn read_file<'a>(file: &'a SourceFile, findings: &mut Vec<ImportFinding>) -> Option<Draft<'a>> {
    let Some((digits, name)) = file.stem(".sql").and_then(version_and_name) else {
        let why = "refinery's files have a `V` or a `U`, a number, `__` and a name";
        let language = if file.stem(".rs").and_then(version_and_name).is_some() { ".rs" } else { "" };
        findings.extend(ImportFinding::left_out(file, language, why));
        return None;
    };
    let key = SortKey::Number(digits.to_owned());
    Some(Draft { key, name: name.to_owned(), up: Section::whole(file), down: None })
}

fn version_and_name(stem: &str) -> Option<(&str, &str)> {
    let (version, name) = stem.strip_prefix(['V', 'U'])?.split_once("__")?;
    let is_number = !version.is_empty() && version.bytes().all(|it| it.is_ascii_digit());
    is_number.then_some((version, name))
}

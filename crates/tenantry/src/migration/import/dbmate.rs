//! dbmate: one file, divided by `-- migrate:up` and `-- migrate:down`.

use super::annotated::{Annotation, divide};
use super::draft::{Draft, SortKey, digits_and_name};
use super::finding::ImportFinding;
use super::source_file::SourceFile;

pub(super) fn read<'a>(files: &'a [SourceFile], findings: &mut Vec<ImportFinding>) -> Vec<Draft<'a>> {
    files.iter().filter_map(|file| read_file(file, findings)).collect()
}

fn read_file<'a>(file: &'a SourceFile, findings: &mut Vec<ImportFinding>) -> Option<Draft<'a>> {
    let named = file.stem(".sql").filter(|_| file.folder().is_empty()).and_then(digits_and_name);
    let Some((digits, name)) = named else {
        let why = "dbmate's files have a number, `_` and a name, and are in no folder";
        findings.extend(ImportFinding::left_out(file, "", why));
        return None;
    };
    let divided = divide(file, annotation);
    findings.extend(divided.left_out(file));
    let Some(up) = divided.up else {
        findings.extend(ImportFinding::left_out(file, "", "it has no line `-- migrate:up`"));
        return None;
    };
    Some(Draft { key: SortKey::Number(digits.to_owned()), name: name.to_owned(), up, down: divided.down })
}

fn annotation(line: &str) -> Option<Annotation> {
    let mut words = line.strip_prefix("--")?.split_ascii_whitespace();
    let block = words.next()?;
    let is_transactional = !words.any(|option| option == "transaction:false");
    match block {
        "migrate:up" => Some(Annotation::Up { is_transactional }),
        "migrate:down" => Some(Annotation::Down { is_transactional }),
        _ => None,
    }
}

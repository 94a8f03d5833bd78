//! goose: one file, divided by `-- +goose Up` and `-- +goose Down`.

use super::annotated::{Annotation, divide};
use super::draft::{Draft, SortKey, digits_and_name};
use super::finding::{ImportFinding, ImportRemark};
use super::source_file::SourceFile;

pub(super) fn read<'a>(files: &'a [SourceFile], findings: &mut Vec<ImportFinding>) -> Vec<Draft<'a>> {
    files.iter().filter_map(|file| read_file(file, findings)).collect()
}

fn read_file<'a>(file: &'a SourceFile, findings: &mut Vec<ImportFinding>) -> Option<Draft<'a>> {
    let named = file.stem(".sql").filter(|_| file.folder().is_empty()).and_then(digits_and_name);
    let Some((digits, name)) = named else {
        let why = "goose's files have a number, `_` and a name, and are in no folder";
        findings.extend(ImportFinding::left_out(file, ".go", why));
        return None;
    };
    let divided = divide(file, annotation);
    for at in &divided.unknown {
        let message = "variables of the environment are goose's: write the values";
        findings.push(ImportFinding::at(file, *at, ImportRemark::NotConverted, message));
    }
    findings.extend(divided.left_out(file));
    let Some(up) = divided.up else {
        findings.extend(ImportFinding::left_out(file, ".go", "it has no line `-- +goose Up`"));
        return None;
    };
    Some(Draft { key: SortKey::Number(digits.to_owned()), name: name.to_owned(), up, down: divided.down })
}

fn annotation(line: &str) -> Option<Annotation> {
    let words: Vec<_> = line.strip_prefix("--")?.split_ascii_whitespace().map(str::to_lowercase).collect();
    let (first, rest) = words.split_first()?;
    if first != "+goose" {
        return None;
    }
    let rest: Vec<_> = rest.iter().map(String::as_str).collect();
    Some(match rest[..] {
        ["up"] => Annotation::Up { is_transactional: true },
        ["down"] => Annotation::Down { is_transactional: true },
        ["no", "transaction"] => Annotation::NoTransaction,
        ["envsub", "on"] => Annotation::Unknown,
        _ => Annotation::Noise,
    })
}

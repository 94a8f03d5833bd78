//! goose: one file, divided by `-- +goose Up` and `-- +goose Down`.

use super::annotated::{self, Annotation, Style};
use super::draft::Draft;
use super::finding::ImportFinding;
use super::source_file::SourceFile;

const STYLE: Style = Style {
    name: "goose",
    program: ".go",
    first_line: "-- +goose Up",
    unknown: "variables of the environment are goose's: write the values",
    annotation,
};

pub(super) fn read<'a>(files: &'a [SourceFile], findings: &mut Vec<ImportFinding>) -> Vec<Draft<'a>> {
    annotated::read(files, findings, &STYLE)
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

//! dbmate: one file, divided by `-- migrate:up` and `-- migrate:down`.

use super::annotated::{self, Annotation, Style};
use super::draft::Draft;
use super::finding::ImportFinding;
use super::source_file::SourceFile;

const STYLE: Style = Style {
    name: "dbmate",
    program: "",
    first_line: "-- migrate:up",
    unknown: "only dbmate can do this",
    annotation,
};

pub(super) fn read<'a>(files: &'a [SourceFile], findings: &mut Vec<ImportFinding>) -> Vec<Draft<'a>> {
    annotated::read(files, findings, &STYLE)
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

//! Files in which comments of the tool tell the way there from the way back.

use std::ops::Range;

use super::draft::{Draft, Section, SortKey, digits_and_name, lines};
use super::finding::{ImportFinding, ImportRemark};
use super::source_file::SourceFile;
use crate::sql::lexer::Lexer;

/// A comment for the tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Annotation {
    Up {
        is_transactional: bool,
    },
    Down {
        is_transactional: bool,
    },
    /// The whole file runs without a transaction.
    NoTransaction,
    /// A line that is for the tool alone.
    Noise,
    /// A line that asks the tool for something that only it can do.
    Unknown,
}

/// The two scripts of a file, and the lines that ask for something that only the tool can do.
#[derive(Debug, Default)]
pub(super) struct Annotated<'a> {
    pub(super) up: Option<Section<'a>>,
    pub(super) down: Option<Section<'a>>,
    pub(super) unknown: Vec<usize>,
    /// Text that no tool would run: SQL in front of the first section, and sections that repeat one.
    pub(super) outside: Vec<usize>,
}

impl Annotated<'_> {
    /// The remarks on what is left out.
    pub(super) fn left_out(&self, file: &SourceFile) -> impl Iterator<Item = ImportFinding> {
        let message =
            "left out: it is in front of the first section, or in a second one of the same direction";
        self.outside.iter().map(move |at| ImportFinding::at(file, *at, ImportRemark::NotConverted, message))
    }
}

/// The way in which a tool annotates its files.
pub(super) struct Style {
    pub(super) name: &'static str,
    /// The ending of its migrations that are programs, if it has such.
    pub(super) program: &'static str,
    /// The line without which there is no way there.
    pub(super) first_line: &'static str,
    /// The remark on an [`Annotation::Unknown`].
    pub(super) unknown: &'static str,
    pub(super) annotation: fn(&str) -> Option<Annotation>,
}

/// Reads files that have a number and a name, and both scripts in them.
pub(super) fn read<'a>(
    files: &'a [SourceFile],
    findings: &mut Vec<ImportFinding>,
    style: &Style,
) -> Vec<Draft<'a>> {
    files.iter().filter_map(|file| read_file(file, findings, style)).collect()
}

fn read_file<'a>(
    file: &'a SourceFile,
    findings: &mut Vec<ImportFinding>,
    style: &Style,
) -> Option<Draft<'a>> {
    let named = file.stem(".sql").filter(|_| file.folder().is_empty()).and_then(digits_and_name);
    let Some((digits, name)) = named else {
        let why = format!("{}'s files have a number, `_` and a name, and are in no folder", style.name);
        findings.extend(ImportFinding::left_out(file, style.program, &why));
        return None;
    };
    let divided = divide(file, style.annotation);
    let unknown = |at: &usize| ImportFinding::at(file, *at, ImportRemark::NotConverted, style.unknown);
    findings.extend(divided.unknown.iter().map(unknown));
    findings.extend(divided.left_out(file));
    let Some(up) = divided.up else {
        let why = format!("it has no line `{}`", style.first_line);
        findings.extend(ImportFinding::left_out(file, style.program, &why));
        return None;
    };
    Some(Draft { key: SortKey::Number(digits.to_owned()), name: name.to_owned(), up, down: divided.down })
}

/// Divides a file by the lines that are annotations.
fn divide(file: &SourceFile, annotation: impl Fn(&str) -> Option<Annotation>) -> Annotated<'_> {
    let mut divided = Annotated::default();
    // A line belongs to the section that is open: neither, the first, the second.
    let mut open = None;
    let (mut cuts, mut without_transaction) = (Vec::new(), false);
    for (start, line) in lines(file.text()) {
        let Some(found) = annotation(line.trim_end()) else { continue };
        let end = start + line.len();
        match found {
            Annotation::Up { is_transactional } | Annotation::Down { is_transactional } => {
                divided.close(open.take(), start, &mut cuts);
                let section = Section { is_transactional, range: end..end, ..Section::whole(file) };
                open = Some((matches!(found, Annotation::Up { .. }), section));
            }
            Annotation::NoTransaction => {
                without_transaction = true;
                cuts.push(start..end);
            }
            Annotation::Noise => cuts.push(start..end),
            Annotation::Unknown => divided.unknown.push(start),
        }
    }
    divided.close(open, file.text().len(), &mut cuts);
    let begin = divided.sections().map(|section| section.range.start).min().unwrap_or_default();
    let in_front = Lexer::new(&file.text()[..begin]).flatten().find(|token| !token.is_comment());
    divided.outside.extend(in_front.map(|token| token.start));
    for section in [&mut divided.up, &mut divided.down].into_iter().flatten() {
        section.is_transactional &= !without_transaction;
    }
    divided
}

impl<'a> Annotated<'a> {
    fn close(&mut self, open: Option<(bool, Section<'a>)>, end: usize, cuts: &mut Vec<Range<usize>>) {
        let Some((is_up, section)) = open else { return cuts.clear() };
        let range = section.range.start..end;
        let section = Section { range, cuts: std::mem::take(cuts), ..section };
        let place = if is_up { &mut self.up } else { &mut self.down };
        if place.is_none() {
            *place = Some(section);
        } else {
            self.outside.push(section.range.start.saturating_sub(1));
        }
    }

    fn sections(&self) -> impl Iterator<Item = &Section<'a>> {
        [&self.up, &self.down].into_iter().flatten()
    }
}

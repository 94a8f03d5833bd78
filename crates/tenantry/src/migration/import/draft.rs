use std::ops::Range;

use super::source_file::SourceFile;

/// One migration, as the layout of a tool has it.
#[derive(Clone, Debug)]
pub(super) struct Draft<'a> {
    pub(super) key: SortKey,
    /// The name behind the version.
    pub(super) name: String,
    pub(super) up: Section<'a>,
    pub(super) down: Option<Section<'a>>,
}

/// The version of a migration, which says in which order the tool applies them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SortKey {
    /// A number, as its digits.
    Number(String),
    /// Numbers between points: 1.2.1 comes before 1.10.
    Points(Vec<u64>),
    /// A name, as it is: the alphabet decides.
    Name(String),
    /// None: it is the only one.
    Single,
}

/// The part of a file that is one script.
#[derive(Clone, Debug)]
pub(super) struct Section<'a> {
    pub(super) file: &'a SourceFile,
    pub(super) range: Range<usize>,
    /// Lines in it that are for the tool.
    pub(super) cuts: Vec<Range<usize>>,
    pub(super) is_transactional: bool,
}

impl<'a> Section<'a> {
    pub(super) fn whole(file: &'a SourceFile) -> Self {
        Self { file, range: 0..file.text().len(), cuts: Vec::new(), is_transactional: true }
    }

    pub(super) fn text(&self) -> &'a str {
        &self.file.text()[self.range.clone()]
    }
}

/// The lines of a text with the bytes at which they begin, line ends included.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_inclusive('\n').scan(0, |at, line| {
        let start = std::mem::replace(at, *at + line.len());
        Some((start, line))
    })
}

/// The digits that a name begins with, and what is behind a `_`.
pub(super) fn digits_and_name(stem: &str) -> Option<(&str, &str)> {
    let (digits, name) = stem.split_once('_')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit());
    is_number.then_some((digits, name))
}

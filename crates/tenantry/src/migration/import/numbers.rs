//! The versions of the new files, in the order in which the tool applies the old ones.

use std::cmp::Ordering;

use super::draft::{Draft, SortKey};
use super::finding::{ImportFinding, ImportRemark};
use crate::migration::error::{MigrationError, Problem};

/// Digits of a version that nothing else decides about.
const WIDTH: usize = 4;
/// Digits that every number of the ledger can have.
const LONGEST: usize = 18;

/// A migration with its new version.
#[derive(Debug)]
pub(super) struct Numbered<'a> {
    pub(super) version: i64,
    /// The version and the name, as the names of its files begin.
    pub(super) stem: String,
    pub(super) draft: Draft<'a>,
}

/// Sorts migrations as the tool does. Each keeps its number where that is in this order, and gets the next one
/// otherwise.
///
/// # Errors
/// If two have the same version.
pub(super) fn assign<'a>(
    mut drafts: Vec<Draft<'a>>,
    single: &str,
    findings: &mut Vec<ImportFinding>,
) -> Result<Vec<Numbered<'a>>, MigrationError> {
    drafts.sort_by(|a, b| in_order(&a.key, &b.key));
    if let Some(pair) = drafts.windows(2).find(|pair| in_order(&pair[0].key, &pair[1].key).is_eq()) {
        let other = pair[0].up.file.shown().to_owned();
        return Err(MigrationError::in_file(pair[1].up.file.shown(), Problem::SameAsImported { other }));
    }
    let widths = widths(&drafts);
    let mut wanted: Vec<_> = drafts.iter().map(|draft| digits(&draft.key, &widths, single)).collect();
    if wanted.iter().any(|digits| digits.len() > LONGEST) {
        wanted = (1..=drafts.len()).map(|number| format!("{number:0WIDTH$}")).collect();
        let message = format!("the versions are too long for a number, and begin at {} instead", wanted[0]);
        findings.push(ImportFinding::of_file(drafts[0].up.file, ImportRemark::Changed, message));
    } else if let (true, Some(draft)) = (widths.len() > 1, drafts.last()) {
        let message =
            "versions with points become numbers in which each part has as many digits as the longest";
        findings.push(ImportFinding::of_file(draft.up.file, ImportRemark::Changed, message));
    }
    let mut last = None;
    let numbered = drafts.into_iter().zip(wanted).map(|(draft, digits)| {
        let own = digits.parse::<i64>().ok();
        let next = last.map_or(1, |last: i64| last + 1);
        let version = own.map_or(next, |own| if last.is_some() { own.max(next) } else { own });
        last = Some(version);
        let width = if digits.is_empty() { WIDTH } else { digits.len() };
        if own != Some(version) {
            let message = format!("its version becomes {version}, so that the order stays what it is");
            findings.push(ImportFinding::of_file(draft.up.file, ImportRemark::Changed, message));
        }
        Numbered { version, stem: format!("{version:0width$}_{}", name_of(&draft.name)), draft }
    });
    Ok(numbered.collect())
}

fn in_order(a: &SortKey, b: &SortKey) -> Ordering {
    match (a, b) {
        (SortKey::Number(a), SortKey::Number(b)) => {
            // Of numbers without zeros in front, the longer one is the larger.
            let [a, b] = [a, b].map(|digits| digits.trim_start_matches('0'));
            (a.len(), a).cmp(&(b.len(), b))
        }
        (SortKey::Points(a), SortKey::Points(b)) => a.cmp(b),
        (SortKey::Name(a), SortKey::Name(b)) => a.cmp(b),
        _ => Ordering::Equal,
    }
}

/// The most digits that each part of a version with points has.
fn widths(drafts: &[Draft<'_>]) -> Vec<usize> {
    let mut widths = Vec::new();
    for draft in drafts {
        let SortKey::Points(parts) = &draft.key else { continue };
        widths.resize(parts.len().max(widths.len()), 1);
        for (width, part) in widths.iter_mut().zip(parts) {
            *width = part.to_string().len().max(*width);
        }
    }
    widths
}

/// The digits that a version would keep. A number that is too long stays so.
fn digits(key: &SortKey, widths: &[usize], single: &str) -> String {
    match key {
        SortKey::Number(digits) => {
            let number = digits.trim_start_matches('0');
            if number.len() > LONGEST || digits.len() <= LONGEST { digits.clone() } else { number.to_owned() }
        }
        SortKey::Name(name) => name.chars().take_while(char::is_ascii_digit).collect(),
        SortKey::Single => single.to_owned(),
        SortKey::Points(parts) => {
            let part = |(index, width): (usize, &usize)| {
                format!("{:0width$}", parts.get(index).copied().unwrap_or_default(), width = *width)
            };
            let digits: String = widths.iter().enumerate().map(part).collect();
            format!("{digits:0>WIDTH$}")
        }
    }
}

/// A name that can stand in the name of a file.
fn name_of(name: &str) -> String {
    let words = name.split(|it: char| !it.is_alphanumeric() && it != '-').filter(|word| !word.is_empty());
    let name = words.collect::<Vec<_>>().join("_");
    if name.is_empty() { "migration".to_owned() } else { name }
}

//! golang-migrate: a file for each direction.

use super::draft::{Draft, Section, SortKey, digits_and_name};
use super::finding::{ImportFinding, ImportRemark};
use super::source_file::SourceFile;

pub(super) fn read<'a>(files: &'a [SourceFile], findings: &mut Vec<ImportFinding>) -> Vec<Draft<'a>> {
    let named = |file: &'a SourceFile, ending| {
        file.stem(ending).filter(|_| file.folder().is_empty()).and_then(digits_and_name)
    };
    let mut drafts = Vec::new();
    let mut downs = Vec::new();
    for file in files {
        if let Some((digits, name)) = named(file, ".up.sql") {
            let key = SortKey::Number(digits.to_owned());
            drafts.push(Draft { key, name: name.to_owned(), up: Section::whole(file), down: None });
        } else if let Some((digits, _)) = named(file, ".down.sql") {
            downs.push((digits, file));
        } else {
            let why = "golang-migrate's files begin with a number, end in `.up.sql` or `.down.sql`, and are in no \
                       folder";
            findings.extend(ImportFinding::left_out(file, "", why));
        }
    }
    for (digits, file) in downs {
        let is_same = |draft: &&mut Draft<'_>| is_number(&draft.key, digits);
        if let Some(draft) = drafts.iter_mut().find(is_same) {
            draft.down = Some(Section::whole(file));
        } else {
            let message = "left out: there is no `.up.sql` of its version";
            findings.push(ImportFinding::of_file(file, ImportRemark::NotConverted, message));
        }
    }
    drafts
}

fn is_number(key: &SortKey, digits: &str) -> bool {
    match key {
        SortKey::Number(own) => own.trim_start_matches('0') == digits.trim_start_matches('0'),
        _ => false,
    }
}

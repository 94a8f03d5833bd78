//! Flyway: `V1.2__note.sql`, `U1.2__note.sql` to undo it, and files without a place in the order.

use super::draft::{Draft, Section, SortKey};
use super::finding::{ImportFinding, ImportRemark};
use super::source_file::SourceFile;

pub(super) fn read<'a>(files: &'a [SourceFile], findings: &mut Vec<ImportFinding>) -> Vec<Draft<'a>> {
    let (mut drafts, mut undoing) = (Vec::new(), Vec::new());
    for file in files {
        let stem = file.stem(".sql").unwrap_or_default();
        let named = |kind| stem.strip_prefix(kind).and_then(version_and_name);
        if let Some((version, name)) = named('V') {
            let key = SortKey::Points(version);
            drafts.push(Draft { key, name: name.to_owned(), up: section(file, files), down: None });
            findings.extend(placeholder(file));
        } else if let Some((version, _)) = named('U') {
            undoing.push((version, file));
            findings.extend(placeholder(file));
        } else {
            findings.extend(ImportFinding::left_out(file, ".java", why_left_out(stem)));
        }
    }
    for (version, file) in undoing {
        let key = SortKey::Points(version);
        if let Some(draft) = drafts.iter_mut().find(|draft| draft.key == key) {
            draft.down = Some(section(file, files));
        } else {
            let message = "left out: there is no `V` file of its version";
            findings.push(ImportFinding::of_file(file, ImportRemark::NotConverted, message));
        }
    }
    drafts
}

fn section<'a>(file: &'a SourceFile, files: &'a [SourceFile]) -> Section<'a> {
    let settings = format!("{}.conf", file.path());
    let settings = files.iter().find(|other| other.path() == settings);
    let is_transactional = !settings.is_some_and(|settings| {
        let mut values = settings.text().lines().filter_map(|line| line.split_once('='));
        values.any(|(key, value)| (key.trim(), value.trim()) == ("executeInTransaction", "false"))
    });
    Section { is_transactional, ..Section::whole(file) }
}

/// `1.2` or `1_2`; zeros at the end say nothing.
fn version_and_name(rest: &str) -> Option<(Vec<u64>, &str)> {
    let (version, name) = rest.split_once("__")?;
    let parts = version.split(['.', '_']).map(str::parse);
    let mut parts = parts.collect::<Result<Vec<u64>, _>>().ok()?;
    while parts.len() > 1 && parts.last() == Some(&0) {
        parts.pop();
    }
    Some((parts, name))
}

fn why_left_out(stem: &str) -> &'static str {
    if stem.starts_with("R__") {
        "it is repeatable: put its text into a new migration each time it changes"
    } else if stem.starts_with('B') && stem[1..].starts_with(|it: char| it.is_ascii_digit()) {
        "it is a baseline: `tenantry baseline` writes one of what the migrations make"
    } else if ["before", "after", "create"].iter().any(|event| stem.starts_with(event)) {
        "it is called at an event of Flyway's, and no migration"
    } else {
        "Flyway's files have a `V` or a `U`, a version, `__` and a name"
    }
}

fn placeholder(file: &SourceFile) -> Option<ImportFinding> {
    let at = file.text().find("${")?;
    let message = "placeholders are Flyway's: write the values";
    Some(ImportFinding::at(file, at, ImportRemark::NotConverted, message))
}

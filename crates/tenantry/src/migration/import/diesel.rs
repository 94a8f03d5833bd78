//! Diesel: a folder for each migration, with `up.sql` and `down.sql`.

use super::draft::{Draft, Section, SortKey};
use super::finding::ImportFinding;
use super::source_file::SourceFile;

pub(super) fn read<'a>(files: &'a [SourceFile], findings: &mut Vec<ImportFinding>) -> Vec<Draft<'a>> {
    let in_folder =
        |folder: &str, name: &str| files.iter().find(|file| file.folder() == folder && file.name() == name);
    let mut drafts = Vec::new();
    for file in files {
        // Diesel sorts by the text in front of the first `_`, without its dashes.
        let named = file.folder().split_once('_').filter(|(version, _)| is_version(version));
        match (file.name(), named) {
            ("up.sql", Some((version, name))) => {
                let settings = in_folder(file.folder(), "metadata.toml");
                let is_transactional = !settings.is_some_and(runs_without_transaction);
                let script = |file| Section { is_transactional, ..Section::whole(file) };
                drafts.push(Draft {
                    key: SortKey::Name(version.replace('-', "")),
                    name: name.to_owned(),
                    up: script(file),
                    down: in_folder(file.folder(), "down.sql").map(script),
                });
            }
            ("down.sql", Some(_)) if in_folder(file.folder(), "up.sql").is_some() => {}
            _ => {
                let why =
                    "Diesel's files are `up.sql` and `down.sql` in a folder with a version, `_` and a name";
                findings.extend(ImportFinding::left_out(file, ".rs", why));
            }
        }
    }
    drafts
}

fn is_version(text: &str) -> bool {
    text.starts_with(|it: char| it.is_ascii_digit())
        && text.bytes().all(|it| it.is_ascii_digit() || it == b'-')
}

fn runs_without_transaction(settings: &SourceFile) -> bool {
    let values = settings.text().lines().filter_map(|line| line.split_once('='));
    let mut values =
        values.map(|(key, value)| (key.trim(), value.split('#').next().unwrap_or_default().trim()));
    values.any(|value| value == ("run_in_transaction", "false"))
}

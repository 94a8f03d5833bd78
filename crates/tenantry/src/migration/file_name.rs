//! The name of a migration file, which tells its version and its direction.

use sqlx::migrate::MigrationType;

/// The endings there are, the longer ones first.
const ENDINGS: [&str; 3] = [".up.sql", ".down.sql", ".sql"];

/// A name of the form `<version>_<description>.sql`, or one that ends in `.up.sql` or `.down.sql`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileName {
    pub(super) version: i64,
    pub(super) description: String,
    pub(super) kind: MigrationType,
}

/// A name that ends in `.sql` and is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub(super) struct WrongName {
    pub(super) fault: NameFault,
    /// The name that it should have, which is not always free.
    pub(super) right: String,
}

/// A mistake in the name of a file that ends in `.sql`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NameFault {
    #[error("the name does not begin with a version number")]
    NoVersion,
    #[error("a version number has no sign")]
    Signed,
    #[error("the version is too large: the largest is {}", i64::MAX)]
    TooLarge,
    #[error("the version is not followed by `_`")]
    NoUnderscore,
    #[error("the name does not end with `{0}`")]
    Ending(&'static str),
}

impl FileName {
    /// Reads a name as sqlx does, and refuses what sqlx would overlook or take for something else; a test
    /// holds the two together. `None` for a file that is not SQL.
    pub(super) fn parse(name: &str) -> Result<Option<Self>, WrongName> {
        let Some(stem) = without_ending(name.trim(), ".sql") else { return Ok(None) };
        match read(name) {
            Ok(name) => Ok(Some(name)),
            Err(fault) => Err(WrongName { fault, right: right_name(stem) }),
        }
    }
}

fn read(name: &str) -> Result<FileName, NameFault> {
    let digits = name.bytes().take_while(u8::is_ascii_digit).count();
    let (version, rest) = name.split_at(digits);
    match rest.strip_prefix('_') {
        _ if name.starts_with(['+', '-']) && name[1..].starts_with(|it: char| it.is_ascii_digit()) => {
            Err(NameFault::Signed)
        }
        _ if version.is_empty() => Err(NameFault::NoVersion),
        None => Err(NameFault::NoUnderscore),
        Some(rest) => {
            let version = version.parse().map_err(|_| NameFault::TooLarge)?;
            let meant = ENDINGS.into_iter().find(|ending| without_ending(rest.trim(), ending).is_some());
            if let Some(ending) = meant.filter(|ending| !rest.ends_with(ending)) {
                return Err(NameFault::Ending(ending));
            }
            let kind = MigrationType::from_filename(rest);
            let description = rest.trim_end_matches(kind.suffix()).replace('_', " ");
            Ok(FileName { version, description, kind })
        }
    }
}

/// The name that a file should have, which is not always free.
fn right_name(stem: &str) -> String {
    let (stem, ending) = [".up", ".down"]
        .into_iter()
        .find_map(|direction| Some((without_ending(stem, direction)?, direction)))
        .unwrap_or((stem, ""));
    let flyway = |rest: &str| rest.starts_with(|it: char| it.is_ascii_digit());
    let (stem, ending) = match stem.trim_start_matches([' ', '+', '-']) {
        // Flyway's names: `V1__init`, and `U1__init` for what undoes it.
        stem if stem.starts_with(['v', 'V']) && flyway(&stem[1..]) => (&stem[1..], ending),
        stem if stem.starts_with(['u', 'U']) && flyway(&stem[1..]) => (&stem[1..], ".down"),
        stem => (stem, ending),
    };
    let (version, rest) = split_version(stem);
    let description = rest.trim_matches(|it: char| !it.is_alphanumeric());
    let description = if description.is_empty() { "notes" } else { description };
    format!("{version}_{description}{ending}.sql")
}

/// The version that a name without sign begins with, and the rest.
fn split_version(stem: &str) -> (String, &str) {
    // As many digits as a time has, to the second.
    const TIME: usize = 14;
    let length =
        |text: &str, belongs: fn(char) -> bool| text.find(|it: char| !belongs(it)).unwrap_or(text.len());
    let dashed = length(stem, |it| it.is_ascii_digit() || it == '-');
    let parts: Vec<_> = stem[..dashed].split('-').map(str::len).collect();
    let is_date = parts.starts_with(&[4, 2, 2]) && stem[dashed..].starts_with('_');
    let end = if is_date { dashed } else { length(stem, |it| it.is_ascii_digit()) };
    let mut version = stem[..end].replace('-', "");
    if version.parse::<i64>().is_err() {
        version.truncate(TIME);
    }
    if version.is_empty() {
        version.push_str("0001");
    }
    (version, &stem[end..])
}

/// The name that a file in a folder should have instead, where it would be read.
pub(super) fn name_out_of_folder(folder: &str, file: &str) -> String {
    let stem = without_ending(file, ".sql").unwrap_or(file);
    match stem.to_ascii_lowercase().as_str() {
        // Prisma and Diesel have a folder for each migration.
        "migration" => right_name(folder),
        direction @ ("up" | "down") => right_name(&format!("{folder}.{direction}")),
        _ if read(file).is_ok() => file.to_owned(),
        _ => right_name(stem),
    }
}

/// The part in front of an ending that may be in any case.
fn without_ending<'a>(name: &'a str, ending: &str) -> Option<&'a str> {
    let start = name.len().checked_sub(ending.len())?;
    let (stem, found) = name.split_at_checked(start)?;
    found.eq_ignore_ascii_case(ending).then_some(stem)
}

#[cfg(test)]
mod tests;

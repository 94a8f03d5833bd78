use std::path::Path;

use time::OffsetDateTime;

use super::set::{Migration, MigrationSet};

/// Digits of a time to the second.
const TO_THE_SECOND: usize = 14;
/// Digits of the seconds since 1970, between the years 2001 and 2286.
const SECONDS: usize = 10;
/// Digits of the very first version, where no other file shows how many there should be.
const FIRST: usize = 4;

/// The version of a migration that is about to be written, in the manner of those that are there.
///
/// ```
/// use tenantry::Migrations;
/// use tenantry::migrate::NextVersion;
/// use time::OffsetDateTime;
///
/// let none = Migrations::none();
/// let next = NextVersion::after(none.tenant(), none.master(), OffsetDateTime::now_utc());
/// assert_eq!(next.map(|next| next.digits).as_deref(), Some("0001"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextVersion {
    /// The number, which is larger than those of all others.
    pub version: i64,
    /// The number as a file name is to begin with, with zeros in front of it where the others have them.
    pub digits: String,
    /// True if some of the others have a file that undoes them.
    pub has_downs: bool,
}

impl NextVersion {
    /// Continues a set. Where the newest version is a time, so is the next one; otherwise it is the next number.
    /// An empty set begins in the manner of the other kind of schema. `None` if the newest version is the largest
    /// there can be.
    pub fn after(set: &MigrationSet, other: &MigrationSet, now: OffsetDateTime) -> Option<Self> {
        let example = if set.is_empty() { other } else { set };
        let digits = example.iter().next_back().map(digits_of).unwrap_or_default();
        let time = in_manner_of(&digits, now);
        let next = set.latest().map_or(Some(1), |latest| latest.checked_add(1))?;
        let version = time.map_or(next, |time| time.max(next));
        let width = if digits.is_empty() { FIRST } else { digits.len() };
        Some(Self {
            version,
            digits: format!("{version:0width$}"),
            has_downs: example.iter().any(|migration| migration.down().is_some()),
        })
    }
}

impl NextVersion {
    /// Continues the own files of a type. `set` is all files of its tenants, none of which has the version.
    pub fn of_type(set: &MigrationSet, now: OffsetDateTime) -> Option<Self> {
        let [own, others] = [true, false].map(|is_of_type| set.only(is_of_type));
        Self::after(&own, &others, now)?.free_in(&[set])
    }

    /// The next version from this one on that no file of these sets has.
    pub fn free_in(mut self, sets: &[&MigrationSet]) -> Option<Self> {
        let width = self.digits.len();
        while sets.iter().any(|set| set.get(self.version).is_some()) {
            self.version = self.version.checked_add(1)?;
        }
        Some(Self { digits: format!("{:0width$}", self.version), ..self })
    }
}

/// The digits that the name of its file begins with.
fn digits_of(migration: &Migration) -> String {
    let name = Path::new(migration.file()).file_name().unwrap_or_default().to_string_lossy();
    let digits: String = name.chars().take_while(char::is_ascii_digit).collect();
    // What was compiled in has another name.
    if digits.is_empty() { migration.version().to_string() } else { digits }
}

/// The time now, if these digits are a time: a date with zeros behind it, or seconds.
fn in_manner_of(digits: &str, now: OffsetDateTime) -> Option<i64> {
    if digits.len() == SECONDS && !digits.starts_with('0') {
        return Some(now.unix_timestamp());
    }
    let behind = digits.len().checked_sub(TO_THE_SECOND)?;
    is_date(digits).then(|| format!("{}{}", date(now), "0".repeat(behind)).parse().ok())?
}

fn date(now: OffsetDateTime) -> String {
    let (year, month, day) = (now.year(), u8::from(now.month()), now.day());
    format!("{year:04}{month:02}{day:02}{:02}{:02}{:02}", now.hour(), now.minute(), now.second())
}

fn is_date(digits: &str) -> bool {
    let number = |range| digits.get(range).and_then(|part: &str| part.parse::<u32>().ok());
    let is_within = |range, limits: std::ops::RangeInclusive<u32>| {
        number(range).is_some_and(|number| limits.contains(&number))
    };
    is_within(0..4, 1970..=9999)
        && is_within(4..6, 1..=12)
        && is_within(6..8, 1..=31)
        && is_within(8..10, 0..=23)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use sqlx::{AssertSqlSafe, SqlSafeStr as _};

    use super::*;
    use crate::migration::script::Script;

    fn set(files: &[&str]) -> MigrationSet {
        let script = |file: &&str| {
            let name = crate::migration::file_name::FileName::parse(file).unwrap().unwrap();
            let sql = AssertSqlSafe("SELECT 1").into_sql_str();
            let source =
                sqlx::migrate::Migration::new(name.version, name.description.into(), name.kind, sql, false);
            Script::parse(format!("/a/1_b/{file}"), source)
        };
        let mut errors = Vec::new();
        let set = MigrationSet::new(files.iter().map(script).collect(), &mut errors);
        assert!(errors.is_empty(), "{errors:?}");
        set
    }

    #[track_caller]
    fn check(files: &[&str], other: &[&str], digits: &str) {
        let now = OffsetDateTime::from_unix_timestamp(1_764_464_400).unwrap();
        let next = NextVersion::after(&set(files), &set(other), now).unwrap();
        assert_eq!(next.digits, digits, "{files:?}");
        assert_eq!(next.version, digits.parse::<i64>().unwrap(), "{files:?}");
    }

    #[test]
    fn the_next_number_has_as_many_digits() {
        check(&[], &[], "0001");
        check(&["0007_a.sql"], &[], "0008");
        check(&["1_a.sql", "9_b.sql"], &[], "10");
        check(&["00009_a.up.sql", "00009_a.down.sql"], &["0001_b.sql"], "00010");
        check(&["99999999999999_a.sql"], &[], "100000000000000");
    }

    #[test]
    fn a_time_is_followed_by_the_time_now() {
        check(&["20240131235959_a.sql"], &[], "20251130010000");
        check(&["1700000000_a.sql"], &[], "1764464400");
        check(&["202401312359590000_a.sql"], &[], "202511300100000000");
        // Never below one that is there, be its clock fast.
        check(&["20260101000000_a.sql"], &[], "20260101000001");
        check(&["0001_a.sql", "20240131235959_b.sql"], &[], "20251130010000");
        check(&["20240001000000_a.sql"], &[], "20240001000001");
    }

    #[test]
    fn an_empty_directory_begins_like_the_other() {
        check(&[], &["20240131235959_a.sql"], "20251130010000");
        check(&[], &["12_a.sql"], "01");
    }

    #[test]
    fn a_version_of_a_type_is_free_among_those_of_all_tenants() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let next_in = |of_all: &[&str], own: &[&str]| {
            let pro = crate::tenant::TypeName::parse("pro").unwrap();
            let set = set(of_all).with_type(pro, &set(own), &mut Vec::new());
            NextVersion::of_type(&set, now).unwrap().digits
        };
        assert_eq!(next_in(&["0001_a.sql", "0002_b.sql"], &[]), "0003");
        assert_eq!(next_in(&["0001_a.sql", "0003_b.sql"], &["0002_c.sql"]), "0004");
        assert_eq!(next_in(&["0001_a.sql"], &["1001_c.sql"]), "1002");
        let next = NextVersion::after(&set(&["0001_a.sql"]), &MigrationSet::empty(), now).unwrap();
        assert_eq!(next.free_in(&[&set(&["0002_c.sql"]), &set(&["0003_c.sql"])]).unwrap().digits, "0004");
    }

    #[test]
    fn files_that_undo_are_noticed_and_no_number_follows_the_largest() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let next = |files: &[&str]| NextVersion::after(&set(files), &MigrationSet::empty(), now);
        assert!(next(&["1_a.up.sql", "1_a.down.sql", "2_b.sql"]).unwrap().has_downs);
        assert!(!next(&["1_a.sql"]).unwrap().has_downs);
        assert_eq!(next(&["9223372036854775807_a.sql"]), None);
    }
}

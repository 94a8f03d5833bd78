//! The names of the files of one export: `20261130T013000Z-acme-5f0c2a91`, and what it ends with.
use std::fmt;

use tenantry::tenant::{Slug, TenantId};
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime, UtcOffset};

/// The beginning that the files of one export have in common. Names in the order of their times.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stem {
    /// The second in which it was begun, in UTC.
    pub(crate) at: OffsetDateTime,
    /// The slug that the tenant had.
    pub(crate) slug: Slug,
    /// The run of the command, so that two at the same second do not meet.
    pub(crate) run: String,
}

/// The kinds of files that an export leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Archive,
    /// The entry of an archive that is whole.
    Done,
    /// The entry of an export that failed.
    Failed,
}

/// A file as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StoredFile {
    pub(crate) stem: Stem,
    pub(crate) kind: Kind,
}

/// A word that no other run has.
pub(crate) fn new_run() -> String {
    TenantId::random().to_string().chars().take(8).collect()
}

impl Stem {
    pub(crate) fn new(at: OffsetDateTime, slug: &Slug, run: &str) -> Self {
        let at = at.to_offset(UtcOffset::UTC).replace_nanosecond(0).unwrap_or(at);
        Self { at, slug: slug.clone(), run: run.to_owned() }
    }

    fn parse(text: &str) -> Option<Self> {
        let (at, rest) = text.split_once('-')?;
        let (slug, run) = rest.rsplit_once('-')?;
        let format = format_description!("[year][month][day]T[hour][minute][second]Z");
        let at = PrimitiveDateTime::parse(at, format).ok()?.assume_utc();
        let is_run = run.len() == 8 && run.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let stem = Self { at, slug: Slug::parse(slug).ok()?, run: is_run.then(|| run.to_owned())? };
        // Only what we have written, letter by letter.
        (stem.to_string() == text).then_some(stem)
    }

    /// The name of one of its files.
    pub(crate) fn file(&self, kind: Kind) -> String {
        format!("{self}{}", kind.ending())
    }
}

impl fmt::Display for Stem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = format_description!("[year][month][day]T[hour][minute][second]Z");
        let at = self.at.format(format).map_err(|_| fmt::Error)?;
        write!(f, "{at}-{}-{}", self.slug, self.run)
    }
}

impl Kind {
    /// No ending is the end of another one with a stem before it.
    const ALL: [Self; 3] = [Self::Archive, Self::Failed, Self::Done];

    fn ending(self) -> &'static str {
        match self {
            Self::Archive => ".tar.zst",
            Self::Done => ".json",
            Self::Failed => ".failed.json",
        }
    }
}

impl StoredFile {
    /// Reads a name. `None` for a file that no export has written.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Kind::ALL.into_iter().find_map(|kind| {
            let stem = Stem::parse(name.strip_suffix(kind.ending())?)?;
            Some(Self { stem, kind })
        })
    }

    pub(crate) fn name(&self) -> String {
        self.stem.file(self.kind)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written() {
        let slug = Slug::parse("a-b-c").expect("a slug");
        let at = datetime!(2026-11-30 02:30:00.5 +01:00);
        let stem = Stem::new(at, &slug, "5f0c2a91");
        for (kind, name) in [
            (Kind::Archive, "20261130T013000Z-a-b-c-5f0c2a91.tar.zst"),
            (Kind::Done, "20261130T013000Z-a-b-c-5f0c2a91.json"),
            (Kind::Failed, "20261130T013000Z-a-b-c-5f0c2a91.failed.json"),
        ] {
            let file = StoredFile { stem: stem.clone(), kind };
            assert_eq!(file.name(), name);
            assert_eq!(StoredFile::parse(name), Some(file));
        }
        assert_eq!(new_run().len(), 8);
        assert!(StoredFile::parse(&format!("20261130T013000Z-acme-{}.json", new_run())).is_some());
    }

    #[test]
    fn what_no_export_has_written_is_not_taken_for_its_file() {
        for name in [
            "",
            ".json",
            "notes.txt",
            "acme.tar.zst",
            "20261130T013000Z-acme.tar.zst",
            "20261130T013000Z-acme-5f0c2a9.tar.zst",
            "20261130T013000Z-acme-5F0C2A91.tar.zst",
            "20261130T013000Z-ACME-5f0c2a91.tar.zst",
            "20261130T013000Z--5f0c2a91.tar.zst",
            "20261330T013000Z-acme-5f0c2a91.tar.zst",
            "20261130T013000Z-acme-5f0c2a91.tar",
            "20261130T013000Z-acme-5f0c2a91.tar.zst#1",
            "20261130T013000Z-acme-5f0c2a91.tar.zst.old",
            "20261130T013000Z-acme-5f0c2a91.tar.zst.json",
        ] {
            assert_eq!(StoredFile::parse(name), None, "{name}");
        }
    }
}

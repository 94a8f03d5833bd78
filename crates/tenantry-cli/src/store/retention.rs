//! Decides which files of a tenant are removed. Nothing is asked or done here.
use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::stem::{Kind, Stem, StoredFile};

/// The newest good archive of a tenant, which is never removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Newest {
    /// It is among the files.
    IsThere,
    /// It would be written before anything is removed.
    IsToCome,
}

/// The files of one tenant to remove, in that order: those of exports from before a time that the catalogue has, but
/// for the newest good archive.
///
/// A good one has an entry that says so. An archive without an entry is nobody's to remove: it may be on its way, or
/// from somewhere else. An archive goes before its entry, so that whoever dies between them leaves an entry without an
/// archive, which goes the next time.
pub(crate) fn retired(
    files: impl IntoIterator<Item = StoredFile>,
    before: OffsetDateTime,
    newest: Newest,
) -> Vec<StoredFile> {
    let mut exports = BTreeMap::<Stem, Vec<Kind>>::new();
    for StoredFile { stem, kind } in files {
        exports.entry(stem).or_default().push(kind);
    }
    let is_good = |kinds: &[Kind]| kinds.contains(&Kind::Archive) && kinds.contains(&Kind::Done);
    let good = exports.iter().filter(|(_, kinds)| is_good(kinds)).map(|(stem, _)| stem.clone()).next_back();
    let kept = if newest == Newest::IsThere { good } else { None };
    let is_known = |kinds: &[Kind]| kinds.iter().any(|kind| *kind != Kind::Archive);
    exports
        .into_iter()
        .filter(|(stem, kinds)| stem.at < before && is_known(kinds) && kept.as_ref() != Some(stem))
        .flat_map(|(stem, mut kinds)| {
            kinds.sort_unstable();
            kinds.into_iter().map(move |kind| StoredFile { stem: stem.clone(), kind })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use tenantry::tenant::Slug;
    use time::Duration;
    use time::macros::datetime;

    use super::*;

    /// Files of exports of so many days ago: `a` is an archive, `d` the entry of a good one, `f` that of a failure.
    fn files(text: &str) -> Vec<StoredFile> {
        let slug = Slug::parse("acme").expect("a slug");
        let of_word = |word: &str| {
            let (days, kinds) = word.split_at(word.len() - word.trim_start_matches(char::is_numeric).len());
            let at = NOW - Duration::days(days.parse().expect("days"));
            let stem = Stem::new(at, &slug, "5f0c2a91");
            let kind = |letter| match letter {
                'a' => Kind::Archive,
                'd' => Kind::Done,
                _ => Kind::Failed,
            };
            kinds.chars().map(|it| StoredFile { stem: stem.clone(), kind: kind(it) }).collect::<Vec<_>>()
        };
        text.split_whitespace().flat_map(of_word).collect()
    }

    const NOW: OffsetDateTime = datetime!(2026-11-30 01:30 UTC);

    #[track_caller]
    fn check(there: &str, newest: Newest, removed: &str) {
        let before = NOW - Duration::days(7);
        assert_eq!(retired(files(there), before, newest), files(removed), "{there}");
    }

    #[test]
    fn what_is_older_goes_and_the_newest_good_one_stays() {
        for (there, removed) in [
            ("", ""),
            ("0da 1da 7da", ""),
            ("0da 7da 8da 30da", "30ad 8ad"),
            // The newest good one, however old.
            ("30da", ""),
            ("30da 40da", "40ad"),
            ("1f 30da 40da", "40ad"),
            // Failures are no archives, and grow old as well.
            ("0da 8f 9f", "9f 8f"),
            ("8f", "8f"),
            ("30da 8f 9f", "9f 8f"),
            // Unknown to the catalogue: on its way, or from somewhere else.
            ("0da 8a 9da", "9ad"),
            ("8a 9a", ""),
            ("8a 30da", ""),
            // An archive that failed, and one of which only the entry is left.
            ("0da 8fa", "8af"),
            ("0da 8d", "8d"),
            ("8d 30da", "8d"),
        ] {
            check(there, Newest::IsThere, removed);
        }
    }

    #[test]
    fn what_would_be_removed_after_a_good_one_is_told_before_it() {
        for (there, removed) in [("1da 8da", "8ad"), ("30da", "30ad"), ("8a", ""), ("", "")] {
            check(there, Newest::IsToCome, removed);
        }
    }
}

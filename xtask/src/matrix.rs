//! The tests on several versions of PostgreSQL.

use std::{env, ops::RangeInclusive, path::PathBuf};

use crate::{
    command::{Failure, Result, cargo, run},
    search::{Version, folders_of_postgresql},
    setup,
};

/// Runs the tests on each of these major versions of PostgreSQL, and tells at the end which failed.
pub(crate) fn test_on(versions: &str) -> Result<()> {
    setup::setup()?;
    let mut failed = Vec::new();
    for major in majors(versions)? {
        let folder = folder_of(major)?;
        println!("=== PostgreSQL {major} in {}", folder.display());
        if run(cargo("test --workspace --no-fail-fast").env("TENANTRY_PG_BIN", &folder)).is_err() {
            failed.push(major.to_string());
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("the tests failed on PostgreSQL {}", failed.join(", "))))
}

/// Reads `16`, or `14..18` with both ends.
fn majors(versions: &str) -> Result<RangeInclusive<u32>> {
    let (first, last) = versions.split_once("..").unwrap_or((versions, versions));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok(first..=last),
        _ => Err(Failure::new(format!("`{versions}` is no version of PostgreSQL and no range of them"))
            .with_hint("write `16` or `14..18`")),
    }
}

/// The programs of a version: where packages put them, or below the folder that `TENANTRY_PG_FOLDERS` names, in
/// `14/bin` and so on.
fn folder_of(major: u32) -> Result<PathBuf> {
    let named = env::var_os("TENANTRY_PG_FOLDERS").map(PathBuf::from);
    let named = named.map(|folder| folder.join(major.to_string()).join("bin"));
    let is_it = |folder: &PathBuf| {
        Version::of(&folder.join("postgres")).is_some_and(|version| version.major == major)
    };
    named.into_iter().chain(folders_of_postgresql()).find(is_it).ok_or_else(|| {
        Failure::new(format!("there is no PostgreSQL {major} on this machine")).with_hint(
            "install it, or name the folder that holds `14/bin`, `15/bin`, … in `TENANTRY_PG_FOLDERS`",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_one_or_a_range_with_both_ends() {
        for (text, expect) in [
            ("16", Some(16..=16)),
            ("14..18", Some(14..=18)),
            ("14..14", Some(14..=14)),
            ("18..14", None),
            ("14..", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(majors(text).ok(), expect, "{text}");
        }
    }

    #[test]
    fn a_version_that_is_not_here_is_named() {
        let Err(failure) = folder_of(3) else { panic!("PostgreSQL 3 is here") };
        assert!(failure.to_string().contains("there is no PostgreSQL 3 on this machine"), "{failure}");
    }
}

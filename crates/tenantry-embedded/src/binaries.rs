//! The programs of PostgreSQL on this machine.
use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::{
    Error, ErrorKind, Result,
    install::{POSTGRESQL, install_hint},
    search::{self, OLDEST, Version},
};

/// A folder with `postgres` and `initdb` of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    directory: PathBuf,
    version: Version,
}

impl Binaries {
    /// Finds the newest PostgreSQL on this machine.
    ///
    /// `TENANTRY_PG_BIN` names the folder and ends the search. Otherwise the candidates are what `pg_config`
    /// says, what is in `PATH`, and where the packages of Debian, Fedora, Homebrew and Postgres.app go.
    ///
    /// # Errors
    /// [`ErrorKind::BinariesNotFound`], with the command that installs them as [`Error::hint`].
    pub fn find() -> Result<Self> {
        Self::require_all().map(|mut all| all.swap_remove(0))
    }

    /// Looks into one folder.
    ///
    /// # Errors
    /// [`ErrorKind::BinariesNotFound`] when `postgres` or `initdb` is missing there, does not run, or is too old.
    pub fn at(directory: &Path) -> Result<Self> {
        let unusable = |why: &str| {
            Error::new(
                ErrorKind::BinariesNotFound,
                format!("no usable PostgreSQL in `{}`: {why}", directory.display()),
            )
            .with_hint(install_hint(POSTGRESQL))
        };
        for program in ["initdb", "postgres"] {
            if !directory.join(program).is_file() {
                return Err(unusable(&format!("`{program}` is missing")));
            }
        }
        let version =
            Version::of(&directory.join("postgres")).ok_or_else(|| unusable("`postgres` does not run"))?;
        if version.major < OLDEST {
            return Err(unusable(&format!("{version} is older than {OLDEST}")));
        }
        Ok(Self { directory: directory.to_owned(), version })
    }

    /// The folder with `postgres` and `initdb`.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The major version, such as 17.
    pub fn major(&self) -> u32 {
        self.version.major
    }

    /// The whole version, such as `17.2`.
    pub fn version(&self) -> &str {
        &self.version.text
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// All there are, newest first, and at least one.
    pub(crate) fn require_all() -> Result<Vec<Self>> {
        let found = Self::find_all()?;
        if found.is_empty() { Err(not_found()) } else { Ok(found) }
    }

    /// All there are, newest first.
    pub(crate) fn find_all() -> Result<Vec<Self>> {
        if let Some(directory) = search::named_folder() {
            return Ok(vec![Self::at(&directory).map_err(|error| {
                error.with_hint("`TENANTRY_PG_BIN` must name the folder that holds `postgres` and `initdb`")
            })?]);
        }
        let folders = search::folders_of_postgresql();
        Ok(newest_first(folders.filter_map(|directory| Self::at(&directory).ok()).collect()))
    }
}

fn newest_first(mut found: Vec<Binaries>) -> Vec<Binaries> {
    // The sort is stable: of two equal versions the one found first stays first.
    found.sort_by_key(|binaries| std::cmp::Reverse(binaries.version.order));
    found
}

fn not_found() -> Error {
    Error::new(ErrorKind::BinariesNotFound, "no PostgreSQL found on this machine")
        .with_hint(install_hint(POSTGRESQL))
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgreSQL {}", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(output: &str, expect: Option<(u32, &str)>) {
        let version = Version::parse(output);
        assert_eq!(version.as_ref().map(|version| (version.major, version.text.as_str())), expect);
    }

    #[test]
    fn a_version_is_read_from_what_postgres_prints() {
        check("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n", Some((15, "15.14")));
        check("postgres (PostgreSQL) 18.4\n", Some((18, "18.4")));
        check("postgres (PostgreSQL) 18beta1\n", Some((18, "18beta1")));
        check("postgres (PostgreSQL) 19devel\n", Some((19, "19devel")));
    }

    #[test]
    fn anything_else_is_no_version() {
        check("", None);
        check("postgres 15", None);
        check("postgres (PostgreSQL) next", None);
    }

    #[test]
    fn the_newest_comes_first() {
        let found = ["9.6.1", "15.4", "18beta1", "15.14", "17.2", "18.0"].map(|text| Binaries {
            directory: PathBuf::from(text),
            version: Version::parse(&format!("postgres (PostgreSQL) {text}")).expect("a version"),
        });
        let order: Vec<_> =
            newest_first(found.into()).iter().map(|binaries| binaries.version().to_owned()).collect();
        assert_eq!(order, ["18.0", "18beta1", "17.2", "15.14", "15.4", "9.6.1"]);
    }
}

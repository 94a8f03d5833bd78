//! Where PostgreSQL's programs are on this machine.
use std::{
    collections::HashSet,
    env, fmt, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{Error, ErrorKind, Result};

/// The oldest major version we run.
const OLDEST: u32 = 14;

/// Where packages put the programs, one `*` at most: Debian, SUSE, the PostgreSQL project's own packages for
/// Fedora, Alpine, Homebrew on its three prefixes, Postgres.app. Fedora's and Arch's own are in `/usr/bin`.
const USUAL_PLACES: &[&str] = &[
    "/usr/lib/postgresql/*/bin",
    "/usr/lib/postgresql*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/usr/bin",
    "/usr/local/bin",
    "/usr/local/pgsql/bin",
];

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
            .with_hint(install_hint())
        };
        for program in ["initdb", "postgres"] {
            if !directory.join(program).is_file() {
                return Err(unusable(&format!("`{program}` is missing")));
            }
        }
        let version =
            ask_version(&directory.join("postgres")).ok_or_else(|| unusable("`postgres` does not run"))?;
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
        if let Some(directory) = env::var_os("TENANTRY_PG_BIN").filter(|value| !value.is_empty()) {
            return Ok(vec![Self::at(Path::new(&directory)).map_err(|error| {
                error.with_hint("`TENANTRY_PG_BIN` must name the folder that holds `postgres` and `initdb`")
            })?]);
        }
        let mut seen = HashSet::new();
        let found = candidates()
            .into_iter()
            .filter_map(|directory| fs::canonicalize(directory.join("postgres")).ok())
            .filter_map(|postgres| postgres.parent().map(Path::to_owned))
            .filter(|directory| seen.insert(directory.clone()))
            .filter_map(|directory| Self::at(&directory).ok());
        Ok(newest_first(found.collect()))
    }
}

fn newest_first(mut found: Vec<Binaries>) -> Vec<Binaries> {
    // The sort is stable: of two equal versions the one found first stays first.
    found.sort_by_key(|binaries| std::cmp::Reverse(binaries.version.order));
    found
}

fn candidates() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let places = USUAL_PLACES.iter().flat_map(|pattern| expand(pattern));
    pg_config().into_iter().chain(env::split_paths(&path)).chain(places).collect()
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").stdin(Stdio::null()).output().ok()?;
    let directory = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(directory.trim())).filter(|directory| directory.is_absolute())
}

/// Lists the folders a pattern with at most one `*` stands for.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else { return vec![PathBuf::from(pattern)] };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or((".", before));
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join(after.trim_start_matches('/')))
        .collect()
}

fn ask_version(postgres: &Path) -> Option<Version> {
    let output = Command::new(postgres).arg("--version").stdin(Stdio::null()).output().ok()?;
    Version::parse(&String::from_utf8_lossy(&output.stdout))
}

fn not_found() -> Error {
    Error::new(ErrorKind::BinariesNotFound, "no PostgreSQL found on this machine").with_hint(install_hint())
}

/// The command that installs PostgreSQL, by the package manager which is there.
pub(crate) fn install_hint() -> String {
    const BY_MANAGER: &[(&str, &str)] = &[
        ("apt-get", "apt-get install postgresql"),
        ("dnf", "dnf install postgresql-server"),
        ("apk", "apk add postgresql"),
        ("pacman", "pacman -S postgresql"),
        ("zypper", "zypper install postgresql-server"),
        ("brew", "brew install postgresql"),
    ];
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = |program: &str| env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let command = BY_MANAGER.iter().find(|(manager, _)| is_there(manager)).map(|(_, command)| *command);
    let command = command.unwrap_or("apt-get install postgresql` or `brew install postgresql");
    format!(
        "install PostgreSQL (`{command}`), or set `TENANTRY_PG_BIN` to the folder that holds `postgres` and `initdb`"
    )
}

/// A version as `postgres --version` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    major: u32,
    text: String,
    /// Compares versions; a beta sorts before its release.
    order: (u32, bool, u32),
}

impl Version {
    /// Reads `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`, `… 18beta1` or `… 19devel`.
    fn parse(output: &str) -> Option<Self> {
        let (_, rest) = output.split_once("(PostgreSQL) ")?;
        let text = rest.split_whitespace().next()?;
        let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
        let major = text[..end].parse().ok()?;
        let minor = text[end..].strip_prefix('.').map(|minor| minor.parse().unwrap_or(0));
        Some(Self { major, text: text.to_owned(), order: (major, minor.is_some(), minor.unwrap_or(0)) })
    }
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

    #[test]
    fn a_star_stands_for_the_folders_that_exist() {
        assert!(expand("/nowhere/at/all/*/bin").is_empty());
        assert_eq!(expand("/usr/bin"), [PathBuf::from("/usr/bin")]);
        assert!(expand("/usr/b*").contains(&PathBuf::from("/usr/bin")));
    }
}

//! Finding programs on this machine: PostgreSQL's, PgBouncer, any other.
//!
//! Uses nothing but std: `xtask` compiles this file too, because it installs what the search does not find before
//! anything larger can be built.
use std::{
    collections::HashSet,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The oldest major version we run.
pub(crate) const OLDEST: u32 = 14;

/// The folders in which packages put PostgreSQL, one `*` at most: Debian, SUSE, the PostgreSQL project's own
/// packages for Fedora, Alpine, Homebrew on its three prefixes, Postgres.app. Fedora's and Arch's own are in
/// `/usr/bin`.
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

/// The folders in which packages put PgBouncer, besides `PATH`.
const USUAL_PLACES_OF_PGBOUNCER: &[&str] = &["/usr/sbin", "/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"];

/// The folder that `TENANTRY_PG_BIN` names, which ends the search for PostgreSQL.
pub(crate) fn named_folder() -> Option<PathBuf> {
    env::var_os("TENANTRY_PG_BIN").filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The folders with a `postgres`, each once: what `pg_config` says, what is in `PATH`, and the usual places.
pub(crate) fn folders_of_postgresql() -> impl Iterator<Item = PathBuf> {
    let mut seen = HashSet::new();
    let usual = USUAL_PLACES.iter().flat_map(|pattern| expand(pattern));
    pg_config()
        .into_iter()
        .chain(path())
        .chain(usual)
        .filter_map(|folder| fs::canonicalize(folder.join("postgres")).ok())
        .filter_map(|postgres| postgres.parent().map(Path::to_owned))
        .filter(move |folder| seen.insert(folder.clone()))
}

/// PgBouncer's program.
pub(crate) fn pgbouncer() -> Option<PathBuf> {
    let usual = USUAL_PLACES_OF_PGBOUNCER.iter().map(PathBuf::from);
    path().into_iter().chain(usual).map(|folder| folder.join("pgbouncer")).find(|program| program.is_file())
}

/// A program in `PATH`.
pub(crate) fn in_path(program: &str) -> Option<PathBuf> {
    path().into_iter().map(|folder| folder.join(program)).find(|program| program.is_file())
}

fn path() -> Vec<PathBuf> {
    env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect()
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").stdin(Stdio::null()).output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(folder.trim())).filter(|folder| folder.is_absolute())
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

/// A version as `postgres --version` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) major: u32,
    pub(crate) text: String,
    /// Compares versions; a beta sorts before its release.
    pub(crate) order: (u32, bool, u32),
}

impl Version {
    /// Asks the program itself; `None` where it does not run.
    pub(crate) fn of(postgres: &Path) -> Option<Self> {
        let output = Command::new(postgres).arg("--version").stdin(Stdio::null()).output().ok()?;
        Self::parse(&String::from_utf8_lossy(&output.stdout))
    }

    /// Reads `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`, `… 18beta1` or `… 19devel`.
    pub(crate) fn parse(output: &str) -> Option<Self> {
        let (_, rest) = output.split_once("(PostgreSQL) ")?;
        let text = rest.split_whitespace().next()?;
        let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
        let major = text[..end].parse().ok()?;
        let minor = text[end..].strip_prefix('.').map(|minor| minor.parse().unwrap_or(0));
        Some(Self { major, text: text.to_owned(), order: (major, minor.is_some(), minor.unwrap_or(0)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_the_folders_that_exist() {
        assert!(expand("/nowhere/at/all/*/bin").is_empty());
        assert_eq!(expand("/usr/bin"), [PathBuf::from("/usr/bin")]);
        assert!(expand("/usr/b*").contains(&PathBuf::from("/usr/bin")));
    }
}

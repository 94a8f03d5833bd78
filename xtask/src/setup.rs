//! The programs that the tests and `notes` need, found or installed.

use std::{path::PathBuf, process::Command};

use crate::{
    command::{Failure, Result, command, output_of, run, succeeds},
    search::{OLDEST, Version, folders_of_postgresql, in_path, named_folder, pgbouncer},
};

/// A program that is needed, and the package that brings it. A need that comes later is one more line of [`NEEDS`].
struct Need {
    program: &'static str,
    find: fn() -> Option<PathBuf>,
    debian: &'static str,
    homebrew: &'static str,
}

/// The server's programs are looked for where the tests look for them.
const NEEDS: &[Need] = &[
    Need {
        program: "postgres",
        find: || of_postgresql("postgres"),
        debian: "postgresql",
        homebrew: "postgresql@17",
    },
    Need {
        program: "pg_dump",
        find: || of_postgresql("pg_dump"),
        debian: "postgresql-client",
        homebrew: "postgresql@17",
    },
    Need {
        program: "psql",
        find: || of_postgresql("psql"),
        debian: "postgresql-client",
        homebrew: "postgresql@17",
    },
    Need { program: "pgbouncer", find: pgbouncer, debian: "pgbouncer", homebrew: "pgbouncer" },
    Need { program: "openssl", find: || in_path("openssl"), debian: "openssl", homebrew: "openssl@3" },
    Need { program: "ps", find: || in_path("ps"), debian: "procps", homebrew: "procps" },
    Need { program: "zstd", find: || in_path("zstd"), debian: "zstd", homebrew: "zstd" },
    Need {
        program: "chromedriver",
        find: || in_path("chromedriver"),
        debian: "chromium-driver",
        homebrew: "chromedriver",
    },
    Need {
        program: "python3 with psycopg",
        find: python,
        debian: "python3 python3-psycopg",
        homebrew: "python",
    },
];

/// A Python that runs the page for other languages. Only Debian has psycopg 3 among its packages; elsewhere any
/// Python will do, which then compiles the page and does not run it.
fn python() -> Option<PathBuf> {
    if in_path("apt-get").is_none() {
        return in_path("python3");
    }
    let of_debian = PathBuf::from("/usr/bin/python3");
    in_path("python3")
        .into_iter()
        .chain([of_debian])
        .find(|python| succeeds(Command::new(python).args(["-c", "import psycopg"])))
}

/// A program of the newest PostgreSQL.
fn of_postgresql(program: &str) -> Option<PathBuf> {
    newest_postgresql().map(|folder| folder.join(program)).filter(|program| program.is_file())
}

fn newest_postgresql() -> Option<PathBuf> {
    let folders = match named_folder() {
        Some(folder) => vec![folder],
        None => folders_of_postgresql().collect(),
    };
    let usable = folders.into_iter().filter_map(|folder| {
        let version = Version::of(&folder.join("postgres")).filter(|version| version.major >= OLDEST)?;
        folder.join("initdb").is_file().then_some((version.order, folder))
    });
    usable.max_by_key(|(order, _)| *order).map(|(_, folder)| folder)
}

/// Installs what is missing, or says which command would. Never asks a question.
pub(crate) fn setup() -> Result<()> {
    if let Some(folder) = named_folder().filter(|_| newest_postgresql().is_none()) {
        let message = format!("there is no PostgreSQL {OLDEST} or later in `{}`", folder.display());
        let hint = "`TENANTRY_PG_BIN` must name the folder that holds `postgres` and `initdb`";
        return Err(Failure::new(message).with_hint(hint));
    }
    let missing = missing();
    if !missing.is_empty() {
        install(&missing)?;
    }
    let found: Vec<_> =
        NEEDS.iter().filter_map(|need| (need.find)()).map(|it| it.display().to_string()).collect();
    println!("setup: found {}", found.join(", "));
    Ok(())
}

fn missing() -> Vec<&'static Need> {
    NEEDS.iter().filter(|need| (need.find)().is_none()).collect()
}

fn names(needs: &[&Need]) -> String {
    needs.iter().map(|need| format!("`{}`", need.program)).collect::<Vec<_>>().join(", ")
}

fn install(missing: &[&Need]) -> Result<()> {
    let Some(manager) = Manager::of_this_machine() else {
        let message = format!("there is no {}, and neither apt-get nor brew to install it", names(missing));
        return Err(Failure::new(message).with_hint(format!(
            "install PostgreSQL {OLDEST} or later, PgBouncer, OpenSSL, ps, Chromium with its driver, and Python"
        )));
    };
    let packages = manager.packages(missing);
    let Some(commands) = manager.commands(&packages) else {
        let message = format!("there is no {}, and only root may install it", names(missing));
        return Err(Failure::new(message).with_hint(format!("run `{}`", manager.line_for_people(&packages))));
    };
    println!("setup: installing {packages}, for {}", names(missing));
    for mut command in commands {
        run(&mut command)?;
    }
    match self::missing()[..] {
        [] => Ok(()),
        ref missing => {
            Err(Failure::new(format!("there is no {}, although {packages} is installed", names(missing)))
                .with_hint("is its folder in `PATH`?"))
        }
    }
}

/// The package manager of this machine.
#[derive(Clone, Copy)]
enum Manager {
    Apt,
    Brew,
}

impl Manager {
    fn of_this_machine() -> Option<Self> {
        let managers = [("apt-get", Self::Apt), ("brew", Self::Brew)];
        managers.into_iter().find(|(program, _)| in_path(program).is_some()).map(|(_, manager)| manager)
    }

    /// The names of the packages, each once.
    fn packages(self, missing: &[&Need]) -> String {
        let mut names: Vec<_> = missing
            .iter()
            .map(|need| match self {
                Self::Apt => need.debian,
                Self::Brew => need.homebrew,
            })
            .collect();
        names.dedup();
        names.join(" ")
    }

    /// The commands that install packages without a question; `None` where that takes a password.
    fn commands(self, packages: &str) -> Option<Vec<Command>> {
        match self {
            Self::Brew => Some(vec![command(&format!("brew install {packages}"))]),
            Self::Apt => {
                let sudo = way_to_root()?;
                let apt =
                    format!("{sudo}env DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=120");
                Some(vec![
                    command(&format!("{apt} update")),
                    command(&format!("{apt} install --no-install-recommends {packages}")),
                ])
            }
        }
    }

    /// The same as one line, to be typed by somebody who knows a password.
    fn line_for_people(self, packages: &str) -> String {
        match self {
            Self::Brew => format!("brew install {packages}"),
            Self::Apt => {
                let become_root = if in_path("sudo").is_some() { "sudo sh" } else { "su" };
                format!(
                    "{become_root} -c 'apt-get update && apt-get install -y --no-install-recommends {packages}'"
                )
            }
        }
    }
}

/// The words before a command for root: none for root itself, or `sudo` where it asks no password.
fn way_to_root() -> Option<&'static str> {
    if output_of(&mut command("id -u")).is_ok_and(|id| id.trim() == "0") {
        return Some("");
    }
    succeeds(&mut command("sudo -n true")).then_some("sudo -n ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_installed_once_for_all_that_it_brings() {
        let all: Vec<_> = NEEDS.iter().collect();
        assert_eq!(
            Manager::Apt.packages(&all),
            "postgresql postgresql-client pgbouncer openssl procps zstd chromium-driver python3 python3-psycopg"
        );
        assert_eq!(Manager::Brew.packages(&all[1..4]), "postgresql@17 pgbouncer");
        assert_eq!(names(&all[3..5]), "`pgbouncer`, `openssl`");
    }

    #[test]
    fn the_command_for_people_installs_the_same() {
        let line = Manager::Apt.line_for_people("pgbouncer procps");
        assert!(line.ends_with(
            " -c 'apt-get update && apt-get install -y --no-install-recommends pgbouncer procps'"
        ));
        assert_eq!(Manager::Brew.line_for_people("pgbouncer"), "brew install pgbouncer");
    }
}

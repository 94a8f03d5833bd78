//! PostgreSQL's own `pg_dump`, where it is new enough for the server.
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tenantry::tenant::Alias;
use tenantry::{Config, Tenancy};
use tenantry_embedded::Binaries;

use crate::failure::Failure;
use crate::session_url::SessionUrl;

/// Variables that both Tenantry and `pg_dump` read to reach the server, where the URL does not say all.
const SHARED: [&str; 10] = [
    "PGHOST",
    "PGPORT",
    "PGUSER",
    "PGDATABASE",
    "PGPASSWORD",
    "PGPASSFILE",
    "PGSSLMODE",
    "PGSSLROOTCERT",
    "PGSSLCERT",
    "PGSSLKEY",
];

/// A program that can dump a database.
pub(crate) struct PgDump {
    program: PathBuf,
    url: SessionUrl,
}

impl PgDump {
    /// Looks in `PATH` and beside the server's programs, for one that is as old as the server, or else newer.
    pub(crate) async fn for_server(
        config: &Config,
        tenancy: &Tenancy,
        database: &Alias,
    ) -> anyhow::Result<Self> {
        let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int")
            .fetch_one(&tenancy.master_of(database)?)
            .await
            .map_err(tenantry::Error::from)?;
        let program = choose(version.unsigned_abs() / 10_000, candidates())?;
        Ok(Self { program, url: SessionUrl::of_owner(config, database)? })
    }

    /// Does the same for a database that is not one of the installation's.
    pub(crate) async fn for_source(url: &str) -> anyhow::Result<Self> {
        let url = SessionUrl::of_source(url)?;
        let options: PgConnectOptions = url.with_password().parse().context("the URL cannot be read")?;
        let connection = PgConnection::connect_with(&options.extra_float_digits(None)).await;
        let mut connection = connection.context("the database cannot be reached")?;
        let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int")
            .fetch_one(&mut connection)
            .await
            .map_err(tenantry::Error::from)?;
        // It has told what it was for.
        let _ = connection.close().await;
        let program = choose(version.unsigned_abs() / 10_000, candidates())?;
        Ok(Self { program, url })
    }

    /// Does what [`run`](Self::run) does, while others of this thread go on.
    pub(crate) async fn run_aside(self, arguments: &[String]) -> anyhow::Result<String> {
        let arguments = arguments.to_vec();
        tokio::task::spawn_blocking(move || self.run(&arguments)).await?
    }

    /// Dumps what the arguments say, with nothing that the shell says to other programs of PostgreSQL.
    pub(crate) fn run(&self, arguments: &[String]) -> anyhow::Result<String> {
        let mut command = Command::new(&self.program);
        command.args(arguments).arg("--dbname").arg(self.url.without_password());
        for (name, _) in env::vars_os() {
            let is_known = name.to_str().is_some_and(|name| SHARED.contains(&name));
            if name.to_string_lossy().starts_with("PG") && !is_known {
                command.env_remove(name);
            }
        }
        if let Some(password) = self.url.password() {
            command.env("PGPASSWORD", password);
        }
        let output = command.output().context("pg_dump cannot be run")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            let message = match said.as_str() {
                "" => format!("pg_dump failed: {}", output.status),
                said => format!("pg_dump failed: {said}"),
            };
            return Err(Failure::new("failed", message).into());
        }
        String::from_utf8(output.stdout).context("the database's encoding is not UTF-8")
    }
}

fn candidates() -> Vec<PathBuf> {
    let beside = Binaries::find().ok().map(|binaries| binaries.directory().join("pg_dump"));
    [Some(PathBuf::from("pg_dump")), beside].into_iter().flatten().collect()
}

/// The one nearest to the server, and the first of several: an older one refuses a newer server, and a newer one may
/// write what the server does not know, which is found when its text is applied.
fn choose(server: u32, candidates: Vec<PathBuf>) -> anyhow::Result<PathBuf> {
    let found: Vec<_> =
        candidates.into_iter().filter_map(|program| Some((major_of(&program)?, program))).collect();
    let newest = found.iter().map(|(major, _)| *major).max();
    let fitting = found.into_iter().filter(|(major, _)| *major >= server);
    if let Some((_, program)) = fitting.min_by_key(|(major, _)| *major) {
        return Ok(program);
    }
    let failure = match newest {
        None => Failure::new("missing_program", "there is no pg_dump on this machine"),
        Some(major) => {
            let message = format!("pg_dump {major} is older than the server, which is PostgreSQL {server}");
            Failure::new("old_program", message)
        }
    };
    let hint = format!(
        "install `pg_dump` of PostgreSQL {server} or newer (`apt-get install postgresql-client-{server}`)"
    );
    Err(failure.with_hint(hint).into())
}

/// From `pg_dump (PostgreSQL) 15.4 (Debian 15.4-1)`; `None` where there is no such program.
fn major_of(program: &Path) -> Option<u32> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.split_once(") ")?.1;
    version.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

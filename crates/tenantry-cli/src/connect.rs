//! From flags, environment and `tenantry.toml` to a database.
//!
//! The library reads the file and the variables; here the flags are laid over them, and where all of
//! that names no database, the embedded PostgreSQL of the directory serves.
use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tenantry::{Builder, Config, Migrations, PoolConfig, Tenancy};
use tenantry_embedded::{Binaries, ErrorKind, KeptServer};

use crate::context::{Context, Global};
use crate::failure::Failure;
use crate::output::{Format, note};

/// The database of the embedded server, and the role that owns it.
pub(crate) const EMBEDDED_DATABASE: &str = "tenantry";
/// The longest that a connection may take to come home. A command has none in use when it ends.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest that a server may take to answer when all that is asked is whether it is there.
pub(crate) const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs work on the tenants, and closes all connections after it. What is wrong with the migration files is said,
/// and stops nothing.
pub(crate) async fn with_tenancy<T>(
    cx: &mut Context,
    work: impl AsyncFnOnce(&mut Context, &Config, &Tenancy) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let config = configuration(&cx.global).await?;
    with_tenancy_of(cx, &config, async |cx, tenancy| {
        note_mistakes(cx.output.format(), tenancy.migrations());
        work(cx, &config, tenancy).await
    })
    .await
}

/// Does what [`with_tenancy`] does, for work that itself fails where something is wrong with the files it needs.
pub(crate) async fn with_files<T>(
    cx: &mut Context,
    work: impl AsyncFnOnce(&mut Context, &Tenancy) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let config = configuration(&cx.global).await?;
    with_tenancy_of(cx, &config, work).await
}

/// Does what [`with_files`] does, with a configuration that is known.
pub(crate) async fn with_tenancy_of<T>(
    cx: &mut Context,
    config: &Config,
    work: impl AsyncFnOnce(&mut Context, &Tenancy) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let tenancy = builder(config)?.connect().await?;
    let result = work(cx, &tenancy).await;
    let closed = tenancy.close(CLOSE_TIMEOUT).await;
    let value = result?;
    closed?;
    Ok(value)
}

/// Says, to people, what is wrong with the migration files: the first of it, and where to see the rest.
pub(crate) fn note_mistakes(format: Format, migrations: &Migrations) {
    let mistakes = migrations.mistakes();
    let Some(first) = mistakes.first() else { return };
    let more = match mistakes.len() {
        1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    note(format, &format!("warning: {first}"));
    note(
        format,
        &format!("  hint: `tenantry lint` shows this{more}; what needs the files fails until it is mended"),
    );
}

/// Pools that read no answer to its end for which nobody waits: a command that is done with one is at its
/// end.
fn builder(config: &Config) -> tenantry::Result<Builder> {
    let mut builder = Tenancy::builder().config(config)?.operator(operator());
    for (alias, database) in config.databases()? {
        let pool = PoolConfig { drain_timeout: Duration::ZERO, ..database.pool_config().clone() };
        builder = builder.database_as(alias, database.pool(pool));
    }
    Ok(builder)
}

/// The operator, as the diary and the audit call them.
pub(crate) fn operator() -> String {
    let user = whoami::username().unwrap_or_else(|_| "somebody".to_owned());
    let host = whoami::hostname().unwrap_or_else(|_| "localhost".to_owned());
    format!("{user}@{host} (process {})", std::process::id())
}

/// The configuration with a default database in it, for commands, which work in sessions of their own.
pub(crate) async fn configuration(global: &Global) -> anyhow::Result<Config> {
    let mut config = as_configured(global).await?;
    config.go_around_poolers();
    Ok(config)
}

/// The configuration as the application has it, with the embedded database if there is no other.
pub(crate) async fn as_configured(global: &Global) -> anyhow::Result<Config> {
    let mut config = read(global)?;
    if !config.has_default_database() {
        if !config.directory().join(".tenantry").is_dir() {
            let message = "no database is configured, and there is no embedded one here";
            return Err(Failure::new("configuration", message)
                .with_hint("set `DATABASE_URL`, or run `tenantry init` to start an embedded PostgreSQL")
                .into());
        }
        use_embedded(&mut config, global.format).await?;
    }
    Ok(config)
}

/// Reads the file, the environment and the flags.
pub(crate) fn read(global: &Global) -> anyhow::Result<Config> {
    let mut config = match file(global)? {
        Some(file) => Config::load(&file)?,
        None => Config::find(&here()?)?,
    };
    if let Some(url) = &global.database_url {
        config.set_default_url(url.clone());
    }
    Ok(config)
}

/// The directory of the configuration, for what must work whatever that says.
pub(crate) fn directory(global: &Global) -> anyhow::Result<PathBuf> {
    let here = here()?;
    let file = file(global)?.or_else(|| Config::locate(&here));
    Ok(file.as_deref().and_then(Path::parent).map_or(here, Path::to_owned))
}

/// The file that a flag or variable names; absolute, so that its directory is one even where only a name was given.
fn file(global: &Global) -> anyhow::Result<Option<PathBuf>> {
    Ok(global.config.as_ref().map(std::path::absolute).transpose()?)
}

fn here() -> anyhow::Result<PathBuf> {
    env::current_dir().context("the working directory is gone")
}

/// Makes the embedded server of the directory the default database, starting it if need be.
pub(crate) async fn use_embedded(config: &mut Config, format: Format) -> anyhow::Result<KeptServer> {
    let server = start_embedded(config.directory(), format).await?;
    config.set_default_url(server.database(EMBEDDED_DATABASE).await?);
    Ok(server)
}

/// Finds or starts the embedded server of a directory; downloads PostgreSQL only where there is none.
async fn start_embedded(directory: &Path, format: Format) -> anyhow::Result<KeptServer> {
    if let Some(server) = KeptServer::find(directory).await? {
        return Ok(server);
    }
    note(format, &format!("starting PostgreSQL in {}", directory.join(".tenantry").display()));
    match KeptServer::start(directory).await {
        Err(error) if error.kind() == ErrorKind::BinariesNotFound => {
            let cache = cache_directory().ok_or(error)?;
            let place = cache.display();
            note(format, &format!("there is no PostgreSQL on this machine; downloading it to {place}"));
            let binaries = Binaries::find_or_download(&cache).await?;
            Ok(KeptServer::start_with(&binaries, directory).await?)
        }
        result => Ok(result?),
    }
}

/// The folder for downloads: `~/.cache/tenantry`. `None` where a download is not wanted, because
/// `TENANTRY_PG_BIN` says where PostgreSQL should be.
fn cache_directory() -> Option<PathBuf> {
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if variable("TENANTRY_PG_BIN").is_some() {
        return None;
    }
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))?;
    Some(cache.join("tenantry"))
}

//! Makes a directory and its databases ready for tenants.
use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;
use tenantry::registry::Probe;
use tenantry::{Config, Tenancy};

use crate::away;
use crate::connect;
use crate::context::{Context, Finish};
use crate::output::{Format, note};

/// Write tenantry.toml, make directories, install the registry
///
/// Where no database is configured, an embedded PostgreSQL is started. Nothing that is there is
/// changed, so repeating it is harmless.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {}

/// The file as it is written: every key with what it means and its default.
const TEMPLATE: &str = include_str!("init/tenantry.toml");

/// One thing that `init` sees to.
#[derive(Debug, Serialize)]
struct Step {
    what: &'static str,
    name: String,
    /// True if it was made now; otherwise it was there before.
    created: bool,
}

pub(crate) async fn run(_: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    let mut steps = vec![configuration_file(cx)?];
    let mut config = connect::read(&cx.global)?;
    let (master, tenant) = config.migration_directories();
    for directory in [master, tenant] {
        steps.push(migration_directory(&directory)?);
    }
    if !config.has_default_database() {
        let created = !config.directory().join(".tenantry").is_dir();
        let server = connect::use_embedded(&mut config, cx.output.format()).await?;
        let name = format!("127.0.0.1:{}", server.port());
        steps.push(Step { what: "embedded PostgreSQL", name, created });
    }
    let (registries, finish) = registries(cx, &config).await?;
    steps.extend(registries);
    match cx.output.format() {
        Format::Json => cx.output.json(&steps),
        Format::Table => print(cx, &steps),
    }
    Ok(finish)
}

/// Writes the file unless there is one, here or further up.
fn configuration_file(cx: &Context) -> anyhow::Result<Step> {
    let file = match &cx.global.config {
        Some(file) => file.clone(),
        None => found_or_here()?,
    };
    // A URL with a password is about to stand in it.
    let created = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file) {
        Ok(mut new) => new.write_all(TEMPLATE.as_bytes()).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    };
    let created = created.with_context(|| format!("`{}` cannot be written", file.display()))?;
    Ok(Step { what: "configuration", name: file.display().to_string(), created })
}

fn found_or_here() -> anyhow::Result<PathBuf> {
    let here = env::current_dir().context("the working directory is gone")?;
    let found = Config::find(&here)?.file().map(Path::to_owned);
    Ok(found.unwrap_or_else(|| here.join("tenantry.toml")))
}

fn migration_directory(directory: &Path) -> anyhow::Result<Step> {
    let created = !directory.is_dir();
    fs::create_dir_all(directory).with_context(|| format!("`{}` cannot be made", directory.display()))?;
    Ok(Step { what: "migrations", name: directory.display().to_string(), created })
}

/// Installs what is missing. What was there is upgraded, which a first look cannot tell. A database that does not
/// answer is left out, and told of.
async fn registries(cx: &Context, config: &Config) -> anyhow::Result<(Vec<Step>, Finish)> {
    let mut steps = Vec::new();
    for (alias, database) in config.databases()? {
        // A server that is not there is reported by the installation, with a hint.
        let probe = Probe::of(&database, connect::PROBE_TIMEOUT).await;
        let created = probe.is_ok_and(|probe| !probe.has_registry);
        let name = format!("{alias} ({})", database.address());
        steps.push((alias, Step { what: "registry", name, created }));
    }
    let tenancy = Tenancy::builder().config(config)?.install(true).connect().await?;
    let away = tenancy.unreachable();
    let finish = away::tell(cx.output.format(), &tenancy, Finish::Done);
    tenancy.close(connect::CLOSE_TIMEOUT).await?;
    let there = steps.into_iter().filter(|(alias, _)| !away.contains_key(alias));
    Ok((there.map(|(_, step)| step).collect(), finish))
}

fn print(cx: &mut Context, steps: &[Step]) {
    let rows = steps.iter().map(|step| {
        let state = if step.created { "created" } else { "there" };
        vec![step.what.to_owned(), state.to_owned(), step.name.clone()]
    });
    cx.output.rows(None, &[], rows);
    if steps.iter().all(|step| !step.created) {
        note(Format::Table, "everything was there already");
    } else {
        note(
            Format::Table,
            "next: put SQL files into the migrations directories, then `tenantry create SLUG`",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_valid_with_and_without_its_comments() {
        let folder = env::temp_dir().join(format!("tenantry-template-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&folder).expect("a folder");
        let file = folder.join("tenantry.toml");
        // A key is commented out as `#key`, an explanation as `# Text`.
        let active: String = TEMPLATE
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(key) if !key.starts_with(' ') => format!("{key}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let mut results = Vec::new();
        for text in [TEMPLATE, &active] {
            fs::write(&file, text).expect("a file");
            results.push(Config::load(&file).map(|config| config.databases().map(|all| all.len())));
        }
        fs::remove_dir_all(&folder).expect("the folder to go");
        for result in results {
            result.expect("a valid file").expect("valid databases");
        }
        assert!(active.lines().any(|line| line.starts_with("url =")));
    }
}

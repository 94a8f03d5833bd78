//! The slugs that a shell offers while somebody types one.
//!
//! A shell asks at each press of a key, so nothing is started, nothing is said, and two seconds are enough.
use std::ffi::{OsStr, OsString};
use std::time::Duration;
use std::{env, path};

use clap_complete::CompletionCandidate;
use tenantry::Config;
use tenantry::registry::slugs_beginning_with;
use tenantry::tenant::{Alias, Slug};
use tenantry_embedded::KeptServer;

use crate::connect::EMBEDDED_DATABASE;

/// Slugs that are offered at most.
const MOST: u32 = 200;
const PATIENCE: Duration = Duration::from_secs(2);

/// The slugs that begin with what was typed; none where that cannot be found out.
pub(crate) fn complete_slugs(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str().map(str::to_owned) else { return Vec::new() };
    // A runtime cannot wait inside another one, so this one gets its own thread.
    let ask = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        runtime.block_on(async { tokio::time::timeout(PATIENCE, slugs(&typed)).await.ok()?.ok() })
    };
    let slugs = std::thread::spawn(ask).join().ok().flatten().unwrap_or_default();
    slugs.into_iter().map(CompletionCandidate::new).collect()
}

async fn slugs(typed: &str) -> anyhow::Result<Vec<String>> {
    // What is no beginning of a slug is none of a tenant's.
    if !typed.is_empty() && Slug::parse(&format!("{typed}0")).is_err() {
        return Ok(Vec::new());
    }
    let line: Vec<_> = env::args_os().skip_while(|word| word != "--").skip(1).collect();
    let file = option(&line, "--config").map(at_home);
    let mut config = match file.or_else(|| env::var_os("TENANTRY_CONFIG")).filter(|file| !file.is_empty()) {
        Some(file) => Config::load(&path::absolute(file)?)?,
        None => Config::find(&env::current_dir()?)?,
    };
    if let Some(url) = option(&line, "--database-url") {
        config.set_default_url(url.to_string_lossy().into_owned());
    }
    if !config.has_default_database() {
        let Some(server) = KeptServer::find(config.directory()).await? else { return Ok(Vec::new()) };
        config.set_default_url(server.database(EMBEDDED_DATABASE).await?);
    }
    config.go_around_poolers();
    let databases = config.databases()?;
    let default = databases.into_iter().find(|(alias, _)| *alias == Alias::default());
    let Some((_, database)) = default else { return Ok(Vec::new()) };
    Ok(slugs_beginning_with(&database, typed, MOST).await?)
}

/// The value that an option has on a line: behind a space, or behind `=`, where bash makes three words of it.
fn option(line: &[OsString], name: &str) -> Option<OsString> {
    let mut words = line.iter().take_while(|word| word.as_os_str() != "--");
    let mut value = None;
    while let Some(word) = words.next() {
        let behind = word.to_str().and_then(|word| word.strip_prefix(name));
        value = match behind {
            Some("") => words.find(|word| word.as_os_str() != "=").cloned(),
            Some(behind) => behind.strip_prefix('=').map(OsString::from).or(value),
            None => value,
        };
    }
    value
}

/// A path as the shell will read it: it has not yet replaced what stands for the user's home.
fn at_home(path: OsString) -> OsString {
    match (path.to_str().and_then(|path| path.strip_prefix("~/")), env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest).into(),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expect: Option<&str>) {
        let line: Vec<_> = line.split_whitespace().map(OsString::from).collect();
        assert_eq!(option(&line, "--config"), expect.map(OsString::from), "{line:?}");
    }

    #[test]
    fn an_option_is_read_as_it_is_typed() {
        check("tenantry --config a.toml show", Some("a.toml"));
        check("tenantry show --config=a.toml", Some("a.toml"));
        check("tenantry show --config = a.toml ac", Some("a.toml"));
        check("tenantry --config a --config b", Some("b"));
        for line in
            ["tenantry show", "tenantry --configure a", "tenantry psql -- --config a", "tenantry --config"]
        {
            check(line, None);
        }
    }
}

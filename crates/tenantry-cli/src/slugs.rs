//! The slugs that a shell offers while somebody types one.
//!
//! A shell asks at each press of a key, so nothing is started, nothing is said, and two seconds are enough.
use std::env;
use std::ffi::OsStr;
use std::time::Duration;

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
    let mut config = match env::var_os("TENANTRY_CONFIG").filter(|file| !file.is_empty()) {
        Some(file) => Config::load(file.as_ref())?,
        None => Config::find(&env::current_dir()?)?,
    };
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

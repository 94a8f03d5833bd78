//! Makes spares in the background.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::spares::{self, SpareSummary, Stale};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::migrate::jittered;
use crate::tenant::{Alias, TypeName};

/// The pause after the first failure.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// A version of the application that is being replaced makes spares as well, which are stale to this one.
const REPLACEMENT: Duration = Duration::from_mins(15);

/// The number of spares to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepSpares {
    /// The number of sign-ups that may come while a new one is made, in each database that new tenants come to.
    /// Default: 10.
    pub count: u32,
    /// The same for each of these types of tenants, such as
    /// [`Config::type_spares`](crate::Config::type_spares) has them. Default: none.
    pub of_types: BTreeMap<TypeName, u32>,
    /// The interval at which to look for what others have taken. What this process takes is made again at once.
    /// Also the longest pause after failures. Default: 30 s.
    pub interval: Duration,
}

impl Default for KeepSpares {
    fn default() -> Self {
        Self { count: 10, of_types: BTreeMap::new(), interval: Duration::from_secs(30) }
    }
}

impl KeepSpares {
    /// The number for each type, beginning with tenants that have none.
    fn wanted(&self) -> impl Iterator<Item = (Option<&TypeName>, u32)> {
        let of_types = self.of_types.iter().map(|(type_name, count)| (Some(type_name), *count));
        std::iter::once((None, self.count)).chain(of_types)
    }
}

/// Keeps spares until it is stopped or dropped; made by [`Tenancy::keep_spares`](crate::Tenancy::keep_spares).
///
/// A spare is made in one transaction, so none is ever left half-made.
#[derive(Debug)]
#[must_use = "dropping it stops the keeping of spares"]
pub struct SpareKeeper(JoinHandle<()>);

impl SpareKeeper {
    pub(crate) fn start(context: Arc<Context>, options: KeepSpares) -> Result<Self> {
        for (type_name, _) in options.wanted() {
            spares::check_possible(&context, type_name)?;
        }
        Ok(Self(tokio::spawn(keep(context, options))))
    }

    /// Stops, and waits until the connection is closed.
    pub async fn stop(mut self) {
        self.0.abort();
        let _ = (&mut self.0).await;
    }
}

impl Drop for SpareKeeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn keep(context: Arc<Context>, options: KeepSpares) {
    let mut pause = FIRST_PAUSE;
    let mut failure: Option<String> = None;
    // At first all databases, later those in which spares were taken, and from time to time all again.
    let mut taken: Option<BTreeSet<Alias>> = None;
    loop {
        match fill(&context, &options, taken.as_ref()).await {
            Ok(summary) => {
                if failure.take().is_some() || summary.made > 0 {
                    tracing::info!(
                        made = summary.made,
                        removed = summary.removed,
                        "Made {} spares",
                        summary.made
                    );
                }
                pause = FIRST_PAUSE;
                let timer = tokio::time::sleep(jittered(options.interval));
                taken = tokio::select! {
                    () = timer => None,
                    () = context.spares_taken.wait() => Some(context.spares_taken.take()),
                };
            }
            Err(error) => {
                taken = None;
                report(&error, &mut failure);
                tokio::time::sleep(jittered(pause)).await;
                pause = (pause * 2).min(options.interval);
            }
        }
    }
}

async fn fill(
    context: &Context,
    options: &KeepSpares,
    only: Option<&BTreeSet<Alias>>,
) -> Result<SpareSummary> {
    let stale = Stale::After(REPLACEMENT);
    let mut summary = SpareSummary::default();
    for (type_name, count) in options.wanted() {
        let filled = spares::fill(context, only, type_name, count, stale, &()).await?;
        summary = summary.and(filled);
    }
    Ok(summary)
}

/// Says once what lasts.
fn report(error: &Error, failure: &mut Option<String>) {
    let text = error.to_string();
    if failure.as_ref() != Some(&text) {
        tracing::warn!(%error, hint = error.hint(), "No spares are made: {error}");
        *failure = Some(text);
    }
}

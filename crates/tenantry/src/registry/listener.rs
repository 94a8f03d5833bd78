//! Keeps the cache true: hears of every change, and empties the cache when it is back and may have missed one.
//!
//! While it is away, cached answers serve for as long as they may: a registry that is down is to stop nobody whose
//! tenants live elsewhere.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::sync::broadcast;

use super::cache::Cache;
use super::events::Wake;
use crate::error::Result;
use crate::pool::Opener;
use crate::resolve::TenantKey;
use crate::tenant::{DomainName, Slug, TenantId};

const CHANNEL: &str = "tenantry";
/// The channel of what was done to tenants, whose payload is the number of an entry in the audit.
const EVENTS: &str = "tenantry_event";
/// A silent connection is asked whether it is still there this often.
const PING_AFTER: Duration = Duration::from_secs(10);
const PING_LIMIT: Duration = Duration::from_secs(5);
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Listens until it is aborted; reconnects with growing pauses.
pub(super) async fn listen(opener: Opener, caches: [Arc<Cache>; 2], events: broadcast::Sender<Wake>) {
    let mut pause = SHORTEST_PAUSE;
    let mut told = None;
    loop {
        match listen_once(&opener, &caches, &events, &mut pause).await {
            Ok(()) => tracing::info!("The registry's listener lost its connection"),
            Err(error) => {
                let error = Some(error.to_string());
                // A standby, for one, refuses every attempt, for as long as it is one.
                if told == error && pause > SHORTEST_PAUSE {
                    tracing::debug!(error, "The registry's listener still cannot listen");
                } else {
                    tracing::warn!(error, "The registry's listener cannot listen");
                }
                told = error;
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Listens on one connection until it is lost.
async fn listen_once(
    opener: &Opener,
    caches: &[Arc<Cache>; 2],
    events: &broadcast::Sender<Wake>,
    pause: &mut Duration,
) -> Result<(), sqlx::Error> {
    let mut listener = opener.listener().await?;
    listener.listen_all([CHANNEL, EVENTS]).await?;
    // Whatever changed before this moment was announced to nobody.
    for cache in caches {
        cache.clear();
    }
    // Where nobody subscribed there is nobody to tell.
    let _ = events.send(Wake::Missed);
    *pause = SHORTEST_PAUSE;
    loop {
        match tokio::time::timeout(PING_AFTER, listener.try_recv()).await {
            Ok(Ok(Some(notification))) if notification.channel() == EVENTS => {
                let done = notification.payload().parse().map_or(Wake::Missed, Wake::Done);
                let _ = events.send(done);
            }
            Ok(Ok(Some(notification))) => {
                for cache in caches {
                    apply(cache, notification.payload());
                }
            }
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Err(_) => ping(&mut listener).await?,
        }
    }
}

async fn ping(listener: &mut PgListener) -> Result<(), sqlx::Error> {
    let answer = sqlx::query("SELECT 1").execute(listener);
    match tokio::time::timeout(PING_LIMIT, answer).await {
        Ok(answer) => answer.map(|_| ()),
        Err(_) => Err(sqlx::Error::PoolTimedOut),
    }
}

/// The change that a notification announces.
#[derive(Debug, PartialEq, Eq)]
enum Announcement {
    Tenant(TenantId, Slug),
    Domain(DomainName),
    /// Anything else, so everything.
    All,
}

fn apply(cache: &Cache, payload: &str) {
    match parse(payload) {
        Announcement::Tenant(id, slug) => {
            cache.forget_tenant(id);
            cache.forget(&TenantKey::Slug(slug));
        }
        Announcement::Domain(domain) => cache.forget(&TenantKey::Domain(domain)),
        Announcement::All => cache.clear(),
    }
}

fn parse(payload: &str) -> Announcement {
    let mut words = payload.split(' ');
    let change = match (words.next(), words.next(), words.next()) {
        (Some("tenant"), Some(id), Some(slug)) => parse_tenant(id, slug),
        (Some("domain"), Some(name), None) => DomainName::parse(name).ok().map(Announcement::Domain),
        _ => None,
    };
    // A newer version may announce what this one does not know.
    change.unwrap_or(Announcement::All)
}

fn parse_tenant(id: &str, slug: &str) -> Option<Announcement> {
    let id: uuid::Uuid = id.parse().ok()?;
    Some(Announcement::Tenant(id.into(), Slug::parse(slug).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_announcement_concerns_everything() {
        for payload in ["", "fleet", "tenant", "tenant 1 acme", "domain a b", "domain", "\u{1f980}"] {
            assert_eq!(parse(payload), Announcement::All, "{payload}");
        }
    }

    #[test]
    fn a_domain_is_announced_by_name() {
        assert!(
            matches!(parse("domain notes.acme.com"), Announcement::Domain(name) if name.as_str() == "notes.acme.com")
        );
    }
}

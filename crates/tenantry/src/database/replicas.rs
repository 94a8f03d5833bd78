//! The terms on which the replicas of a database are read.

use std::fmt;
use std::time::Duration;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::error::{Error, ErrorKind, Result};

/// The terms on which the replicas of a database are read.
///
/// ```
/// use std::time::Duration;
/// use tenantry::DatabaseConfig;
/// use tenantry::database::{ReplicaConfig, WithoutReplica};
///
/// let replicas = ReplicaConfig {
///     max_lag: Duration::from_secs(2),
///     without: WithoutReplica::Refuse,
///     ..ReplicaConfig::default()
/// };
/// let config = DatabaseConfig::from_url("postgres://app@primary/saas")?
///     .replica_url("postgres://app@replica-1/saas")?
///     .replica_url("postgres://app@replica-2/saas")?
///     .replicas(replicas);
/// # let _ = config;
/// # Ok::<(), tenantry::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaConfig {
    /// The longest that a replica may be behind its primary; one that is further behind is not read. Default: 10
    /// seconds.
    pub max_lag: Duration,
    /// The time between two looks at each server: each process asks primary and replicas where they are. Four looks
    /// within `max_lag` there are in any case. Default: a second.
    pub look_every: Duration,
    /// The longest that a read [`after`](crate::TenantReadDb::after) a token waits for a replica, before it goes to
    /// the primary. Default: half a second.
    pub max_wait: Duration,
    /// The fate of a read that no replica can answer. Default: [`WithoutReplica::Primary`].
    pub without: WithoutReplica,
}

/// The fate of a read that no replica can answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WithoutReplica {
    /// The primary answers it, in a transaction that only reads.
    #[default]
    Primary,
    /// It fails with [`ErrorKind::DatabaseUnavailable`], so that the primary is spared. A database that has no
    /// replicas at all answers its reads itself.
    Refuse,
}

impl Default for ReplicaConfig {
    fn default() -> Self {
        Self {
            max_lag: Duration::from_secs(10),
            look_every: Duration::from_secs(1),
            max_wait: Duration::from_millis(500),
            without: WithoutReplica::Primary,
        }
    }
}

impl ReplicaConfig {
    /// The time between two looks at a server.
    pub(crate) fn interval(&self) -> Duration {
        (self.max_lag / 4).min(self.look_every)
    }

    /// Checks the values.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] naming the field.
    pub fn validate(&self) -> Result<()> {
        if self.max_lag < Duration::from_millis(100) {
            return Err(Error::new(ErrorKind::Configuration, "`max_lag` must be at least 100 milliseconds"));
        }
        if self.look_every < Duration::from_millis(10) {
            return Err(Error::new(
                ErrorKind::Configuration,
                "`look_every` must be at least 10 milliseconds",
            ));
        }
        Ok(())
    }
}

/// The URLs of replicas: one text, or a list. A variable separates them by commas, which also separate the hosts of
/// one.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct ReplicaUrls(pub(super) Vec<String>);

impl ReplicaUrls {
    const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

    /// Takes a text apart: what begins with a scheme is the next URL.
    fn split(text: &str) -> Self {
        let mut urls: Vec<String> = Vec::new();
        for part in text.split(',') {
            let begins = Self::SCHEMES.iter().any(|scheme| part.trim_start().starts_with(scheme));
            match urls.last_mut() {
                Some(url) if !begins => {
                    url.push(',');
                    url.push_str(part);
                }
                _ => urls.push(part.to_owned()),
            }
        }
        let is_around = |it: char| it == ',' || it.is_whitespace();
        let urls = urls.iter().map(|url| url.trim_matches(is_around).to_owned());
        Self(urls.filter(|url| !url.is_empty()).collect())
    }
}

impl<'de> Deserialize<'de> for ReplicaUrls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UrlsVisitor)
    }
}

struct UrlsVisitor;

impl<'de> Visitor<'de> for UrlsVisitor {
    type Value = ReplicaUrls;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL, or a list of them")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ReplicaUrls, E> {
        Ok(ReplicaUrls::split(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<ReplicaUrls, A::Error> {
        let mut urls = Vec::new();
        while let Some(url) = list.next_element::<String>()? {
            if url.trim().is_empty() {
                return Err(A::Error::custom("a URL is empty"));
            }
            urls.push(url);
        }
        Ok(ReplicaUrls(urls))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_may_hold_several_urls_of_several_hosts() {
        for (text, expect) in [
            ("", &[][..]),
            ("postgres://a@h/d", &["postgres://a@h/d"]),
            ("postgres://a@h1:1,h2:2/d", &["postgres://a@h1:1,h2:2/d"]),
            ("postgres://a@h1,h2/d, postgresql://a@h3/d ,", &["postgres://a@h1,h2/d", "postgresql://a@h3/d"]),
            ("h/d,postgres://a@h/d", &["h/d", "postgres://a@h/d"]),
        ] {
            assert_eq!(ReplicaUrls::split(text).0, expect, "{text}");
        }
    }

    #[test]
    fn servers_are_looked_at_often_enough_for_the_lag_that_is_allowed() {
        for (max_lag, interval) in [(100, 25), (2_000, 500), (4_000, 1_000), (60_000, 1_000)] {
            let max_lag = Duration::from_millis(max_lag);
            let config = ReplicaConfig { max_lag, ..ReplicaConfig::default() };
            assert_eq!(config.interval(), Duration::from_millis(interval));
            config.validate().expect("long enough");
        }
        let config = ReplicaConfig { max_lag: Duration::from_millis(99), ..ReplicaConfig::default() };
        assert_eq!(config.validate().expect_err("too short").kind(), ErrorKind::Configuration);
    }
}

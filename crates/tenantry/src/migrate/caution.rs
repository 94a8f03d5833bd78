//! Canaries, which are migrated first, and the failures that stop a run.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::tenant::Tenant;

/// The tenants that are migrated first. If one of them fails, no other is touched.
///
/// ```
/// use tenantry::migrate::Canaries;
///
/// assert_eq!("tagged".parse::<Canaries>()?, Canaries::Tagged);
/// assert_eq!("3".parse::<Canaries>()?.to_string(), "3");
/// assert!("0".parse::<Canaries>().is_err());
/// # Ok::<_, tenantry::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Canaries {
    /// This many of those that are to be changed, in the order of the fleet.
    First(NonZeroU32),
    /// The tenants whose setting `canary` is `true`.
    Tagged,
}

impl Canaries {
    pub(super) fn is_tagged(tenant: &Tenant) -> bool {
        tenant.settings().get("canary") == Some(&serde_json::Value::Bool(true))
    }
}

impl FromStr for Canaries {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "tagged" => Ok(Self::Tagged),
            number => number.parse().map(Self::First).map_err(|_| {
                invalid(
                    format!("`{text}` says neither how many canaries there are nor `tagged`"),
                    "write `3`, or `tagged` for the tenants whose setting `canary` is true",
                )
            }),
        }
    }
}

impl fmt::Display for Canaries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First(count) => count.fmt(f),
            Self::Tagged => f.write_str("tagged"),
        }
    }
}

/// The number of tenants that may fail before a run stops. Those that are under way then are finished.
///
/// ```
/// use tenantry::migrate::MaxFailures;
///
/// assert_eq!("0".parse::<MaxFailures>()?, MaxFailures::Count(0));
/// assert_eq!("5%".parse::<MaxFailures>()?, MaxFailures::Percent(5));
/// assert!("101%".parse::<MaxFailures>().is_err());
/// # Ok::<_, tenantry::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaxFailures {
    /// This many. With 0, the first failure stops the run.
    Count(u64),
    /// This part of all tenants of the run, in hundredths.
    Percent(u8),
}

impl MaxFailures {
    /// Returns true if this many failures are too many in a run over this many tenants.
    pub(super) fn is_exceeded(self, failed: u64, tenants: u64) -> bool {
        match self {
            Self::Count(most) => failed > most,
            Self::Percent(most) => failed.saturating_mul(100) > tenants.saturating_mul(u64::from(most)),
        }
    }
}

impl FromStr for MaxFailures {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parsed = match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().filter(|percent| *percent <= 100).map(Self::Percent),
            None => text.parse().ok().map(Self::Count),
        };
        parsed.ok_or_else(|| {
            invalid(format!("`{text}` is neither a number nor a percentage"), "write `10` or `5%`")
        })
    }
}

impl fmt::Display for MaxFailures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

fn invalid(message: String, hint: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, message).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failure_that_is_one_too_many() {
        assert!(MaxFailures::Count(0).is_exceeded(1, 10));
        assert!(!MaxFailures::Count(3).is_exceeded(3, 10));
        assert!(!MaxFailures::Percent(5).is_exceeded(5, 100));
        assert!(MaxFailures::Percent(5).is_exceeded(6, 100));
        assert!(MaxFailures::Percent(0).is_exceeded(1, u64::MAX));
        assert!(!MaxFailures::Percent(100).is_exceeded(7, 7));
    }
}

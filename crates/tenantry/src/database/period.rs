use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// A span of time for which something is kept, as people write it: `90min`, `12h`, `30d`, `2w`.
///
/// ```
/// use tenantry::database::Period;
///
/// let month: Period = "30d".parse()?;
/// assert_eq!(month, Period::days(30));
/// assert_eq!("2w".parse::<Period>()?.to_string(), "14d");
/// # Ok::<(), tenantry::database::InvalidPeriod>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    seconds: u64,
}

/// A text that is no [`Period`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a number and its unit, as in `90min`, `12h`, `30d` or `2w`, and at most 100 years")]
pub struct InvalidPeriod;

const UNITS: [(&str, u64); 5] = [("w", 7 * DAY), ("d", DAY), ("h", 3_600), ("min", 60), ("s", 1)];
const DAY: u64 = 86_400;
const LONGEST: u64 = 36_525 * DAY;

impl Period {
    /// This many days.
    pub const fn days(days: u32) -> Self {
        Self { seconds: days as u64 * DAY }
    }

    /// The same for code.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

impl FromStr for Period {
    type Err = InvalidPeriod;

    fn from_str(text: &str) -> Result<Self, InvalidPeriod> {
        let text = text.trim();
        let unit = text.find(|character: char| !character.is_ascii_digit()).ok_or(InvalidPeriod)?;
        let (number, unit) = text.split_at(unit);
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or(InvalidPeriod)?;
        let number: u64 = number.parse().map_err(|_| InvalidPeriod)?;
        let seconds = number.checked_mul(*unit).filter(|seconds| *seconds <= LONGEST);
        seconds.map(|seconds| Self { seconds }).ok_or(InvalidPeriod)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, unit): &&(&str, u64)| self.seconds.is_multiple_of(*unit);
        // Without weeks, which people do not count in as soon as there are some.
        let (name, unit) = UNITS[1..].iter().find(fits).copied().unwrap_or(("s", 1));
        write!(f, "{}{name}", self.seconds / unit)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_a_unit_and_a_limit() {
        for (text, seconds) in
            [("0d", 0), ("45s", 45), ("90min", 5_400), ("12 h", 43_200), (" 30d", 30 * DAY), ("2w", 14 * DAY)]
        {
            assert_eq!(text.parse(), Ok(Period { seconds }), "{text}");
        }
        for text in ["", "30", "d", "-1d", "1.5d", "1m", "1 month", "36526d", "99999999999999999999d"] {
            assert_eq!(text.parse::<Period>(), Err(InvalidPeriod), "{text}");
        }
    }

    #[test]
    fn text_round_trips() {
        for text in ["0d", "1s", "90min", "12h", "30d"] {
            assert_eq!(text.parse::<Period>().map(|period| period.to_string()), Ok(text.to_owned()));
        }
    }
}

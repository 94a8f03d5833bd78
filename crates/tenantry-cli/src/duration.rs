//! Spans of time as they are typed, in PostgreSQL's units: `500ms`, `30s`, `5min`; and moments.
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Reads a time. Without a unit it is in milliseconds, as in PostgreSQL's own settings.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let unit = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let milliseconds: u64 = match unit.trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err("write it as `500ms`, `30s`, `5min` or `1h`".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "write it as `500ms`, `30s`, `5min` or `1h`")?;
    // PostgreSQL keeps it in 32 bits.
    let time = number.checked_mul(milliseconds).filter(|time| *time < 1 << 31);
    time.map(Duration::from_millis).ok_or_else(|| "the most is 596h".to_owned())
}

const SPANS: &str = "write it as `30s`, `90min`, `6h` or `14d`";

/// Reads a time that people wait for: it has a unit, of which the largest is a day, and is not zero.
pub(crate) fn parse_span(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let unit = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let seconds: u64 = match unit.trim() {
        "s" => 1,
        "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(SPANS.to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| SPANS)?;
    // Calendars end somewhere.
    match number.checked_mul(seconds) {
        None | Some(0) => Err(SPANS.to_owned()),
        Some(seconds) if seconds > 36_500 * 86_400 => Err("the most is 36500d".to_owned()),
        Some(seconds) => Ok(Duration::from_secs(seconds)),
    }
}

/// Reads a moment, which says its time zone.
pub(crate) fn parse_time(text: &str) -> Result<OffsetDateTime, String> {
    let time = OffsetDateTime::parse(text.trim(), &Rfc3339);
    time.map_err(|_| {
        "write it with its time zone, as `2026-12-24T18:00:00Z` or `2026-12-24T18:00:00+01:00`".to_owned()
    })
}

/// A moment as it is typed.
pub(crate) fn shown(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_a_unit() {
        for (text, seconds) in [("1s", 1), ("90min", 5_400), (" 6 h", 21_600), ("14d", 1_209_600)] {
            assert_eq!(parse_span(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "7", "0d", "-1d", "1w", "1m", "1.5h", "500ms", "36501d", "99999999999999999999d"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_moment_says_its_time_zone() {
        let noon = parse_time("2026-12-24T13:00:00+01:00").expect("a moment");
        assert_eq!(noon, parse_time(" 2026-12-24T12:00:00Z").expect("the same"));
        for text in ["", "2026-12-24", "2026-12-24T12:00:00", "tomorrow", "2026-13-24T12:00:00Z"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_has_postgresqls_units() {
        for (text, milliseconds) in
            [("0", 0), ("500", 500), ("500ms", 500), ("30s", 30_000), ("5 min", 300_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        assert_eq!(parse_duration("1h"), Ok(Duration::from_hours(1)));
        for text in ["", "s", "-1s", "1.5s", "1m", "1 fortnight", "9999999999999999999s", "597h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}

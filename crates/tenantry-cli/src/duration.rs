//! Spans of time as they are typed, in PostgreSQL's units: `500ms`, `30s`, `5min`.
use std::time::Duration;

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

#[cfg(test)]
mod tests {
    use super::*;

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

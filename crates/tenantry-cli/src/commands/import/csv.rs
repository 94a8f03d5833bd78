//! Values that commas separate, as RFC 4180 has them.

/// One record, and the line on which it begins.
pub(super) type Record = (usize, Vec<String>);

/// Reads all records. Empty lines are skipped, and so are those that begin with `#`.
///
/// # Errors
/// The line of a quote that does not end, or that stands within a value.
pub(super) fn records(text: &str) -> Result<Vec<Record>, (usize, &'static str)> {
    let mut records = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while !rest.is_empty() {
        let first = rest.lines().next().unwrap_or_default();
        if first.trim().is_empty() || first.starts_with('#') {
            rest = behind_line(rest);
            line += 1;
            continue;
        }
        let (values, behind) = record(rest).map_err(|why| (line, why))?;
        records.push((line, values));
        line += rest[..rest.len() - behind.len()].matches('\n').count();
        rest = behind;
    }
    Ok(records)
}

fn behind_line(text: &str) -> &str {
    text.split_once('\n').map_or("", |(_, rest)| rest)
}

fn record(mut rest: &str) -> Result<(Vec<String>, &str), &'static str> {
    let mut values = Vec::new();
    loop {
        let (value, behind) = value(rest)?;
        values.push(value);
        match behind.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok((values, behind_line(behind))),
        }
    }
}

/// A value up to its comma, or the end of its line.
fn value(text: &str) -> Result<(String, &str), &'static str> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', '\n']).unwrap_or(text.len());
        let value = text[..end].trim();
        let is_plain = !value.contains('"');
        return is_plain.then(|| (value.to_owned(), &text[end..])).ok_or("a quote stands within a value");
    };
    let mut value = String::new();
    let mut rest = quoted;
    loop {
        let (part, behind) = rest.split_once('"').ok_or("a quote does not end")?;
        value.push_str(part);
        if let Some(more) = behind.strip_prefix('"') {
            value.push('"');
            rest = more;
            continue;
        }
        let behind = behind.trim_start_matches([' ', '\t', '\r']);
        let is_end = behind.is_empty() || behind.starts_with([',', '\n']);
        return is_end.then_some((value, behind)).ok_or("something stands behind a quoted value");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_be_quoted() {
        let text = "a, b ,c\r\n# no\n\n\"x,\"\"y\"\"\nz\",,\"\"\nlast,1";
        let records = records(text).expect("it is well-formed");
        let expect: [(usize, [&str; 3]); 2] = [(1, ["a", "b", "c"]), (4, ["x,\"y\"\nz", "", ""])];
        for (record, (line, values)) in records.iter().zip(expect) {
            assert_eq!((record.0, record.1.as_slice()), (line, values.map(str::to_owned).as_slice()));
        }
        assert_eq!(records[2], (6, vec!["last".to_owned(), "1".to_owned()]));
    }

    #[test]
    fn a_quote_that_does_not_end_is_found() {
        assert_eq!(records("a\n\"b"), Err((2, "a quote does not end")));
        assert_eq!(records("a\"b\""), Err((1, "a quote stands within a value")));
        assert_eq!(records("\"a\" b"), Err((1, "something stands behind a quoted value")));
    }
}

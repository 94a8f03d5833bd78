//! The data of a dump, as statements.

use std::fmt::Write as _;
use std::ops::Range;

use crate::sql::Literal;
use crate::sql::lexer::{Token, begins_with};

/// Rows that one statement inserts.
const ROWS: usize = 100;

/// The table that a statement of a dump fills, as it is written, without its schema.
pub(super) fn table_of<'a>(tokens: &[Token<'a>]) -> Option<Token<'a>> {
    let behind = match tokens {
        _ if begins_with(tokens, "insert into") => &tokens[2..],
        _ if begins_with(tokens, "copy") => &tokens[1..],
        _ => return None,
    };
    match behind {
        [_, point, table, ..] if point.is_punctuation(".") => Some(*table),
        [table, ..] => Some(*table),
        [] => None,
    }
}

/// The name of a table as people say it.
pub(super) fn name_of(table: &Token<'_>) -> String {
    let name = table.name().unwrap_or(table.text);
    if table.text.starts_with('"') { name.replace("\"\"", "\"") } else { name.to_ascii_lowercase() }
}

/// The sequence of `SELECT pg_catalog.setval('public.note_id_seq', 7, true)`.
pub(super) fn sequence_of<'a>(tokens: &[Token<'a>]) -> Option<&'a str> {
    let call = tokens.iter().position(|token| token.is_keyword("setval"))?;
    let name = tokens.get(call + 2)?.literal().filter(|_| begins_with(tokens, "select"))?;
    Some(name.rsplit('.').next().unwrap_or(name).trim_matches('"'))
}

/// The number of rows in the data behind a `COPY`.
pub(super) fn count(text: &str, data: Range<usize>) -> usize {
    lines(text, data).count()
}

/// The statements that insert the data of a `COPY`.
///
/// # Errors
/// The data are not in the format that dumps have.
pub(super) fn inserts(
    text: &str,
    copy: &[Token<'_>],
    data: Range<usize>,
    is_identity: bool,
) -> Result<String, &'static str> {
    if !copy.last().is_some_and(|last| last.is_keyword("stdin")) {
        return Err("only the text format of `COPY` becomes rows");
    }
    let table = table_of(copy).ok_or("`COPY` without a table")?;
    let open = copy.iter().position(|token| token.is_punctuation("("));
    let close = copy.iter().rposition(|token| token.is_punctuation(")"));
    let columns = open.zip(close).map(|(open, close)| &text[copy[open].start..copy[close].end()]);
    let head = format!(
        "INSERT INTO {} {}{}VALUES",
        table.text,
        columns.map(|columns| format!("{columns} ")).unwrap_or_default(),
        // Without it, a column that is always generated takes no value.
        if is_identity { "OVERRIDING SYSTEM VALUE " } else { "" },
    );
    let mut sql = String::new();
    for (index, line) in lines(text, data).enumerate() {
        sql.push_str(match index % ROWS {
            0 if index == 0 => "",
            0 => ";\n",
            _ => ",",
        });
        if index % ROWS == 0 {
            sql.push_str(&head);
        }
        let values: Vec<_> = line.split('\t').map(value).collect();
        let _ = write!(sql, "\n    ({})", values.join(", "));
    }
    Ok(sql)
}

/// The lines of data, without the mark of their end.
fn lines(text: &str, data: Range<usize>) -> impl Iterator<Item = &str> {
    let lines = text[data].split_inclusive('\n').map(|line| line.trim_end_matches(['\n', '\r']));
    lines.take_while(|line| *line != "\\.")
}

/// A value of the text format as a literal, which takes the type of its column.
fn value(field: &str) -> String {
    if field == "\\N" { "NULL".to_owned() } else { Literal(&unescaped(field)).to_string() }
}

fn unescaped(field: &str) -> String {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        let (b'\\', [escaped, after @ ..]) = (*first, behind) else {
            bytes.push(*first);
            continue;
        };
        rest = after;
        let number = |digits: &[u8], radix| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::try_from(u32::from_str_radix(digits, radix).ok()? & 0xff).ok()
        };
        let run = |bytes: &[u8], most, is_digit: fn(&u8) -> bool| {
            bytes.iter().take(most).take_while(|it| is_digit(it)).count()
        };
        let is_octal: fn(&u8) -> bool = |it| (b'0'..=b'7').contains(it);
        match escaped {
            b'b' => bytes.push(0x08),
            b'f' => bytes.push(0x0c),
            b'n' => bytes.push(b'\n'),
            b'r' => bytes.push(b'\r'),
            b't' => bytes.push(b'\t'),
            b'v' => bytes.push(0x0b),
            b'0'..=b'7' => {
                let length = 1 + run(after, 2, is_octal);
                bytes.extend(number(&behind[..length], 8));
                rest = &behind[length..];
            }
            b'x' if run(after, 2, u8::is_ascii_hexdigit) > 0 => {
                let length = run(after, 2, u8::is_ascii_hexdigit);
                bytes.extend(number(&after[..length], 16));
                rest = &after[length..];
            }
            other => bytes.push(*other),
        }
    }
    // A dump is UTF-8, and escapes are for its ASCII characters.
    String::from_utf8_lossy(&bytes).into_owned()
}

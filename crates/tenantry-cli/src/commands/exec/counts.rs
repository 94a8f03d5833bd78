//! Counts of rows, in words.

/// The rows that were answered and those that were changed.
pub(super) fn counted(rows: usize, changed: u64) -> String {
    let of = |count: u64| if count == 1 { "1 row".to_owned() } else { format!("{count} rows") };
    let answered = of(rows as u64);
    match (rows, changed) {
        (_, 0) => answered,
        (0, changed) => format!("{} changed", of(changed)),
        (_, changed) => format!("{answered}, {changed} changed"),
    }
}

/// Tells of each statement of a text whether its rows are those that it changed. The server tells how many rows a
/// statement has affected, not what it did to them.
pub(super) fn which_return_changes(sql: &str) -> Vec<bool> {
    let statements = skeletons(sql);
    // The semicolons of such a body end no statement.
    if statements.iter().any(|statement| words(statement).any(|word| word == "atomic")) {
        return Vec::new();
    }
    statements.iter().map(|statement| returns_changes(statement)).collect()
}

fn returns_changes(skeleton: &str) -> bool {
    const CHANGING: [&str; 4] = ["insert", "update", "delete", "merge"];
    // Behind `WITH`, the first of these that is not in brackets says what the statement does.
    let verb =
        words(skeleton).find(|word| CHANGING.contains(word) || ["select", "values", "table"].contains(word));
    let is_plain = words(skeleton).next().is_some_and(|first| first == "with" || CHANGING.contains(&first));
    is_plain
        && verb.is_some_and(|verb| CHANGING.contains(&verb))
        && words(skeleton).any(|word| word == "returning")
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !character.is_alphanumeric() && character != '_')
        .filter(|word| !word.is_empty())
}

/// The statements of a text in lower case, without comments, strings, quoted names, and what is in brackets.
fn skeletons(sql: &str) -> Vec<String> {
    let mut statements = vec![String::new()];
    let (mut rest, mut before, mut depth) = (sql, None, 0_usize);
    while let Some(character) = rest.chars().next() {
        let opaque = opaque_length(rest, before);
        let (seen, length) = opaque.map_or((character, character.len_utf8()), |length| (' ', length));
        match seen {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ';' if depth == 0 => statements.push(String::new()),
            seen if depth == 0 => {
                if let Some(last) = statements.last_mut() {
                    last.push(seen.to_ascii_lowercase());
                }
            }
            _ => {}
        }
        before = Some(seen);
        rest = &rest[length..];
    }
    statements.retain(|statement| !statement.trim().is_empty());
    statements
}

/// The length of a comment, a string or a quoted name at the beginning of a text.
fn opaque_length(text: &str, before: Option<char>) -> Option<usize> {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    match text.as_bytes() {
        [b'-', b'-', ..] => Some(text.find('\n').unwrap_or(text.len())),
        [b'/', b'*', ..] => Some(comment_length(text)),
        [b'\'', ..] => Some(quoted_length(text, matches!(before, Some('e' | 'E')))),
        [b'"', ..] => Some(quoted_length(text, false)),
        [b'$', ..] if !before.is_some_and(is_word) => {
            let tag = &text[..text[1..].find('$')? + 2];
            let name = &tag[1..tag.len() - 1];
            let is_tag = name.chars().all(is_word) && !name.starts_with(|first: char| first.is_ascii_digit());
            let body = &text[tag.len()..];
            is_tag.then(|| body.find(tag).map_or(text.len(), |end| tag.len() + end + tag.len()))
        }
        _ => None,
    }
}

/// Comments of this kind may be in each other.
fn comment_length(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    text.len()
}

/// A quote in it is doubled, or behind a backslash in strings that have escapes.
fn quoted_length(text: &str, has_escapes: bool) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if has_escapes => at += 2,
            byte if byte == bytes[0] && bytes.get(at + 1) == Some(&byte) => at += 2,
            byte if byte == bytes[0] => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_sentences() {
        assert_eq!(counted(0, 0), "0 rows");
        assert_eq!(counted(1, 0), "1 row");
        assert_eq!(counted(0, 1), "1 row changed");
        assert_eq!(counted(0, 3), "3 rows changed");
        assert_eq!(counted(2, 3), "2 rows, 3 changed");
    }

    #[test]
    fn rows_that_are_returned_are_changes() {
        for (sql, expect) in [
            ("UPDATE note SET done = true RETURNING id;", &[true][..]),
            ("-- all\n/* of /* it */ ; */ DELETE FROM note\nRETURNING *", &[true]),
            ("INSERT INTO a SELECT 1 RETURNING id; SELECT 2;; UPDATE a SET b = 1", &[true, false, false]),
            ("WITH x AS (SELECT 1) DELETE FROM a RETURNING id; SELECT 1", &[true, false]),
            ("WITH x AS (DELETE FROM a RETURNING id) SELECT * FROM x", &[false]),
            (
                "SELECT 'update returning', E'\\'; DELETE', $a$;$a$, \"x;\"; DELETE FROM a RETURNING b",
                &[false, true],
            ),
            ("INSERT INTO a VALUES ('it''s;', $1) RETURNING b; VALUES (1)", &[true, false]),
            ("EXPLAIN DELETE FROM a RETURNING b; CREATE TABLE returning_update ()", &[false, false]),
            ("SELECT 1", &[false]),
            ("-- update returning", &[]),
            ("CREATE FUNCTION f() BEGIN ATOMIC SELECT 1; END; DELETE FROM a RETURNING b", &[]),
            ("SELECT 'unterminated; DELETE", &[false]),
            ("é; $$", &[false]),
            ("", &[]),
        ] {
            assert_eq!(which_return_changes(sql), expect, "{sql}");
        }
    }
}

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

/// Returns true for a statement whose rows are those that it changed. The server tells how many rows a statement has
/// affected, not what it did to them. Of several statements nothing is known.
pub(super) fn returns_changes(sql: &str) -> bool {
    let text = without_comments(sql).to_lowercase();
    let statement = text.trim().trim_end_matches(';').trim_end();
    let first = statement.split_whitespace().next().unwrap_or_default();
    ["insert", "update", "delete", "merge"].contains(&first)
        && !statement.contains(';')
        && statement.split(|character: char| !character.is_alphanumeric()).any(|word| word == "returning")
}

/// The text without the comments in front of the first statement.
fn without_comments(sql: &str) -> &str {
    let mut rest = sql.trim_start();
    loop {
        let behind = if rest.starts_with("--") {
            rest.split_once('\n').map(|(_, behind)| behind)
        } else if rest.starts_with("/*") {
            rest.split_once("*/").map(|(_, behind)| behind)
        } else {
            return rest;
        };
        rest = behind.unwrap_or_default().trim_start();
    }
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
        assert!(returns_changes("UPDATE note SET done = true RETURNING id;"));
        assert!(returns_changes("-- all\n/* of it */ DELETE FROM note\nRETURNING *"));
        for sql in [
            "SELECT 1",
            "UPDATE note SET done = true",
            "INSERT INTO a SELECT 1 RETURNING id; SELECT 2",
            "SELECT 'update returning'",
            "-- update returning",
            "",
        ] {
            assert!(!returns_changes(sql), "{sql}");
        }
    }
}

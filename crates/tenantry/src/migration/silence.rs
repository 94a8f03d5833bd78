//! Comments that silence a rule of the lint.

/// Returns true if a comment in the file, or in a body in it, silences this rule.
pub(super) fn is_silenced(sql: &str, rule: &str) -> bool {
    let comments = sql.lines().filter_map(|line| line.split_once("--"));
    comments.flat_map(|(_, comment)| silenced(comment)).any(|name| name == rule)
}

/// The names behind `lint: allow` in the text of a comment, separated by commas; what follows them is for
/// people. Anything else behind `lint:` is taken for a name, too: it was meant to silence something, and does not.
pub(super) fn silenced(comment: &str) -> Vec<&str> {
    let Some(text) = comment.trim_start_matches('-').trim().strip_prefix("lint:") else { return Vec::new() };
    let Some(mut rest) = text.trim_start().strip_prefix("allow ") else { return vec![text.trim()] };
    let mut names = Vec::new();
    loop {
        rest = rest.trim_start();
        let end = rest.find(|character: char| !character.is_alphanumeric() && character != '-');
        let (name, behind) = rest.split_at(end.unwrap_or(rest.len()));
        names.push(name);
        match behind.trim_start().strip_prefix(',') {
            Some(more) => rest = more,
            None => return names,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_anywhere_in_the_file_silences_a_rule() {
        for sql in [
            "-- lint: allow outside-name\nINSERT INTO public.plan VALUES (1)",
            "SELECT 1; -- lint: allow unnamed-constraint, outside-name because of that",
            "DO $$ BEGIN\n  -- lint: allow outside-name\n END $$",
        ] {
            assert!(is_silenced(sql, "outside-name"), "{sql}");
        }
        for sql in ["-- lint: allow outside", "-- allow outside-name", "lint: allow outside-name", ""] {
            assert!(!is_silenced(sql, "outside-name"), "{sql}");
        }
    }
}

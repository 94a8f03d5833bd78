//! Comments at the end of a statement, in the form of [sqlcommenter](https://google.github.io/sqlcommenter/spec/).

use std::fmt::Write as _;

/// Displays pairs as a comment, `/*key='value',other='value'*/`, with the keys in order.
///
/// Keys and values are URL-encoded, so neither holds what could end the comment or a text in it.
pub(crate) fn comment(pairs: &[(&str, &str)]) -> String {
    let mut pairs = pairs.to_vec();
    pairs.sort_unstable();
    let mut text = String::with_capacity(64);
    text.push_str("/*");
    for (index, (key, value)) in pairs.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        encode(key, &mut text);
        text.push_str("='");
        encode(value, &mut text);
        text.push('\'');
    }
    text.push_str("*/");
    text
}

/// The statement with a comment behind it, on a line of its own: it may end in a `--` comment.
///
/// A text that is broken stays so. What it leaves open is a comment, which a whole one in it does not close; a
/// quoted text, of which the quotes of the comment close one and open another; or something that no sign of the
/// comment closes.
pub(crate) fn commented(sql: &str, comment: &str) -> String {
    let mut text = String::with_capacity(sql.len() + 1 + comment.len());
    text.push_str(sql);
    text.push('\n');
    text.push_str(comment);
    text
}

fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            into.push(char::from(byte));
        } else {
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sql::lexer::Statements;

    #[test]
    fn keys_are_in_order_and_values_are_encoded() {
        assert_eq!(comment(&[("tenant", "acme")]), "/*tenant='acme'*/");
        assert_eq!(comment(&[("route", "/a b"), ("db", "é")]), "/*db='%C3%A9',route='%2Fa%20b'*/");
        assert_eq!(comment(&[("tenant", "*/ DROP--'")]), "/*tenant='%2A%2F%20DROP--%27'*/");
    }

    fn decoded(text: &str) -> Option<String> {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((&first, behind)) = rest.split_first() {
            let (byte, behind) = match first {
                b'%' => {
                    let digits = std::str::from_utf8(behind.get(..2)?).ok()?;
                    (u8::from_str_radix(digits, 16).ok()?, &behind[2..])
                }
                byte => (byte, behind),
            };
            bytes.push(byte);
            rest = behind;
        }
        String::from_utf8(bytes).ok()
    }

    /// The tokens of each statement, or of which the text is broken.
    fn tokens(sql: &str) -> Option<Vec<Vec<String>>> {
        let statements = Statements::of(sql).map(|statement| {
            let statement = statement.ok()?;
            Some(statement.tokens.iter().map(|token| token.text.to_owned()).collect::<Vec<_>>())
        });
        statements.collect()
    }

    proptest! {
        #[test]
        fn no_value_ends_the_comment_and_each_can_be_read_back(value in "(?s).*") {
            let text = comment(&[("tenant", &value)]);
            let inside = text.strip_prefix("/*tenant='").and_then(|text| text.strip_suffix("'*/"));
            let inside = inside.expect("the form of a comment");
            prop_assert!(!inside.contains(['\'', '*', '/', '\\', '"', '$', '\n', '\0']));
            prop_assert_eq!(decoded(inside), Some(value));
        }

        /// Texts of pieces that open and close things, whole or broken.
        #[test]
        fn a_statement_means_the_same_with_a_comment_and_a_broken_one_stays_so(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "SELECT 1", " ", "'", "''", "\"", "$$", "$a$", "/*", "*/", "--", "\n", ";", "E'", "\\", "\\'", "a",
            ]), 0..12),
            value in "(?s).*",
        ) {
            let sql = pieces.concat();
            prop_assert_eq!(tokens(&sql), tokens(&commented(&sql, &comment(&[("tenant", &value)]))));
        }
    }
}

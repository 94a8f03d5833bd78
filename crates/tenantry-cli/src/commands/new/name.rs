//! The name of a migration, as it is typed.
use crate::failure::Failure;

/// The longest name: file systems take 255 bytes, with the number and the ending.
const LENGTH: usize = 200;

/// Makes sure that a name can stand between the number and the ending of a file.
pub(super) fn check(name: &str) -> Result<(), Failure> {
    let Some(problem) = problem(name) else { return Ok(()) };
    let refused = Failure::usage(format!("`{name}` is no name for a migration: {problem}"));
    Err(refused.with_hint(format!("call it `{}`; the number and the ending are added to it", right(name))))
}

fn problem(name: &str) -> Option<&'static str> {
    let digits = name.bytes().take_while(u8::is_ascii_digit).count();
    let is_allowed = |it: char| it.is_ascii_alphanumeric() || it == '_' || it == '-';
    match name {
        "" => Some("it is empty"),
        _ if without_ending(name) != name => Some("it has an ending"),
        _ if !name.chars().all(is_allowed) => Some("only letters, digits and `_` are allowed"),
        _ if digits == name.len() || digits > 0 && name[digits..].starts_with(['_', '-']) => {
            Some("it begins with a number")
        }
        _ if !name.starts_with(|it: char| it.is_ascii_alphanumeric()) => Some("it begins with a sign"),
        _ if name.len() > LENGTH => Some("it is longer than 200 characters"),
        _ => None,
    }
}

/// The nearest name that is allowed.
fn right(name: &str) -> String {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let name = without_ending(name).trim_start_matches(|it: char| it.is_ascii_digit() || "_- .".contains(it));
    let is_allowed = |it: char| it.is_ascii_alphanumeric() || it == '-';
    let words = name.split(|it: char| !is_allowed(it)).filter(|word| !word.is_empty());
    let mut right = words.collect::<Vec<_>>().join("_");
    right.truncate(LENGTH);
    if right.is_empty() { "add_title".to_owned() } else { right }
}

fn without_ending(name: &str) -> &str {
    let endings = [".up.sql", ".down.sql", ".sql", ".up", ".down"];
    let lower = name.to_ascii_lowercase();
    let ending = endings.into_iter().find(|ending| lower.ends_with(ending)).unwrap_or_default();
    &name[..name.len() - ending.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_name_is_refused_with_a_good_one() {
        for (name, good) in [
            ("", "add_title"),
            ("add title", "add_title"),
            ("0003_add_title.sql", "add_title"),
            ("42", "add_title"),
            ("add_title.up", "add_title"),
            ("add_title.SQL", "add_title"),
            ("../add/title", "title"),
            ("-title", "title"),
            ("título", "t_tulo"),
            ("a\nb", "a_b"),
            (&"x".repeat(201), &"x".repeat(200)),
        ] {
            assert!(problem(name).is_some(), "{name}");
            assert_eq!(right(name), good, "{name}");
            assert_eq!(problem(good), None, "{good}");
        }
    }

    #[test]
    fn a_good_name_is_taken_as_it_is() {
        for name in ["add_title", "Add-Title", "2fa", "x"] {
            assert_eq!(problem(name), None, "{name}");
        }
    }
}

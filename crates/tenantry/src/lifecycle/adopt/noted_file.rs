//! The file that a tool of another kind has noted as its newest. Pure.

/// Ends of the files of other tools.
const ENDINGS: [&str; 7] = ["cjs", "js", "mjs", "php", "py", "sql", "ts"];

/// Finds the version of a file by what a tool has noted: its number, or a name such as `shop.0003_price` of django,
/// `20240131120000_price` of prisma or `2024_01_31_120000_price` of laravel. Where the files were numbered anew, a
/// description that only one of them has is enough. `None` if it is none of them.
pub(super) fn noted_file<'a>(
    files: impl Iterator<Item = (i64, &'a str)> + Clone,
    noted: &str,
) -> Option<i64> {
    if let Ok(number) = noted.parse::<i64>() {
        return files.map(|(version, _)| version).find(|version| *version == number);
    }
    let mut words = words_of(noted);
    if words.last().is_some_and(|last| ENDINGS.contains(&last.as_str())) {
        words.pop();
    }
    let is_number = |word: &String| word.bytes().all(|byte| byte.is_ascii_digit());
    // Django has the name of the application in front.
    let begin = words.iter().position(is_number).unwrap_or(words.len());
    let numbers = words[begin..].iter().take_while(|word| is_number(word)).count();
    let (number, name) =
        (words[begin..begin + numbers].concat().parse::<i64>().ok(), &words[begin + numbers..]);
    let mut named = files.filter(|(_, description)| !name.is_empty() && words_of(description) == name);
    let same_number = named.clone().find(|(version, _)| Some(*version) == number);
    let only = match (named.next(), named.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    };
    same_number.or(only).map(|(version, _)| version)
}

fn words_of(text: &str) -> Vec<String> {
    let words = text.split(|letter: char| !letter.is_alphanumeric());
    words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_by_its_number_or_its_name() {
        let files =
            [(1, "note"), (2, "add price"), (3, "index"), (4, "index"), (20_240_131_120_000, "Add_Tags")];
        for (noted, expect) in [
            ("2", Some(2)),
            ("0002", Some(2)),
            ("9", None),
            ("shop.0002_add_price", Some(2)),
            ("shop.0017_add_price", Some(2)),
            ("shop.0003_index", Some(3)),
            ("shop.0017_index", None),
            ("shop.0002_other", None),
            ("20240131120000_add_tags", Some(20_240_131_120_000)),
            ("20240131120000_add_tags.js", Some(20_240_131_120_000)),
            ("2024_01_31_120000_add_tags", Some(20_240_131_120_000)),
            ("shop", None),
            ("", None),
        ] {
            assert_eq!(noted_file(files.into_iter(), noted), expect, "{noted}");
        }
    }
}

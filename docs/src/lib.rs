//! The documents of this repository, as the tests that keep them true read them.
//!
//! A page is a Markdown file. Its [`Block`]s of Rust stand word for word in a test of the page's name, which
//! runs them; blocks of SQL, TOML and Python are run as they are read from the page; the command line's tests
//! type the blocks of shell commands. [`links`] and [`anchors`] are for the test that follows every link.

use std::fs;
use std::path::{Path, PathBuf};

/// A fenced block of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The first word behind the fence, `rust` or `sh`.
    pub language: String,
    /// The lines between the fences.
    pub text: String,
}

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The text of a document, by its path from the root of the repository.
///
/// # Panics
/// If there is no such file.
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The pages for users, by their paths from the root of the repository, in alphabetical order.
///
/// # Panics
/// If the folder cannot be listed.
pub fn pages() -> Vec<String> {
    let entries = fs::read_dir(root().join("docs")).expect("the folder of this package");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let is_page = |name: &String| Path::new(name).extension().is_some_and(|extension| extension == "md");
    let mut pages: Vec<_> = names.filter(is_page).map(|name| format!("docs/{name}")).collect();
    pages.sort();
    pages
}

/// The fenced blocks of a document, from top to bottom.
pub fn blocks(markdown: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = markdown.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let language = info.split(',').next().unwrap_or_default().to_owned();
        let inside = lines.by_ref().take_while(|line| *line != "```");
        let text = inside.flat_map(|line| [line, "\n"]).collect();
        blocks.push(Block { language, text });
    }
    blocks
}

/// The blocks of one language, of which a document has this many.
///
/// # Panics
/// If there are more or fewer, which no test would then look at.
#[track_caller]
pub fn blocks_of<const N: usize>(path: &str, language: &str) -> [String; N] {
    let blocks = blocks(&read(path)).into_iter().filter(|block| block.language == language);
    let texts: Vec<_> = blocks.map(|block| block.text).collect();
    texts.try_into().unwrap_or_else(|texts: Vec<_>| panic!("{path} has {} blocks of {language}", texts.len()))
}

/// The lines of a document that are in no fenced block.
fn prose(markdown: &str) -> impl Iterator<Item = &str> {
    let mut is_inside = false;
    markdown.lines().filter(move |line| {
        let is_fence = line.starts_with("```");
        is_inside ^= is_fence;
        !is_inside && !is_fence
    })
}

/// The targets of all links and pictures, in order.
pub fn links(markdown: &str) -> Vec<&str> {
    let targets = |line: &'_ str| -> Vec<std::ops::Range<usize>> {
        let starts = line.match_indices("](").map(|(at, _)| at + 2);
        starts.filter_map(|start| line[start..].find(')').map(|length| start..start + length)).collect()
    };
    let inline = prose(markdown).flat_map(|line| targets(line).into_iter().map(|range| &line[range]));
    let defined =
        prose(markdown).filter(|line| line.starts_with('[')).filter_map(|line| line.split_once("]: "));
    inline.chain(defined.map(|(_, target)| target.trim())).collect()
}

/// The anchors that the headings of a document make: in lower case, without punctuation, with `-` for spaces.
pub fn anchors(markdown: &str) -> Vec<String> {
    let headings = prose(markdown).filter(|line| line.starts_with('#'));
    let titles = headings.map(|line| line.trim_start_matches('#').trim().to_lowercase());
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    titles.map(|title| title.chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str =
        "# A `b`: c\n[d](e.md#f) [g](h)\n```rust,no_run\n# [i](j)\n```\n[k]: l\n## M-n, o_p?\n";

    #[test]
    fn blocks_have_a_language_and_a_text() {
        let block = Block { language: "rust".to_owned(), text: "# [i](j)\n".to_owned() };
        assert_eq!(blocks(DOCUMENT), [block]);
    }

    #[test]
    fn links_and_anchors_are_those_outside_of_blocks() {
        assert_eq!(links(DOCUMENT), ["e.md#f", "h", "l"]);
        assert_eq!(anchors(DOCUMENT), ["a-b-c", "m-n-o_p"]);
    }
}

//! The rules of the house that neither the compiler, rustfmt nor clippy holds.
//!
//! Reads the sources as text: no dependency, no server, well under a second. Comments and strings are
//! blanked before code is looked at, so what they say does not count as code. Each checker is first shown
//! to find a small mistake, then run over the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of the library, by level. A module uses its own level and those before it.
const ORDER: &[&[&str]] = &[
    &["tenant"],
    &["error", "fail_point", "guard", "sql", "observe"],
    &["resolve", "database"],
    &["pool"],
    &["registry", "migration"],
    &["context"],
    &["migrate"],
    &["provision"],
    &["lifecycle", "doctor"],
    &["tenancy", "for_each"],
    &["http"],
];

/// The only paths that go against the order. One that is not used any more is reported.
const EXCEPTIONS: &[Exception] = &[
    Exception {
        from: "error",
        to: "resolve::InvalidResolver",
        reason: "`?` turns the error of a lower concept into the library's one",
    },
    Exception {
        from: "error",
        to: "migration::MigrationError",
        reason: "`?` turns the error of a lower concept into the library's one",
    },
    Exception {
        from: "tenancy",
        to: "http::TenancyLayer",
        reason: "`tenancy.layer()` is where people look for the layer",
    },
];

struct Exception {
    from: &'static str,
    to: &'static str,
    reason: &'static str,
}

const LONGEST_LINE: usize = 120;
const LONGEST_FUNCTION: usize = 70;
/// File names that say nothing about what is in the file.
const EMPTY_NAMES: &[&str] = &["utils", "common", "helpers", "manager"];
const FORBIDDEN_CODE: &[&str] = &["todo!", "unimplemented!", "dbg!", "#[ignore"];
// Joined here, or this file would hold them itself.
const FORBIDDEN_TEXT: &[&str] = &[concat!("FIX", "ME"), concat!("TO", "DO")];

// ---------------------------------------------------------------------------------------------------------
// The sources
// ---------------------------------------------------------------------------------------------------------

/// One Rust file.
struct Source {
    /// From the crate's folder, such as `src/pool/lease.rs`.
    path: PathBuf,
    text: String,
    /// The text with comments, strings and characters blanked.
    code: String,
    /// The code without what only exists in tests.
    shipped: String,
    is_test: bool,
}

impl Source {
    fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        let (path, text) = (path.into(), text.into());
        let code = code_of(&text);
        let shipped = without_test_items(&code);
        Self { path, text, code, shipped, is_test: false }
    }

    fn at(&self, line: usize, message: &str) -> String {
        format!("{}:{line}: {message}", self.path.display())
    }

    fn is_front_page(&self) -> bool {
        ["mod.rs", "lib.rs", "main.rs"].iter().any(|name| self.path.ends_with(name))
    }

    /// The modules this file is in, `["pool", "lease"]`; none for the root of a crate.
    fn modules(&self) -> Vec<String> {
        let below = self.path.components().skip(1).map(|part| part.as_os_str().to_string_lossy());
        let names = below.map(|name| name.trim_end_matches(".rs").to_owned());
        names.filter(|name| !["mod", "lib", "main"].contains(&name.as_str())).collect()
    }
}

/// Everything below `src` and `tests` of a crate.
fn sources_of(package: &Path) -> Vec<Source> {
    let mut files = Vec::new();
    for folder in ["src", "tests"] {
        collect(&package.join(folder), &mut files);
    }
    files.sort();
    let read = |file: &PathBuf| {
        let text = fs::read_to_string(file).expect("a file that was just listed");
        Source::new(file.strip_prefix(package).expect("a file below the package"), text)
    };
    let mut sources: Vec<_> = files.iter().map(read).collect();
    mark_tests(&mut sources);
    sources
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The library, and what is beside it in a checkout. A published package has no neighbours.
fn packages() -> Vec<PathBuf> {
    let library = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let Some(workspace) = workspace() else { return vec![library] };
    let folders =
        ["crates", "examples"].iter().filter_map(|folder| fs::read_dir(workspace.join(folder)).ok());
    let mut packages: Vec<_> = folders.flatten().flatten().map(|entry| entry.path()).collect();
    packages.retain(|package| package.join("Cargo.toml").is_file());
    packages.sort();
    packages
}

fn workspace() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    root.join(".ci/run").is_file().then(|| root.to_owned())
}

/// Runs a checker over every package and fails with all it finds.
fn check_packages(checker: impl Fn(&[Source]) -> Vec<String>) {
    let mut findings = Vec::new();
    for package in packages() {
        let name = package.file_name().unwrap_or_default().to_string_lossy().into_owned();
        findings.extend(checker(&sources_of(&package)).iter().map(|finding| format!("{name}/{finding}")));
    }
    assert_none(&findings);
}

#[track_caller]
fn assert_none(findings: &[String]) {
    assert!(findings.is_empty(), "{} found:\n{}\n", findings.len(), findings.join("\n"));
}

// ---------------------------------------------------------------------------------------------------------
// Reading Rust
// ---------------------------------------------------------------------------------------------------------

/// The text with comments, strings and characters blanked, line for line.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let blanked = blanked_length(rest, code.chars().next_back());
        let piece = &rest[..blanked.unwrap_or(first.len_utf8())];
        match blanked {
            Some(_) => code.extend(piece.chars().map(|it| if it == '\n' { it } else { ' ' })),
            None => code.push_str(piece),
        }
        rest = &rest[piece.len()..];
    }
    code
}

/// How much of what follows is a comment, a string or a character.
fn blanked_length(rest: &str, before: Option<char>) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment_length(rest));
    }
    if rest.starts_with('"') {
        return Some(quoted_length(rest, '"'));
    }
    if rest.starts_with('\'') {
        let mut characters = rest.chars().skip(1);
        let is_character = match (characters.next(), characters.next()) {
            (Some('\\'), _) | (Some(_), Some('\'')) => true,
            // A lifetime or a label.
            _ => false,
        };
        return is_character.then(|| quoted_length(rest, '\''));
    }
    if before.is_some_and(is_word) { None } else { raw_string_length(rest) }
}

fn block_comment_length(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if here.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += 1;
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted_length(rest: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if character == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// `r"…"`, `r#"…"#` and their siblings of bytes and C.
fn raw_string_length(rest: &str) -> Option<usize> {
    let start = ["r", "br", "cr"].iter().find_map(|prefix| {
        let behind = rest.strip_prefix(prefix)?;
        (behind.starts_with('"') || behind.starts_with("#\"") || behind.starts_with("##")).then_some(behind)
    })?;
    let hashes = start.len() - start.trim_start_matches('#').len();
    let content = start[hashes..].strip_prefix('"')?;
    let end = content.find(&format!("\"{}", "#".repeat(hashes))).map_or(content.len(), |at| at + 1 + hashes);
    Some(rest.len() - content.len() + end)
}

/// The code with every item under `#[cfg(test)]` blanked.
fn without_test_items(code: &str) -> String {
    const ATTRIBUTE: &str = "#[cfg(test)]";
    let mut shipped = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(start) = rest.find(ATTRIBUTE) {
        let end = start + ATTRIBUTE.len() + item_length(&rest[start + ATTRIBUTE.len()..]);
        shipped.push_str(&rest[..start]);
        shipped.extend(rest[start..end].chars().map(|it| if it == '\n' { it } else { ' ' }));
        rest = &rest[end..];
    }
    shipped + rest
}

/// Up to the semicolon or the closing brace that ends an item.
fn item_length(code: &str) -> usize {
    let mut depth = 0_i32;
    for (at, character) in code.char_indices() {
        match character {
            '{' | '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn first_word(code: &str) -> &str {
    &code[..code.find(|it| !is_word(it)).unwrap_or(code.len())]
}

/// Where a word stands in the code, as a word and not as part of one.
fn places_of<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = code[..*at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        let goes_on = word.ends_with(is_word) && after.is_some_and(is_word);
        !before.is_some_and(is_word) && !goes_on
    })
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

// ---------------------------------------------------------------------------------------------------------
// Import order
// ---------------------------------------------------------------------------------------------------------

/// A use of another module of the library, by its path from the root: `migrate::MigrationError`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Import {
    line: usize,
    path: String,
}

/// Every path in the code that starts at the root of the crate.
fn imports(code: &str, depth: usize) -> BTreeSet<Import> {
    let mut found = BTreeSet::new();
    let to_root = "super::".repeat(depth);
    let starts = ["crate::", to_root.as_str()];
    for start in starts.iter().filter(|start| !start.is_empty()) {
        for at in places_of(code, start) {
            // `super::super::` is found once, from its beginning.
            if code[..at].ends_with("super::") {
                continue;
            }
            let tree = &code[at + start.len()..];
            for path in paths_in(tree) {
                found.insert(Import { line: line_of(code, at), path });
            }
        }
    }
    found
}

/// The paths of a tree such as `error::{Error, Result}`, two names deep.
fn paths_in(tree: &str) -> Vec<String> {
    if let Some(group) = group_in(tree) {
        return group.iter().flat_map(|part| paths_in(part)).collect();
    }
    let first = first_word(tree);
    let Some(rest) = tree[first.len()..].strip_prefix("::") else { return vec![first.to_owned()] };
    let seconds = match group_in(rest) {
        Some(group) => group.iter().map(|part| first_word(part).to_owned()).collect(),
        None => vec![first_word(rest).to_owned()],
    };
    seconds.iter().map(|second| format!("{first}::{second}")).collect()
}

/// The parts between braces, split at the commas that are not inside further braces.
fn group_in(tree: &str) -> Option<Vec<&str>> {
    let inside = tree.strip_prefix('{')?;
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, character) in inside.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                parts.push(inside[start..at].trim());
                start = at + 1;
                if character == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    parts.retain(|part| !part.is_empty());
    Some(parts)
}

/// Which module the names at the root of the crate come from.
fn reexports(root: &Source) -> BTreeMap<String, String> {
    let places = places_of(&root.shipped, "self::").flat_map(|at| paths_in(&root.shipped[at + 6..]));
    let pairs = places.filter_map(|path| {
        let (module, name) = path.split_once("::")?;
        Some((name.to_owned(), module.to_owned()))
    });
    pairs.collect()
}

fn level(module: &str) -> Option<usize> {
    ORDER.iter().position(|level| level.contains(&module))
}

fn against_the_order(sources: &[Source]) -> Vec<String> {
    let root = sources.iter().find(|source| source.path == Path::new("src/lib.rs"));
    let names = root.map(reexports).unwrap_or_default();
    let mut findings = Vec::new();
    let mut used = BTreeSet::new();
    for source in sources.iter().filter(|source| source.path.starts_with("src") && !source.is_test) {
        let modules = source.modules();
        let Some(from) = modules.first() else { continue };
        for Import { line, path } in imports(&source.shipped, modules.len()) {
            let first = path.split("::").next().unwrap_or_default();
            let to = names.get(first).map_or(first, String::as_str);
            let qualified = if to == first { path.clone() } else { format!("{to}::{path}") };
            if let Some(known) = EXCEPTIONS.iter().find(|it| it.from == from && it.to == qualified) {
                used.insert(known.to);
                continue;
            }
            match (level(from), level(to)) {
                (Some(here), Some(there)) if there <= here => {}
                (Some(_), Some(_)) => {
                    findings.push(source.at(line, &format!("`{from}` may not use `{to}` (`{path}`)")));
                }
                _ => findings.push(source.at(line, &format!("`{from}` or `{to}` has no place in the order"))),
            }
        }
    }
    let unused = EXCEPTIONS.iter().filter(|exception| !used.contains(exception.to));
    findings.extend(unused.map(|it| format!("the exception `{}` is not needed ({})", it.to, it.reason)));
    findings
}

#[test]
fn the_library_imports_one_way() {
    let findings = against_the_order(&sources_of(Path::new(env!("CARGO_MANIFEST_DIR"))));
    assert_none(&findings);
}

#[test]
fn a_use_against_the_order_is_found() {
    #[track_caller]
    fn check(path: &str, text: &str, expect: &str) {
        let root = Source::new("src/lib.rs", "pub use self::tenancy::{Builder, Tenancy};");
        let findings = against_the_order(&[root, Source::new(path, text)]);
        let findings: Vec<_> = findings.iter().filter(|it| !it.contains("not needed")).collect();
        assert_eq!(findings.iter().any(|it| it.contains(expect)), !expect.is_empty(), "{findings:?}");
        assert_eq!(findings.is_empty(), expect.is_empty(), "{findings:?}");
    }
    check("src/tenant/slug.rs", "\nuse crate::error::Error;", "slug.rs:2: `tenant` may not use `error`");
    check("src/pool/db.rs", "use crate::{error::Error, registry::{store, x}};", "may not use `registry`");
    check("src/pool/db.rs", "fn f() -> super::super::migrate::Fleet {}", "may not use `migrate`");
    check("src/error.rs", "use super::pool::Pool;", "`error` may not use `pool`");
    check("src/pool/db.rs", "use crate::Tenancy;", "may not use `tenancy`");
    check("src/error.rs", "impl From<crate::migrate::Refusal> for Error {}", "may not use `migrate`");
    check("src/pool/db.rs", "use crate::metrics::Counter;", "has no place in the order");
    check("src/pool/db.rs", "use super::lease::Lease; use crate::tenant::Slug;", "");
    check("src/pool/db.rs", "/// See [`Tenancy`](crate::Tenancy).\nstruct Db;", "");
    check("src/pool/db.rs", "#[cfg(test)]\nmod tests { use crate::tenancy::Tenancy; }", "");
    check("src/http/layer.rs", "use crate::tenancy::Tenancy;", "");
    check("src/error.rs", "impl From<crate::migration::MigrationError> for Error {}", "");
}

// ---------------------------------------------------------------------------------------------------------
// Dead files
// ---------------------------------------------------------------------------------------------------------

/// The modules a file declares without a body.
fn declared(code: &str) -> BTreeSet<String> {
    let names = places_of(code, "mod").filter_map(|at| {
        let behind = code[at + 3..].trim_start();
        let name = first_word(behind);
        (!name.is_empty() && behind[name.len()..].trim_start().starts_with(';')).then(|| name.to_owned())
    });
    names.collect()
}

/// The files in which the modules declared by a file may be, for each of them.
fn places_of_module(declaring: &Source, module: &str) -> [PathBuf; 2] {
    let folder = declaring.path.parent().unwrap_or(Path::new(""));
    let stem = declaring.path.file_stem().unwrap_or_default();
    let is_root = folder == Path::new("tests");
    let below = if declaring.is_front_page() || is_root { folder.to_owned() } else { folder.join(stem) };
    [below.join(format!("{module}.rs")), below.join(module).join("mod.rs")]
}

fn is_entry(path: &Path) -> bool {
    let depth = path.components().count();
    let is_root = path.ends_with("lib.rs") || path.ends_with("main.rs");
    (is_root && depth == 2) || (path.starts_with("tests") && (depth == 2 || (depth == 3 && is_root)))
}

/// Walks from the roots of the crate through all `mod` declarations and notes what is for tests alone.
fn mark_tests(sources: &mut [Source]) -> BTreeSet<PathBuf> {
    let mut reached = BTreeSet::new();
    let entries = sources.iter().filter(|source| is_entry(&source.path));
    let mut next: Vec<_> =
        entries.map(|source| (source.path.clone(), source.path.starts_with("tests"))).collect();
    while let Some((path, is_test)) = next.pop() {
        let Some(source) = sources.iter_mut().find(|source| source.path == path) else { continue };
        if !reached.insert(path) {
            continue;
        }
        source.is_test = is_test;
        let shipped = declared(&source.shipped);
        for module in declared(&source.code) {
            let is_test = is_test || !shipped.contains(&module);
            next.extend(places_of_module(source, &module).map(|path| (path, is_test)));
        }
    }
    reached
}

fn dead_files(sources: &[Source]) -> Vec<String> {
    let mut copies: Vec<_> =
        sources.iter().map(|source| Source::new(source.path.clone(), source.text.clone())).collect();
    let reached = mark_tests(&mut copies);
    let dead = sources.iter().filter(|source| !reached.contains(&source.path));
    dead.map(|source| source.at(1, "no `mod` declares this file")).collect()
}

#[test]
fn every_file_is_declared() {
    check_packages(dead_files);
}

#[test]
fn a_dead_file_is_found() {
    let mut sources = [
        Source::new("src/lib.rs", "mod a;\nmod b { fn f() {} }\n// mod dead;\n#[cfg(test)]\nmod probe;"),
        Source::new("src/a.rs", "pub mod deep;"),
        Source::new("src/a/deep.rs", ""),
        Source::new("src/dead.rs", ""),
        Source::new("src/probe/mod.rs", "mod inner;"),
        Source::new("src/probe/inner.rs", ""),
        Source::new("tests/it/main.rs", "mod case;"),
        Source::new("tests/it/case.rs", ""),
    ];
    assert_eq!(dead_files(&sources), ["src/dead.rs:1: no `mod` declares this file"]);
    mark_tests(&mut sources);
    let tests: Vec<_> = sources.iter().filter(|source| source.is_test).map(|it| it.path.clone()).collect();
    assert_eq!(tests.len(), 4, "{tests:?}");
    assert!(tests.contains(&PathBuf::from("src/probe/inner.rs")), "a test module's own modules are tests");
}

// ---------------------------------------------------------------------------------------------------------
// Documentation
// ---------------------------------------------------------------------------------------------------------

/// A front page explains its folder. Any other file explains itself, or the first thing it offers does.
fn undocumented(source: &Source) -> Option<String> {
    if source.text.starts_with("//!") {
        return None;
    }
    if source.is_front_page() {
        return Some(source.at(1, "a front page begins with `//!`"));
    }
    if source.is_test {
        return None;
    }
    let lines: Vec<_> = source.text.lines().collect();
    let item = position(&source.code, is_offered).or_else(|| position(&source.code, is_item));
    let Some(item) = item else { return Some(source.at(1, "begins with neither `//!` nor an item")) };
    let above = lines[..item].iter().rev().take_while(|line| !line.trim().is_empty());
    let is_documented = above.into_iter().any(|line| line.trim_start().starts_with("///"));
    (!is_documented).then(|| source.at(item + 1, "the file has no `//!`, and its first item no `///`"))
}

fn position(code: &str, is_it: fn(&str) -> bool) -> Option<usize> {
    code.lines().position(is_it)
}

fn is_offered(line: &str) -> bool {
    let is_public = line.starts_with("pub ") || line.starts_with("pub(");
    is_public && is_item(line.trim_start_matches(|it| it != ' ').trim_start())
}

fn is_item(line: &str) -> bool {
    const ITEMS: &[&str] = &[
        "fn",
        "async",
        "const",
        "static",
        "struct",
        "enum",
        "trait",
        "type",
        "impl",
        "macro_rules",
        "union",
    ];
    ITEMS.contains(&first_word(line))
}

#[test]
fn every_file_says_what_it_is() {
    check_packages(|sources| sources.iter().filter_map(undocumented).collect());
}

#[test]
fn a_file_without_documentation_is_found() {
    #[track_caller]
    fn check(path: &str, text: &str, is_documented: bool) {
        assert_eq!(undocumented(&Source::new(path, text)).is_none(), is_documented, "{text}");
    }
    check("src/pool/mod.rs", "//! Connections.\nmod a;", true);
    check("src/pool/mod.rs", "/// A thing.\npub struct Thing;", false);
    check(
        "src/tenant/slug.rs",
        "use x;\n\nconst N: u8 = 1;\n\n/// A slug.\n#[derive(Debug)]\npub struct Slug;",
        true,
    );
    check("src/tenant/slug.rs", "use x;\n\npub struct Slug;\n\n/// Another.\npub struct Other;", false);
    check("src/tenant/slug.rs", "use x;\n\n/// Private, but explained.\nfn f() {}", true);
    check("src/tenant/slug.rs", "use x;", false);
}

// ---------------------------------------------------------------------------------------------------------
// Text
// ---------------------------------------------------------------------------------------------------------

fn untidy_lines(path: &Path, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut report =
            |message: &str| findings.push(format!("{}:{}: {message}", path.display(), index + 1));
        if line.contains('\t') {
            report("a tab");
        }
        if line.ends_with(char::is_whitespace) {
            report("white space at the end");
        }
        for word in FORBIDDEN_TEXT.iter().filter(|word| line.contains(**word)) {
            report(&format!("`{word}`"));
        }
    }
    findings
}

fn long_lines(source: &Source) -> Vec<String> {
    let lines = source.text.lines().enumerate();
    let long = lines.filter(|(_, line)| line.chars().count() > LONGEST_LINE);
    long.map(|(index, _)| source.at(index + 1, "a line of more than 120 characters")).collect()
}

fn forbidden_code(source: &Source) -> Vec<String> {
    let found =
        FORBIDDEN_CODE.iter().flat_map(|word| places_of(&source.code, word).map(move |at| (*word, at)));
    found.map(|(word, at)| source.at(line_of(&source.code, at), &format!("`{word}`"))).collect()
}

fn long_functions(source: &Source) -> Vec<String> {
    let code = &source.code;
    let functions = places_of(code, "fn").filter_map(|at| {
        let name = first_word(code[at + 2..].trim_start());
        let lines = code[at..at + item_length(&code[at..])].lines().count();
        let message = format!("function `{name}` has {lines} lines, at most {LONGEST_FUNCTION} are allowed");
        (!name.is_empty() && lines > LONGEST_FUNCTION).then(|| source.at(line_of(code, at), &message))
    });
    functions.collect()
}

fn empty_name(source: &Source) -> Option<String> {
    let parts = source.path.iter().map(|part| part.to_string_lossy());
    let empty = parts.map(|name| name.trim_end_matches(".rs").to_owned());
    let empty = empty.into_iter().find(|name| EMPTY_NAMES.contains(&name.as_str()))?;
    Some(source.at(1, &format!("`{empty}` does not say what is inside")))
}

#[test]
fn the_text_is_tidy() {
    check_packages(|sources| {
        let lines = sources.iter().flat_map(|source| untidy_lines(&source.path, &source.text));
        let checkers = [long_lines, forbidden_code, long_functions];
        let code = sources.iter().flat_map(|source| checkers.iter().flat_map(move |checker| checker(source)));
        lines.chain(code).chain(sources.iter().filter_map(empty_name)).collect()
    });
}

#[test]
fn untidy_text_is_found() {
    #[track_caller]
    fn check(checker: fn(&Source) -> Vec<String>, text: &str, expect: usize) {
        assert_eq!(checker(&Source::new("src/a.rs", text)).len(), expect, "{text}");
    }
    let lines = |source: &Source| untidy_lines(&source.path, &source.text);
    check(lines, "a\tb\nc \nd\r\nfine", 2);
    check(lines, concat!("// FIX", "ME: later\n// TO", "DO"), 2);
    check(long_lines, &"x".repeat(121), 1);
    check(long_lines, &"ä".repeat(120), 0);
    check(forbidden_code, "todo!()\nunimplemented!(); dbg!(x);\n#[ignore]\n#[ignore = \"slow\"]", 5);
    check(forbidden_code, "// dbg!(x)\nlet s = \"todo!\"; my_dbg!(x)", 0);
    let function = |lines: usize| format!("fn long() {{{}}}", "\n".repeat(lines - 1));
    check(long_functions, &function(LONGEST_FUNCTION + 1), 1);
    check(long_functions, &function(LONGEST_FUNCTION), 0);
    assert!(empty_name(&Source::new("src/pool/utils.rs", "")).is_some());
    assert!(empty_name(&Source::new("src/helpers/mod.rs", "")).is_some());
    assert!(empty_name(&Source::new("src/pool/lease.rs", "")).is_none());
}

#[test]
fn comments_and_strings_are_no_code() {
    let text = r##"a // b
/* c /* d */ e */ f "g \" h" 'i' '\'' 'static r#"j " k"# br"l" m"##;
    let code = code_of(text);
    assert_eq!(code.chars().count(), text.chars().count());
    assert_eq!(code.lines().count(), text.lines().count());
    let words: Vec<_> = code.split_whitespace().collect();
    assert_eq!(words, ["a", "f", "'static", "m"]);
}

#[test]
fn items_for_tests_are_blanked_to_their_end() {
    let code = "mod a;\n#[cfg(test)]\nmod tests {\n fn f() { g(); }\n}\nmod b;\n#[cfg(test)]\nmod c;\nmod d;";
    let shipped = without_test_items(code);
    assert_eq!(shipped.lines().count(), code.lines().count());
    assert_eq!(shipped.split_whitespace().collect::<Vec<_>>(), ["mod", "a;", "mod", "b;", "mod", "d;"]);
}

// ---------------------------------------------------------------------------------------------------------
// Documents
// ---------------------------------------------------------------------------------------------------------

const DOCUMENTS: &[&str] = &["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"];

/// Targets of links that lead to a file.
fn links_to_files(text: &str) -> Vec<&str> {
    let targets = text.match_indices("](").filter_map(|(at, _)| text[at + 2..].split(')').next());
    targets.filter(|target| !target.contains("://") && !target.starts_with('#')).collect()
}

/// Where the tests are that the documents name, as in `it::find::a_warm_cache_asks_nothing`.
const TESTS: &[(&str, &str)] =
    &[("invariants", "src/invariants"), ("it", "tests/it"), ("pool", "src/pool"), ("tenant", "src/tenant")];

fn named_tests(text: &str) -> Vec<&str> {
    let is_test = |quoted: &&str| match quoted.split("::").collect::<Vec<_>>()[..] {
        [place, _, _] => TESTS.iter().any(|(known, _)| *known == place),
        _ => false,
    };
    text.split('`').filter(is_test).collect()
}

fn has_test(name: &str, read: impl Fn(&Path) -> Option<String>) -> bool {
    let [place, module, function] = name.split("::").collect::<Vec<_>>()[..] else { return false };
    let folder = TESTS.iter().find(|(known, _)| *known == place).map(|(_, folder)| *folder);
    let file = Path::new(folder.unwrap_or_default()).join(format!("{module}.rs"));
    read(&file).is_some_and(|text| text.contains(&format!("fn {function}()")))
}

/// The blocks of Rust in a document.
fn rust_blocks(text: &str) -> Vec<&str> {
    let blocks = text.split("```").skip(1).step_by(2);
    blocks.filter(|block| block.starts_with("rust")).collect()
}

#[test]
fn the_documents_speak_of_what_there_is() {
    let Some(root) = workspace() else { return };
    let library = root.join("crates/tenantry");
    let read = |file: &Path| fs::read_to_string(library.join(file)).ok();
    let mut findings = Vec::new();
    for document in DOCUMENTS {
        let text = fs::read_to_string(root.join(document)).unwrap_or_default();
        findings.extend(untidy_lines(Path::new(document), &text));
        let dead = links_to_files(&text)
            .into_iter()
            .filter(|link| !root.join(link.split('#').next().unwrap_or_default()).exists());
        findings.extend(dead.map(|link| format!("{document}: `{link}` does not exist")));
        let unknown = named_tests(&text).into_iter().filter(|name| !has_test(name, read));
        findings.extend(unknown.map(|name| format!("{document}: there is no test `{name}`")));
        if text.is_empty() {
            findings.push(format!("{document} is missing or empty"));
        }
    }
    assert_none(&findings);
}

#[test]
fn both_readmes_show_one_example() {
    let Some(root) = workspace() else { return };
    let read = |file| fs::read_to_string(root.join(file)).unwrap_or_default();
    let (outer, inner) = (read("README.md"), read("crates/tenantry/README.md"));
    assert_eq!(rust_blocks(&outer).len(), 1);
    assert_eq!(rust_blocks(&outer), rust_blocks(&inner), "the compiled one is the one in the crate");
}

#[test]
fn a_document_that_errs_is_found() {
    assert_eq!(links_to_files("[a](b.md#c) [d](https://e) [f](#g)"), ["b.md#c"]);
    assert_eq!(
        named_tests("`invariants::a::b`, `x`, `http::A::b`, `it::c::d`"),
        ["invariants::a::b", "it::c::d"]
    );
    let read = |file: &Path| (file == Path::new("src/invariants/a.rs")).then(|| "async fn b() {}".to_owned());
    assert!(has_test("invariants::a::b", read));
    assert!(!has_test("invariants::a::c", read));
    assert!(!has_test("invariants::z::b", read));
    assert_eq!(rust_blocks("```sh\nx\n```\n```rust\ny\n```"), ["rust\ny\n"]);
}

//! One name means one thing: no two files of the library define a type of the same name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::source::Source;
use super::{assert_none, sources_of_library};

/// The names that several files may define. One that is defined once is reported.
const SHARED: &[(&str, &str)] = &[
    ("Finding", "of doctor and of lint, each the only thing its folder makes"),
    ("Inner", "the shared half of a cheap handle"),
    ("Step", "of a plan, and of the registry's own tables"),
];

fn defined_twice(sources: &[Source], shared: &[(&str, &str)]) -> Vec<String> {
    let mut files = BTreeMap::<&str, BTreeSet<&Path>>::new();
    for source in sources.iter().filter(|source| !source.is_test) {
        for (_, name) in &source.facts.types {
            files.entry(name).or_default().insert(&source.path);
        }
    }
    files.retain(|_, files| files.len() > 1);
    let unused = shared.iter().filter(|(name, _)| !files.contains_key(name));
    let unused = unused.map(|(name, reason)| format!("`{name}` need not be shared ({reason})"));
    let found = files.iter().filter(|(name, _)| shared.iter().all(|(known, _)| known != *name));
    let found = found.map(|(name, files)| {
        let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
        format!("`{name}` is defined in {}", files.join(", "))
    });
    unused.chain(found).collect()
}

#[test]
fn a_name_means_one_type() {
    assert_none(&defined_twice(sources_of_library(), SHARED));
}

#[test]
fn a_name_for_two_types_is_found() {
    let sources = [
        Source::new("src/a.rs", "struct Place; enum Twice {} mod x { struct Twice; }"),
        Source::new("src/b.rs", "fn f() { trait Place {} }\n#[cfg(test)]\nmod tests { struct Twice; }"),
        Source::new("tests/it/a.rs", "struct Twice;"),
    ];
    assert_eq!(defined_twice(&sources, &[]), ["`Place` is defined in src/a.rs, src/b.rs"]);
    assert_eq!(defined_twice(&sources, &[("Place", "")]), [""; 0]);
    assert_eq!(
        defined_twice(&sources, &[("Place", ""), ("Twice", "so")]),
        ["`Twice` need not be shared (so)"]
    );
}

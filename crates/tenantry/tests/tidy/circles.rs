//! Files of one folder do not use each other in a circle.
//!
//! The parts of a folder are the modules in it, each with all below it, and the file that declares them.
//! To declare a module and to offer its names is no use of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::paths::{Module, Use, uses};
use super::source::Source;
use super::{PACKAGES, assert_none};

/// The uses that close a circle on purpose. One that closes none any more is reported.
const EXCEPTIONS: &[Exception] = &[];

struct Exception {
    from: &'static str,
    to: &'static str,
    reason: &'static str,
}

/// The uses among the parts of a folder, each with one place in the text.
type Graph = BTreeMap<String, BTreeMap<String, String>>;

/// The graphs of all folders of a package. A part is named by its path, `tenantry/pool/lease`.
fn folders(package: &str, uses: &[Use]) -> BTreeMap<Module, Graph> {
    let mut folders = BTreeMap::<_, Graph>::new();
    for it in uses {
        let common = it.from.iter().zip(&it.to).take_while(|(from, to)| from == to).count();
        let folder = &it.from[..common];
        if it.is_offered && it.from == folder {
            continue;
        }
        let part = |module: &Module| {
            let names = module.iter().take(common + 1).map(String::as_str);
            [package].into_iter().chain(names).collect::<Vec<_>>().join("/")
        };
        let graph = folders.entry(folder.to_vec()).or_default();
        graph.entry(part(&it.from)).or_default().entry(part(&it.to)).or_insert_with(|| it.at.clone());
    }
    folders
}

/// A use that a way leads back from.
struct Closing {
    from: String,
    to: String,
    at: String,
    back: Vec<String>,
}

fn closing(graph: &Graph) -> Vec<Closing> {
    let uses = graph.iter().flat_map(|(from, uses)| uses.iter().map(move |(to, at)| (from, to, at)));
    let closing = uses.filter_map(|(from, to, at)| {
        let back = shortest_way(graph, to, from)?;
        Some(Closing { from: from.clone(), to: to.clone(), at: at.clone(), back })
    });
    closing.collect()
}

fn shortest_way(graph: &Graph, from: &str, to: &str) -> Option<Vec<String>> {
    let mut seen = BTreeSet::from([from]);
    let mut ways = vec![vec![from]];
    while !ways.is_empty() {
        if let Some(way) = ways.iter().find(|way| way.last() == Some(&to)) {
            return Some(way.iter().map(ToString::to_string).collect());
        }
        let mut longer = Vec::new();
        for way in &ways {
            let next = way.last().and_then(|last| graph.get(*last)).into_iter().flatten();
            let next = next.filter(|(part, _)| seen.insert(part));
            longer.extend(next.map(|(part, _)| [way.as_slice(), &[part]].concat()));
        }
        ways = longer;
    }
    None
}

/// Finds the circles that are left when the exceptions are taken out, and the exceptions that close none.
fn circles<'a>(
    packages: impl Iterator<Item = (&'a Path, &'a [Source])>,
    exceptions: &[Exception],
) -> Vec<String> {
    let mut needed = BTreeSet::new();
    let mut findings = Vec::new();
    for (package, sources) in packages {
        let name = package.file_name().unwrap_or_default().to_string_lossy();
        for mut graph in folders(&name, &uses(sources)).into_values() {
            for it in closing(&graph) {
                let known = exceptions.iter().position(|known| (known.from, known.to) == (&it.from, &it.to));
                if known.is_some_and(|known| needed.insert(known)) {
                    graph.get_mut(&it.from).and_then(|uses| uses.remove(&it.to));
                }
            }
            let found = closing(&graph).into_iter();
            findings
                .extend(found.map(|it| format!("{} closes {} → {}", it.at, it.from, it.back.join(" → "))));
        }
    }
    let unused = exceptions.iter().enumerate().filter(|(index, _)| !needed.contains(index));
    findings
        .extend(unused.map(|(_, it)| format!("{} → {} closes no circle ({})", it.from, it.to, it.reason)));
    findings
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let packages = PACKAGES.iter().map(|(package, sources)| (package.as_path(), sources.as_slice()));
    assert_none(&circles(packages, EXCEPTIONS));
}

#[test]
fn a_circle_is_found() {
    #[track_caller]
    fn check(files: &[(&str, &str)], expect: &[&str]) {
        let sources: Vec<_> = files.iter().map(|(path, text)| Source::new(*path, *text)).collect();
        let found = circles([(Path::new("crates/c"), sources.as_slice())].into_iter(), &[]);
        let circles: Vec<_> =
            found.iter().filter_map(|it| it.split_once(" closes ")).map(|it| it.1).collect();
        assert_eq!(circles, expect);
    }
    let (a, b) = (("src/a.rs", "use super::b::B;"), ("src/b.rs", "use crate::a::A;"));
    check(&[("src/lib.rs", ""), a, b], &["c/a → c/b → c/a", "c/b → c/a → c/b"]);
    check(&[("src/lib.rs", ""), a, ("src/b.rs", "/// See [`A`](crate::a::A).\nstruct B;")], &[]);
    check(&[("src/lib.rs", ""), a, ("src/b.rs", "#[cfg(test)]\nmod tests { use crate::a::A; }")], &[]);
    // By a name that the front page only offers.
    let front = ("src/lib.rs", "mod a; mod b; pub use self::a::A;");
    check(&[front, a, ("src/b.rs", "use super::A;")], &["c/a → c/b → c/a", "c/b → c/a → c/b"]);
    // Over a third, and from below one of them.
    let below = ("src/b/d/e.rs", "use crate::f::F;");
    check(
        &[
            ("src/lib.rs", ""),
            a,
            ("src/b/mod.rs", ""),
            ("src/b/d/mod.rs", ""),
            below,
            ("src/f.rs", "use crate::a;"),
        ],
        &["c/a → c/b → c/f → c/a", "c/b → c/f → c/a → c/b", "c/f → c/a → c/b → c/f"],
    );
    // Between a file and its folder.
    let child = ("src/p/c.rs", "use super::P;");
    check(&[("src/lib.rs", ""), ("src/p.rs", "pub use self::c::C;"), child], &[]);
    check(
        &[("src/lib.rs", ""), ("src/p.rs", "use self::c::C;"), child],
        &["c/p → c/p/c → c/p", "c/p/c → c/p → c/p/c"],
    );
}

#[test]
fn an_exception_takes_its_circle_out_and_is_reported_without_one() {
    let sources = [
        Source::new("src/lib.rs", ""),
        Source::new("src/a.rs", "use super::b::B;"),
        Source::new("src/b.rs", "use super::a::A; use super::d::D;"),
        Source::new("src/d.rs", ""),
    ];
    let check =
        |exceptions: &[Exception]| circles([(Path::new("c"), sources.as_slice())].into_iter(), exceptions);
    let exception = |from, to| Exception { from, to, reason: "why" };
    assert_eq!(check(&[exception("c/a", "c/b")]), [""; 0]);
    let both = check(&[exception("c/b", "c/a"), exception("c/b", "c/d")]);
    assert_eq!(both, ["c/b → c/d closes no circle (why)"]);
}

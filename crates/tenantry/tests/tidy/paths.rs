//! The modules of a crate, and the file behind each path that its code writes.

use std::collections::BTreeMap;
use std::path::Path;

use super::facts::WrittenPath;
use super::source::Source;

/// The names of modules from the root of the crate.
pub(crate) type Module = Vec<String>;

/// One file uses what another defines, by whichever re-export.
#[derive(Debug)]
pub(crate) struct Use {
    pub(crate) from: Module,
    pub(crate) to: Module,
    /// The place in the text.
    pub(crate) at: String,
    /// True if the file only offers it on.
    pub(crate) is_offered: bool,
}

/// Every use of one file by another in what the crate ships.
pub(crate) fn uses(sources: &[Source]) -> Vec<Use> {
    let shipped = sources.iter().filter(|source| !source.is_test && source.root() == Path::new("src"));
    let modules = Modules(shipped.map(|source| (source.module(), source)).collect());
    let mut uses = Vec::new();
    for (from, source) in &modules.0 {
        for path in &source.facts.paths {
            let to = modules.resolve(from, path, &path.names, 8);
            if let Some(to) = to.filter(|to| to != from) {
                let at = source.at(path.line, &format!("`{}`", path.names.join("::")));
                uses.push(Use { from: from.clone(), to, at, is_offered: path.is_offered });
            }
        }
    }
    uses
}

struct Modules<'a>(BTreeMap<Module, &'a Source>);

impl Modules<'_> {
    /// The module that defines what a path of `from` names; none if that is another crate or a local name.
    fn resolve(&self, from: &[String], path: &WrittenPath, names: &[String], steps: usize) -> Option<Module> {
        let supers = names.iter().take_while(|name| *name == "super").count();
        match names.first()?.as_str() {
            "crate" => self.walk(&[], &names[1..], steps),
            "self" => self.walk(from, &names[1..], steps),
            "super" => {
                let up = supers.saturating_sub(path.depth);
                self.walk(from.get(..from.len().checked_sub(up)?)?, &names[supers..], steps)
            }
            child => self.0.contains_key(&below(from, child)).then(|| self.walk(from, names, steps))?,
        }
    }

    fn walk(&self, module: &[String], names: &[String], steps: usize) -> Option<Module> {
        let Some((name, rest)) = names.split_first() else { return Some(module.to_vec()) };
        let child = below(module, name);
        if self.0.contains_key(&child) {
            return self.walk(&child, rest, steps);
        }
        let facts = &self.0.get(module)?.facts;
        if facts.modules.iter().any(|declared| declared.name == *name) {
            // A file of another package, by `#[path]`.
            return None;
        }
        let imports = facts.paths.iter();
        let import = imports.filter(|path| path.depth == 0).find(|path| path.alias.as_ref() == Some(name));
        let imported = import.filter(|_| steps > 0).and_then(|path| {
            let names = [path.names.as_slice(), rest].concat();
            self.resolve(module, path, &names, steps - 1)
        });
        Some(imported.unwrap_or_else(|| module.to_vec()))
    }
}

fn below(module: &[String], child: &str) -> Module {
    [module, &[child.to_owned()]].concat()
}

#[test]
fn a_path_leads_to_the_file_that_defines_it() {
    #[track_caller]
    fn check(text: &str, expect: &[&str]) {
        let sources = [
            Source::new(
                "src/lib.rs",
                "mod a; mod b; mod x; pub use self::b::{Deep as Renamed, Thing}; struct Root;",
            ),
            Source::new("src/a.rs", "mod below;"),
            Source::new("src/a/below.rs", text),
            Source::new(
                "src/b/mod.rs",
                "mod deep; pub use self::deep::Deep; pub struct Thing; use sqlx::Pool;",
            ),
            Source::new("src/b/deep.rs", "pub struct Deep;"),
        ];
        let uses = uses(&sources);
        let found: Vec<_> = uses.iter().filter(|it| it.from.len() == 2 && it.from[0] == "a").collect();
        let found: Vec<_> = found.iter().map(|it| it.to.join("/")).collect();
        assert_eq!(found, expect, "{text}");
    }
    check("use crate::b::{Deep, Thing}; use std::fs;", &["b/deep", "b"]);
    check("use crate::{Renamed, Root}; use super::super::b::deep;", &["b/deep", "", "b/deep"]);
    check("fn f(_: &[super::Thing]) { crate::Renamed::new() }", &["a", "b/deep"]);
    check("fn f() { vec![1, crate::b::Deep::new()] }", &["b/deep"]);
    check("/// [`x`](crate::b)\nmod x { use super::*; fn f() { super::super::g() } }", &["a"]);
    check(
        "#[cfg(test)]\nmod x { use crate::b; }\nstruct S; impl S { #[cfg(test)] fn f() { crate::b::g() } }",
        &[],
    );
    check("use crate::b::Pool; use crate::x::Elsewhere;", &["b"]);
}

//! A Rust file of a package, and the module it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use super::facts::Facts;

/// One Rust file.
pub(crate) struct Source {
    /// From the package's folder: `src/pool/lease.rs`.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    pub(crate) facts: Facts,
    /// True if no build but that of the tests compiles this file.
    pub(crate) is_test: bool,
}

impl Source {
    #[track_caller]
    pub(crate) fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        let (path, text) = (path.into(), text.into());
        let facts = Facts::of(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let is_test = path.starts_with("tests");
        Self { path, text, facts, is_test }
    }

    pub(crate) fn at(&self, line: usize, message: &str) -> String {
        format!("{}:{line}: {message}", self.path.display())
    }

    pub(crate) fn is_front_page(&self) -> bool {
        ["mod.rs", "lib.rs", "main.rs"].iter().any(|name| self.path.ends_with(name))
    }

    /// The crate this file belongs to: `src`, `src/bin/main`, `tests/it`.
    pub(crate) fn root(&self) -> PathBuf {
        let depths = [("tests", 2), ("src/bin", 3)];
        let depth = depths.iter().find(|(folder, _)| self.path.starts_with(folder)).map_or(1, |it| it.1);
        self.path.iter().take(depth).collect::<PathBuf>().with_extension("")
    }

    /// The path of the module in its crate: `["pool", "lease"]`, and nothing for the root.
    pub(crate) fn module(&self) -> Vec<String> {
        let path = self.path.with_extension("");
        let below = path.strip_prefix(self.root()).unwrap_or(&path);
        let names = below.iter().map(|name| name.to_string_lossy().into_owned());
        names.filter(|name| !["mod", "lib", "main"].contains(&name.as_str())).collect()
    }
}

/// Every Rust file of a package.
pub(crate) fn read(package: &Path) -> Vec<Source> {
    let mut files = Vec::new();
    for folder in ["src", "tests"] {
        collect(&package.join(folder), &mut files);
    }
    files.sort();
    let read = |file: &PathBuf| {
        let text = fs::read_to_string(file).expect("a file that was just listed");
        Source::new(file.strip_prefix(package).expect("a file below the package"), text)
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut sources = thread::scope(|scope| {
        let share = files.len().div_ceil(threads).max(1);
        let shares =
            files.chunks(share).map(|files| scope.spawn(move || files.iter().map(read).collect::<Vec<_>>()));
        let shares: Vec<_> = shares.collect();
        shares.into_iter().flat_map(|share| share.join().expect("every file parses")).collect::<Vec<_>>()
    });
    mark_tests(&mut sources);
    sources
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Notes which files only the tests compile, those of a test's own modules included.
pub(crate) fn mark_tests(sources: &mut [Source]) {
    sources.sort_by_key(|source| source.module().len());
    for at in 0..sources.len() {
        let (above, rest) = sources.split_at_mut(at);
        let source = &mut rest[0];
        let declared = declarations(above, source).map(|(parent, is_test)| parent.is_test || is_test);
        source.is_test |= declared.reduce(|all, one| all && one).unwrap_or(false);
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
}

/// The files that declare this one as a module, each with whether it does so for tests only.
pub(crate) fn declarations<'a>(
    sources: &'a [Source],
    module: &Source,
) -> impl Iterator<Item = (&'a Source, bool)> {
    let (root, path) = (module.root(), module.module());
    let parents = sources.iter().filter(move |source| source.root() == root);
    parents.filter_map(move |parent| {
        let (name, above) = path.split_last()?;
        let declared = parent.facts.modules.iter().find(|it| it.name == *name)?;
        (parent.module() == above).then_some((parent, declared.is_test))
    })
}

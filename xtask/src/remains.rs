//! Servers, their folders, their sockets: all that the tests could leave behind.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use crate::command::{Failure, Result, command, output_of, root};

/// A throw-away server waits a moment for the next test run before it goes.
const PATIENCE: Duration = Duration::from_secs(30);

/// The servers and folders there are, those of other programs among them.
pub(crate) fn remains() -> Result<BTreeSet<String>> {
    let processes = output_of(&mut command("ps -eo pid=,ppid=,comm="))?;
    let mut remains: BTreeSet<String> =
        servers(&processes).into_iter().map(|pid| format!("server process {pid}")).collect();
    let temporary = [PathBuf::from("/dev/shm"), PathBuf::from("/tmp"), env::temp_dir()];
    let of_tests = temporary
        .iter()
        .flat_map(|folder| entries(folder))
        .filter(|path| name_of(path).starts_with("tenantry-"));
    let kept = entries(Path::new("/var/lib/tenantry"));
    let in_checkout = [root().join(".tenantry")].into_iter().filter(|folder| folder.exists());
    let in_packages =
        ["crates", "examples"].iter().flat_map(|folder| folders_of_kept_servers(&root().join(folder)));
    let folders = of_tests.chain(kept).chain(in_checkout).chain(in_packages);
    remains.extend(folders.map(|folder| folder.display().to_string()));
    Ok(remains)
}

/// Waits until nothing is left that was not there before.
pub(crate) fn expect_nothing_but(before: &BTreeSet<String>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left: Vec<_> = remains()?.difference(before).cloned().collect();
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Failure::new(format!("the tests left something behind:\n{}", left.join("\n"))));
        }
        thread::sleep(Duration::from_secs(1));
    }
}

/// Servers, not their workers: those whose parent is no server itself.
fn servers(processes: &str) -> Vec<&str> {
    let rows = processes.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (pid, parent, program) = (words.next()?, words.next()?, words.next()?);
        let is_server = ["postgres", "pgbouncer"].contains(&name_of(Path::new(program)).as_ref());
        is_server.then_some((pid, parent))
    });
    let parents: BTreeMap<_, _> = rows.collect();
    parents.iter().filter(|(_, parent)| !parents.contains_key(*parent)).map(|(pid, _)| *pid).collect()
}

fn folders_of_kept_servers(folder: &Path) -> Vec<PathBuf> {
    let inside = entries(folder).into_iter().filter(|path| path.is_dir() && !path.is_symlink());
    let kept = inside.flat_map(|path| match name_of(&path).as_ref() {
        ".tenantry" => vec![path],
        _ => folders_of_kept_servers(&path),
    });
    kept.collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).collect()
}

fn name_of(path: &Path) -> Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_counted_and_its_workers_are_not() {
        let processes =
            ["1 0 init", " 10  1 postgres", " 11 10 postgres", "12 1 /opt/bin/pgbouncer", "13 1 sh"];
        assert_eq!(servers(&processes.join("\n")), ["10", "12"]);
    }

    #[test]
    fn a_kept_server_is_found_at_any_depth() {
        let folder = env::temp_dir().join(format!("xtask-remains-{}", std::process::id()));
        let kept = folder.join("a/b/.tenantry");
        fs::create_dir_all(kept.join("data/.tenantry")).expect("folders");
        let found = folders_of_kept_servers(&folder);
        fs::remove_dir_all(&folder).expect("cleaned");
        assert_eq!(found, [kept]);
    }
}

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use sqlx::{Connection, PgConnection};
use tenantry_embedded::{Binaries, Error, KeptServer};

pub(crate) async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

pub(crate) async fn ask<T>(url: &str, query: &'static str) -> T
where
    T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    sqlx::query_scalar(query).fetch_one(&mut connect(url).await).await.unwrap()
}

pub(crate) async fn run(url: &str, statement: &'static str) {
    sqlx::query(statement).execute(&mut connect(url).await).await.unwrap();
}

/// Waits until something is so. Generous, since the machine may be busy with other tests.
#[track_caller]
pub(crate) fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !is_so() {
        assert!(Instant::now() < deadline, "not so after a minute: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A folder every user can enter, removed at the end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("tenantry-test-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir(&path).unwrap();
        set_mode(&path, 0o755);
        Self(fs::canonicalize(path).unwrap())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Another name for the binaries of this machine. Servers are shared by those who name their binaries alike,
/// so this gives a test a shared server of its own, whose processes can be told by the name.
pub(crate) fn alias_of_the_binaries(folder: &Folder) -> PathBuf {
    let alias = folder.0.join("bin");
    std::os::unix::fs::symlink(Binaries::find().unwrap().directory(), &alias).unwrap();
    alias
}

/// A process and its command line.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) command: String,
}

/// The processes whose command line mentions a path.
pub(crate) fn processes_with(path: &Path) -> Vec<Process> {
    let path = path.to_str().unwrap();
    let processes = from_proc().unwrap_or_else(|_| from_ps());
    processes.into_iter().filter(|process| process.command.contains(path)).collect()
}

fn from_proc() -> io::Result<Vec<Process>> {
    let entries = fs::read_dir("/proc")?.flatten();
    let processes = entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let command = fs::read(entry.path().join("cmdline")).ok()?;
        Some(Process { pid, command: String::from_utf8_lossy(&command).into_owned() })
    });
    Ok(processes.collect())
}

fn from_ps() -> Vec<Process> {
    let output = Command::new("ps").args(["-axww", "-o", "pid=,command="]).output().unwrap();
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let processes = lines.lines().filter_map(|line| {
        let (pid, command) = line.trim().split_once(' ')?;
        Some(Process { pid: pid.parse().ok()?, command: command.to_owned() })
    });
    processes.collect()
}

pub(crate) fn is_alive(pid: u32) -> bool {
    Command::new("kill").args(["-0", &pid.to_string()]).output().unwrap().status.success()
}

pub(crate) fn kill_9(pid: u32) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
}

pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    let folder = Folder::new();
    fs::metadata(&folder.0).unwrap().uid() == 0
}

/// A project with a kept server, which is stopped and removed at the end, also when the test fails.
pub(crate) struct Project(pub(crate) Folder);

impl Project {
    pub(crate) fn new() -> Self {
        Self(Folder::new())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0.0
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let path = self.path().to_owned();
        let pointer = path.join(".tenantry/data-directory");
        // A runtime cannot wait inside another one, so this one gets its own thread.
        let stopped =
            std::thread::spawn(move || tokio::runtime::Runtime::new().unwrap().block_on(stop(&path)));
        if !matches!(stopped.join(), Ok(Ok(()))) {
            eprintln!("cannot stop the server of a test");
        }
        if let Ok(data) = fs::read_to_string(pointer) {
            let _ = fs::remove_dir_all(Path::new(data.trim()).parent().unwrap());
            let _ = fs::remove_dir("/var/lib/tenantry");
        }
    }
}

async fn stop(project: &Path) -> Result<(), Error> {
    match KeptServer::find(project).await? {
        Some(server) => server.stop().await,
        None => Ok(()),
    }
}

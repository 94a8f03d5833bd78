use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;
use tenantry_embedded::ScratchDatabase;

/// A folder of its own, gone at the end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let path = env::temp_dir().join(format!("tenantry-cli-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A folder with a database, and nothing of this process's environment.
pub(crate) struct Project {
    pub(crate) folder: Folder,
    pub(crate) database: Option<ScratchDatabase>,
    pub(crate) variables: Vec<(&'static str, String)>,
}

impl Project {
    pub(crate) async fn new() -> Self {
        let mut project = Self::without_database();
        let database = ScratchDatabase::create().await.unwrap();
        project.variables.push(("DATABASE_URL", database.url().to_owned()));
        project.database = Some(database);
        project
    }

    pub(crate) fn without_database() -> Self {
        Self { folder: Folder::new(), database: None, variables: Vec::new() }
    }

    /// With a registry, and one migration of each kind.
    pub(crate) async fn ready() -> Self {
        let project = Self::new().await;
        project.write("migrations/master/0001_plan.sql", "CREATE TABLE plan (name text);");
        project.write("migrations/tenant/0001_note.sql", "CREATE TABLE note (id int, title text);");
        project.ok(&["init"]);
        project
    }

    /// Does what [`ready`](Self::ready) does, with two tenants that have different rows.
    pub(crate) async fn with_tenants() -> Self {
        let project = Self::ready().await;
        for slug in ["acme", "globex"] {
            project.ok(&["create", slug]);
            let sql = format!("INSERT INTO note VALUES (1, 'of {slug}'), (2, NULL)");
            project.ok(&["exec", "--tenant", slug, &sql]);
        }
        project
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        let file = self.folder.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenantry"));
        command.args(arguments);
        self.prepared(command)
    }

    /// A command that an interrupt ends even where the tests themselves were started in the
    /// background, in which case the shell had it ignored.
    pub(crate) fn interruptible(&self, arguments: &[&str]) -> Command {
        if !cfg!(target_os = "linux") {
            return self.command(arguments);
        }
        let mut command = Command::new("env");
        command.arg("--default-signal=INT").arg(env!("CARGO_BIN_EXE_tenantry")).args(arguments);
        self.prepared(command)
    }

    fn prepared(&self, mut command: Command) -> Command {
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            let is_ours = text.starts_with("TENANTRY_") && text != "TENANTRY_PG_BIN";
            let is_postgres = text.starts_with("PG") || text == "DATABASE_URL";
            if is_ours || is_postgres || text.contains("COLOR") {
                command.env_remove(name);
            }
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        Done::from(self.command(arguments).output().unwrap())
    }

    /// Types lines into a shell that finds the program, and stops at the first one that fails.
    pub(crate) fn type_lines(&self, lines: &str) -> Done {
        let program = Path::new(env!("CARGO_BIN_EXE_tenantry"));
        let mut path = program.parent().unwrap().as_os_str().to_owned();
        path.push(":");
        path.push(env::var_os("PATH").unwrap_or_default());
        let mut command = Command::new("sh");
        command.args(["-ec", lines]).env("PATH", path);
        Done::from(self.prepared(command).output().unwrap())
    }

    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Done {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Done::from(child.wait_with_output().unwrap())
    }

    /// The output when it succeeds.
    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        assert_eq!(done.code, 0, "{arguments:?}: {}", done.stderr);
        done.stdout
    }

    /// The output as JSON when it succeeds.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let done = self.run(&[arguments, &["--format", "json"]].concat());
        assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{arguments:?}");
        serde_json::from_str(&done.stdout).unwrap()
    }

    /// The error when it fails.
    #[track_caller]
    pub(crate) fn refused(&self, code: i32, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        assert_eq!(done.code, code, "{arguments:?}: {}{}", done.stdout, done.stderr);
        done.stderr
    }
}

/// A server of its own must not outlive the test, even one that failed.
impl Drop for Project {
    fn drop(&mut self) {
        if self.folder.path().join(".tenantry").exists() {
            let _ = self.command(&["dev", "stop"]).output();
        }
    }
}

/// The end of the program.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("no signal"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Returns true if the signal could be sent.
pub(crate) fn signal(name: &str, child: &Child) -> bool {
    let mut kill = Command::new("kill");
    kill.args([format!("-{name}"), child.id().to_string()]).status().unwrap().success()
}

/// Compares a table by its words: the widths depend on names that are random.
#[track_caller]
pub(crate) fn assert_rows(text: &str, expect: &[&str]) {
    let rows: Vec<_> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(rows, expect, "{text}");
}

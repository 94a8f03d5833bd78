use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use docs::blocks_of;
use tenantry::tenant::DomainName;

use crate::support::{Folder, World, add, world};

const PAGE: &str = "docs/other-languages.md";

async fn with_notes() -> World {
    let world = world().await;
    add(&world.acme(), "Order more anvils").await;
    add(&world.globex(), "Water the orchids").await;
    let domain = DomainName::parse("notes.acme.com").unwrap();
    world.tenancy.add_domain(&world.acme, &domain).await.unwrap();
    world
}

/// Runs a program with this input.
fn run(program: &str, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[track_caller]
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[tokio::test]
async fn psql_finds_the_schema_and_its_rows() {
    let world = with_notes().await;
    let [sql] = blocks_of(PAGE, "sql");
    let arguments = [world.database.url(), "-XAtq", "-v", "ON_ERROR_STOP=1"];
    assert_eq!(printed(&run("psql", &arguments, &sql)), "t\n1|Order more anvils\n");
}

/// Runs the page's function where psycopg 3 is installed, as `cargo xtask setup` does on Debian. Elsewhere Python
/// only compiles it, and says so.
#[tokio::test]
#[expect(clippy::print_stderr, reason = "the reader of a test run learns that less was tried")]
async fn python_finds_the_schema_and_its_rows() {
    let [python] = blocks_of(PAGE, "python");
    let Some(interpreter) = with_psycopg() else {
        eprintln!("There is no psycopg for python3 here, so the page's function is compiled and not run.");
        let folder = Folder::new();
        let file = folder.write("tenants.py", &python);
        printed(&run("python3", &["-m", "py_compile", file.to_str().unwrap()], ""));
        return;
    };
    let world = with_notes().await;
    let look =
        format!("connect({:?}, 'notes.acme.com').execute('SELECT title FROM note')", world.database.url());
    let program = format!("{python}\nprint({look}.fetchall())\n");
    assert_eq!(printed(&run(interpreter, &["-"], &program)), "[('Order more anvils',)]\n");
}

/// A Python that has psycopg 3. Debian's packages are for its own, which need not be the first in `PATH`.
fn with_psycopg() -> Option<&'static str> {
    ["python3", "/usr/bin/python3"].into_iter().find(|python| {
        let program = Command::new(python).args(["-c", "import psycopg"]).output();
        program.is_ok_and(|output| output.status.success())
    })
}

use std::process::{Command, Stdio};

use crate::bench::Project;

#[tokio::test]
async fn colour_is_for_terminals_and_for_those_who_insist() {
    let project = Project::without_database();
    let stderr = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = project.command(arguments);
        let output = command.envs(variables.iter().copied()).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let insist = ("CLICOLOR_FORCE", "1");
    assert!(!stderr(&["list"], &[]).contains('\x1b'));
    assert!(stderr(&["list"], &[insist]).contains('\x1b'));
    assert!(!stderr(&["list"], &[insist, ("NO_COLOR", "1")]).contains('\x1b'));
    assert!(!stderr(&["list", "--color", "never"], &[insist]).contains('\x1b'));
    assert!(stderr(&["list", "--color", "always"], &[("NO_COLOR", "1")]).contains('\x1b'));
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_error() {
    let project = Project::ready().await;
    let sql = "INSERT INTO tenantry.tenant (id, slug, schema_name, status)
               SELECT gen_random_uuid(), 't' || n, 's' || n, 'active' FROM generate_series(1, 3000) n";
    project.ok(&["exec", "--master", sql]);
    for command in [
        &["list"][..],
        &["list", "--format", "json"],
        &["exec", "--master", "SELECT generate_series(1, 10000000)"],
        &["completions", "bash"],
    ] {
        let mut child =
            project.command(command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{command:?}");
        assert_eq!(output.status.code(), Some(0), "{command:?}");
    }
}

/// Half of a fleet would be worse than no output.
#[tokio::test]
async fn a_command_on_all_tenants_goes_on_without_a_reader() {
    let project = Project::with_tenants().await;
    let command = ["exec", "--all", "UPDATE note SET title = 'x' RETURNING repeat('long ', 100000)"];
    let mut child = project.command(&command).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let count = ["exec", "--all", "SELECT count(*) FROM note WHERE title = 'x'"];
    assert_eq!(project.ok(&count), "tenant  count\nacme    2\nglobex  2\n");
}

#[tokio::test]
async fn completions_are_a_script_the_shell_accepts() {
    let project = Project::without_database();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        assert!(project.ok(&["completions", shell]).contains("COMPLETE"), "{shell}");
    }
    let script = project.ok(&["completions", "bash"]);
    let check = Command::new("bash").args(["-n", "-c", &script]).status().unwrap();
    assert!(check.success());
}

/// The words that bash offers for the last word of a line.
fn offered(project: &Project, line: &[&str]) -> Vec<String> {
    let mut command = project.command(&[&["--", "tenantry"], line].concat());
    command.env("COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", line.len().to_string());
    command.env("_CLAP_COMPLETE_COMP_TYPE", "9").env("_CLAP_IFS", "\n");
    let output = command.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_shell_completes_slugs_by_asking_for_them() {
    let project = Project::with_tenants().await;
    project.ok(&["create", "acme-eu"]);
    assert_eq!(offered(&project, &["show", "a"]), ["acme", "acme-eu"]);
    assert_eq!(offered(&project, &["show", ""])[..3], ["acme", "acme-eu", "globex"]);
    for line in [
        &["set", "GL"][..],
        &["domain", "add", "gl"],
        &["psql", "--tenant", "gl"],
        &["exec", "--tenant", "gl"],
        &["exec", "--all", "--exclude", "gl"],
        &["migrate", "--tenant", "gl"],
        &["dev", "url", "--tenant", "gl"],
    ] {
        assert_eq!(offered(&project, line), ["globex"], "{line:?}");
    }
    assert_eq!(offered(&project, &["show", "no slug"]), [""; 0]);
    assert_eq!(offered(&project, &["dom"]), ["domain"]);
}

#[tokio::test]
async fn a_shell_asks_the_database_that_the_line_names() {
    let mut project = Project::with_tenants().await;
    let (_, url) = project.variables.pop().unwrap();
    project.write("elsewhere/tenantry.toml", &format!("[databases.default]\nurl = \"{url}\"\n"));
    for line in [
        &["show", "--config", "elsewhere/tenantry.toml", "gl"][..],
        &["--config", "=", "elsewhere/tenantry.toml", "show", "gl"],
        &["--config=elsewhere/tenantry.toml", "exec", "--tenant", "gl"],
        &["--database-url", &url, "show", "gl"],
    ] {
        assert_eq!(offered(&project, line), ["globex"], "{line:?}");
    }
    project.variables = vec![("HOME", project.folder.path().join("elsewhere").display().to_string())];
    assert_eq!(offered(&project, &["show", "--config", "~/tenantry.toml", "gl"]), ["globex"]);
    assert_eq!(offered(&project, &["show", "--config", "none.toml", "gl"]), [""; 0]);
}

#[tokio::test]
async fn a_shell_that_completes_starts_nothing_and_says_nothing() {
    let mut project = Project::without_database();
    assert_eq!(offered(&project, &["show", "a"]), [""; 0]);
    assert!(!project.folder.path().join(".tenantry").exists());
    project.write("tenantry.toml", "pool = 3");
    assert_eq!(offered(&project, &["show", "a"]), [""; 0]);
    project.write("tenantry.toml", "");
    project.variables = vec![("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing".to_owned())];
    assert_eq!(offered(&project, &["show", "a"]), [""; 0]);
}

#[tokio::test]
async fn the_help_is_one_screen() {
    let project = Project::without_database();
    for arguments in [&["help"][..], &["--help"], &["-h"]] {
        let output = project.command(arguments).env("COLUMNS", "80").output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(help.lines().count() <= 44, "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
        let wrapped = help.lines().filter(|line| line.starts_with("      ")).count();
        assert_eq!(wrapped, 0, "a command is one line: {help}");
        for command in ["create", "migrate", "exec", "doctor", "set", "completions"] {
            assert!(help.contains(&format!("\n  {command} ")), "{help}");
        }
        for option in ["--format", "--database-url", "--config", "-v", "--color"] {
            assert!(help.contains(option), "{help}");
        }
    }
    assert!(project.ok(&["help", "list"]).contains("--where"));
    assert!(project.ok(&["help", "list"]).contains("--database-url"));
}

/// The output of a command whose output is a terminal.
fn on_a_terminal(project: &Project, arguments: &[&str]) -> String {
    const TERMINAL: &str =
        "import os, pty, sys\nsys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    let program = project.command(arguments);
    let mut command = Command::new("python3");
    command.args(["-c", TERMINAL]).arg(program.get_program()).args(program.get_args());
    command.current_dir(project.folder.path()).stdin(Stdio::null()).env("TERM", "xterm");
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let output = command.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_live_line_says_how_far_long_work_is() {
    let project = Project::ready().await;
    project.write("migrations/tenant/0002_slow.sql", "CREATE TABLE slow (); SELECT pg_sleep(0.2);");
    let fill = |count: &str, more: &[&str]| {
        on_a_terminal(&project, &[&["spare", "fill", "--count", count][..], more].concat())
    };
    let live = fill("3", &[]);
    assert!(live.contains("making spares ") && live.contains(" 2/3 "), "{live:?}");
    // It is gone in the end, and what was found out stays.
    let last = live.rsplit("\x1b[2K").next().unwrap();
    assert_eq!(last.trim(), "spares: 3 made, 0 stale ones removed", "{live:?}");
    for quiet in [&["--quiet"][..], &["--format", "json"]] {
        let told = fill("4", quiet);
        assert!(!told.contains("making spares") && !told.contains("\x1b[2K"), "{told:?}");
        project.ok(&["exec", "--master", "DELETE FROM tenantry.spare"]);
    }
    // Elsewhere, what is soon done says nothing.
    assert_eq!(project.run(&["spare", "fill", "--count", "1"]).stderr, "");
}

#[tokio::test]
async fn verbose_logs_to_stderr_only() {
    let project = Project::ready().await;
    let quiet = project.run(&["list", "--format", "json"]);
    let verbose = project.run(&["list", "--format", "json", "-vvv"]);
    assert_eq!(quiet.stdout, verbose.stdout);
    assert!(quiet.stderr.is_empty());
    assert!(!verbose.stderr.is_empty());
    assert!(!verbose.stderr.contains('\x1b'));
}

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
    let script = project.ok(&["completions", "bash"]);
    assert!(script.contains("domain"));
    let check = Command::new("bash").args(["-n", "-c", &script]).status().unwrap();
    assert!(check.success());
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

use std::{fs, process::Command};

use tenantry_embedded::KeptServer;

use crate::bench::{Folder, Project, ask, is_root, run, set_mode};

#[tokio::test]
async fn a_project_closed_to_the_servers_user_has_its_data_elsewhere() {
    if !is_root() {
        eprintln!("not applicable: only root runs the server as another user");
        return;
    }
    let project = Project::new();
    set_mode(project.path(), 0o700);
    let server = KeptServer::start(project.path()).await.unwrap();
    assert!(server.data_directory().starts_with("/var/lib/tenantry"), "{server:?}");
    let pointer = fs::read_to_string(project.path().join(".tenantry/data-directory")).unwrap();
    assert_eq!(pointer.trim(), server.data_directory().to_str().unwrap());
    let url = server.database("shop").await.unwrap();
    run(&url, "CREATE TABLE shelf AS SELECT 7 AS id").await;
    server.stop().await.unwrap();
    let server = KeptServer::start(project.path()).await.unwrap();
    assert_eq!(ask::<i32>(&server.database("shop").await.unwrap(), "SELECT id FROM shelf").await, 7);
}

#[tokio::test]
async fn a_project_open_to_the_servers_user_has_its_data_inside() {
    let project = Project::new();
    let server = KeptServer::start(project.path()).await.unwrap();
    assert_eq!(server.data_directory(), project.path().join(".tenantry/data"));
}

/// The tests that matter most, once more as a user without any rights.
#[test]
fn a_normal_user_can_do_the_same() {
    let has_setpriv = Command::new("setpriv").arg("--version").output().is_ok();
    if !is_root() || !has_setpriv {
        eprintln!("not applicable: only root can become another user, with `setpriv`");
        return;
    }
    // The program itself may be below root's home, which is closed to everybody else.
    let folder = Folder::new();
    let program = folder.0.join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    set_mode(&program, 0o755);
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program).current_dir("/");
    command.args([
        "scratch::",
        "own_server::what_was_committed_survives_a_kill",
        "owners_end::processes_share_a_server_which_ends_when_all_were_killed",
        "kept::it_starts_once_is_found_and_stops_only_when_told",
        "kept::a_crash_is_recovered",
        "kept::a_pid_file_with_the_number_of_another_program_is_recovered",
    ]);
    command.env("HOME", "/nonexistent").env_remove("TMPDIR");
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

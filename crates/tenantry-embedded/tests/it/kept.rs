use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use tenantry_embedded::{ErrorKind, KeptServer};

use crate::{
    bench::{Folder, Project, ask, eventually, is_alive, kill_9, run},
    helper::Helper,
};

#[tokio::test]
async fn it_starts_once_is_found_and_stops_only_when_told() {
    let project = Project::new();
    assert!(KeptServer::find(project.path()).await.unwrap().is_none());
    let start = std::time::Instant::now();
    let first = KeptServer::start(project.path()).await.unwrap();
    eprintln!("first start of a kept server: {} ms", start.elapsed().as_millis());
    let start = std::time::Instant::now();
    let second = KeptServer::start(project.path()).await.unwrap();
    eprintln!("finding it: {} ms", start.elapsed().as_millis());
    assert_eq!((first.pid(), first.port()), (second.pid(), second.port()));
    drop(second);
    let found = KeptServer::find(project.path()).await.unwrap().unwrap();
    assert_eq!(found.pid(), first.pid());
    assert!(first.log_file().exists());
    assert!(first.version().starts_with(|first: char| first.is_ascii_digit()));

    let sockets = first.socket_directory().to_owned();
    assert!(sockets.exists());
    first.stop().await.unwrap();
    eventually("the process is gone", || !is_alive(found.pid()));
    assert!(!sockets.exists());
    assert!(KeptServer::find(project.path()).await.unwrap().is_none());
    found.stop().await.unwrap();
}

#[tokio::test]
async fn a_restart_keeps_data_port_and_password() {
    let project = Project::new();
    let server = KeptServer::start(project.path()).await.unwrap();
    let url = server.database("shop").await.unwrap();
    run(&url, "CREATE TABLE shelf AS SELECT 7 AS id").await;
    server.stop().await.unwrap();

    let server = KeptServer::start(project.path()).await.unwrap();
    assert_eq!(server.database("shop").await.unwrap(), url);
    assert_eq!(ask::<i32>(&url, "SELECT id FROM shelf").await, 7);
    assert_eq!(ask::<String>(&url, "SHOW is_superuser").await, "off");
    assert_eq!(ask::<String>(&url, "SHOW fsync").await, "on");
    assert_eq!(ask::<String>(&server.superuser_url(), "SHOW is_superuser").await, "on");
}

#[tokio::test]
async fn a_taken_port_makes_it_choose_another_one() {
    let project = Project::new();
    let server = KeptServer::start(project.path()).await.unwrap();
    let port = server.port();
    server.stop().await.unwrap();
    let _taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let server = KeptServer::start(project.path()).await.unwrap();
    assert_ne!(server.port(), port);
}

#[tokio::test]
async fn it_survives_its_starter() {
    let project = Project::new();
    let mut starter = Helper::start("kept", project.path());
    let pid = starter.says();
    starter.end();
    let found = KeptServer::find(project.path()).await.unwrap().unwrap();
    assert_eq!(found.pid().to_string(), pid);
}

#[tokio::test]
async fn starters_at_once_give_one_server() {
    let project = Project::new();
    let mut starters: Vec<_> = (0..3).map(|_| Helper::start("kept", project.path())).collect();
    let ours =
        tokio::try_join!(KeptServer::start(project.path()), KeptServer::start(project.path())).unwrap();
    assert_eq!(ours.0.pid(), ours.1.pid());
    for starter in &mut starters {
        assert_eq!(starter.says(), ours.0.pid().to_string());
    }
}

#[tokio::test]
async fn a_crash_is_recovered() {
    let project = Project::new();
    let server = KeptServer::start(project.path()).await.unwrap();
    let url = server.database("shop").await.unwrap();
    run(&url, "CREATE TABLE shelf AS SELECT 7 AS id").await;
    let (first, pid_file) = (server.pid(), server.data_directory().join("postmaster.pid"));
    kill_9(first);
    assert!(pid_file.exists(), "a crash leaves the file behind");

    let server = KeptServer::start(project.path()).await.unwrap();
    assert_ne!(server.pid(), first);
    assert_eq!(ask::<i32>(&server.database("shop").await.unwrap(), "SELECT id FROM shelf").await, 7);
}

#[tokio::test]
async fn a_pid_file_with_the_number_of_another_program_is_recovered() {
    let project = Project::new();
    let server = KeptServer::start(project.path()).await.unwrap();
    let pid_file = server.data_directory().join("postmaster.pid");
    let content = fs::read_to_string(&pid_file).unwrap();
    let ours = std::process::id();
    let stale = content.replacen(&server.pid().to_string(), &ours.to_string(), 1);
    server.stop().await.unwrap();
    fs::write(&pid_file, stale).unwrap();

    assert!(KeptServer::find(project.path()).await.unwrap().is_none());
    if cfg!(target_os = "linux") {
        assert_ne!(KeptServer::start(project.path()).await.unwrap().pid(), ours);
    }
}

#[tokio::test]
async fn a_starter_that_was_killed_is_in_nobodys_way() {
    let start_after = async |milliseconds| {
        let project = Project::new();
        let mut starter = Helper::start("kept", project.path());
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        starter.kill_9();
        let server = KeptServer::start(project.path()).await.unwrap();
        assert_eq!(ask::<i32>(&server.database("shop").await.unwrap(), "SELECT 1").await, 1);
    };
    // Most of it is waiting for a disk.
    tokio::join!(start_after(100), start_after(400), start_after(700));
}

#[tokio::test]
async fn data_of_another_major_version_is_refused_by_name() {
    let project = Project::new();
    let server = KeptServer::start(project.path()).await.unwrap();
    let (data, version) = (server.data_directory().to_owned(), server.version().to_owned());
    server.stop().await.unwrap();
    fs::write(data.join("PG_VERSION"), "97\n").unwrap();

    let error = KeptServer::start(project.path()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OtherMajor);
    let (message, major) = (error.to_string(), version.split('.').next().unwrap());
    for part in ["97", major, data.to_str().unwrap()] {
        assert!(message.contains(part), "{message}");
    }
    assert!(error.hint().unwrap().contains("97"));
}

#[tokio::test]
async fn secrets_are_for_the_owner_only_and_git_sees_nothing() {
    let project = Project::new();
    let _server = KeptServer::start(project.path()).await.unwrap();
    let home = project.path().join(".tenantry");
    for file in ["server", "server.log", "lock"] {
        let mode = fs::metadata(home.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file}");
    }
    assert_eq!(fs::read_to_string(home.join(".gitignore")).unwrap(), "*\n");
}

#[tokio::test]
async fn a_missing_folder_and_a_lost_state_are_named() {
    let error = KeptServer::start("/nowhere/at/all".as_ref()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Folder);
    assert!(error.to_string().contains("/nowhere/at/all"), "{error}");

    let project = Project::new();
    KeptServer::start(project.path()).await.unwrap().stop().await.unwrap();
    fs::remove_file(project.path().join(".tenantry/server")).unwrap();
    let error = KeptServer::start(project.path()).await.unwrap_err();
    assert!(error.to_string().contains(".tenantry/server` is missing"), "{error}");
    assert!(error.hint().unwrap().contains("start afresh"));
}

#[tokio::test]
async fn a_password_that_does_not_fit_the_data_is_named() {
    let project = Project::new();
    let server = KeptServer::start(project.path()).await.unwrap();
    let state = project.path().join(".tenantry/server");
    let right = fs::read_to_string(&state).unwrap();
    let password = right.lines().find_map(|line| line.strip_prefix("superuser=")).unwrap();
    fs::write(&state, right.replace(password, "wrong")).unwrap();
    let error = KeptServer::start(project.path()).await.unwrap_err();
    assert!(error.to_string().contains(".tenantry/server` is not the one of the data"), "{error}");
    fs::write(&state, &right).unwrap();
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_copied_project_gets_a_server_of_its_own() {
    let project = Project::new();
    let server = KeptServer::start(project.path()).await.unwrap();
    let copy = Project(Folder::new());
    let mut cp = std::process::Command::new("cp");
    assert!(cp.arg("-a").arg(project.path().join(".tenantry")).arg(copy.path()).status().unwrap().success());
    assert!(KeptServer::find(copy.path()).await.unwrap().is_none());
    let second = KeptServer::start(copy.path()).await.unwrap();
    assert_ne!(second.pid(), server.pid());
    assert_ne!(second.data_directory(), server.data_directory());
    assert!(server.socket_directory().exists(), "{server:?}");
    let found = KeptServer::find(project.path()).await.unwrap().unwrap();
    assert_eq!(found.pid(), server.pid());
}

#[tokio::test]
async fn a_pid_file_that_is_empty_broken_or_of_nobody_blocks_no_start() {
    let project = Project::new();
    let server = KeptServer::start(project.path()).await.unwrap();
    let url = server.database("shop").await.unwrap();
    run(&url, "CREATE TABLE shelf AS SELECT 7 AS id").await;
    let (data, sockets) = (server.data_directory().to_owned(), server.socket_directory().to_owned());
    let guard = sockets.join(format!(".s.PGSQL.{}.lock", server.port()));
    server.stop().await.unwrap();
    let of_nobody = format!("{}\n{}\n1\n5432\n\n\n\nready\n", u32::MAX >> 2, data.display());
    for content in [
        b"".as_slice(),
        b"\n",
        b"47",
        b"x\ny\n",
        b"\xff\xfe\n\xff\n",
        b"1\n/elsewhere\n",
        of_nobody.as_bytes(),
    ] {
        fs::write(data.join("postmaster.pid"), content).unwrap();
        fs::create_dir_all(&sockets).unwrap();
        fs::set_permissions(&sockets, fs::Permissions::from_mode(0o700)).unwrap();
        hand_over(&data, &sockets);
        fs::write(&guard, content).unwrap();
        let server =
            KeptServer::start(project.path()).await.unwrap_or_else(|error| panic!("{content:?}: {error:?}"));
        assert_eq!(ask::<i32>(&server.database("shop").await.unwrap(), "SELECT id FROM shelf").await, 7);
        server.stop().await.unwrap();
    }
}

/// Gives a folder to the user that has the data.
fn hand_over(data: &std::path::Path, folder: &std::path::Path) {
    use std::os::unix::fs::{MetadataExt, chown};
    let owner = fs::metadata(data).unwrap();
    chown(folder, Some(owner.uid()), Some(owner.gid())).unwrap();
}

#[tokio::test]
async fn data_that_was_opened_to_others_is_closed_again() {
    let project = Project::new();
    let server = KeptServer::start(project.path()).await.unwrap();
    let data = server.data_directory().to_owned();
    server.stop().await.unwrap();
    for (mode, then) in [(0o777, 0o700), (0o755, 0o700), (0o770, 0o700), (0o500, 0o700), (0o750, 0o750)] {
        fs::set_permissions(&data, fs::Permissions::from_mode(mode)).unwrap();
        KeptServer::start(project.path()).await.unwrap().stop().await.unwrap();
        assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, then, "{mode:o}");
    }
}

#[tokio::test]
async fn a_path_that_is_no_text_is_refused_at_once() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    for name in [b"\xff\xfe".as_slice(), b"two\nlines"] {
        let project = Project::new();
        let folder = project.path().join(OsStr::from_bytes(name));
        fs::create_dir(&folder).unwrap();
        for error in
            [KeptServer::start(&folder).await.unwrap_err(), KeptServer::find(&folder).await.unwrap_err()]
        {
            assert_eq!(error.kind(), ErrorKind::Folder);
            assert!(error.to_string().contains("is not UTF-8") && error.hint().is_some(), "{error}");
        }
        assert!(!folder.join(".tenantry").exists());
    }
}

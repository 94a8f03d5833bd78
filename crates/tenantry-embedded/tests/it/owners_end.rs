use std::path::{Path, PathBuf};

use crate::{
    bench::{Folder, alias_of_the_binaries, ask, eventually, is_alive, kill_9, processes_with},
    helper::Helper,
};

/// Everything that must be gone when the owners have ended.
struct Traces {
    binaries: PathBuf,
    data: PathBuf,
}

impl Traces {
    async fn of(url: &str, binaries: PathBuf) -> Self {
        let data: String = ask(url, "SHOW data_directory").await;
        assert!(!processes_with(&binaries).is_empty());
        Self { binaries, data: PathBuf::from(data) }
    }

    #[track_caller]
    fn vanish(&self) {
        eventually("no process is left", || processes_with(&self.binaries).is_empty());
        eventually("no folder is left", || !self.data.parent().unwrap().exists());
    }
}

#[tokio::test]
async fn processes_share_a_server_which_ends_when_all_were_killed() {
    let folder = Folder::new();
    let binaries = alias_of_the_binaries(&folder);
    let mut owners: Vec<_> = (0..3).map(|_| Helper::start("scratch", &binaries)).collect();
    let urls: Vec<_> = owners.iter_mut().map(Helper::says).collect();
    let traces = Traces::of(&urls[0], binaries).await;
    for url in &urls {
        assert_eq!(ask::<String>(url, "SHOW data_directory").await, traces.data.to_str().unwrap());
    }

    owners[0].kill_9();
    owners[1].kill_9();
    // The keeper waits a second before it believes that nobody comes.
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert_eq!(ask::<i32>(&urls[2], "SELECT 1").await, 1, "the third owner still needs it");

    owners[2].kill_9();
    traces.vanish();
}

#[tokio::test]
async fn a_pooler_ends_with_its_owner() {
    let folder = Folder::new();
    let binaries = alias_of_the_binaries(&folder);
    let mut owner = Helper::start("scratch pooler", &binaries);
    let port: u16 = owner.says().parse().unwrap();
    let listens = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    assert!(listens());
    owner.kill_9();
    eventually("nobody listens", || !listens());
    eventually("no process is left", || processes_with(&binaries).is_empty());
}

#[tokio::test]
async fn a_panic_leaves_nothing() {
    let folder = Folder::new();
    let binaries = alias_of_the_binaries(&folder);
    let mut owner = Helper::start("scratch", &binaries);
    let traces = Traces::of(&owner.says(), binaries.clone()).await;
    let mut panics = Helper::start("scratch panic", &binaries);
    panics.says();
    assert_eq!(panics.process.wait().unwrap().code(), Some(101));
    owner.end();
    traces.vanish();
}

#[tokio::test]
async fn one_process_after_the_other_finds_the_same_server() {
    let folder = Folder::new();
    let binaries = alias_of_the_binaries(&folder);
    let mut data = Vec::new();
    for _ in 0..4 {
        let mut owner = Helper::start("scratch", &binaries);
        data.push(ask::<String>(&owner.says(), "SHOW data_directory").await);
        owner.end();
    }
    data.dedup();
    assert_eq!(data.len(), 1, "{data:?}");
    eventually("no process is left", || processes_with(&binaries).is_empty());
    assert!(!PathBuf::from(&data[0]).exists());
}

#[tokio::test]
async fn databases_of_killed_processes_are_dropped_by_the_next_ones() {
    let folder = Folder::new();
    let binaries = alias_of_the_binaries(&folder);
    let mut owner = Helper::start("scratch", &binaries);
    let url = owner.says();
    let mut killed = Helper::start("scratch", &binaries);
    let name = killed.says().rsplit_once('/').unwrap().1.to_owned();
    killed.kill_9();
    let mut next = Helper::start("scratch", &binaries);
    next.says();
    for attempt in 0.. {
        let names: Vec<String> =
            ask(&url, "SELECT array_agg(datname::text) FROM pg_database WHERE datname LIKE 'scratch%'").await;
        if !names.contains(&name) {
            assert_eq!(names.len(), 2);
            break;
        }
        assert!(attempt < 500, "{name} is still there");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[test]
fn being_killed_at_any_moment_of_the_start_leaves_nothing() {
    for milliseconds in [0, 10, 50, 100, 200, 400, 600] {
        let folder = Folder::new();
        let binaries = alias_of_the_binaries(&folder);
        let mut owner = Helper::start("scratch", &binaries);
        eventually("a keeper is there", || !folders_of(&binaries).is_empty());
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        let folders = folders_of(&binaries);
        owner.kill_9();
        eventually("no process is left", || processes_with(&binaries).is_empty());
        assert!(!folders.iter().any(|folder| folder.exists()), "no folder is left");
    }
}

#[tokio::test]
async fn a_killed_server_is_replaced_and_leaves_nothing() {
    let folder = Folder::new();
    let binaries = alias_of_the_binaries(&folder);
    let mut owner = Helper::start("scratch", &binaries);
    let first = Traces::of(&owner.says(), binaries.clone()).await;
    kill_9(postmaster(&first));
    eventually("its folder is gone", || !first.data.parent().unwrap().exists());

    let mut next = Helper::start("scratch", &binaries);
    let second = Traces::of(&next.says(), binaries).await;
    assert_ne!(first.data, second.data);
    owner.end();
    next.end();
    second.vanish();
}

#[tokio::test]
async fn a_server_whose_keeper_was_killed_is_cleared_away_by_the_next_process() {
    let folder = Folder::new();
    let binaries = alias_of_the_binaries(&folder);
    let mut owner = Helper::start("scratch", &binaries);
    let orphan = Traces::of(&owner.says(), binaries.clone()).await;
    let postmaster = postmaster(&orphan);
    for keeper in keepers(&binaries) {
        kill_9(keeper);
    }
    assert!(is_alive(postmaster), "nobody is there to stop it");

    let mut next = Helper::start("scratch", &binaries);
    let second = Traces::of(&next.says(), binaries).await;
    assert_ne!(orphan.data, second.data);
    eventually("the orphan is gone", || !is_alive(postmaster) && !orphan.data.parent().unwrap().exists());
    owner.end();
    next.end();
    second.vanish();
}

fn postmaster(traces: &Traces) -> u32 {
    let file = std::fs::read_to_string(traces.data.join("postmaster.pid")).unwrap();
    file.lines().next().unwrap().parse().unwrap()
}

/// The keeper and its guard, which carry our name for the binaries.
fn keepers(binaries: &Path) -> Vec<u32> {
    let processes = processes_with(binaries).into_iter();
    processes
        .filter(|process| process.command.contains("tenantry-keeper"))
        .map(|process| process.pid)
        .collect()
}

/// The folders of the servers, which the keepers carry on their command lines.
fn folders_of(binaries: &Path) -> Vec<PathBuf> {
    let commands: String = processes_with(binaries).into_iter().map(|process| process.command).collect();
    let words = commands.split(|character: char| character == '\0' || character.is_whitespace());
    words.filter(|word| word.contains("/tenantry-") && word.contains("/s-")).map(PathBuf::from).collect()
}

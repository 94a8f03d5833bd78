use std::{
    fs::{self, File, TryLockError},
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::process::Signal;

use super::keeper::{Audience, Keeper, hold, key};
use crate::{
    Binaries, Error, ErrorKind, Result,
    account::Account,
    folder,
    postmaster::{self, Postmaster},
    secret::Secret,
    sql,
};

const POLL: Duration = Duration::from_millis(10);

/// Nobody needs longer to start a server; what looks dead earlier may just be starting.
const OLD_ENOUGH_TO_SWEEP: Duration = Duration::from_mins(2);

/// Our share in the server of this test run. As long as we hold it, the server runs.
#[derive(Debug)]
pub(crate) struct Share {
    _alive: File,
    /// The major version of the server.
    pub(crate) major: u32,
    pub(crate) port: u16,
    pub(crate) superuser: Secret,
    pub(crate) owner: Secret,
}

impl Share {
    /// Finds the server of this test run, or starts it.
    ///
    /// Called on the clerk's own thread, so blocking for the second that `initdb` takes is fine.
    pub(crate) async fn take() -> Result<Self> {
        let binaries = Binaries::find()?;
        let account = Account::for_server()?;
        loop {
            let home = folder::scratch_home(&account)?;
            let link = home.join(format!("shared-{}", key(&binaries)));
            if let Some(share) = join(&link, &binaries) {
                return Ok(share);
            }
            match lock(&home)? {
                Some(_lock) => return start(&binaries, &home, &account, &link).await,
                // Somebody else is starting it.
                None => tokio::time::sleep(POLL).await,
            }
        }
    }
}

/// Locks the folder of all servers, so that two processes do not both start one.
///
/// Nothing but speed depends on the lock: the link decides which server is the shared one.
fn lock(home: &Path) -> Result<Option<File>> {
    let Ok(handle) = folder::open_folder(home) else { return Ok(None) };
    match handle.try_lock() {
        Ok(()) => Ok(is_still_at(&handle, home).then_some(handle)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(Error::at("lock", home)(error)),
    }
}

/// The last keeper may have removed the folder we have just locked.
fn is_still_at(handle: &File, path: &Path) -> bool {
    match (handle.metadata(), fs::symlink_metadata(path)) {
        (Ok(ours), Ok(theirs)) => (ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino()),
        _ => false,
    }
}

fn join(link: &Path, binaries: &Binaries) -> Option<Share> {
    let folder = fs::read_link(link).ok()?;
    let alive = hold(&folder).ok()?;
    // The keeper takes the link away before it looks for users the last time. If the link is still there
    // now, the keeper will see us.
    if fs::read_link(link).ok()? != folder {
        return None;
    }
    read_state(alive, binaries.major(), &folder.join("server"))
}

fn read_state(alive: File, major: u32, file: &Path) -> Option<Share> {
    let content = fs::read_to_string(file).ok()?;
    let mut lines = content.lines();
    let port = lines.next()?.parse().ok()?;
    let superuser = Secret::parse(lines.next()?)?;
    let owner = Secret::parse(lines.next()?)?;
    Some(Share { _alive: alive, major, port, superuser, owner })
}

async fn start(binaries: &Binaries, home: &Path, account: &Account, link: &Path) -> Result<Share> {
    if let Some(share) = join(link, binaries) {
        return Ok(share);
    }
    sweep(home, link).await;
    let mut keeper = Keeper::spawn(binaries, home, account, Audience::Everybody { link })?;
    let (port, _) = keeper.start_anywhere()?;
    let (superuser, owner) = (keeper.password().clone(), Secret::random());
    let state = format!("{port}\n{}\n{}\n", superuser.expose(), owner.expose());
    folder::write_private(&keeper.folder().join("server"), &state)?;
    // If somebody was quicker after all, ours serves this process only.
    let _ = symlink(keeper.folder(), link);
    let alive = keeper.share().ok_or_else(|| Error::new(ErrorKind::Server, "the server was given away"))?;
    Ok(Share { _alive: alive, major: binaries.major(), port, superuser, owner })
}

/// Removes servers whose keeper was killed. Everything else removes itself.
async fn sweep(home: &Path, link: &Path) {
    // The server behind the link was complete, so it is dead for sure: we have just failed to join it.
    let linked = fs::read_link(link).ok().filter(|folder| folder.parent() == Some(home));
    let _ = fs::remove_file(link);
    for folder in linked.into_iter().chain(abandoned(home)) {
        stop_orphan(&folder).await;
        let _ = fs::remove_dir_all(&folder);
    }
}

fn abandoned(home: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(home) else { return Vec::new() };
    let folders = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("s-"));
    folders.map(|entry| entry.path()).filter(|folder| is_old(folder) && hold(folder).is_err()).collect()
}

fn is_old(folder: &Path) -> bool {
    let modified = fs::symlink_metadata(folder).and_then(|metadata| metadata.modified());
    let age = modified.ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
    age.is_some_and(|age| age > OLD_ENOUGH_TO_SWEEP)
}

/// Ends a server without a keeper. The number in its file may belong to another process by now, so only a
/// server that takes its password is ended.
async fn stop_orphan(folder: &Path) {
    let Ok(state) = fs::read_to_string(folder.join("server")) else { return };
    let mut lines = state.lines();
    let port = lines.next().and_then(|port| port.parse().ok());
    let password = lines.next().and_then(Secret::parse);
    let (Some(port), Some(password)) = (port, password) else { return };
    let Some(server) = Postmaster::read(&folder.join("data")) else { return };
    if !postmaster::is_alive(server.pid) || sql::connect(port, &password).await.is_err() {
        return;
    }
    server.signal(Signal::QUIT);
    while postmaster::is_alive(server.pid) {
        tokio::time::sleep(POLL).await;
    }
}

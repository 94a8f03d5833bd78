//! Folders and files only one user can open, made so that nobody can slip something in before.
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use crate::{Error, ErrorKind, Result, account::Account};

/// Below this the throw-away servers stay away from memory: a container's `/dev/shm` often has 64 MiB.
const ENOUGH_MEMORY_BYTES: u64 = 2 << 30;

/// The longest path a socket may have: 107 bytes on Linux, 103 on macOS.
const LONGEST_SOCKET_PATH: usize = 103;

/// Makes the folder in which the throw-away servers of one user live: in memory where there is enough.
///
/// It belongs to the user the server runs as, who makes, and at the end removes, everything inside.
pub(crate) fn scratch_home(account: &Account) -> Result<PathBuf> {
    let name = format!("tenantry-{}", rustix::process::geteuid().as_raw());
    let home = scratch_base(account).join(name);
    make_private(&home, account)?;
    Ok(home)
}

fn scratch_base(account: &Account) -> PathBuf {
    let memory = Path::new("/dev/shm");
    let has_room = rustix::fs::statvfs(memory)
        .is_ok_and(|space| space.f_bavail.saturating_mul(space.f_frsize) >= ENOUGH_MEMORY_BYTES);
    if has_room && rustix::fs::access(memory, rustix::fs::Access::WRITE_OK).is_ok() {
        return memory.to_owned();
    }
    // Root's TMPDIR may be closed to the user the server runs as.
    let temporary = std::env::temp_dir();
    let usable = account.dropped_to.is_none() || account.can_enter(&temporary);
    if usable { temporary } else { PathBuf::from("/tmp") }
}

/// Makes a folder which only the server's user can open, or takes the one that is there, if it is such.
pub(crate) fn make_private(folder: &Path, account: &Account) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => hand_over(folder, account),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => verify(folder, account),
        Err(error) => Err(Error::at("create", folder)(error)),
    }
}

/// Gives a folder we have just made to the server's user. By handle, so that it cannot be another one.
fn hand_over(folder: &Path, account: &Account) -> Result<()> {
    if account.dropped_to.is_none() {
        return Ok(());
    }
    open_folder(folder)
        .and_then(|handle| fchown(handle, Some(account.uid), Some(account.gid)))
        .map_err(Error::at("hand over", folder))
}

/// Refuses a folder that somebody else made, or that others can write to.
fn verify(folder: &Path, account: &Account) -> Result<()> {
    let metadata = fs::symlink_metadata(folder).map_err(Error::at("read", folder))?;
    if metadata.is_dir() && metadata.mode() & 0o777 == 0o700 {
        if metadata.uid() == account.uid {
            return Ok(());
        }
        // Another process of ours has made it a moment ago, or died before it gave it away.
        if metadata.uid() == rustix::process::geteuid().as_raw() {
            return hand_over(folder, account);
        }
    }
    let message = format!("`{}` is not a private folder of this user", folder.display());
    Err(Error::new(ErrorKind::Folder, message).with_hint("find out who made it, and remove it"))
}

/// Opens a folder, to lock it. Unlike a lock file, a folder can go without leaving anything behind.
pub(crate) fn open_folder(folder: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::DIRECTORY;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(folder)
}

/// Writes a file only its owner can read, all at once: whoever reads it sees the old or the new one.
pub(crate) fn write_private(file: &Path, content: &str) -> Result<()> {
    let new = file.with_extension(format!("new-{}", &crate::secret::random_name()[..8]));
    create_private(&new)
        .and_then(|mut handle| handle.write_all(content.as_bytes()))
        .and_then(|()| fs::rename(&new, file))
        .map_err(Error::at("write", file))
}

/// Creates a file which was not there before, so it is no link that leads elsewhere.
pub(crate) fn create_private(file: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)
}

/// Returns true if the sockets of a server fit into a folder.
pub(crate) fn has_room_for_socket(folder: &Path) -> bool {
    folder.as_os_str().len() + "/.s.PGSQL.65535".len() <= LONGEST_SOCKET_PATH
}

/// A short number for a text which stays the same from build to build (FNV-1a).
pub(crate) fn digest(text: &[u8]) -> String {
    let hash = text.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_digest_never_changes() {
        assert_eq!(digest(b""), "cbf29ce484222325");
        assert_eq!(digest(b"a"), "af63dc4c8601ec8c");
    }

    #[test]
    fn a_folder_that_was_made_and_not_handed_over_is_taken_on() {
        let account = Account::for_server().expect("an account");
        let folder = std::env::temp_dir().join(format!("tenantry-folder-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&folder).expect("a folder");
        let taken = make_private(&folder, &account).map(|()| fs::symlink_metadata(&folder));
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("it is ours");
        let open = make_private(&folder, &account);
        fs::remove_dir(&folder).expect("it is there");
        assert_eq!(taken.expect("it is private").expect("it is there").uid(), account.uid);
        assert!(open.is_err_and(|error| error.kind() == ErrorKind::Folder));
    }

    #[test]
    fn a_socket_path_has_an_end() {
        assert!(has_room_for_socket(Path::new("/dev/shm/tenantry-1000/s-01234567")));
        assert!(!has_room_for_socket(Path::new(&"/long".repeat(18))));
    }
}

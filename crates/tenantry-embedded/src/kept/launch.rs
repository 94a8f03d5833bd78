use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
    process::{Child, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{place::Place, state::State};
use crate::{
    Binaries, Error, ErrorKind, Result,
    account::Account,
    folder,
    postmaster::{self, Postmaster},
    secret::{Secret, random_name},
    sql,
};

/// The longest that a server may take to start; after a crash it first replays its log.
const START_TIMEOUT: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(20);
const ATTEMPTS: usize = 5;
const LARGEST_LOG_BYTES: u64 = 16 << 20;

/// PostgreSQL's own, durable defaults, but for these: one interface, more connections and more locks.
const SETTINGS: &[&str] =
    &["listen_addresses=127.0.0.1", "max_connections=200", "max_locks_per_transaction=256"];

/// Starts the server of a place whose lock we hold, and waits until it lets clients in.
///
/// The server inherits the lock: when we let go of it, the server still holds it.
pub(crate) fn launch(place: &Place, binaries: &[Binaries], lock: &File) -> Result<()> {
    let account = account_for(place)?;
    let mut state = load_state(place)?;
    if !place.data.join("PG_VERSION").exists() {
        let newest =
            binaries.first().ok_or_else(|| Error::new(ErrorKind::BinariesNotFound, "no binaries given"))?;
        initialise(place, newest, &account, &state.superuser, lock)?;
    }
    let binaries = matching(binaries, &place.data)?;
    close_to_others(&place.data)?;
    forget_stale_server(&place.data)?;
    state.sockets = make_sockets(&place.data, &account)?;
    forget_stale_sockets(&state.sockets)?;
    let started = start_server(place, binaries, &account, &mut state, lock);
    let child = started.inspect_err(|_| drop(fs::remove_dir_all(&state.sockets)))?;
    // Without somebody waiting for it, the server would stay a zombie as long as this process lives.
    thread::spawn(move || { child }.wait());
    Ok(())
}

/// The user that runs the server: the owner of its data, if that is there and we are root.
fn account_for(place: &Place) -> Result<Account> {
    let account = Account::for_server()?;
    let Ok(metadata) = fs::metadata(&place.data) else { return Ok(account) };
    if account.dropped_to.is_none() || metadata.uid() == 0 {
        return Ok(account);
    }
    let owner = Account { uid: metadata.uid(), gid: metadata.gid(), ..account };
    if owner.can_enter(&place.data) {
        return Ok(owner);
    }
    let message = format!("`{}` is closed to its owner, who must run the server", place.data.display());
    Err(Error::new(ErrorKind::Folder, message).with_hint("open the folders above it (`chmod a+x`)"))
}

/// Reads the passwords, or makes them when there is no data they could belong to.
fn load_state(place: &Place) -> Result<State> {
    let file = place.state_file();
    match State::load(&file)? {
        Some(state) => Ok(state),
        None if place.data.exists() => {
            let message = format!("`{}` is missing, and with it the passwords of the data", file.display());
            let hint = format!("bring it back, or remove `{}` to start afresh", place.data.display());
            Err(Error::new(ErrorKind::Folder, message).with_hint(hint))
        }
        None => {
            let state = State::new();
            state.save(&file)?;
            Ok(state)
        }
    }
}

/// Makes the data beside its final place, so that a crash on the way leaves nothing that looks complete.
fn initialise(
    place: &Place,
    binaries: &Binaries,
    account: &Account,
    password: &Secret,
    lock: &File,
) -> Result<()> {
    let new = place.data.with_extension("new");
    remove_folder(&new)?;
    remove_folder(&place.data)?;
    folder::make_private(&new, account)?;
    let password_file = new.with_file_name("password.new");
    let _ = fs::remove_file(&password_file);
    write_for(account, &password_file, &password.verifier()).map_err(Error::at("write", &password_file))?;
    let made = run_initdb(binaries, &new, account, &password_file, lock);
    let _ = fs::remove_file(&password_file);
    made?;
    fs::rename(&new, &place.data).map_err(Error::at("create", &place.data))
}

fn run_initdb(
    binaries: &Binaries,
    data: &Path,
    account: &Account,
    password_file: &Path,
    lock: &File,
) -> Result<()> {
    let run = |ctype: &str| {
        let mut command = account.command(binaries.program("initdb"));
        command.arg("-D").arg(data).arg("--pwfile").arg(password_file).args(["-U", sql::SUPERUSER]);
        command.args(["-A", "scram-sha-256", "-E", "UTF8", "--locale=C", ctype, "--data-checksums"]);
        // It holds the lock as well: if we are killed, nobody starts afresh while it still writes.
        command.stdin(lock.try_clone()?).stdout(Stdio::piped()).stderr(Stdio::piped()).output()
    };
    let unable = |error: io::Error| Error::new(ErrorKind::Server, "cannot run `initdb`").because(error);
    // Not every system knows C.UTF-8, which sorts by code point yet knows upper and lower case.
    let mut output = run("--lc-ctype=C.UTF-8").map_err(unable)?;
    if !output.status.success() {
        output = run("--lc-ctype=C").map_err(unable)?;
    }
    if output.status.success() {
        return Ok(());
    }
    Err(postmaster::ended("`initdb` failed", &String::from_utf8_lossy(&output.stderr), output.status))
}

/// Picks the binaries of the version the data was made by.
fn matching<'a>(binaries: &'a [Binaries], data: &Path) -> Result<&'a Binaries> {
    let file = data.join("PG_VERSION");
    let major = fs::read_to_string(&file).map_err(Error::at("read", &file))?.trim().to_owned();
    if let Some(found) = binaries.iter().find(|binaries| binaries.major().to_string() == major) {
        return Ok(found);
    }
    let there: Vec<_> = binaries.iter().map(|binaries| binaries.major().to_string()).collect();
    let message = format!(
        "the data in `{}` was made by PostgreSQL {major}, but this machine has PostgreSQL {}",
        data.display(),
        there.join(", ")
    );
    let hint = format!("install PostgreSQL {major}, or remove `{}` to start afresh", data.display());
    Err(Error::new(ErrorKind::OtherMajor, message).with_hint(hint))
}

/// Takes rights away that a copy, an archive or a `chmod -R` gave, and with which PostgreSQL refuses to start.
fn close_to_others(data: &Path) -> Result<()> {
    let mode = fs::metadata(data).map_err(Error::at("read", data))?.mode();
    // Its group may read, if somebody wants that, and do no more.
    if mode & 0o027 == 0 && mode & 0o700 == 0o700 {
        return Ok(());
    }
    fs::set_permissions(data, Permissions::from_mode(0o700)).map_err(Error::at("close to others", data))
}

/// Removes the trace of a server that cannot be running, where PostgreSQL itself would not dare to.
///
/// It recovers on its own when no process has the number in the file. It gives up when another program got
/// the number (common after a restart of a container), when the folder was copied from elsewhere, and when
/// there is nothing in the file, or half of it: a disk that was full, a power cut. We hold the lock of the place, so
/// nobody of ours is writing it.
fn forget_stale_server(data: &Path) -> Result<()> {
    let runs = Postmaster::read(data).is_some_and(|server| server.data == data && server.is_postgres());
    if runs { Ok(()) } else { remove_file(&data.join("postmaster.pid")) }
}

/// Removes the socket of the last server and the file that guards it, which may be empty as well.
fn forget_stale_sockets(sockets: &Path) -> Result<()> {
    let entries = fs::read_dir(sockets).map_err(Error::at("read", sockets))?;
    for entry in entries {
        let entry = entry.map_err(Error::at("read", sockets))?;
        if entry.file_name().to_string_lossy().starts_with(".s.PGSQL.") {
            remove_file(&entry.path())?;
        }
    }
    Ok(())
}

fn remove_file(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::at("remove", file)(error)),
        _ => Ok(()),
    }
}

/// Makes a short folder for the socket, whose path may not be longer than 107 bytes.
///
/// It has the same name each time, so that a crash does not leave one folder after the other behind. If
/// somebody else was there before us, it gets a name nobody could foresee.
fn make_sockets(data: &Path, account: &Account) -> Result<PathBuf> {
    let usual = sockets_named(&folder::digest(data.as_os_str().as_encoded_bytes()));
    if folder::make_private(&usual, account).is_ok() {
        return Ok(usual);
    }
    let other = sockets_named(&random_name()[..16]);
    folder::make_private(&other, account)?;
    Ok(other)
}

fn sockets_named(name: &str) -> PathBuf {
    Path::new("/tmp").join(format!("tenantry-{name}"))
}

fn start_server(
    place: &Place,
    binaries: &Binaries,
    account: &Account,
    state: &mut State,
    lock: &File,
) -> Result<Child> {
    let mut attempt = 1;
    loop {
        if state.port == 0 || attempt > 1 || !postmaster::is_free(state.port) {
            state.port = postmaster::free_port()?;
        }
        state.save(&place.state_file())?;
        match try_start(place, binaries, account, state, lock) {
            Err(error) if attempt < ATTEMPTS && postmaster::lost_its_port(&error.to_string()) => attempt += 1,
            result => return result,
        }
    }
}

fn try_start(
    place: &Place,
    binaries: &Binaries,
    account: &Account,
    state: &State,
    lock: &File,
) -> Result<Child> {
    let log_file = place.log_file();
    let log = open_log(&log_file).map_err(Error::at("open", &log_file))?;
    let start = log.metadata().map_or(0, |metadata| metadata.len());
    let spawn = || {
        let mut command = account.command(binaries.program("postgres"));
        command
            .arg("-D")
            .arg(&place.data)
            .arg("-k")
            .arg(&state.sockets)
            .arg("-p")
            .arg(state.port.to_string());
        command.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
        command.stdin(lock.try_clone()?).stdout(log.try_clone()?).stderr(log).spawn()
    };
    let mut child =
        spawn().map_err(|error| Error::new(ErrorKind::Server, "cannot run `postgres`").because(error))?;
    match wait_until_ready(&mut child, &place.data) {
        Ok(()) => Ok(child),
        Err((why, status)) => Err(postmaster::ended(why, &postmaster::log_since(&log_file, start), status)),
    }
}

fn wait_until_ready(child: &mut Child, data: &Path) -> Result<(), (&'static str, ExitStatus)> {
    let deadline = Instant::now() + START_TIMEOUT;
    while Instant::now() < deadline {
        if Postmaster::read(data).is_some_and(|server| server.ready && server.pid == child.id()) {
            return Ok(());
        }
        match child.try_wait() {
            Ok(None) => {}
            status => return Err(("the server did not start", status.ok().flatten().unwrap_or_default())),
        }
        thread::sleep(POLL);
    }
    // Ours to end: we are its parent and have not waited for it.
    let _ = child.kill();
    Err(("the server did not start within two minutes", child.wait().unwrap_or_default()))
}

/// Opens the log for appending. A large one is put aside first, so that two of them are the most there are.
fn open_log(file: &Path) -> io::Result<File> {
    if fs::metadata(file).is_ok_and(|metadata| metadata.len() > LARGEST_LOG_BYTES) {
        fs::rename(file, file.with_extension("log.old"))?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(file)
}

fn write_for(account: &Account, file: &Path, content: &str) -> io::Result<()> {
    let mut handle = folder::create_private(file)?;
    handle.write_all(content.as_bytes())?;
    if account.dropped_to.is_some() {
        fchown(&handle, Some(account.uid), Some(account.gid))?;
    }
    Ok(())
}

fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::at("remove", folder)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_log_is_put_aside() {
        let folder = std::env::temp_dir().join(format!("tenantry-log-{}", random_name()));
        fs::create_dir(&folder).expect("a folder");
        let log = folder.join("server.log");
        File::create(&log).and_then(|file| file.set_len(LARGEST_LOG_BYTES + 1)).expect("a large log");
        open_log(&log).expect("opened");
        assert_eq!(fs::metadata(&log).expect("the new log").len(), 0);
        assert!(folder.join("server.log.old").exists());
        fs::remove_dir_all(folder).expect("cleaned");
    }
}

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{fs::OFlags, process::Signal};

use crate::{
    Binaries, Error, ErrorKind, Result,
    account::Account,
    folder::{digest, has_room_for_socket},
    postmaster::{self, Postmaster},
    secret::{Secret, random_name},
    sql,
};

/// The longest that a server may take to start; after a crash it first replays its log.
const START_TIMEOUT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(5);
const ATTEMPTS: usize = 5;
const PORT_PATIENCE: Duration = Duration::from_millis(300);

/// Nobody misses this data after a crash of the machine. 300 connections are enough for many processes of
/// tests, and the lock table for transactions over thousands of tables.
const SETTINGS: &[&str] = &[
    "listen_addresses=127.0.0.1",
    "max_connections=300",
    "max_locks_per_transaction=256",
    "fsync=off",
    "max_wal_size=256MB",
    "jit=off",
    // In its own folder, so that a killed server leaves nothing elsewhere.
    "dynamic_shared_memory_type=mmap",
];

/// For a server nobody kills on purpose and nobody replicates. Without these, what was committed survives a kill
/// of the server, as tests that kill it expect, and slots of replication can be made.
const REGARDLESS_OF_CRASHES: &[&str] =
    &["synchronous_commit=off", "full_page_writes=off", "wal_level=minimal", "max_wal_senders=0"];

/// For a server that somebody may follow: by streaming replication, or by what its log says of changes.
const FOR_FOLLOWERS: &[&str] = &["wal_level=logical"];

/// The users that a server is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Audience<'a> {
    /// All who find it under this link; it waits a moment for the next one.
    Everybody { link: &'a Path },
    /// One process.
    One,
}

/// Our end of the keeper of one throw-away server.
#[derive(Debug)]
pub(crate) struct Keeper {
    process: Child,
    commands: Option<ChildStdin>,
    replies: BufReader<ChildStdout>,
    alive: Option<File>,
    folder: PathBuf,
    password: Secret,
}

impl Keeper {
    /// Starts a keeper and lets it prepare the data. The server itself is not started yet.
    pub(crate) fn spawn(
        binaries: &Binaries,
        home: &Path,
        account: &Account,
        audience: Audience<'_>,
    ) -> Result<Self> {
        let folder = home.join(format!("s-{}", &random_name()[..8]));
        let mut process = command(binaries, home, &folder, account, audience)
            .spawn()
            .map_err(|error| Error::new(ErrorKind::Server, "cannot run `/bin/sh`").because(error))?;
        let (Some(commands), Some(replies)) = (process.stdin.take(), process.stdout.take()) else {
            unreachable!("both were asked for as pipes")
        };
        let mut keeper = Self {
            process,
            commands: Some(commands),
            replies: BufReader::new(replies),
            alive: None,
            folder,
            password: Secret::random(),
        };
        keeper.prepare()?;
        Ok(keeper)
    }

    fn prepare(&mut self) -> Result<()> {
        if self.reply()? != "made" {
            return Err(Error::new(ErrorKind::Folder, format!("cannot create `{}`", self.folder.display())));
        }
        let alive = hold(&self.folder).map_err(Error::at("open the pipe in", &self.folder))?;
        self.alive = Some(alive);
        self.tell(&format!("{}\n{}", self.password.expose(), self.password.verifier()))?;
        if self.reply()? != "prepared" {
            return Err(postmaster::failed("`initdb` failed", &self.log_tail()));
        }
        // A copy of the template comes with the password the template was made with.
        let file = self.data().join("scratch_password");
        let password = fs::read_to_string(&file).map_err(Error::at("read", &file))?;
        self.password = Secret::parse(password.trim()).unwrap_or_else(|| self.password.clone());
        Ok(())
    }

    /// Replaces the data by a copy of a running server's, which follows that server once it is started.
    pub(crate) fn copy_from(
        &mut self,
        binaries: &Binaries,
        account: &Account,
        port: u16,
        password: &Secret,
    ) -> Result<()> {
        let data = self.data();
        fs::remove_dir_all(&data).map_err(Error::at("remove", &data))?;
        let mut command = account.command(binaries.program("pg_basebackup"));
        command.env("PGPASSWORD", password.expose()).args(["-h", "127.0.0.1", "-U", sql::SUPERUSER]);
        command.arg("-p").arg(port.to_string()).arg("-D").arg(&data);
        command.args(["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"]);
        let copied = command
            .stderr(Stdio::piped())
            .output()
            .map_err(|error| Error::new(ErrorKind::Server, "cannot run `pg_basebackup`").because(error))?;
        if !copied.status.success() {
            let output = String::from_utf8_lossy(&copied.stderr);
            return Err(postmaster::ended("`pg_basebackup` failed", &output, copied.status));
        }
        self.password = password.clone();
        Ok(())
    }

    /// Starts the server on some free port.
    pub(crate) fn start_anywhere(&mut self) -> Result<(u16, Postmaster)> {
        for _ in 1..ATTEMPTS {
            let port = postmaster::free_port()?;
            match self.start(port) {
                Ok(server) => return Ok((port, server)),
                Err(_) if postmaster::lost_its_port(&self.log_tail()) => {}
                Err(error) => return Err(error),
            }
        }
        let port = postmaster::free_port()?;
        self.start(port).map(|server| (port, server))
    }

    /// Starts the server and waits until it lets clients in.
    pub(crate) fn start(&mut self, port: u16) -> Result<Postmaster> {
        let ended = self.folder.join("ended");
        let _ = fs::remove_file(&ended);
        self.tell(&port.to_string())?;
        let reply = self.reply()?;
        let pid = reply.strip_prefix("started ").and_then(|pid| pid.parse::<u32>().ok());
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            match Postmaster::read(&self.data()) {
                Some(server) if server.ready && Some(server.pid) == pid => return Ok(server),
                _ if ended.exists() => {
                    return Err(postmaster::failed("the server did not start", &self.log_tail()));
                }
                _ => thread::sleep(POLL),
            }
        }
        Err(postmaster::failed("the server did not start within a minute", &self.log_tail()))
    }

    /// Starts the server where it was before. Another program's connection may occupy the port for a moment.
    pub(crate) fn start_again(&mut self, port: u16) -> Result<Postmaster> {
        for _ in 1..ATTEMPTS {
            match self.start(port) {
                Err(error) if postmaster::lost_its_port(&error.to_string()) => thread::sleep(PORT_PATIENCE),
                result => return result,
            }
        }
        self.start(port)
    }

    /// Kills the server as a crash would, and waits until all its processes are gone. Its data stays.
    pub(crate) fn kill(&mut self, server: &Postmaster) {
        server.signal(Signal::KILL);
        let deadline = Instant::now() + START_TIMEOUT;
        while !self.folder.join("ended").exists() && Instant::now() < deadline {
            thread::sleep(POLL);
        }
    }

    /// Leaves the server to the keeper; it lives as long as somebody holds the pipe, as the caller now does.
    pub(crate) fn share(mut self) -> Option<File> {
        self.alive.take()
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn password(&self) -> &Secret {
        &self.password
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(crate) fn log_tail(&self) -> String {
        postmaster::log_tail(&self.folder.join("log"))
    }

    fn tell(&mut self, line: &str) -> Result<()> {
        let written = self.commands.as_mut().map(|commands| writeln!(commands, "{line}"));
        written.transpose().map(drop).map_err(|error| self.lost().because(error))
    }

    fn reply(&mut self) -> Result<String> {
        let mut line = String::new();
        match self.replies.read_line(&mut line) {
            Ok(0) => Err(self.lost()),
            Ok(_) => Ok(line.trim_end().to_owned()),
            Err(error) => Err(self.lost().because(error)),
        }
    }

    fn lost(&self) -> Error {
        Error::new(ErrorKind::Server, format!("the keeper of `{}` ended unexpectedly", self.folder.display()))
    }
}

impl Drop for Keeper {
    /// Lets go of a server which is ours alone, and waits until it is gone; a shared one is not waited for.
    fn drop(&mut self) {
        self.commands = None;
        if self.alive.take().is_some() {
            let _ = self.process.wait();
        }
    }
}

fn command(
    binaries: &Binaries,
    home: &Path,
    folder: &Path,
    account: &Account,
    audience: Audience<'_>,
) -> std::process::Command {
    let (link, linger_seconds, more_settings) = match audience {
        Audience::Everybody { link } => (link, "1", REGARDLESS_OF_CRASHES),
        Audience::One => (Path::new(""), "0", FOR_FOLLOWERS),
    };
    // Without room for a socket there is none: everybody comes over the loopback interface anyway.
    let sockets = if has_room_for_socket(folder) { folder } else { Path::new("") };
    let mut command = account.command("/bin/sh");
    // By way of the environment, so that a list of processes shows one line instead of the whole script.
    command.env("TENANTRY_KEEPER", include_str!("keeper.sh"));
    command.args(["-c", r#"eval "$TENANTRY_KEEPER""#, "tenantry-keeper"]);
    command.arg(folder).arg(link).arg(linger_seconds);
    command.arg(home.join(format!("template-{}", key(binaries)))).arg(binaries.directory());
    command
        .args(SETTINGS.iter().chain(more_settings).flat_map(|setting| ["-c", setting]))
        .arg("-k")
        .arg(sockets);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// The properties that servers must have in common to be shared or copied.
pub(crate) fn key(binaries: &Binaries) -> String {
    let parts = [binaries.directory().as_os_str().as_encoded_bytes(), binaries.version().as_bytes()];
    digest(&[parts[0], b"\n", parts[1], b"\n", env!("CARGO_PKG_VERSION").as_bytes()].concat())
}

/// Becomes a user of the server in a folder. Fails when nobody keeps it (any more).
pub(crate) fn hold(folder: &Path) -> io::Result<File> {
    // Without NONBLOCK this would wait for a keeper which may never come.
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let mut options = fs::OpenOptions::new();
    let mut pipe = options.write(true).custom_flags(flags.bits().cast_signed()).open(folder.join("alive"))?;
    if !pipe.metadata()?.file_type().is_fifo() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    pipe.write_all(b"\n")?;
    Ok(pipe)
}

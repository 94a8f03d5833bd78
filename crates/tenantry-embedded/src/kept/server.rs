use std::{
    fmt, fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::{launch::launch, place::Place, state::State};
use crate::{
    Binaries, Error, ErrorKind, Result,
    account::Account,
    postmaster::Postmaster,
    scratch::blocking,
    sql::{self, Name},
};

/// The longest wait for a server that somebody else is starting, or that does not let go of its lock.
const FIND_TIMEOUT: Duration = Duration::from_secs(150);
/// The longest that a server may take to write everything down before it is told to drop it.
const STOP_TIMEOUT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(20);

/// The PostgreSQL of a project: its data is in `.tenantry/` of the project's folder.
///
/// It is started by whoever comes first, found by everybody else, and stopped by [`stop`](Self::stop) alone:
/// neither dropping this value nor the end of the process does. For a program run by root in a folder which
/// an unprivileged user cannot enter, the data is below `/var/lib/tenantry`, and `.tenantry/data-directory`
/// says where.
///
/// # Example: the database of a project
///
/// ```no_run
/// # async fn run() -> Result<(), tenantry_embedded::Error> {
/// use tenantry_embedded::KeptServer;
///
/// let server = KeptServer::start(".".as_ref()).await?;
/// let url = server.database("shop").await?;
/// assert!(url.ends_with("/shop"));
/// # Ok(())
/// # }
/// ```
pub struct KeptServer {
    place: Place,
    state: State,
    version: String,
    pid: u32,
}

impl KeptServer {
    /// Finds the running server of a folder, or starts it. Any number of processes may do so at once.
    ///
    /// Data made by an older version is run by that version, if it is still installed.
    ///
    /// # Errors
    /// [`ErrorKind::BinariesNotFound`] with the command that installs PostgreSQL as hint;
    /// [`ErrorKind::OtherMajor`] when the data needs a version that is not there; [`ErrorKind::Folder`] when
    /// the folder is closed or belongs to another user; [`ErrorKind::Server`] with the end of the log when
    /// the server does not come up.
    pub async fn start(directory: &Path) -> Result<Self> {
        match Self::find(directory).await? {
            Some(server) => Ok(server),
            None => Self::find_or_launch(blocking(Binaries::require_all).await?, directory).await,
        }
    }

    /// Does what [`start`](Self::start) does, with these binaries instead of those on the machine.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub async fn start_with(binaries: &Binaries, directory: &Path) -> Result<Self> {
        match Self::find(directory).await? {
            Some(server) => Ok(server),
            None => Self::find_or_launch(vec![binaries.clone()], directory).await,
        }
    }

    /// Finds the running server of a folder. One that is still starting or stopping does not count.
    ///
    /// # Errors
    /// [`ErrorKind::Folder`] when the folder does not exist, is closed, or belongs to another user.
    pub async fn find(directory: &Path) -> Result<Option<Self>> {
        match Place::find(directory)? {
            Some(place) if place.is_locked()? => Self::connect(&place).await,
            _ => Ok(None),
        }
    }

    /// Stops the server: clients are sent away, everything is written down. The data stays.
    ///
    /// # Errors
    /// [`ErrorKind::Server`] when the server is still there after a minute.
    pub async fn stop(self) -> Result<()> {
        blocking(move || self.stop_and_wait()).await
    }

    /// Gives the URL of a database, which is made when it is missing, with a role of the same name that owns it.
    ///
    /// The role is not a superuser. What the database holds stays as it is.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`] for a name PostgreSQL would not take or keeps to itself, and
    /// [`ErrorKind::Database`] when the server does not answer.
    pub async fn database(&self, name: &str) -> Result<String> {
        let name = Name::parse(name)?;
        sql::ensure_database(self.state.port, &self.state.superuser, &name, &self.state.owner).await?;
        Ok(sql::url(self.state.port, name.as_str(), &self.state.owner, name.as_str()))
    }

    /// The URL of the superuser, at the database `postgres`. Applications use [`database`](Self::database).
    pub fn superuser_url(&self) -> String {
        sql::url(self.state.port, sql::SUPERUSER, &self.state.superuser, sql::SUPERUSER)
    }

    /// The port on 127.0.0.1. A restart keeps it when it is free.
    pub fn port(&self) -> u16 {
        self.state.port
    }

    /// The number of the server's first process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The version of the server, such as `17.2`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The folder of the data.
    pub fn data_directory(&self) -> &Path {
        &self.place.data
    }

    /// The server's log.
    pub fn log_file(&self) -> PathBuf {
        self.place.log_file()
    }

    /// The short folder of the server's socket, for `psql -h`.
    pub fn socket_directory(&self) -> &Path {
        &self.state.sockets
    }

    async fn find_or_launch(binaries: Vec<Binaries>, directory: &Path) -> Result<Self> {
        let directory = directory.to_owned();
        let place = blocking(move || Place::make(&directory, &Account::for_server()?)).await?;
        let deadline = Instant::now() + FIND_TIMEOUT;
        while Instant::now() < deadline {
            if let Some(lock) = place.try_lock()? {
                let (place, binaries) = (place.clone(), binaries.clone());
                blocking(move || launch(&place, &binaries, &lock)).await?;
            }
            match Self::connect(&place).await? {
                Some(server) => return Ok(server),
                None => tokio::time::sleep(POLL).await,
            }
        }
        let message = format!("something holds `{}`, but no server answers", place.data.display());
        let hint = format!("see `{}`", place.log_file().display());
        Err(Error::new(ErrorKind::Server, message).with_hint(hint))
    }

    /// Asks the server that should be there who it is; `None` when it is not there, not ready, or another one.
    async fn connect(place: &Place) -> Result<Option<Self>> {
        let Some(state) = State::load(&place.state_file())? else { return Ok(None) };
        let Some(Postmaster { pid, ready: true, .. }) = Postmaster::read(&place.data) else {
            return Ok(None);
        };
        let mut server = match sql::connect(state.port, &state.superuser).await {
            Ok(server) => server,
            Err(error) if sql::is_wrong_password(&error) => return Err(wrong_password(place, error)),
            // It is stopping, or another program has taken the port of a server that crashed.
            Err(_) => return Ok(None),
        };
        let (version, data) = sql::identify(&mut server).await?;
        let is_ours = fs::canonicalize(data).is_ok_and(|data| data == place.data);
        Ok(is_ours.then(|| Self { place: place.clone(), state, version, pid }))
    }

    fn stop_and_wait(&self) -> Result<()> {
        // INT sends the clients away; QUIT does not even write a checkpoint, which the next start makes up for.
        for signal in [Signal::INT, Signal::QUIT] {
            if let Some(server) = Postmaster::read(&self.place.data).filter(|server| server.pid == self.pid) {
                server.signal(signal);
            }
            if self.wait_until_unlocked()? {
                let _ = fs::remove_dir_all(&self.state.sockets);
                return Ok(());
            }
        }
        let message =
            format!("the server in `{}` (process {}) does not stop", self.place.data.display(), self.pid);
        Err(Error::new(ErrorKind::Server, message).with_hint(format!("see `{}`", self.log_file().display())))
    }

    fn wait_until_unlocked(&self) -> Result<bool> {
        let deadline = Instant::now() + STOP_TIMEOUT;
        while self.place.is_locked()? {
            if Instant::now() > deadline {
                return Ok(false);
            }
            thread::sleep(POLL);
        }
        Ok(true)
    }
}

fn wrong_password(place: &Place, error: Error) -> Error {
    let (state, data) = (place.state_file(), place.data.display());
    let message = format!("the password in `{}` is not the one of the data in `{data}`", state.display());
    Error::new(ErrorKind::Folder, message)
        .with_hint("bring back the file that belongs to the data")
        .because(error)
}

impl fmt::Debug for KeptServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptServer")
            .field("data_directory", &self.place.data)
            .field("port", &self.state.port)
            .field("pid", &self.pid)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

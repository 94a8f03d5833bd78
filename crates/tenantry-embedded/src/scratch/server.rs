use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    ScratchDatabase,
    keeper::{Audience, Keeper},
};
use crate::{
    Binaries, Error, ErrorKind, Result,
    account::Account,
    folder,
    postmaster::Postmaster,
    secret::Secret,
    sql::{self, Name},
};

/// A throw-away server of one's own, for tests that kill or restart it.
///
/// Dropping it stops the server and removes its data. If the process is killed, the server still goes.
pub struct ScratchServer {
    keeper: Arc<Mutex<Keeper>>,
    postmaster: Postmaster,
    port: u16,
    url: String,
    superuser: Secret,
    owner: Secret,
}

impl ScratchServer {
    /// Starts a server: a second for the first one of a test run, a fraction of it for the next ones.
    ///
    /// Its log is for followers of both kinds (`wal_level = logical`).
    ///
    /// # Errors
    /// As for [`ScratchDatabase::create`].
    pub async fn start() -> Result<Self> {
        blocking(|| Self::start_of(&Binaries::find()?, Secret::random(), |_, _| Ok(()))).await
    }

    /// Does what [`start`](Self::start) does, with these binaries instead of those on the machine.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub async fn start_with(binaries: &Binaries) -> Result<Self> {
        let binaries = binaries.clone();
        blocking(move || Self::start_of(&binaries, Secret::random(), |_, _| Ok(()))).await
    }

    /// Starts a server whose data somebody may replace first.
    fn start_of(
        binaries: &Binaries,
        owner: Secret,
        prepare: impl FnOnce(&mut Keeper, &Account) -> Result<()>,
    ) -> Result<Self> {
        let account = Account::for_server()?;
        let home = folder::scratch_home(&account)?;
        let mut keeper = Keeper::spawn(binaries, &home, &account, Audience::One)?;
        prepare(&mut keeper, &account)?;
        let (port, postmaster) = keeper.start_anywhere()?;
        let superuser = keeper.password().clone();
        let url = sql::url(port, sql::SUPERUSER, &superuser, sql::SUPERUSER);
        let keeper = Arc::new(Mutex::new(keeper));
        Ok(Self { keeper, postmaster, port, url, superuser, owner })
    }

    /// Starts a standby that follows this server by streaming replication.
    ///
    /// It has the same databases, roles and passwords; [`url_of`](Self::url_of) leads to them. Drop it before this
    /// server, or after it: neither waits for the other.
    ///
    /// # Errors
    /// Those of [`start`](Self::start); [`ErrorKind::Server`] with what `pg_basebackup` wrote if no copy could be made.
    pub async fn standby(&self) -> Result<Self> {
        let (port, superuser, owner) = (self.port, self.superuser.clone(), self.owner.clone());
        blocking(move || {
            let binaries = Binaries::find()?;
            Self::start_of(&binaries, owner, |keeper, account| {
                keeper.copy_from(&binaries, account, port, &superuser)
            })
        })
        .await
    }

    /// The URL of a database of another server, on this one, which is a standby of it.
    pub fn url_of(&self, database: &ScratchDatabase) -> String {
        let (_, behind) = database.url().rsplit_once('@').unwrap_or_default();
        let (place, _) = behind.split_once('/').unwrap_or_default();
        database.url().replacen(place, &format!("127.0.0.1:{}", self.port), 1)
    }

    /// Creates a database with this name, owned by a role of the same name that is not a superuser.
    ///
    /// A database which exists already is given as it is.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`] for a name PostgreSQL would not take or keeps to itself, and
    /// [`ErrorKind::Database`] when the server does not answer, for example because it was killed.
    pub async fn database(&self, name: &str) -> Result<ScratchDatabase> {
        let name = Name::parse(name)?;
        sql::ensure_database(self.port, &self.superuser, &name, &self.owner).await?;
        Ok(ScratchDatabase::on(self.port, &self.superuser, &self.owner, name, None))
    }

    /// Kills the server with SIGKILL, as a crash of the machine would. Its data stays.
    pub async fn kill(&mut self) {
        let (keeper, postmaster) = (Arc::clone(&self.keeper), self.postmaster.clone());
        // Nothing in there can fail; a panic of the thread would show in the next start.
        let _ = blocking(move || {
            keeper.lock().unwrap_or_else(PoisonError::into_inner).kill(&postmaster);
            Ok(())
        })
        .await;
    }

    /// Starts the server again after [`kill`](Self::kill): the same port, the same data, the same passwords.
    ///
    /// # Errors
    /// [`ErrorKind::Server`] when it does not come up, for example because its port was taken meanwhile.
    pub async fn start_again(&mut self) -> Result<()> {
        let (keeper, port) = (Arc::clone(&self.keeper), self.port);
        let start = move || keeper.lock().unwrap_or_else(PoisonError::into_inner).start_again(port);
        self.postmaster = blocking(start).await?;
        Ok(())
    }

    /// The URL of the superuser, at the database `postgres`. Applications use [`database`](Self::database).
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Debug for ScratchServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScratchServer").field("port", &self.port).finish_non_exhaustive()
    }
}

/// Runs what waits for processes on a thread where waiting is allowed.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        Error::new(ErrorKind::Server, "the thread that waits for the server ended").because(error)
    })?
}

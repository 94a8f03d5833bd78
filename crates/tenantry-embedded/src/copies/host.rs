use std::{
    collections::HashMap,
    env,
    str::FromStr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sqlx::{
    ConnectOptions, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};
use tokio::sync::Semaphore;

use super::{ahead::Ahead, name::Scope};
use crate::{
    Error, ErrorKind, Result,
    scratch::Share,
    secret::{Secret, hash, random_name},
    sql::{self, Name},
};

/// The variable that names a server of the user's.
const URL: &str = "TENANTRY_TEST_URL";

/// Databases are copied by this many connections at a time at most.
const MOST_CONNECTIONS: usize = 4;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// The role that owns all databases that are made.
const OWNER: &str = "tenantry_test";

/// The server on which templates and copies are made.
pub(super) struct Host {
    /// Held as long as the server is needed, if it is ours.
    _share: Option<Share>,
    administrator: PgConnectOptions,
    owner: PgConnectOptions,
    pub(super) owner_name: Name,
    pub(super) major: u32,
    pub(super) scope: Scope,
    /// Random, and locked at the server as long as this process lives.
    pub(super) process: String,
    /// The first one of them holds the lock of the process.
    idle: Mutex<Vec<PgConnection>>,
    permits: Semaphore,
    /// The notes of the templates that are known to be there.
    notes: Mutex<HashMap<String, Arc<str>>>,
    /// Held by whoever makes a template in this process.
    pub(super) making: tokio::sync::Mutex<()>,
    copies: AtomicU64,
    pub(super) ahead: Ahead,
}

/// The server of this process, once somebody needed it.
static HOST: tokio::sync::Mutex<Option<Arc<Host>>> = tokio::sync::Mutex::const_new(None);

impl Host {
    /// The server of this process, which is found or started at the first call.
    pub(super) async fn get() -> Result<Arc<Self>> {
        let mut host = HOST.lock().await;
        if let Some(host) = &*host {
            return Ok(Arc::clone(host));
        }
        Ok(Arc::clone(host.insert(Arc::new(Self::open().await?))))
    }

    /// Has the next call look for a server again: this one is gone.
    pub(super) async fn forget(self: &Arc<Self>) {
        let mut host = HOST.lock().await;
        if host.as_ref().is_some_and(|known| Arc::ptr_eq(known, self)) {
            *host = None;
        }
    }

    async fn open() -> Result<Self> {
        match env::var(URL) {
            Ok(url) if !url.is_empty() => Self::at(&url).await,
            _ => Self::of_test_run().await,
        }
    }

    /// The server that all processes of this test run share.
    async fn of_test_run() -> Result<Self> {
        let share = Share::take().await?;
        let administrator = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(share.port)
            .username(sql::SUPERUSER)
            .password(share.superuser.expose())
            .database(sql::SUPERUSER)
            .ssl_mode(PgSslMode::Disable);
        let owner = Owner { name: Name::parse(OWNER)?, password: share.owner.clone() };
        let connection = connect(&administrator).await?;
        Self::with(Some(share), administrator, connection, Some(owner)).await
    }

    async fn at(url: &str) -> Result<Self> {
        let administrator = PgConnectOptions::from_str(url).map_err(|error| {
            Error::new(ErrorKind::Database, format!("{URL} is no URL of a database")).because(error)
        })?;
        let mut connection = connect(&administrator).await?;
        let login = sql::identify_login(&mut connection).await?;
        if !login.is_superuser && !login.makes_databases {
            let message = format!("role `{}` of {URL} may not create databases", login.role);
            let hint = format!("run `ALTER ROLE {} CREATEDB` as a superuser", login.role);
            return Err(Error::new(ErrorKind::Database, message).with_hint(hint));
        }
        // A superuser passes every check of privileges, so tests get a role that is none.
        let owner = login.is_superuser.then(|| Owner::beside(url)).transpose()?;
        Self::with(None, administrator, connection, owner).await
    }

    async fn with(
        share: Option<Share>,
        administrator: PgConnectOptions,
        mut connection: PgConnection,
        owner: Option<Owner>,
    ) -> Result<Self> {
        let login = sql::identify_login(&mut connection).await?;
        let mut options = administrator.clone();
        let mut owner_name = Name::of_the_server(&login.role);
        if let Some(owner) = owner {
            sql::ensure_role(&mut connection, &owner.name, &owner.password).await?;
            options = options.username(owner.name.as_str()).password(owner.password.expose());
            owner_name = owner.name;
        }
        let scope = Scope::of(&login.database, owner_name.as_str());
        let process = random_name()[..8].to_owned();
        sql::try_lock(&mut connection, &scope.lock_of_process(&process)).await?;
        Ok(Self {
            _share: share,
            administrator,
            owner: options,
            owner_name,
            major: login.major(),
            scope,
            process,
            idle: Mutex::new(vec![connection]),
            permits: Semaphore::new(MOST_CONNECTIONS),
            notes: Mutex::default(),
            making: tokio::sync::Mutex::new(()),
            copies: AtomicU64::new(0),
            ahead: Ahead::default(),
        })
    }

    /// Works on a connection of the administrator's. It is kept, whatever the server answers: what it refuses is
    /// refused as a whole.
    pub(super) async fn with_connection<T>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T>,
    ) -> Result<T> {
        let _permit = self.permits.acquire().await;
        let idle = self.lock_idle().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let result = work(&mut connection).await;
        self.lock_idle().push(connection);
        result
    }

    /// Opens a connection of the administrator's that is nobody else's.
    pub(super) async fn connect(&self) -> Result<PgConnection> {
        connect(&self.administrator).await
    }

    fn lock_idle(&self) -> MutexGuard<'_, Vec<PgConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The URL of a database, for its owner.
    pub(super) fn url(&self, database: &Name) -> String {
        self.owner.clone().database(database.as_str()).to_url_lossy().to_string()
    }

    pub(super) fn next_copy(&self) -> Result<Name> {
        self.scope.copy(&self.process, self.copies.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn note(&self, key: &str) -> Option<Arc<str>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub(super) fn set_note(&self, key: &str, note: Option<&str>) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        match note {
            Some(note) => notes.insert(key.to_owned(), note.into()),
            None => notes.remove(key),
        };
    }
}

/// A role that owns databases and is no superuser.
struct Owner {
    name: Name,
    password: Secret,
}

impl Owner {
    /// Beside a superuser's URL. Every process comes to the same password, and another URL to another role.
    fn beside(url: &str) -> Result<Self> {
        let name = Name::parse(&format!("{OWNER}_{}", &hash(url)[..8]))?;
        let password = Secret::derived_from(&format!("owner of test databases\n{url}"));
        Ok(Self { name, password })
    }
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection> {
    let action = || "log in to the server of the tests".to_owned();
    match tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await {
        Ok(connected) => connected.map_err(Error::sql(action())),
        Err(_) => Err(Error::new(ErrorKind::Database, format!("cannot {}: no answer", action()))),
    }
}

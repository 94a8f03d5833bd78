use std::{fmt, sync::Arc};

use super::{draft, draft::Draft, host::Host, leftovers, office};
use crate::{
    Error, ErrorKind, Result,
    sql::{self, Name},
};

/// A database of one's own that is a copy of a template, which is made once for all processes.
///
/// The server is that of the variable `TENANTRY_TEST_URL`, where this is set, and else the throw-away server that all
/// processes of a test run share. A role that is no superuser owns the database.
///
/// ```no_run
/// # async fn test() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// use sqlx::Connection as _;
/// use tenantry_embedded::CopiedDatabase;
///
/// let database = CopiedDatabase::create("one table, version 1", async |url| {
///     let mut connection = sqlx::PgConnection::connect(url).await?;
///     sqlx::raw_sql("CREATE TABLE item (id bigint)").execute(&mut connection).await?;
///     connection.close().await?;
///     Ok::<_, Box<dyn std::error::Error + Send + Sync>>("said to all who get a copy".to_owned())
/// })
/// .await?;
/// assert_eq!(database.note(), "said to all who get a copy");
/// database.remove().await;
/// # Ok(())
/// # }
/// ```
pub struct CopiedDatabase {
    host: Arc<Host>,
    name: Name,
    url: String,
    note: Arc<str>,
    /// Set once somebody has seen to that it is dropped.
    is_removed: bool,
}

impl CopiedDatabase {
    /// Copies the template of this key.
    ///
    /// Where there is none, `make` fills an empty database, given by the URL of its owner, and answers with a note that
    /// is kept with the template. Its connections have to be closed when it returns. Others who need the same
    /// template wait meanwhile. Killed half-way, it leaves a database that the next one makes again.
    ///
    /// From the second time on, up to two copies are made ahead, while those who asked before run their tests. What a
    /// process leaves, because it was killed or because nobody asked for it any more, the next one removes. A template
    /// that nobody used for a day is removed by whoever makes one.
    ///
    /// # Errors
    /// What `make` fails with. [`ErrorKind::Database`] if the server of `TENANTRY_TEST_URL` does not let us in or its
    /// role may not create databases; those of [`ScratchDatabase::create`](crate::ScratchDatabase::create).
    pub async fn create<E: From<Error>>(
        key: &str,
        make: impl AsyncFnOnce(&str) -> Result<String, E>,
    ) -> Result<Self, E> {
        let host = office::run(Host::get()).await?;
        match try_copy(&host, key).await {
            Ok(Some(copy)) => return Ok(copy),
            Ok(None) => {}
            // A test may have killed the server.
            Err(error) if error.kind() == ErrorKind::Database => host.forget().await,
            Err(error) => return Err(error.into()),
        }
        let host = office::run(Host::get()).await?;
        let turn = host.making.lock().await;
        if let Some(copy) = try_copy(&host, key).await? {
            return Ok(copy);
        }
        if let Some(draft) = office::run(Draft::begin(Arc::clone(&host), key.to_owned())).await? {
            let note = make(&draft.url()).await?;
            office::run(draft.finish(note)).await?;
        }
        drop(turn);
        let copy = try_copy(&host, key).await?;
        let gone =
            || Error::new(ErrorKind::Database, "the database of these migrations was removed just now");
        Ok(copy.ok_or_else(gone)?)
    }

    /// The URL of the role that owns this database and is no superuser.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The name of the database.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The note of the maker of the template.
    pub fn note(&self) -> &str {
        &self.note
    }

    /// Drops the database, whoever is connected, and waits for that. Dropping the value drops it in the background,
    /// unless the process ends before: then the next one does.
    pub async fn remove(mut self) {
        self.is_removed = true;
        let (host, name) = (Arc::clone(&self.host), self.name.clone());
        // What cannot be dropped now is left to the next process.
        let _ = office::run(async move { drop_copy(&host, &name).await }).await;
    }
}

impl Drop for CopiedDatabase {
    fn drop(&mut self) {
        if self.is_removed {
            return;
        }
        let (host, name) = (Arc::clone(&self.host), self.name.clone());
        office::start(async move {
            let _ = drop_copy(&host, &name).await;
        });
    }
}

impl fmt::Debug for CopiedDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopiedDatabase").field("name", &self.name.as_str()).finish_non_exhaustive()
    }
}

async fn drop_copy(host: &Host, name: &Name) -> Result<()> {
    host.with_connection(async |connection| sql::drop_only_database(connection, name).await).await
}

/// Copies a template, if it is there.
async fn try_copy(host: &Arc<Host>, key: &str) -> Result<Option<CopiedDatabase>> {
    let (host, key) = (Arc::clone(host), key.to_owned());
    office::run(async move { copy(host, key).await }).await
}

async fn copy(host: Arc<Host>, key: String) -> Result<Option<CopiedDatabase>> {
    let is_first = host.note(&key).is_none();
    let copied = match take_ahead(&host, &key).await? {
        Some(name) => Some(name),
        None => make_copy(&host, &key).await?,
    };
    let Some(name) = copied else {
        host.set_note(&key, None);
        return Ok(None);
    };
    if is_first {
        office::start(leftovers::remove_copies(Arc::clone(&host)));
    } else if host.ahead.begin(&key) {
        // Whoever asks twice asks again; a process of a single test never does.
        office::start(copy_ahead(Arc::clone(&host), key.clone()));
    }
    let (url, note) = (host.url(&name), host.note(&key).unwrap_or_default());
    Ok(Some(CopiedDatabase { host, name, url, note, is_removed: false }))
}

/// A copy that was made ahead. It may be gone with its server.
async fn take_ahead(host: &Arc<Host>, key: &str) -> Result<Option<Name>> {
    let Some(name) = host.ahead.take(key) else { return Ok(None) };
    let is_there = host.with_connection(async |connection| sql::database_exists(connection, &name).await);
    Ok(is_there.await?.then_some(name))
}

async fn make_copy(host: &Arc<Host>, key: &str) -> Result<Option<Name>> {
    let copied = host.with_connection(async |connection| {
        if host.note(key).is_none() {
            let Some(note) = draft::find(host, connection, key).await? else { return Ok(None) };
            host.set_note(key, Some(&note));
        }
        let (name, template) = (host.next_copy()?, host.scope.template(key)?);
        let is_there = sql::copy_database(connection, &name, &host.owner_name, &template, host.major).await?;
        Ok(is_there.then_some(name))
    });
    copied.await
}

/// Makes the copy of whoever comes next, while this one runs its test.
async fn copy_ahead(host: Arc<Host>, key: String) {
    // Who comes next makes one, and hears what is wrong.
    let made = make_copy(&host, &key).await.ok().flatten();
    host.ahead.end(&key, made);
}

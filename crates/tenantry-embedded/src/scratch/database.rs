use std::fmt;

use super::clerk;
use crate::{
    Result,
    secret::Secret,
    sql::{self, Name},
};

/// A fresh, empty database on the throw-away server which all processes of this test run share.
///
/// The database is dropped with this value, and the server ends a second after the last process that used
/// it, be it by return, panic or `kill -9`. So keep the value as long as the database is needed:
///
/// ```no_run
/// # async fn test() -> Result<(), tenantry_embedded::Error> {
/// let database = tenantry_embedded::ScratchDatabase::create().await?;
/// assert!(database.url().starts_with("postgres://"));
/// # Ok(())
/// # }
/// ```
pub struct ScratchDatabase {
    name: Name,
    url: String,
    superuser_url: String,
    server: Server,
}

/// Whose server a database is on: the shared one is tidied up, one's own goes as a whole.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Server {
    Shared,
    Own,
}

impl ScratchDatabase {
    /// Creates a database. The first call of a test run also starts the server, which takes about a second.
    ///
    /// # Errors
    /// [`ErrorKind::BinariesNotFound`](crate::ErrorKind::BinariesNotFound) with the command that installs
    /// PostgreSQL as hint; [`Folder`](crate::ErrorKind::Folder), [`Server`](crate::ErrorKind::Server) or
    /// [`Database`](crate::ErrorKind::Database) when the server does not come up, with the end of its log.
    pub async fn create() -> Result<Self> {
        clerk::create().await
    }

    /// The URL for an application: a role that owns this database and is not a superuser.
    ///
    /// A superuser would pass every check of permissions, so tests that use one prove less than they seem to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The URL of this database for the server's superuser.
    pub fn superuser_url(&self) -> &str {
        &self.superuser_url
    }

    /// The name of the database, which is also the name of the role that owns it.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    pub(crate) fn shared(port: u16, superuser: &Secret, owner: &Secret, name: Name) -> Self {
        Self::on(Server::Shared, port, superuser, owner, name)
    }

    pub(crate) fn own(port: u16, superuser: &Secret, owner: &Secret, name: Name) -> Self {
        Self::on(Server::Own, port, superuser, owner, name)
    }

    fn on(server: Server, port: u16, superuser: &Secret, owner: &Secret, name: Name) -> Self {
        let url = sql::url(port, name.as_str(), owner, name.as_str());
        let superuser_url = sql::url(port, sql::SUPERUSER, superuser, name.as_str());
        Self { name, url, superuser_url, server }
    }
}

impl Drop for ScratchDatabase {
    fn drop(&mut self) {
        if self.server == Server::Shared {
            clerk::discard(self.name.clone());
        }
    }
}

impl fmt::Debug for ScratchDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScratchDatabase").field("name", &self.name.as_str()).finish_non_exhaustive()
    }
}

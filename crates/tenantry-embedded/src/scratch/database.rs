use std::fmt;

use crate::{
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
    /// Says that nobody needs the database any more. A server of one's own goes as a whole.
    discard: Option<fn(Name)>,
}

impl ScratchDatabase {
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

    /// A database on a server of one's own, or one that is dropped by `discard`.
    pub(crate) fn on(
        port: u16,
        superuser: &Secret,
        owner: &Secret,
        name: Name,
        discard: Option<fn(Name)>,
    ) -> Self {
        let url = sql::url(port, name.as_str(), owner, name.as_str());
        let superuser_url = sql::url(port, sql::SUPERUSER, superuser, name.as_str());
        Self { name, url, superuser_url, discard }
    }
}

impl Drop for ScratchDatabase {
    fn drop(&mut self) {
        if let Some(discard) = self.discard {
            discard(self.name.clone());
        }
    }
}

impl fmt::Debug for ScratchDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScratchDatabase").field("name", &self.name.as_str()).finish_non_exhaustive()
    }
}

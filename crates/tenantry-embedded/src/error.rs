use std::{fmt, io, path::Path};

/// The reason why there is no server or no database.
///
/// `Display` tells what went wrong and names the thing, [`Error::hint`] what to do about it, and
/// [`source`](std::error::Error::source) the cause below.
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no usable PostgreSQL on this machine, or not where `TENANTRY_PG_BIN` says.
    BinariesNotFound,
    /// The binaries could not be downloaded, or are not what was asked for.
    Download,
    /// A file or folder could not be made, read or trusted.
    Folder,
    /// The data belongs to another major version than the binaries.
    OtherMajor,
    /// The server did not come up, or did not stop.
    Server,
    /// The server is up, but a statement or a connection failed.
    Database,
    /// The name of a database is empty, too long or reserved.
    InvalidName,
}

impl Error {
    /// Tells what kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Tells what to do about it, as one line without a full stop.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, source: None }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Makes the closure that turns an [`io::Error`] at a path into an [`Error`]: `.map_err(Error::at("write", path))`.
    pub(crate) fn at(action: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| {
            let message = format!("cannot {action} `{}`", path.display());
            let hint = match error.kind() {
                io::ErrorKind::StorageFull => Some("the disk is full: free some space and try again"),
                io::ErrorKind::PermissionDenied => {
                    Some("give this user access, or remove it if another user left it")
                }
                io::ErrorKind::ReadOnlyFilesystem => Some("use a folder on a writable file system"),
                _ => None,
            };
            Self {
                kind: ErrorKind::Folder,
                message,
                hint: hint.map(str::to_owned),
                source: Some(error.into()),
            }
        }
    }

    pub(crate) fn sql(action: impl fmt::Display) -> impl FnOnce(sqlx::Error) -> Self {
        move |error| Self::new(ErrorKind::Database, format!("cannot {action}")).because(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

// `unwrap()` in a test prints this one, so it reads like a report.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)?;
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

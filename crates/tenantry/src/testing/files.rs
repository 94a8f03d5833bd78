//! The migrations that a test names.

use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::migrate::Migrations;

/// A folder that an application's own migrations are looked for in.
const DEFAULT: &str = "migrations";
const MASTER: &str = "master";
const TENANT: &str = "tenant";

/// The place that migrations come from.
#[derive(Clone, Debug, Default)]
pub(super) enum FileSource {
    /// The folder `migrations`, where it exists.
    #[default]
    Default,
    /// A folder with those of `master` and `tenant` in it, or with files.
    In(PathBuf),
    Of {
        master: Option<PathBuf>,
        tenant: Option<PathBuf>,
    },
    Given(Migrations),
}

/// The folders that a source comes down to.
#[derive(Debug, PartialEq, Eq)]
struct Folders {
    master: Option<PathBuf>,
    tenant: Option<PathBuf>,
}

impl FileSource {
    /// Reads the migrations. Paths are those of a folder.
    pub(super) fn read(&self, folder: &Path, has_tenants: bool) -> Result<Migrations> {
        let folders = match self {
            Self::Given(migrations) => return Ok(migrations.clone()),
            Self::Default if !folder.join(DEFAULT).is_dir() => return Ok(Migrations::none()),
            Self::Default => folders_in(&folder.join(DEFAULT), has_tenants)?,
            Self::In(name) => folders_in(&folder.join(name), has_tenants)?,
            Self::Of { master, tenant } => {
                let absolute = |path: &Option<PathBuf>| path.as_ref().map(|path| folder.join(path));
                Folders { master: absolute(master), tenant: absolute(tenant) }
            }
        };
        folders.read()
    }
}

impl Folders {
    fn read(&self) -> Result<Migrations> {
        let none = EmptyFolder::make()?;
        let master = self.master.as_deref().unwrap_or(&none.0);
        let tenant = self.tenant.as_deref().unwrap_or(&none.0);
        Ok(Migrations::from_dirs(master, tenant)?)
    }
}

/// A folder is that of `master` and `tenant`, or a flat one of an application without tenants.
fn folders_in(folder: &Path, has_tenants: bool) -> Result<Folders> {
    let existing = |name| Some(folder.join(name)).filter(|path| path.is_dir());
    let (master, tenant) = (existing(MASTER), existing(TENANT));
    if master.is_some() || tenant.is_some() {
        return Ok(Folders { master, tenant });
    }
    if !folder.is_dir() {
        let message = format!("there is no folder of migrations `{}`", folder.display());
        return Err(Error::new(ErrorKind::Configuration, message));
    }
    if has_tenants {
        let message = format!("the folder `{}` has no folder `{TENANT}`", folder.display());
        let hint = "say whose files these are: `migrations(tenant = \"…\")` or `migrations(master = \"…\")`";
        return Err(Error::new(ErrorKind::Configuration, message).with_hint(hint));
    }
    Ok(Folders { master: Some(folder.to_owned()), tenant: None })
}

/// A folder without migrations, gone with its owner.
struct EmptyFolder(PathBuf);

impl EmptyFolder {
    fn make() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("tenantry-none-{}", uuid::Uuid::new_v4().simple()));
        let failed = |error| {
            let message = format!("cannot make the folder `{}`", path.display());
            Error::new(ErrorKind::Configuration, message).with_source(error)
        };
        std::fs::create_dir(&path).map_err(failed)?;
        Ok(Self(path))
    }
}

impl Drop for EmptyFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

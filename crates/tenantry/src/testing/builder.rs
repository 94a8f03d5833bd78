use std::fmt;
use std::path::PathBuf;

use super::files::FileSource;
use crate::Builder;
use crate::migrate::Migrations;

/// Something that is done to the builder of the [`Tenancy`](crate::Tenancy).
pub(super) type Configure = Box<dyn FnOnce(Builder) -> Builder + Send>;

/// Collects what a [`World`](super::World) is made of. Nothing has to be given.
#[must_use = "a world is made by `create()` or `testing::run`"]
pub struct WorldBuilder {
    pub(super) folder: PathBuf,
    pub(super) source: FileSource,
    pub(super) tenants: Vec<String>,
    pub(super) domain: String,
    pub(super) configure: Option<Configure>,
    pub(super) is_behind_pooler: bool,
}

impl Default for WorldBuilder {
    fn default() -> Self {
        Self {
            folder: PathBuf::new(),
            source: FileSource::default(),
            tenants: Vec::new(),
            domain: "example.com".to_owned(),
            configure: None,
            is_behind_pooler: false,
        }
    }
}

impl WorldBuilder {
    /// The folder that paths are those of. Default: the working directory, which is that of the package in its tests.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = folder.into();
        self
    }

    /// The folder of the migrations: one with the folders `master` and `tenant`, or a flat one, for an application
    /// without tenants. Default: `migrations`, where it exists.
    pub fn migrations_in(mut self, folder: impl Into<PathBuf>) -> Self {
        self.source = FileSource::In(folder.into());
        self
    }

    /// The folders of the master's and of the tenants' migrations. There are none where none is given.
    pub fn migrations_of(mut self, master: Option<&str>, tenant: Option<&str>) -> Self {
        self.source = FileSource::Of { master: master.map(PathBuf::from), tenant: tenant.map(PathBuf::from) };
        self
    }

    /// The migrations, read by somebody else. Their files make the template of the tests, and not what their code does.
    pub fn migrations(mut self, migrations: Migrations) -> Self {
        self.source = FileSource::Given(migrations);
        self
    }

    /// The slugs of the tenants that are there from the beginning. Default: none.
    pub fn tenants<S: Into<String>>(mut self, slugs: impl IntoIterator<Item = S>) -> Self {
        self.tenants = slugs.into_iter().map(Into::into).collect();
        self
    }

    /// The domain whose subdomains are the tenants, as [`Subdomain`](crate::resolve::Subdomain) says. Default:
    /// `example.com`.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = domain.into();
        self
    }

    /// Does the rest that the application does to a builder: another resolver, preprocessors, another master schema.
    /// The database is given afterwards.
    pub fn configure(mut self, configure: impl FnOnce(Builder) -> Builder + Send + 'static) -> Self {
        self.configure = Some(Box::new(configure));
        self
    }

    /// Puts a PgBouncer in transaction mode in front of the database, which has to be on this machine.
    pub fn behind_pooler(mut self) -> Self {
        self.is_behind_pooler = true;
        self
    }
}

impl fmt::Debug for WorldBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorldBuilder").field("tenants", &self.tenants).finish_non_exhaustive()
    }
}

//! The configuration: `tenantry.toml`, with the variables of the environment laid over it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::config::{DatabaseConfig, PoolConfig, PoolMode};
use super::engine::Engine;
use super::environment::{Variables, variable_name};
use super::layers::{self, Origins};
use super::layout::Layout;
use super::period::Period;
use super::replicas::ReplicaConfig;
use super::sections::{DatabaseSection, PlacementSection, Sections, TypeSection};
use crate::error::{Error, ErrorKind, Result};
use crate::placement::Placement;
use crate::tenant::{Alias, ReservedSlugs, SchemaName, TypeName};

/// The name of the file.
const FILE: &str = "tenantry.toml";

/// The content of `tenantry.toml`, with the variables of the environment laid over it.
///
/// The file is looked for in a directory and the ones above it. Every key has a variable, which overrides it:
/// `TENANTRY_` and the path of the key in capitals, joined by `_`, as in `TENANTRY_POOL_MAX_CONNECTIONS`. In a
/// variable, a list is separated by commas. An empty variable is like one that is not set.
///
/// `DATABASE_URL` is the URL of the default database where `TENANTRY_DATABASES_DEFAULT_URL` is not set. The other
/// databases have variables, such as `TENANTRY_DATABASES_EU_OWNER_URL`, where the file has their section; it may be
/// empty, `[databases.eu]`. So the file tells where an alias ends, and a misspelt one is not a new database. A
/// variable that two databases could mean (`owner_url` of `eu`, `url` of `eu_owner`) is refused.
///
/// A key that does not exist is an error, and so is a variable that begins with `TENANTRY_` and is neither that of a
/// key nor another part's own, such as `TENANTRY_PG_BIN`. What Kubernetes sets for a service called `tenantry` is
/// left alone. No error repeats a value, which may be a password.
///
/// ```toml
/// master_schema = "public"
/// extension_schemas = ["extensions"]
/// preprocessors = ["search_path"]          # in the order in which they run
/// installation = "saas"                    # set: a role per tenant, `saas_<schema>`
/// reserved_slugs = ["www", "api"]          # instead of the default list
///
/// [databases.default]
/// url = "postgres://app@localhost/saas"
/// owner_url = "postgres://owner@localhost/saas"
/// direct_url = "postgres://app@localhost:5432/saas"   # past a pooler, if there is one
/// engine = "auto"                          # or "postgres", "citus": refuses the other
/// route_to_workers = false                 # on Citus: statements go to the worker of their tenant
/// replica_url = ["postgres://app@replica/saas"]        # read by `tenancy.replica(…)`; one, or a list
///
/// [migrations]
/// master = "migrations/master"             # relative to this file
/// tenant = "migrations/tenant"
///
/// [types.pro]                              # a type of tenants, which have further migrations
/// migrations = "migrations/pro"            # the default
/// spares = 5                               # schemas of the type to keep ready; default: none
///
/// [pool]
/// mode = "session"                         # or "transaction", behind such a pooler
/// max_connections = 10
/// min_connections = 0
/// acquire_timeout_ms = 5000
/// move_wait_ms = 2000                      # of checkouts, while their tenant is moved
/// verify = "switch"                        # or "always"
///
/// [replicas]
/// max_lag_ms = 10000                       # a replica further behind is not read
/// look_every_ms = 1000                     # the time between two looks at each server
/// max_wait_ms = 500                        # the longest wait for one's own writes
/// without = "primary"                      # or "refuse": reads do not go to the primary instead
///
/// [lifecycle]
/// keep_deleted = "30d"                     # the time for which a deleted tenant can come back
///
/// [placement]
/// policy = "default"                       # or "fewest-tenants", "smallest", "round-robin"
///
/// [placement.by.region]                    # first by the setting `region`
/// eu = ["eu_1", "eu_2"]
/// "*" = ["default"]                        # any other region, or none
///
/// [databases.eu_1]
/// url = "postgres://app@eu-1/saas"
/// closed = true                            # no new tenants
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    file: Option<PathBuf>,
    directory: PathBuf,
    sections: Sections,
    origins: Origins,
    ignores_baseline: bool,
}

impl Config {
    /// Reads the nearest file from a directory upwards, and the environment of this process.
    /// Without a file the environment alone counts.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] naming the variable, or the file with the line, and what is wrong with it.
    pub fn find(directory: &Path) -> Result<Self> {
        match Self::locate(directory) {
            Some(file) => Self::load(&file),
            None => Self::parse("", None, directory, &Variables::of_process()),
        }
    }

    /// The nearest file from a directory upwards, unread.
    pub fn locate(directory: &Path) -> Option<PathBuf> {
        directory.ancestors().map(|above| above.join(FILE)).find(|file| file.is_file())
    }

    /// Reads this file, and the environment of this process.
    ///
    /// # Errors
    /// Like [`find`](Self::find).
    pub fn load(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).map_err(|error| {
            Error::new(ErrorKind::Configuration, format!("`{}` cannot be read", file.display()))
                .with_source(error)
        })?;
        let directory = file.parent().unwrap_or(Path::new(""));
        Self::parse(&text, Some(file), directory, &Variables::of_process())
    }

    fn parse(text: &str, file: Option<&Path>, directory: &Path, variables: &Variables) -> Result<Self> {
        // First alone: a mistake in the file is one even where a variable covers it.
        layers::read::<Sections>(text, file, &Variables::default())?;
        let (mut sections, origins) = layers::read::<Sections>(text, file, variables)?;
        // The default database is asked for even where nothing names it.
        sections.databases.retain(|alias, section| alias.as_str() != Alias::DEFAULT || !section.is_empty());
        Ok(Self {
            file: file.map(Path::to_owned),
            directory: directory.to_owned(),
            sections,
            origins,
            ignores_baseline: false,
        })
    }

    /// The file that was read, if there was one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The directory of the file, or the one where the search began.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns true if a URL for the default database is given.
    pub fn has_default_database(&self) -> bool {
        self.sections.databases.get(&Alias::default()).is_some_and(|database| database.url.is_some())
    }

    /// Sets the URL of the default database, as a flag of the command line does.
    pub fn set_default_url(&mut self, url: String) {
        let alias = Alias::default();
        self.origins.remove(&url_key(&alias));
        self.sections.databases.entry(alias).or_default().url = Some(url);
    }

    /// The URL of a database as it was given, its password included.
    pub fn url(&self, alias: &Alias) -> Option<&str> {
        self.sections.databases.get(alias)?.url.as_deref()
    }

    /// The URL that passes no pooler, where one is set, its password included.
    pub fn direct_url(&self, alias: &Alias) -> Option<&str> {
        self.sections.databases.get(alias)?.direct_url.as_deref()
    }

    /// Lets every connection pass the pooler by, if each database has a `direct_url`: for programs such as
    /// the command line, which need sessions, and only a few.
    pub fn go_around_poolers(&mut self) {
        let is_behind = self.sections.pool.mode == Some(PoolMode::Transaction);
        let databases = &mut self.sections.databases;
        if !is_behind || databases.values().any(|database| database.direct_url.is_none()) {
            return;
        }
        self.sections.pool.mode = Some(PoolMode::Session);
        for (alias, database) in databases {
            database.url = database.direct_url.take();
            let origin = self.origins.remove(&format!("databases.{alias}.direct_url"));
            self.origins.extend(origin.map(|origin| (url_key(alias), origin)));
        }
    }

    /// The URL with which schemas are made and migrated, its password included.
    pub fn owner_url(&self, alias: &Alias) -> Option<&str> {
        let database = self.sections.databases.get(alias)?;
        [&database.owner_url, &database.direct_url, &database.url].into_iter().find_map(Option::as_deref)
    }

    /// Leaves a `baseline.sql` unread, because it is about to be written again.
    pub fn ignore_baseline(&mut self) {
        self.ignores_baseline = true;
    }

    pub(crate) fn ignores_baseline(&self) -> bool {
        self.ignores_baseline
    }

    /// Every database with its pool.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] naming the database whose URL is missing, or the variable or line with a
    /// malformed one.
    pub fn databases(&self) -> Result<BTreeMap<Alias, DatabaseConfig>> {
        let build =
            |(alias, section)| Ok((Alias::clone(alias), self.database(alias, section)?.pool(self.pool())));
        self.sections.databases.iter().map(build).collect()
    }

    fn database(&self, alias: &Alias, section: &DatabaseSection) -> Result<DatabaseConfig> {
        let named = |error, key| self.named(&error, &format!("databases.{alias}.{key}"));
        let Some(url) = &section.url else { return Err(missing_url(alias)) };
        let mut config = DatabaseConfig::from_url(url).map_err(|error| named(error, "url"))?;
        if let Some(url) = &section.owner_url {
            config = config.owner_url(url).map_err(|error| named(error, "owner_url"))?;
        }
        if let Some(url) = &section.direct_url {
            config = config.direct_url(url).map_err(|error| named(error, "direct_url"))?;
        }
        for url in section.replica_url.iter().flat_map(|urls| &urls.0) {
            config = config.replica_url(url).map_err(|error| named(error, "replica_url"))?;
        }
        let config = config.engine(section.engine.unwrap_or_default());
        let config = config.route_to_workers(section.route_to_workers.unwrap_or(false));
        Ok(config.replicas(self.replicas()).closed(section.closed.unwrap_or(false)))
    }

    /// The error with the variable or line that its cause was taken from.
    fn named(&self, error: &Error, key: &str) -> Error {
        let origin = self.origins.get(key).cloned().unwrap_or_else(|| format!("`{key}`"));
        let named = Error::new(ErrorKind::Configuration, format!("{origin}: {error}"));
        match error.hint() {
            Some(hint) => named.with_hint(hint),
            None => named,
        }
    }

    fn pool(&self) -> PoolConfig {
        let (given, default) = (&self.sections.pool, PoolConfig::default());
        PoolConfig {
            mode: given.mode.unwrap_or(default.mode),
            max_connections: given.max_connections.unwrap_or(default.max_connections),
            min_connections: given.min_connections.unwrap_or(default.min_connections),
            acquire_timeout: given.acquire_timeout_ms.map_or(default.acquire_timeout, Duration::from_millis),
            move_wait: given.move_wait_ms.map_or(default.move_wait, Duration::from_millis),
            verify: given.verify.unwrap_or(default.verify),
            statement_cache_capacity: given
                .statement_cache_capacity
                .map_or(default.statement_cache_capacity, |capacity| capacity as usize),
            comment: given.comment.unwrap_or(default.comment),
            ..default
        }
    }

    fn replicas(&self) -> ReplicaConfig {
        let (given, default) = (&self.sections.replicas, ReplicaConfig::default());
        ReplicaConfig {
            max_lag: given.max_lag_ms.map_or(default.max_lag, Duration::from_millis),
            look_every: given.look_every_ms.map_or(default.look_every, Duration::from_millis),
            max_wait: given.max_wait_ms.map_or(default.max_wait, Duration::from_millis),
            without: given.without.unwrap_or(default.without),
        }
    }

    /// The directory of the master schema's migrations, or of the tenants'.
    pub fn migration_directories(&self) -> (PathBuf, PathBuf) {
        let given = &self.sections.migrations;
        let place = |given: &Option<PathBuf>, default: &str| {
            self.directory.join(given.as_deref().unwrap_or(Path::new(default)))
        };
        (place(&given.master, "migrations/master"), place(&given.tenant, "migrations/tenant"))
    }

    /// The directory of the further migrations of each type.
    pub fn type_directories(&self) -> BTreeMap<TypeName, PathBuf> {
        let place = |name: &TypeName, given: &Option<PathBuf>| match given {
            Some(path) => self.directory.join(path),
            None => self.directory.join("migrations").join(name.as_str()),
        };
        let types = self.sections.types.iter();
        types.map(|(name, section)| (name.clone(), place(name, &section.migrations))).collect()
    }

    /// The number of spares to keep of each type, where it is given; for
    /// [`KeepSpares::of_types`](crate::KeepSpares::of_types).
    pub fn type_spares(&self) -> BTreeMap<TypeName, u32> {
        let spares = |(name, section): (&TypeName, &TypeSection)| Some((name.clone(), section.spares?));
        self.sections.types.iter().filter_map(spares).collect()
    }

    pub(crate) fn names_migrations(&self) -> bool {
        self.sections.migrations.master.is_some() || self.sections.migrations.tenant.is_some()
    }

    pub(crate) fn master_schema(&self) -> Option<&SchemaName> {
        self.sections.master_schema.as_ref()
    }

    /// The schemas with extensions, where they are named.
    pub fn extension_schemas(&self) -> Option<&[SchemaName]> {
        self.sections.extension_schemas.as_deref()
    }

    /// The schemas with extensions, or those that are the default.
    pub fn extension_schemas_or_default(&self) -> Vec<SchemaName> {
        self.extension_schemas().map_or_else(|| Layout::default().extension_schemas, <[SchemaName]>::to_vec)
    }

    /// Returns true if a database is named as one of Citus.
    pub fn names_citus(&self) -> bool {
        self.sections.databases.values().any(|section| section.engine == Some(Engine::Citus))
    }

    pub(crate) fn preprocessors(&self) -> Option<&[String]> {
        self.sections.preprocessors.as_deref()
    }

    pub(crate) fn installation(&self) -> Option<&str> {
        self.sections.installation.as_deref()
    }

    pub(crate) fn keep_deleted(&self) -> Option<Period> {
        self.sections.lifecycle.keep_deleted
    }

    /// The way in which new tenants find their database, where the file has one.
    pub(crate) fn placement(&self) -> Option<Placement> {
        let PlacementSection { policy, by } = &self.sections.placement;
        let is_given = policy.is_some() || !by.is_empty();
        is_given.then(|| Placement::new(policy.unwrap_or_default(), by.clone().into()))
    }

    pub(crate) fn reserved_slugs(&self) -> Option<&ReservedSlugs> {
        self.sections.reserved_slugs.as_ref()
    }
}

fn url_key(alias: &Alias) -> String {
    format!("databases.{alias}.url")
}

fn missing_url(alias: &Alias) -> Error {
    let key = url_key(alias);
    let variable = variable_name(&key);
    Error::new(ErrorKind::Configuration, format!("`{key}` is missing"))
        .with_hint(format!("write it into tenantry.toml, or set `{variable}`"))
}

#[cfg(test)]
mod tests;

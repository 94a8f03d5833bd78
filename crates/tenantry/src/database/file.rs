//! The file `tenantry.toml`, and the environment laid over it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::{Table, Value};

use super::config::{DatabaseConfig, PoolConfig, PoolMode, Verify};
use crate::error::{Error, ErrorKind, Result};
use crate::tenant::{Alias, ReservedSlugs, SchemaName};

/// The name of the file.
const FILE: &str = "tenantry.toml";

/// What `tenantry.toml` and the environment say.
///
/// The file is looked for in the working directory and the ones above it. Every key can be
/// overridden by a variable: `TENANTRY_` and the path of the key in capitals, joined by `_`. Lists
/// are separated by commas. `DATABASE_URL` is the URL of the default database where
/// `TENANTRY_DATABASES_DEFAULT_URL` is not set.
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
///
/// [migrations]
/// master = "migrations/master"             # relative to this file
/// tenant = "migrations/tenant"
///
/// [pool]
/// mode = "session"                         # or "transaction", behind such a pooler
/// max_connections = 10
/// min_connections = 0
/// acquire_timeout_ms = 5000
/// verify = "switch"                        # or "always"
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    file: Option<PathBuf>,
    directory: PathBuf,
    content: Content,
    ignores_baseline: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Content {
    master_schema: Option<SchemaName>,
    extension_schemas: Option<Vec<SchemaName>>,
    preprocessors: Option<Vec<String>>,
    installation: Option<String>,
    reserved_slugs: Option<ReservedSlugs>,
    databases: BTreeMap<Alias, Database>,
    migrations: Directories,
    pool: Pool,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Database {
    url: Option<String>,
    owner_url: Option<String>,
    direct_url: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Directories {
    master: Option<PathBuf>,
    tenant: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Pool {
    mode: Option<ModeName>,
    max_connections: Option<u32>,
    min_connections: Option<u32>,
    acquire_timeout_ms: Option<u64>,
    verify: Option<VerifyName>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ModeName {
    Session,
    Transaction,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum VerifyName {
    Switch,
    Always,
}

/// A key that a variable can override, and how its text is read.
struct Key {
    path: &'static [&'static str],
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Number,
    List,
}

const KEYS: &[Key] = &[
    Key { path: &["master_schema"], kind: Kind::Text },
    Key { path: &["extension_schemas"], kind: Kind::List },
    Key { path: &["preprocessors"], kind: Kind::List },
    Key { path: &["installation"], kind: Kind::Text },
    Key { path: &["reserved_slugs"], kind: Kind::List },
    Key { path: &["migrations", "master"], kind: Kind::Text },
    Key { path: &["migrations", "tenant"], kind: Kind::Text },
    Key { path: &["pool", "mode"], kind: Kind::Text },
    Key { path: &["pool", "max_connections"], kind: Kind::Number },
    Key { path: &["pool", "min_connections"], kind: Kind::Number },
    Key { path: &["pool", "acquire_timeout_ms"], kind: Kind::Number },
    Key { path: &["pool", "verify"], kind: Kind::Text },
];

impl Config {
    /// Reads the nearest file from a directory upwards, and the environment of this process.
    /// Without a file the environment alone counts.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] naming the file or variable and what is wrong with it.
    pub fn find(directory: &Path) -> Result<Self> {
        let found = directory.ancestors().map(|above| above.join(FILE)).find(|file| file.is_file());
        match found {
            Some(file) => Self::load(&file),
            None => Self::parse("", None, directory, environment),
        }
    }

    /// Reads this file, and the environment of this process.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn load(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).map_err(|error| {
            Error::new(ErrorKind::Configuration, format!("`{}` cannot be read", file.display()))
                .with_source(error)
        })?;
        let directory = file.parent().unwrap_or(Path::new(""));
        Self::parse(&text, Some(file), directory, environment)
    }

    fn parse(
        text: &str,
        file: Option<&Path>,
        directory: &Path,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        let place = file.map_or_else(|| "the environment".to_owned(), |file| format!("`{}`", file.display()));
        let wrong = |error: toml::de::Error| {
            // The snippet toml prints may hold a password.
            let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
            let at = line.filter(|_| file.is_some()).map(|line| format!(":{line}")).unwrap_or_default();
            Error::new(ErrorKind::Configuration, format!("{place}{at}: {}", error.message()))
        };
        // Once as a text, for the line of a mistake; then again with the variables laid over it.
        toml::from_str::<Content>(text).map_err(wrong)?;
        let mut table: Table = text.parse().map_err(wrong)?;
        overlay(&mut table, &variable)?;
        let content = Content::deserialize(table).map_err(wrong)?;
        Ok(Self {
            file: file.map(Path::to_owned),
            directory: directory.to_owned(),
            content,
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

    /// Whether a URL for the default database is given.
    pub fn has_default_database(&self) -> bool {
        self.content.databases.get(&Alias::default()).is_some_and(|database| database.url.is_some())
    }

    /// Sets the URL of the default database, as a flag of the command line does.
    pub fn set_default_url(&mut self, url: String) {
        self.content.databases.entry(Alias::default()).or_default().url = Some(url);
    }

    /// The URL of a database as it was given, its password included.
    pub fn url(&self, alias: &Alias) -> Option<&str> {
        self.content.databases.get(alias)?.url.as_deref()
    }

    /// Lets every connection pass the pooler by, if each database has a `direct_url`. For programs such as
    /// the command line, which need sessions, and only a few.
    pub fn go_around_poolers(&mut self) {
        let is_behind = matches!(self.content.pool.mode, Some(ModeName::Transaction));
        let databases = &mut self.content.databases;
        if !is_behind || databases.values().any(|database| database.direct_url.is_none()) {
            return;
        }
        self.content.pool.mode = Some(ModeName::Session);
        for database in databases.values_mut() {
            database.url = database.direct_url.take();
        }
    }

    /// The URL with which schemas are made and migrated, its password included.
    pub fn owner_url(&self, alias: &Alias) -> Option<&str> {
        let database = self.content.databases.get(alias)?;
        [&database.owner_url, &database.direct_url, &database.url].into_iter().find_map(Option::as_deref)
    }

    /// Leaves a `baseline.sql` unread, for whoever is about to write it again.
    pub fn ignore_baseline(&mut self) {
        self.ignores_baseline = true;
    }

    pub(crate) fn ignores_baseline(&self) -> bool {
        self.ignores_baseline
    }

    /// Every database with its pool.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] naming the database whose URL is missing or malformed.
    pub fn databases(&self) -> Result<BTreeMap<Alias, DatabaseConfig>> {
        let build = |(alias, database): (&Alias, &Database)| {
            let config = build(alias, database)?;
            Ok((alias.clone(), config.pool(self.pool())))
        };
        self.content.databases.iter().map(build).collect()
    }

    fn pool(&self) -> PoolConfig {
        let (given, default) = (&self.content.pool, PoolConfig::default());
        PoolConfig {
            mode: match given.mode {
                Some(ModeName::Transaction) => PoolMode::Transaction,
                Some(ModeName::Session) | None => PoolMode::Session,
            },
            max_connections: given.max_connections.unwrap_or(default.max_connections),
            min_connections: given.min_connections.unwrap_or(default.min_connections),
            acquire_timeout: given.acquire_timeout_ms.map_or(default.acquire_timeout, Duration::from_millis),
            verify: match given.verify {
                Some(VerifyName::Always) => Verify::Always,
                Some(VerifyName::Switch) | None => Verify::Switch,
            },
            ..default
        }
    }

    /// The directory of the master schema's migrations, or of the tenants'.
    pub fn migration_directories(&self) -> (PathBuf, PathBuf) {
        let given = &self.content.migrations;
        let place = |given: &Option<PathBuf>, default: &str| {
            self.directory.join(given.as_deref().unwrap_or(Path::new(default)))
        };
        (place(&given.master, "migrations/master"), place(&given.tenant, "migrations/tenant"))
    }

    pub(crate) fn names_migrations(&self) -> bool {
        self.content.migrations.master.is_some() || self.content.migrations.tenant.is_some()
    }

    pub(crate) fn master_schema(&self) -> Option<&SchemaName> {
        self.content.master_schema.as_ref()
    }

    /// The schemas with extensions, where they are named.
    pub fn extension_schemas(&self) -> Option<&[SchemaName]> {
        self.content.extension_schemas.as_deref()
    }

    pub(crate) fn preprocessors(&self) -> Option<&[String]> {
        self.content.preprocessors.as_deref()
    }

    pub(crate) fn installation(&self) -> Option<&str> {
        self.content.installation.as_deref()
    }

    pub(crate) fn reserved_slugs(&self) -> Option<&ReservedSlugs> {
        self.content.reserved_slugs.as_ref()
    }
}

fn build(alias: &Alias, database: &Database) -> Result<DatabaseConfig> {
    let named = |error: Error, key: &str| {
        let named = Error::new(ErrorKind::Configuration, format!("`databases.{alias}.{key}`: {error}"));
        match error.hint() {
            Some(hint) => named.with_hint(hint),
            None => named,
        }
    };
    let Some(url) = &database.url else {
        let message = format!("`databases.{alias}.url` is missing");
        return Err(Error::new(ErrorKind::Configuration, message));
    };
    let mut config = DatabaseConfig::from_url(url).map_err(|error| named(error, "url"))?;
    if let Some(url) = &database.owner_url {
        config = config.owner_url(url).map_err(|error| named(error, "owner_url"))?;
    }
    if let Some(url) = &database.direct_url {
        config = config.direct_url(url).map_err(|error| named(error, "direct_url"))?;
    }
    Ok(config)
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn overlay(table: &mut Table, variable: &impl Fn(&str) -> Option<String>) -> Result<()> {
    for key in KEYS {
        let name = variable_name(key.path);
        if let Some(text) = variable(&name) {
            put(table, key.path, key.kind.read(&name, &text)?);
        }
    }
    let mut aliases: Vec<String> = match table.get("databases") {
        Some(Value::Table(databases)) => databases.keys().cloned().collect(),
        _ => Vec::new(),
    };
    aliases.push("default".to_owned());
    if let (Some(url), None) = (variable("DATABASE_URL"), variable("TENANTRY_DATABASES_DEFAULT_URL")) {
        put(table, &["databases", "default", "url"], Value::String(url));
    }
    for alias in aliases {
        for key in ["url", "owner_url", "direct_url"] {
            let path = ["databases", alias.as_str(), key];
            if let Some(url) = variable(&variable_name(&path)) {
                put(table, &path, Value::String(url));
            }
        }
    }
    Ok(())
}

fn variable_name(path: &[&str]) -> String {
    format!("TENANTRY_{}", path.join("_").to_uppercase())
}

fn put(table: &mut Table, path: &[&str], value: Value) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        table.insert((*first).to_owned(), value);
        return;
    }
    let inner = table.entry(*first).or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(inner) = inner {
        put(inner, rest, value);
    }
}

impl Kind {
    fn read(self, name: &str, text: &str) -> Result<Value> {
        match self {
            Self::Text => Ok(Value::String(text.to_owned())),
            Self::List => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Ok(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()))
            }
            Self::Number => text.trim().parse().map(Value::Integer).map_err(|_| {
                Error::new(ErrorKind::Configuration, format!("`{name}` is {text:?}, which is not a number"))
            }),
        }
    }
}

// URLs hold passwords.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("url", &self.url.is_some())
            .field("owner_url", &self.owner_url.is_some())
            .field("direct_url", &self.direct_url.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config> {
        let find = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Config::parse(text, Some(Path::new("/app/tenantry.toml")), Path::new("/app"), find)
    }

    #[track_caller]
    fn check_url(text: &str, variables: &[(&str, &str)], expect: &str) {
        let databases =
            parse(text, variables).and_then(|config| config.databases()).expect("a good configuration");
        assert_eq!(databases[&Alias::default()].address(), expect);
    }

    #[test]
    fn a_variable_of_tenantry_beats_database_url_beats_the_file() {
        let file = "[databases.default]\nurl = 'postgres://a@host:1/file'";
        check_url(file, &[], "a@host:1/file");
        let general = ("DATABASE_URL", "postgres://a@host:1/general");
        check_url(file, &[general], "a@host:1/general");
        let own = ("TENANTRY_DATABASES_DEFAULT_URL", "postgres://a@host:1/own");
        check_url(file, &[general, own], "a@host:1/own");
        check_url("", &[general], "a@host:1/general");
    }

    #[track_caller]
    fn check_error(text: &str, variables: &[(&str, &str)], expect: &str) {
        let error =
            parse(text, variables).and_then(|config| config.databases()).expect_err("a bad configuration");
        assert_eq!(error.to_string(), expect);
        assert_eq!(error.kind(), ErrorKind::Configuration);
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        check_error(
            "master_schema = 1",
            &[],
            "`/app/tenantry.toml`:1: invalid type: integer `1`, expected a string",
        );
        check_error(
            "",
            &[("TENANTRY_POOL_MAX_CONNECTIONS", "many")],
            "`TENANTRY_POOL_MAX_CONNECTIONS` is \"many\", which is not a number",
        );
        check_error("[databases.eu]", &[], "`databases.eu.url` is missing");
        check_error(
            "[databases.eu]\nurl = 'mysql://x'",
            &[],
            "`databases.eu.url`: the database URL does not start with `postgres://`",
        );
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let error = parse("\n\nmaster_shema = 'x'", &[]).expect_err("a bad configuration").to_string();
        assert!(error.starts_with("`/app/tenantry.toml`:3: unknown field `master_shema`"), "{error}");
    }

    #[test]
    fn lists_and_numbers_come_from_variables_too() {
        let config = parse(
            "",
            &[("TENANTRY_PREPROCESSORS", "search_path, audit"), ("TENANTRY_POOL_MAX_CONNECTIONS", "3")],
        );
        let config = config.expect("a good configuration");
        assert_eq!(config.preprocessors(), Some(&["search_path".to_owned(), "audit".to_owned()][..]));
        assert_eq!(config.pool().max_connections, 3);
    }

    #[test]
    fn the_mode_of_the_pool_and_the_way_past_a_pooler_come_from_file_and_variables() {
        let file = "[databases.default]\nurl = 'postgres://a@pooler:6432/db'\n[pool]\nmode = 'transaction'";
        let direct = ("TENANTRY_DATABASES_DEFAULT_DIRECT_URL", "postgres://a@server:5432/db");
        let database = |text, variables: &[(&str, &str)]| {
            let config = parse(text, variables).expect("a good configuration");
            config.databases().expect("good databases").remove(&Alias::default()).expect("a default one")
        };
        let behind = database(file, &[]);
        assert_eq!(behind.pool_config().mode, PoolMode::Transaction);
        assert!(behind.direct().is_none() && behind.owner().is_none());
        let around = database(file, &[direct]);
        assert_eq!(around.direct().map(|options| options.get_port()), Some(5432));
        let session = database(file, &[direct, ("TENANTRY_POOL_MODE", "session")]);
        assert_eq!(session.pool_config().mode, PoolMode::Session);
        check_error(
            "[pool]\nmode = 'statement'",
            &[],
            "`/app/tenantry.toml`:2: unknown variant `statement`, \
            expected `session` or `transaction`",
        );
    }

    #[test]
    fn debug_shows_no_password() {
        let config = parse("[databases.default]\nurl = 'postgres://a:hunter2@host/db'", &[])
            .expect("a good configuration");
        let databases = config.databases().expect("good databases");
        assert!(!format!("{config:?} {databases:?}").contains("hunter2"));
    }
}

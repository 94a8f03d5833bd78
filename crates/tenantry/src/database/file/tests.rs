use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::*;
use crate::database::{Comment, Engine, Verify, WithoutReplica};

fn variables(all: &[(&str, &str)]) -> Variables {
    Variables::among(all.iter().map(|(name, value)| (name.into(), value.into())))
}

fn parse(text: &str, all: &[(&str, &str)]) -> Result<Config> {
    Config::parse(text, Some(Path::new("/app/tenantry.toml")), Path::new("/app"), &variables(all))
}

fn good(text: &str, all: &[(&str, &str)]) -> Config {
    parse(text, all).expect("a good configuration")
}

/// A configuration whose error, a database's URL included, has this text and this hint.
#[track_caller]
fn check_error(text: &str, all: &[(&str, &str)], message: &str, hint: &str) {
    let error = parse(text, all).and_then(|config| config.databases()).expect_err("a bad configuration");
    assert_eq!((error.to_string().as_str(), error.hint().unwrap_or_default()), (message, hint));
    assert_eq!(error.kind(), ErrorKind::Configuration);
}

const WRITE_A_URL: &str = "write it as postgres://user:password@host:5432/database";

#[test]
fn a_flag_beats_the_own_variable_beats_database_url_beats_the_file_beats_the_embedded_server() {
    let file = "[databases.default]\nurl = 'postgres://a@host:1/file'";
    let general = ("DATABASE_URL", "postgres://a@host:1/general");
    let own = ("TENANTRY_DATABASES_DEFAULT_URL", "postgres://a@host:1/own");
    let flag = "postgres://a@host:1/flag";
    let check = |file: &str, variables: &[(&str, &str)], flag: Option<&str>, expect: Option<&str>| {
        let mut config = good(file, variables);
        if let Some(flag) = flag {
            config.set_default_url(flag.to_owned());
        }
        assert_eq!(config.has_default_database(), expect.is_some(), "{variables:?} {flag:?}");
        let databases = config.databases().expect("good databases");
        let address = databases.get(&Alias::default()).map(DatabaseConfig::address);
        assert_eq!(address.as_deref(), expect, "{variables:?} {flag:?}");
    };
    check(file, &[general, own], Some(flag), Some("a@host:1/flag"));
    check(file, &[general, own], None, Some("a@host:1/own"));
    check(file, &[own], None, Some("a@host:1/own"));
    check(file, &[general], None, Some("a@host:1/general"));
    check("", &[general], None, Some("a@host:1/general"));
    check(file, &[], None, Some("a@host:1/file"));
    check("", &[], Some(flag), Some("a@host:1/flag"));
    check("", &[], None, None);
}

/// Each key, with a value that its variable does not have.
const EVERY_KEY: &str = "
        master_schema = 'a'
        extension_schemas = ['a', 'b']
        preprocessors = ['a']
        installation = 'a'
        reserved_slugs = ['a']
        [databases.default]
        url = 'postgres://a@host/a'
        owner_url = 'postgres://a@host/a'
        direct_url = 'postgres://a@host/a'
        replica_url = ['postgres://a@host/a', 'postgres://a@host/b']
        engine = 'auto'
        route_to_workers = false
        [databases.eu_west]
        [migrations]
        master = 'a'
        tenant = 'a'
        [types.pro]
        migrations = 'a'
        spares = 3
        [pool]
        mode = 'session'
        max_connections = 1_000
        min_connections = 0x10
        acquire_timeout_ms = 1
        verify = 'switch'
        statement_cache_capacity = 50
        comment = 'off'
        [replicas]
        max_lag_ms = 1_000
        look_every_ms = 10
        max_wait_ms = 1
        without = 'primary'";

/// The variable of each.
const EVERY_VARIABLE: [(&str, &str); 31] = [
    ("TENANTRY_MASTER_SCHEMA", "m"),
    ("TENANTRY_EXTENSION_SCHEMAS", "x, y,"),
    ("TENANTRY_PREPROCESSORS", ","),
    ("TENANTRY_INSTALLATION", "123"),
    ("TENANTRY_RESERVED_SLUGS", "www"),
    ("TENANTRY_DATABASES_DEFAULT_URL", "postgres://a@host/url"),
    ("TENANTRY_DATABASES_DEFAULT_OWNER_URL", "postgres://a@host/owner"),
    ("TENANTRY_DATABASES_DEFAULT_DIRECT_URL", "postgres://a@host/direct"),
    ("TENANTRY_DATABASES_DEFAULT_REPLICA_URL", "postgres://a@h1,h2/1,postgres://a@h3/2"),
    ("TENANTRY_DATABASES_DEFAULT_ENGINE", "citus"),
    ("TENANTRY_DATABASES_DEFAULT_ROUTE_TO_WORKERS", "true"),
    ("TENANTRY_DATABASES_EU_WEST_URL", "postgres://a@host/url"),
    ("TENANTRY_DATABASES_EU_WEST_OWNER_URL", "postgres://a@host/owner"),
    ("TENANTRY_DATABASES_EU_WEST_DIRECT_URL", "postgres://a@host/direct"),
    ("TENANTRY_DATABASES_EU_WEST_REPLICA_URL", "postgres://a@h4/1"),
    ("TENANTRY_DATABASES_EU_WEST_ENGINE", "postgres"),
    ("TENANTRY_MIGRATIONS_MASTER", "m"),
    ("TENANTRY_MIGRATIONS_TENANT", "/t"),
    ("TENANTRY_TYPES_PRO_MIGRATIONS", "/p"),
    ("TENANTRY_TYPES_PRO_SPARES", "4"),
    ("TENANTRY_POOL_MODE", "transaction"),
    ("TENANTRY_POOL_MAX_CONNECTIONS", " 7 "),
    ("TENANTRY_POOL_MIN_CONNECTIONS", "2"),
    ("TENANTRY_POOL_ACQUIRE_TIMEOUT_MS", "250"),
    ("TENANTRY_POOL_VERIFY", "always"),
    ("TENANTRY_POOL_STATEMENT_CACHE_CAPACITY", "60"),
    ("TENANTRY_POOL_COMMENT", "tenant"),
    ("TENANTRY_REPLICAS_MAX_LAG_MS", "2000"),
    ("TENANTRY_REPLICAS_LOOK_EVERY_MS", "30"),
    ("TENANTRY_REPLICAS_MAX_WAIT_MS", "20"),
    ("TENANTRY_REPLICAS_WITHOUT", "refuse"),
];

#[test]
fn every_key_has_a_variable_which_beats_the_file() {
    let (file, all) = (EVERY_KEY, EVERY_VARIABLE);
    let pool = good(file, &[]).pool();
    assert_eq!((pool.max_connections, pool.min_connections, pool.verify), (1_000, 16, Verify::Switch));

    let replicas = good(file, &[]).sections.databases[&Alias::default()].replica_url.clone();
    assert_eq!(replicas.map_or(0, |urls| urls.0.len()), 2);

    let config = good(file, &all);
    assert_eq!(config.master_schema().map(SchemaName::as_str), Some("m"));
    let extensions = config.extension_schemas().into_iter().flatten().map(SchemaName::as_str);
    assert_eq!(extensions.collect::<Vec<_>>(), ["x", "y"]);
    assert_eq!(config.preprocessors(), Some(&[][..]));
    assert_eq!(config.installation(), Some("123"));
    assert_eq!(config.reserved_slugs().map(|slugs| slugs.iter().count()), Some(1));
    for alias in ["default", "eu_west"] {
        let section = &config.sections.databases[&Alias::parse(alias).expect("an alias")];
        let urls = [&section.url, &section.owner_url, &section.direct_url];
        let names = urls.map(|url| url.as_deref().and_then(|url| url.strip_prefix("postgres://a@host/")));
        assert_eq!(names, [Some("url"), Some("owner"), Some("direct")]);
    }
    assert_eq!(config.migration_directories(), ("/app/m".into(), "/t".into()));
    check_types(&config);
    let pool = config.pool();
    assert_eq!((pool.mode, pool.max_connections, pool.min_connections), (PoolMode::Transaction, 7, 2));
    assert_eq!((pool.acquire_timeout, pool.verify), (Duration::from_millis(250), Verify::Always));
    assert_eq!((pool.statement_cache_capacity, pool.comment), (60, Comment::Tenant));
    let databases = config.databases().expect("good URLs");
    let engines = databases.values().map(DatabaseConfig::named_engine).collect::<Vec<_>>();
    assert_eq!(engines, [Engine::Citus, Engine::Postgres]);
    let routes = databases.values().map(DatabaseConfig::routes_to_workers).collect::<Vec<_>>();
    assert_eq!((config.names_citus(), routes), (true, vec![true, false]));
    let replicas = databases.values().map(|config| config.replica_routes().len()).collect::<Vec<_>>();
    assert_eq!(replicas, [2, 1]);
    let replicas = databases[&Alias::default()].replica_config();
    assert_eq!((replicas.max_lag, replicas.max_wait), (Duration::from_secs(2), Duration::from_millis(20)));
    assert_eq!((replicas.look_every, replicas.without), (Duration::from_millis(30), WithoutReplica::Refuse));
    assert_eq!(config.origins.len(), all.len(), "a key without a test: {:?}", config.origins);
}

fn check_types(config: &Config) {
    let pro = TypeName::parse("pro").expect("a type");
    assert_eq!(config.type_directories(), BTreeMap::from([(pro.clone(), "/p".into())]));
    assert_eq!(config.type_spares(), BTreeMap::from([(pro.clone(), 4)]));
    let bare = good("[types.pro]", &[]);
    assert_eq!(bare.type_directories(), BTreeMap::from([(pro, "/app/migrations/pro".into())]));
    assert_eq!(bare.type_spares(), BTreeMap::new());
}

#[test]
fn an_empty_variable_is_like_one_that_is_not_set() {
    let file = "[databases.default]\nurl = 'postgres://a@host:1/file'\n[pool]\nmax_connections = 3";
    let empty = [
        ("DATABASE_URL", ""),
        ("TENANTRY_DATABASES_DEFAULT_URL", ""),
        ("TENANTRY_POOL_MAX_CONNECTIONS", ""),
        ("TENANTRY_MISSPELT", ""),
    ];
    let config = good(file, &empty);
    assert_eq!(config.url(&Alias::default()), Some("postgres://a@host:1/file"));
    assert_eq!(config.pool().max_connections, 3);
}

#[test]
fn a_mistake_in_the_file_is_named_with_its_line_and_key() {
    let at = |line: u32, key: &str, text: &str| format!("`/app/tenantry.toml`:{line}: `{key}`: {text}");
    let cases = [
        ("master_schema = 1", at(1, "master_schema", "a text is expected")),
        ("preprocessors = 'search_path'", at(1, "preprocessors", "a list is expected")),
        ("\npreprocessors = ['a',\n 1]", at(3, "preprocessors", "a text is expected")),
        ("[pool]\nmode = 'statement'", at(2, "pool.mode", "one of `session`, `transaction` is expected")),
        ("[pool]\nmax_connections = 'many'", at(2, "pool.max_connections", "a whole number is expected")),
        ("[pool]\nmax_connections = 1.5", at(2, "pool.max_connections", "a whole number is expected")),
        (
            "[pool]\nmax_connections = -1",
            at(2, "pool.max_connections", "the number is too small or too large"),
        ),
        ("pool = 3", at(1, "pool", "a table is expected")),
        ("[databases]\neu = true", at(2, "databases.eu", "a table is expected")),
    ];
    for (text, message) in cases {
        check_error(text, &[], &message, "");
        // A variable does not cover it up.
        check_error(
            text,
            &[("TENANTRY_MASTER_SCHEMA", "x"), ("TENANTRY_POOL_MODE", "session")],
            &message,
            "",
        );
    }
    let eu = at(2, "databases.eu.url", "the database URL does not start with `postgres://`");
    check_error("[databases.eu]\nurl = 'mysql://x'", &[], &eu, WRITE_A_URL);
    let one = "[databases.eu]\nurl = 'postgres://a@h/d'\nreplica_url = 'mysql://x'";
    let replica = at(3, "databases.eu.replica_url", "the database URL does not start with `postgres://`");
    check_error(one, &[], &replica, WRITE_A_URL);
    let hint = "write it into tenantry.toml, or set `TENANTRY_DATABASES_EU_URL`";
    check_error("[databases.eu]", &[], "`databases.eu.url` is missing", hint);
    let alias = "database alias has '-' at byte 2: only a-z, 0-9 and _ may appear, a letter first";
    check_error("\n[databases.eu-west]\nurl = ''", &[], &at(2, "databases.eu-west", alias), "");
}

#[test]
fn a_mistake_in_a_variable_is_named_with_the_variable() {
    let check = |name: &str, value: &str, message: &str, hint: &str| {
        check_error("", &[(name, value)], &format!("`{name}`: {message}"), hint);
    };
    check("TENANTRY_POOL_MAX_CONNECTIONS", "many", "a whole number is expected", "");
    check("TENANTRY_POOL_MAX_CONNECTIONS", "-1", "the number is too small or too large", "");
    check("TENANTRY_POOL_MODE", "statement", "one of `session`, `transaction` is expected", "");
    let schema = SchemaName::parse("pg_a").expect_err("a reserved name").to_string();
    check("TENANTRY_MASTER_SCHEMA", "pg_a", &schema, "");
    check("TENANTRY_EXTENSION_SCHEMAS", "a, pg_a", &schema, "");
    let url = "the database URL does not start with `postgres://`";
    for name in ["DATABASE_URL", "TENANTRY_DATABASES_DEFAULT_URL"] {
        check(name, "mysql://x", url, WRITE_A_URL);
    }
    let general = ("DATABASE_URL", "postgres://a@host/db");
    let owner = ("TENANTRY_DATABASES_DEFAULT_OWNER_URL", "x");
    check_error("", &[general, owner], &format!("`{}`: {url}", owner.0), WRITE_A_URL);
}

#[test]
fn the_url_of_a_flag_and_the_way_around_a_pooler_are_named_as_what_they_are() {
    let bad = |mut config: Config, change: fn(&mut Config)| {
        change(&mut config);
        config.databases().expect_err("a bad URL").to_string()
    };
    let config = good("[databases.default]\nurl = 'postgres://a@host/db'", &[]);
    let error = bad(config, |config| config.set_default_url("x".to_owned()));
    assert!(error.starts_with("`databases.default.url`: "), "{error}");
    let config = good(
        "[databases.default]\nurl = 'postgres://a@host/db'\ndirect_url = 'x'\n[pool]\nmode = 'transaction'",
        &[],
    );
    let error = bad(config, Config::go_around_poolers);
    assert!(error.starts_with("`/app/tenantry.toml`:3: `databases.default.direct_url`: "), "{error}");
}

#[test]
fn a_value_that_is_not_text_is_refused_where_it_is_read() {
    let value = || OsString::from_vec(vec![b'a', 0xff]);
    let parse = |name: &str| {
        let variables = Variables::among([(name.into(), value())]);
        Config::parse("", None, Path::new("/app"), &variables)
    };
    for name in ["TENANTRY_POOL_MODE", "TENANTRY_DATABASES_DEFAULT_URL", "DATABASE_URL"] {
        let error = parse(name).expect_err("no text");
        assert_eq!(error.to_string(), format!("`{name}`: the value is not UTF-8"));
    }
    parse("TENANTRY_PG_BIN").expect("a folder may have any name");
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_key_that_was_meant() {
    let check = |text: &str, line: u32, key: &str, hint: &str| {
        let message = format!("`/app/tenantry.toml`:{line}: unknown key `{key}`");
        check_error(text, &[], &message, hint);
    };
    check("\n\nmaster_shema = 'x'", 3, "master_shema", "did you mean `master_schema`?");
    check("[pool]\nmax_conections = 5", 2, "pool.max_conections", "did you mean `max_connections`?");
    check("pool.max_conections = 5", 1, "pool.max_conections", "did you mean `max_connections`?");
    check("[database.default]\nurl = 'x'", 1, "database", "did you mean `databases`?");
    let keys = "the keys here are `url`, `owner_url`, `direct_url`, `replica_url`, `closed`, `engine`, \
                `route_to_workers`";
    check("[databases.eu]\npassword = 'x'", 2, "databases.eu.password", keys);
}

#[test]
fn an_unknown_variable_is_refused_with_the_one_that_was_meant() {
    let check = |name: &str, hint: &str| {
        let file = "[databases.us]\nurl = 'postgres://a@host/us'";
        check_error(
            file,
            &[(name, "postgres://a:hunter2@host/db")],
            &format!("unknown variable `{name}`"),
            hint,
        );
    };
    check("TENANTRY_POOL_MOED", "did you mean `TENANTRY_POOL_MODE`?");
    check("TENANTRY_POOL__MODE", "did you mean `TENANTRY_POOL_MODE`?");
    check("tenantry_pool_mode", "did you mean `TENANTRY_POOL_MODE`?");
    check("TENANTRY_DATABASES_DEFAULTURL", "did you mean `TENANTRY_DATABASES_DEFAULT_URL`?");
    check("TENANTRY_DATABASES_DEFUALT_OWNER_URL", "did you mean `TENANTRY_DATABASES_DEFAULT_OWNER_URL`?");
    check("TENANTRY_DATABASES_US_ONWER_URL", "did you mean `TENANTRY_DATABASES_US_OWNER_URL`?");
    check("TENANTRY_PGBIN", "did you mean `TENANTRY_PG_BIN`?");
    check("TENANTRY_CONFIG_FILE", "did you mean `TENANTRY_CONFIG`?");
    let section = "a database has variables where its section `[databases.eu_west]`, which may be empty, \
        is in tenantry.toml";
    check("TENANTRY_DATABASES_EU_WEST_OWNER_URL", section);
    let rule = "a variable is `TENANTRY_` and the path of a key in capitals, as in `TENANTRY_POOL_MODE`";
    check("TENANTRY_LOG_LEVEL", rule);
    check("TENANTRY_", rule);
}

#[test]
fn a_variable_in_two_spellings_is_refused() {
    let both = [("Tenantry_Pool_Mode", "session"), ("TENANTRY_POOL_MODE", "session")];
    let message = "`Tenantry_Pool_Mode` and `TENANTRY_POOL_MODE` are one variable in two spellings";
    check_error("", &both, message, "unset `Tenantry_Pool_Mode`");
}

#[test]
fn a_variable_that_two_databases_could_mean_is_refused() {
    let file =
        "[databases.eu]\nurl = 'postgres://a@host/eu'\n[databases.eu_owner]\nurl = 'postgres://a@host/o'";
    good(file, &[("TENANTRY_DATABASES_EU_OWNER_DIRECT_URL", "postgres://a@host/direct")]);
    check_error(
        file,
        &[("TENANTRY_DATABASES_EU_OWNER_URL", "postgres://a@host/db")],
        "`TENANTRY_DATABASES_EU_OWNER_URL`: it could mean `databases.eu.owner_url` or `databases.eu_owner.url`",
        "unset it, and write both into tenantry.toml; or rename one of the databases",
    );
}

#[test]
fn the_mode_of_the_pool_and_the_way_past_a_pooler_come_from_file_and_variables() {
    let file = "[databases.default]\nurl = 'postgres://a@pooler:6432/db'\n[pool]\nmode = 'transaction'";
    let direct = ("TENANTRY_DATABASES_DEFAULT_DIRECT_URL", "postgres://a@server:5432/db");
    let database = |text, variables: &[(&str, &str)]| {
        let databases = good(text, variables).databases();
        databases.expect("good databases").remove(&Alias::default()).expect("a default one")
    };
    let behind = database(file, &[]);
    assert_eq!(behind.pool_config().mode, PoolMode::Transaction);
    assert!(behind.direct().is_none() && behind.owner().is_none());
    let around = database(file, &[direct]);
    assert_eq!(around.direct().map(|route| route.options().get_port()), Some(5432));
    let session = database(file, &[direct, ("TENANTRY_POOL_MODE", "session")]);
    assert_eq!(session.pool_config().mode, PoolMode::Session);
}

#[test]
fn no_error_repeats_a_value() {
    const SECRET: &str = "postgres://a:hunter2@host/db";
    let keys = [
        "master_schema",
        "extension_schemas",
        "preprocessors",
        "installation",
        "reserved_slugs",
        "databases",
        "databases.default",
        "databases.default.url",
        "databases.default.owner_url",
        "migrations",
        "migrations.tenant",
        "pool",
        "pool.mode",
        "pool.max_connections",
        "pool.acquire_timeout_ms",
        "pool.verify",
        "unknown",
        "databases.default.unknown",
    ];
    let mut refused = 0;
    let mut check = |result: Result<Config>| {
        let Err(error) = result.and_then(|config| config.databases()) else { return };
        let source = std::error::Error::source(&error).map(ToString::to_string);
        assert!(!format!("{error} {error:?} {source:?} {:?}", error.hint()).contains("hunter2"), "{error:?}");
        refused += 1;
    };
    for key in keys {
        check(parse(&format!("{key} = '{SECRET}'"), &[]));
        check(parse(&format!("{key} = ['{SECRET}']"), &[]));
        check(parse(&format!("{key} = {SECRET}"), &[]));
        check(parse(&format!("{key} = '{SECRET}"), &[]));
        check(parse("", &[(variable_name(key).as_str(), SECRET)]));
        check(parse("", &[(variable_name(key).as_str(), "postgres://a:hunter2@host:port/db")]));
    }
    assert!(refused > 4 * keys.len(), "{refused}");
}

#[test]
fn debug_shows_no_password() {
    let config = good("[databases.default]\nurl = 'postgres://a:hunter2@host/db'", &[]);
    let databases = config.databases().expect("good databases");
    assert!(!format!("{config:?} {databases:?}").contains("hunter2"));
}

//! The few statements this crate sends. Only here are names and values placed in SQL.
use std::{borrow::Cow, time::Duration};

use sqlx::{
    AssertSqlSafe, Connection, Executor, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};

use crate::{Error, ErrorKind, Result, secret::Secret};

/// The name of the superuser of every server.
pub(crate) const SUPERUSER: &str = "postgres";

/// The longest that a server on the same machine may take to let us in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// The name of a database and of the role that owns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(String);

impl Name {
    /// Takes any name PostgreSQL takes, but none that belongs to the server itself.
    pub(crate) fn parse(name: &str) -> Result<Self> {
        let why = match name {
            "" => "it is empty",
            _ if name.len() > 63 => "it is longer than 63 bytes",
            _ if name.contains('\0') => "it contains a zero byte",
            "postgres" | "template0" | "template1" | "public" | "none" => "PostgreSQL reserves it",
            _ if name.starts_with("pg_") => "PostgreSQL reserves names that start with `pg_`",
            _ => return Ok(Self(name.to_owned())),
        };
        Err(Error::new(
            ErrorKind::InvalidName,
            format!("`{}` cannot name a database: {why}", name.escape_debug()),
        ))
    }

    /// Takes a name that the server has told.
    pub(crate) fn of_the_server(name: &str) -> Self {
        Self(name.to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn quoted(&self) -> String {
        format!("\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// Writes the URL under which a role reaches a database.
pub(crate) fn url(port: u16, role: &str, password: &Secret, database: &str) -> String {
    let (role, database) = (percent_encode(role), percent_encode(database));
    format!("postgres://{role}:{}@127.0.0.1:{port}/{database}", password.expose())
}

fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::new(), |encoded, byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            encoded + char::from(byte).encode_utf8(&mut [0; 4])
        }
        _ => encoded + &format!("%{byte:02X}"),
    })
}

/// Logs in as the superuser.
pub(crate) async fn connect(port: u16, password: &Secret) -> Result<PgConnection> {
    connect_to(port, password, SUPERUSER).await
}

async fn connect_to(port: u16, password: &Secret, database: &str) -> Result<PgConnection> {
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username(SUPERUSER)
        .password(password.expose())
        .database(database)
        .ssl_mode(PgSslMode::Disable);
    let action = || format!("log in to the server at 127.0.0.1:{port}");
    match tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&options)).await {
        Ok(connected) => connected.map_err(Error::sql(action())),
        Err(_) => Err(Error::new(ErrorKind::Database, format!("cannot {}: no answer", action()))),
    }
}

/// Returns true if a login failed because the server knows the role by another password.
pub(crate) fn is_wrong_password(error: &Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<sqlx::Error>());
    cause.and_then(code).is_some_and(|code| code == "28P01")
}

fn code(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code)
}

/// Asks a server for its version and its data directory.
pub(crate) async fn identify(server: &mut PgConnection) -> Result<(String, String)> {
    let query =
        "SELECT split_part(current_setting('server_version'), ' ', 1), current_setting('data_directory')";
    sqlx::query_as(query).fetch_one(server).await.map_err(Error::sql("ask the server who it is"))
}

/// Makes a role that is no superuser, and a database that it owns, as fast as the server can.
///
/// Copying the files takes half as long as writing them to the log, which is the default since version 15
/// (12 against 26 ms), when nothing has to reach a disk. Older versions know no other way.
pub(crate) async fn create_scratch_database(
    server: &mut PgConnection,
    name: &Name,
    verifier: &str,
    major: u32,
) -> Result<()> {
    let quoted = name.quoted();
    let strategy = if major >= 15 { "STRATEGY FILE_COPY" } else { "" };
    run(server, format!("CREATE ROLE {quoted} LOGIN PASSWORD '{verifier}'"), name).await?;
    run(server, format!("CREATE DATABASE {quoted} OWNER {quoted} TEMPLATE template0 {strategy}"), name).await
}

/// Makes the role and the database where they are missing, and sets the role's password.
pub(crate) async fn ensure_database(
    port: u16,
    superuser: &Secret,
    name: &Name,
    password: &Secret,
) -> Result<()> {
    let server = &mut connect(port, superuser).await?;
    // One at a time: two that alter the same role at once meet as "tuple concurrently updated". The lock
    // ends with the connection.
    run(server, "SELECT pg_advisory_lock(hashtext('tenantry-embedded'))".to_owned(), name).await?;
    let quoted = name.quoted();
    let role = exists(server, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", name).await?;
    let verb = if role { "ALTER" } else { "CREATE" };
    run(server, format!("{verb} ROLE {quoted} LOGIN PASSWORD '{}'", password.verifier()), name).await?;
    if database_exists(server, name).await? {
        return Ok(());
    }
    run(server, format!("CREATE DATABASE {quoted} OWNER {quoted} TEMPLATE template0"), name).await?;
    // Until PostgreSQL 14 everybody may create in `public`, but its owner is the superuser. Made as it is from 15 on.
    let mut database = connect_to(port, superuser, name.as_str()).await?;
    let close = "ALTER SCHEMA public OWNER TO pg_database_owner; REVOKE CREATE ON SCHEMA public FROM PUBLIC";
    run(&mut database, close.to_owned(), name).await
}

pub(crate) async fn database_exists(server: &mut PgConnection, name: &Name) -> Result<bool> {
    exists(server, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).await
}

/// Removes a database with its owner, whoever is connected.
pub(crate) async fn drop_database(server: &mut PgConnection, name: &Name) -> Result<()> {
    let quoted = name.quoted();
    run(server, format!("DROP DATABASE IF EXISTS {quoted} WITH (FORCE)"), name).await?;
    run(server, format!("DROP ROLE IF EXISTS {quoted}"), name).await
}

/// The role and the database that we are logged in to.
#[derive(sqlx::FromRow)]
pub(crate) struct Login {
    pub(crate) role: String,
    pub(crate) is_superuser: bool,
    pub(crate) makes_databases: bool,
    pub(crate) database: String,
    version: i32,
}

impl Login {
    /// The major version of the server.
    pub(crate) fn major(&self) -> u32 {
        u32::try_from(self.version / 10_000).unwrap_or_default()
    }
}

pub(crate) async fn identify_login(server: &mut PgConnection) -> Result<Login> {
    let query = "SELECT rolname::text AS role, rolsuper AS is_superuser, rolcreatedb AS makes_databases, \
                        current_database()::text AS database, current_setting('server_version_num')::int AS version \
                 FROM pg_roles WHERE rolname = current_user";
    sqlx::query_as(query).fetch_one(server).await.map_err(Error::sql("ask the server who we are"))
}

/// Makes a role that is no superuser, unless it is there.
pub(crate) async fn ensure_role(server: &mut PgConnection, name: &Name, password: &Secret) -> Result<()> {
    let is_there = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)";
    if exists(server, is_there, name).await? {
        return Ok(());
    }
    let create = format!("CREATE ROLE {} LOGIN PASSWORD '{}'", name.quoted(), password.verifier());
    match run(server, create, name).await {
        // Another process was quicker.
        Err(_) if exists(server, is_there, name).await? => Ok(()),
        result => result,
    }
}

/// Takes an advisory lock of the session, if nobody has it.
pub(crate) async fn try_lock(server: &mut PgConnection, lock: &str) -> Result<bool> {
    let query = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))";
    let taken = sqlx::query_scalar(query).bind(lock).fetch_one(server).await;
    taken.map_err(Error::sql(format!("take the lock `{lock}`")))
}

pub(crate) async fn unlock(server: &mut PgConnection, lock: &str) -> Result<()> {
    let query = "SELECT pg_advisory_unlock(hashtextextended($1, 0))";
    let done = sqlx::query(query).bind(lock).execute(server).await;
    done.map(drop).map_err(Error::sql(format!("give the lock `{lock}` back")))
}

/// Makes an empty database for a role.
pub(crate) async fn create_owned_database(
    server: &mut PgConnection,
    name: &Name,
    owner: &Name,
    major: u32,
) -> Result<()> {
    run(server, copy_statement(name, owner, "template0", major), name).await
}

/// Copies a template for a role; `false` if there is no such template.
pub(crate) async fn copy_database(
    server: &mut PgConnection,
    name: &Name,
    owner: &Name,
    template: &Name,
    major: u32,
) -> Result<bool> {
    let statement = copy_statement(name, owner, &template.quoted(), major);
    match server.execute(AssertSqlSafe(statement)).await {
        Ok(_) => Ok(true),
        Err(error) if code(&error).is_some_and(|code| code == "3D000") => Ok(false),
        Err(error) => Err(Error::sql(format!("copy database `{}`", template.as_str()))(error)),
    }
}

/// Copying the files takes 29 ms for two schemas of twenty tables, and by way of the log 160 ms.
fn copy_statement(name: &Name, owner: &Name, template: &str, major: u32) -> String {
    let strategy = if major >= 15 { " STRATEGY FILE_COPY" } else { "" };
    format!("CREATE DATABASE {} OWNER {} TEMPLATE {template}{strategy}", name.quoted(), owner.quoted())
}

/// Lets nobody into a database any more, and gives it the name of a template.
pub(crate) async fn make_template(
    server: &mut PgConnection,
    draft: &Name,
    template: &Name,
    comment: &str,
) -> Result<()> {
    set_comment_on_database(server, draft, comment).await?;
    run(server, format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", draft.quoted()), draft).await?;
    run(server, format!("ALTER DATABASE {} RENAME TO {}", draft.quoted(), template.quoted()), draft).await
}

/// The comment on a database, if this is there and has one.
pub(crate) async fn comment_on_database(server: &mut PgConnection, name: &Name) -> Result<Option<String>> {
    let query = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1";
    let found: Option<Option<String>> = sqlx::query_scalar(query)
        .bind(name.as_str())
        .fetch_optional(server)
        .await
        .map_err(Error::sql(format!("look for database `{}`", name.as_str())))?;
    Ok(found.flatten())
}

pub(crate) async fn set_comment_on_database(
    server: &mut PgConnection,
    name: &Name,
    comment: &str,
) -> Result<()> {
    let comment = comment.replace('\\', "\\\\").replace('\'', "''");
    run(server, format!("COMMENT ON DATABASE {} IS E'{comment}'", name.quoted()), name).await
}

/// The databases whose names begin so, with their comments.
pub(crate) async fn databases_like(
    server: &mut PgConnection,
    beginning: &str,
) -> Result<Vec<(String, Option<String>)>> {
    let query = "SELECT datname::text, shobj_description(oid, 'pg_database') FROM pg_database \
                 WHERE starts_with(datname, $1)";
    let found = sqlx::query_as(query).bind(beginning).fetch_all(server).await;
    found.map_err(Error::sql("list the databases"))
}

/// Removes a database, whoever is connected. Its owner stays.
pub(crate) async fn drop_only_database(server: &mut PgConnection, name: &Name) -> Result<()> {
    run(server, format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", name.quoted()), name).await
}

async fn run(server: &mut PgConnection, statement: String, name: &Name) -> Result<()> {
    let action = format!("prepare or drop database `{}`", name.as_str());
    server.execute(AssertSqlSafe(statement)).await.map(drop).map_err(Error::sql(action))
}

async fn exists(server: &mut PgConnection, query: &'static str, name: &Name) -> Result<bool> {
    let found = sqlx::query_scalar(query).bind(name.as_str()).fetch_one(server).await;
    found.map_err(Error::sql(format!("look for database `{}`", name.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_server_itself_are_refused() {
        for name in ["", "postgres", "template1", "pg_mine", "a\0b", &"x".repeat(64)] {
            let error = Name::parse(name).expect_err(name);
            assert_eq!(error.kind(), ErrorKind::InvalidName);
        }
    }

    #[test]
    fn a_name_is_quoted_in_sql_and_encoded_in_urls() {
        let name = Name::parse("we\"ird näme").expect("a name");
        assert_eq!(name.quoted(), "\"we\"\"ird näme\"");
        let password = Secret::parse("abc").expect("a password");
        assert_eq!(url(1, "a b", &password, "ä"), "postgres://a%20b:abc@127.0.0.1:1/%C3%A4");
    }
}

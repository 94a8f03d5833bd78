//! A URL whose sessions begin in the schema of a tenant.
//!
//! sqlx and libpq read nearly the same URLs, and [`SessionUrl`] is one that both accept: libpq refuses
//! parameters it does not know and takes a `+` for a `+`, where sqlx takes it for a space.
use anyhow::Context as _;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tenantry::tenant::{Alias, Tenant};
use tenantry::{Config, Tenancy};
use url::Url;

use crate::failure::Failure;

/// The characters that stay as they are in a URL.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The session's own settings, as the server gave them back.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Session {
    search_path: String,
    role: Option<String>,
}

/// The URL of a database for the sessions of one tenant, or of the master schema.
pub(crate) struct SessionUrl {
    url: Url,
    password: Option<String>,
    parameters: Vec<(String, String)>,
}

impl SessionUrl {
    /// Asks for the session that the library itself would prepare, and puts it into the URL.
    pub(crate) async fn of(
        config: &Config,
        tenancy: &Tenancy,
        tenant: Option<&Tenant>,
    ) -> anyhow::Result<Self> {
        let default = Alias::default();
        let alias = tenant.map_or(&default, Tenant::database);
        let session = match tenant {
            Some(tenant) => session_of(&tenancy.db(tenant)?).await?,
            None => session_of(&tenancy.master()).await?,
        };
        Self::of_session(config, alias, tenant, &session).await
    }

    /// Does what [`of`](Self::of) does, with the master schema behind all that the tenant sees.
    pub(crate) async fn of_both(config: &Config, tenancy: &Tenancy, tenant: &Tenant) -> anyhow::Result<Self> {
        let mut session = session_of(&tenancy.db(tenant)?).await?;
        let master: String = sqlx::query_scalar("SELECT pg_catalog.quote_ident(current_schema())")
            .fetch_one(&tenancy.master_of(tenant.database())?)
            .await
            .map_err(tenantry::Error::from)?;
        session.search_path = format!("{}, {master}", session.search_path);
        Self::of_session(config, tenant.database(), Some(tenant), &session).await
    }

    async fn of_session(
        config: &Config,
        alias: &Alias,
        tenant: Option<&Tenant>,
        session: &Session,
    ) -> anyhow::Result<Self> {
        let urls = [config.url(alias), config.direct_url(alias)];
        for url in urls.into_iter().flatten() {
            let built = Self::build(read(Some(url))?, Some(session));
            if built.leads_to(session).await? {
                return Ok(built);
            }
        }
        Err(no_settings(tenant))
    }

    /// A database for a program that works as the owner and names all schemas itself.
    pub(crate) fn of_owner(config: &Config, database: &Alias) -> anyhow::Result<Self> {
        Ok(Self::build(read(config.owner_url(database))?, None))
    }

    /// A database of somebody else, as its URL says.
    pub(crate) fn of_source(url: &str) -> anyhow::Result<Self> {
        Ok(Self::build(read(Some(url))?, None))
    }

    /// Asks the server whether a session begins as the URL says. A pooler may refuse the settings, or drop them.
    async fn leads_to(&self, session: &Session) -> anyhow::Result<bool> {
        let options: PgConnectOptions =
            self.with_password().parse().context("the database URL cannot be read")?;
        let mut connection = match PgConnection::connect_with(&options.extra_float_digits(None)).await {
            Err(sqlx::Error::Database(_)) => return Ok(false),
            connection => connection.context("the database cannot be reached")?,
        };
        let begun = session_of(&mut connection).await?;
        // It has told what it was for.
        let _ = connection.close().await;
        Ok(begun == *session)
    }

    fn build(mut url: Url, session: Option<&Session>) -> Self {
        let mut password =
            url.password().map(|password| percent_decode_str(password).decode_utf8_lossy().into());
        let mut options = String::new();
        let mut parameters = Vec::new();
        for (name, value) in url.query_pairs() {
            match libpq_name(&name) {
                Some("options") => push(&mut options, &value),
                Some("password") => password = Some(value.into_owned()),
                Some(name) => parameters.push((name.to_owned(), value.into_owned())),
                None => {
                    if let Some(setting) = name.strip_prefix("options[").and_then(|it| it.strip_suffix(']')) {
                        push(&mut options, &setting_option(setting, &value));
                    }
                }
            }
        }
        // The last one wins, whatever the URL said before.
        if let Some(session) = session {
            push(&mut options, &setting_option("search_path", &session.search_path));
            if let Some(role) = &session.role {
                push(&mut options, &setting_option("role", role));
            }
        }
        if !options.is_empty() {
            parameters.push(("options".to_owned(), options));
        }
        url.set_query(None);
        // A URL without a host can hold no password, and had none.
        let _ = url.set_password(None);
        Self { url, password, parameters }
    }

    /// The whole URL.
    pub(crate) fn with_password(&self) -> String {
        let mut url = self.url.clone();
        if let Some(password) = &self.password {
            let _ = url.set_password(Some(&utf8_percent_encode(password, ENCODED).to_string()));
        }
        self.render(url)
    }

    /// The URL for a command's arguments, which everybody on the machine can read.
    pub(crate) fn without_password(&self) -> String {
        self.render(self.url.clone())
    }

    pub(crate) fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    fn render(&self, mut url: Url) -> String {
        let pairs = self.parameters.iter();
        let pairs = pairs.map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, ENCODED)));
        url.set_query(Some(&pairs.collect::<Vec<_>>().join("&")));
        url.into()
    }
}

fn read(url: Option<&str>) -> anyhow::Result<Url> {
    let url = url.unwrap_or_default();
    let authority =
        url.split("://").nth(1).and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
    if authority.rsplit('@').next().is_some_and(|places| places.contains(',')) {
        let message =
            "the database URL names several hosts, and a session of another program is at one of them";
        return Err(Failure::new("unsupported", message).with_hint("set `direct_url` to one of them").into());
    }
    // A password may hold this, as far as libpq is concerned.
    let url = Url::parse(&url.replace('#', "%23")).ok();
    Ok(url.ok_or_else(|| Failure::new("configuration", "the database URL cannot be read"))?)
}

fn no_settings(tenant: Option<&Tenant>) -> anyhow::Error {
    let whose =
        tenant.map_or_else(|| "the master".to_owned(), |tenant| format!("tenant `{}`", tenant.slug()));
    let message = format!(
        "a pooler in front of the database does not take the settings of a session, so another program would not \
         begin in the schema of {whose}"
    );
    Failure::new("unsupported", message)
        .with_hint("set `direct_url`, which leads past the pooler; or use `tenantry exec`")
        .into()
}

async fn session_of(db: impl sqlx::Executor<'_, Database = sqlx::Postgres>) -> anyhow::Result<Session> {
    let (search_path, role): (String, String) = sqlx::query_as(
        "SELECT pg_catalog.current_setting('search_path'), pg_catalog.current_setting('role')",
    )
    .fetch_one(db)
    .await
    .map_err(tenantry::Error::from)?;
    Ok(Session { search_path, role: Some(role).filter(|role| role != "none") })
}

/// The name in libpq of a parameter of sqlx; `None` for one that libpq does not have.
fn libpq_name(name: &str) -> Option<&'static str> {
    Some(match name {
        "sslmode" | "ssl-mode" => "sslmode",
        "sslrootcert" | "ssl-root-cert" | "ssl-ca" => "sslrootcert",
        "sslcert" | "ssl-cert" => "sslcert",
        "sslkey" | "ssl-key" => "sslkey",
        "host" => "host",
        "hostaddr" => "hostaddr",
        "port" => "port",
        "dbname" => "dbname",
        "user" => "user",
        "password" => "password",
        "application_name" => "application_name",
        "options" => "options",
        _ => return None,
    })
}

fn push(options: &mut String, more: &str) {
    if !options.is_empty() {
        options.push(' ');
    }
    options.push_str(more);
}

/// `-c name=value`: the server splits its options at spaces, and a backslash keeps one.
fn setting_option(name: &str, value: &str) -> String {
    let mut option = format!("-c {name}=");
    for character in value.chars() {
        if character.is_whitespace() || character == '\\' {
            option.push('\\');
        }
        option.push(character);
    }
    option
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(url: &str) -> SessionUrl {
        let url = Url::parse(url).expect("a good URL");
        let search_path = r#""it's", tenantry_void, pg_temp"#.to_owned();
        SessionUrl::build(url, Some(&Session { search_path, role: None }))
    }

    const PATH: &str = "options=-c%20search_path%3D%22it%27s%22%2C%5C%20tenantry_void%2C%5C%20pg_temp";

    #[test]
    fn the_path_is_encoded_for_both_readers() {
        let expect = format!("postgres://a:p%2Bw@host:1/db?{PATH}");
        assert_eq!(build("postgres://a:p%2Bw@host:1/db").with_password(), expect);
        assert_eq!(build("postgres://a:p+w@host:1/db").with_password(), expect);
    }

    #[test]
    fn arguments_show_no_password() {
        for url in ["postgres://a:secret@host/db", "postgres://a@host/db?password=secret"] {
            let url = build(url);
            assert_eq!(url.without_password(), format!("postgres://a@host/db?{PATH}"));
            assert_eq!(url.password(), Some("secret"));
            assert_eq!(url.with_password(), format!("postgres://a:secret@host/db?{PATH}"));
        }
    }

    #[test]
    fn what_only_sqlx_knows_is_left_out_or_renamed() {
        let url = build("postgres:///db?host=/run/pg&ssl-mode=disable&statement-cache-capacity=0&user=a");
        let start = "postgres:///db?host=%2Frun%2Fpg&sslmode=disable&user=a&";
        assert_eq!(url.with_password(), format!("{start}{PATH}"));
    }

    #[test]
    fn other_options_stay_and_the_path_comes_last() {
        let url = build("postgres://h/db?options=-c%20work_mem%3D1MB&options[app.x]=a%20b").with_password();
        assert!(
            url.contains("options=-c%20work_mem%3D1MB%20-c%20app.x%3Da%5C%20b%20-c%20search_path"),
            "{url}"
        );
    }
}

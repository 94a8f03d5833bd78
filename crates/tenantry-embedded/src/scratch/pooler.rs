use std::{
    fmt::{self, Write as _},
    io::Write as _,
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::blocking;
use crate::{
    Error, ErrorKind, Result,
    account::Account,
    folder,
    install::{PGBOUNCER, install_hint},
    postmaster, search,
    secret::random_name,
};

/// The longest that PgBouncer may take to listen.
const START_TIMEOUT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(5);
const ATTEMPTS: usize = 5;

/// A PgBouncer of one's own, in front of a throw-away server.
///
/// It listens on 127.0.0.1, is run by an unprivileged user when the program runs as root, which PgBouncer
/// refuses, and ends with this value, or with the process if that is killed.
///
/// ```no_run
/// # async fn test() -> Result<(), tenantry_embedded::Error> {
/// use tenantry_embedded::{ScratchDatabase, ScratchPooler};
///
/// let database = ScratchDatabase::create().await?;
/// let pooler = ScratchPooler::start(&[database.url()], 4).await?;
/// assert_ne!(pooler.url(database.url()), database.url());
/// # Ok(())
/// # }
/// ```
pub struct ScratchPooler {
    process: Child,
    commands: Option<ChildStdin>,
    folder: PathBuf,
    port: u16,
}

impl ScratchPooler {
    /// Starts a PgBouncer in transaction mode that lets in whoever the URLs name, with this many server
    /// connections for each pair of role and database.
    ///
    /// The URLs are those of one server, as [`ScratchDatabase`](super::ScratchDatabase) gives them. The first
    /// one's role may use the admin console, the database `pgbouncer`.
    ///
    /// # Errors
    /// [`ErrorKind::BinariesNotFound`] with the command that installs PgBouncer as hint;
    /// [`ErrorKind::Server`] when it does not come up, with the end of its log.
    pub async fn start(urls: &[&str], pool_size: u32) -> Result<Self> {
        Self::start_with(urls, format!("pool_mode = transaction\ndefault_pool_size = {pool_size}\n")).await
    }

    /// The same in session mode, with PgBouncer's own defaults except for the parameters of a start-up message
    /// that it drops, where it would refuse the client: the names of its setting `ignore_startup_parameters`.
    ///
    /// # Errors
    /// Those of [`start`](Self::start).
    pub async fn start_in_session_mode(urls: &[&str], ignored_parameters: &[&str]) -> Result<Self> {
        let ignored = ignored_parameters.join(", ");
        Self::start_with(urls, format!("pool_mode = session\nignore_startup_parameters = {ignored}\n")).await
    }

    async fn start_with(urls: &[&str], mode: String) -> Result<Self> {
        let logins = urls.iter().map(|url| Login::parse(url)).collect::<Result<Vec<_>>>()?;
        blocking(move || Self::start_anywhere(&logins, &mode)).await
    }

    fn start_anywhere(logins: &[Login], mode: &str) -> Result<Self> {
        let program = find_program()?;
        let account = Account::for_server()?;
        let home = folder::scratch_home(&account)?;
        for _ in 1..ATTEMPTS {
            match Self::start_at(&program, &account, &home, postmaster::free_port()?, logins, mode) {
                Err(error) if postmaster::lost_its_port(&error.to_string()) => {}
                result => return result,
            }
        }
        Self::start_at(&program, &account, &home, postmaster::free_port()?, logins, mode)
    }

    fn start_at(
        program: &Path,
        account: &Account,
        home: &Path,
        port: u16,
        logins: &[Login],
        mode: &str,
    ) -> Result<Self> {
        let folder = home.join(format!("p-{}", &random_name()[..8]));
        let mut command = account.command("/bin/sh");
        // By way of the environment, so that a list of processes shows one line instead of the whole script.
        command.env("TENANTRY_KEEPER", include_str!("pooler.sh"));
        command.args(["-c", r#"eval "$TENANTRY_KEEPER""#, "tenantry-keeper"]).arg(&folder).arg(program);
        let mut process = command
            .stdin(Stdio::piped())
            .spawn()
            .map_err(|error| Error::new(ErrorKind::Server, "cannot run `/bin/sh`").because(error))?;
        let commands = process.stdin.take();
        let mut pooler = Self { process, commands, folder, port };
        pooler.configure(logins, mode)?;
        pooler.wait_until_it_listens()?;
        Ok(pooler)
    }

    fn configure(&mut self, logins: &[Login], mode: &str) -> Result<()> {
        let text = format!("{}end\n{}end\n", self.settings(logins, mode), user_list(logins));
        let written = self.commands.as_mut().map(|commands| commands.write_all(text.as_bytes()));
        written.transpose().map(drop).map_err(Error::at("configure PgBouncer in", &self.folder))
    }

    fn settings(&self, logins: &[Login], mode: &str) -> String {
        let (server, admin) = logins.first().map_or((0, ""), |login| (login.port, login.role.as_str()));
        let (folder, port) = (self.folder.display(), self.port);
        format!(
            "[databases]\n\
             * = host=127.0.0.1 port={server}\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {port}\n\
             unix_socket_dir =\n\
             auth_type = md5\n\
             auth_file = {folder}/users\n\
             admin_users = {admin}\n\
             logfile = {folder}/log\n\
             {mode}\
             max_client_conn = 500\n"
        )
    }

    fn wait_until_it_listens(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            let log = postmaster::log_tail(&self.folder.join("log"));
            if log.contains("FATAL") || Instant::now() > deadline {
                return Err(postmaster::failed("PgBouncer did not start", &log));
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// The same database as the same role, by way of this PgBouncer.
    pub fn url(&self, url: &str) -> String {
        match Login::parse(url) {
            Ok(login) => url.replacen(&format!(":{}/", login.port), &format!(":{}/", self.port), 1),
            Err(_) => url.to_owned(),
        }
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for ScratchPooler {
    fn drop(&mut self) {
        self.commands = None;
        let _ = self.process.wait();
    }
}

impl fmt::Debug for ScratchPooler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScratchPooler").field("port", &self.port).finish_non_exhaustive()
    }
}

/// The logins, and the address of the server.
struct Login {
    role: String,
    password: String,
    port: u16,
}

impl Login {
    /// Reads `postgres://role:password@host:port/database`, as this crate writes it.
    fn parse(url: &str) -> Result<Self> {
        let parse = || {
            let (credentials, place) = url.split_once("://")?.1.split_once('@')?;
            let (role, password) = credentials.split_once(':')?;
            let port = place.split_once('/')?.0.split_once(':')?.1.parse().ok()?;
            Some(Self { role: role.to_owned(), password: password.to_owned(), port })
        };
        parse().ok_or_else(|| Error::new(ErrorKind::Server, "this is not the URL of a throw-away database"))
    }
}

fn user_list(logins: &[Login]) -> String {
    logins.iter().fold(String::new(), |mut list, login| {
        let _ = writeln!(list, "\"{}\" \"{}\"", login.role, login.password);
        list
    })
}

fn find_program() -> Result<PathBuf> {
    search::pgbouncer().ok_or_else(|| {
        Error::new(ErrorKind::BinariesNotFound, "there is no PgBouncer on this machine")
            .with_hint(install_hint(PGBOUNCER))
    })
}

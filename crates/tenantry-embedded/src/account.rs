//! The user that runs the server: PostgreSQL refuses root, so root hands it to an unprivileged user.
use std::{
    fs,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

use crate::{Error, ErrorKind, Result};

/// The user the server runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Set when this is another user than the one who runs the program.
    pub(crate) dropped_to: Option<String>,
}

impl Account {
    /// The current user, or for root `postgres`, else `nobody`.
    ///
    /// `initdb` insists on an entry in the user database, so an invented number would not do.
    pub(crate) fn for_server() -> Result<Self> {
        let uid = rustix::process::geteuid().as_raw();
        if uid != 0 {
            return Ok(Self { uid, gid: rustix::process::getegid().as_raw(), dropped_to: None });
        }
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        unprivileged(&users).ok_or_else(|| {
            Error::new(
                ErrorKind::Server,
                "PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`",
            )
            .with_hint("run as a normal user, or add one named `postgres`")
        })
    }

    /// A command which runs as this user, away from our folder, our terminal and our pipes.
    ///
    /// A server that held the standard output of a test harness would make `cargo test | cat` hang, and a
    /// folder under root's home would be closed to it.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // PGDATA, PGPORT, PGOPTIONS and the like are meant for somebody else's server.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        command.env("LC_ALL", "C");
        if self.dropped_to.is_some() {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Returns true if this user can enter a folder. Asked by trying, since access lists have the last word.
    pub(crate) fn can_enter(&self, folder: &Path) -> bool {
        let mut command = self.command("/bin/sh");
        command.args(["-c", r#"cd "$1""#, "sh"]).arg(folder);
        command.status().is_ok_and(|status| status.success())
    }
}

fn unprivileged(users: &str) -> Option<Account> {
    ["postgres", "nobody"].iter().find_map(|name| users.lines().find_map(|line| parse_user(line, name)))
}

/// Reads `postgres:x:101:104:…` from `/etc/passwd`.
fn parse_user(line: &str, wanted: &str) -> Option<Account> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| *name == wanted)?;
    let uid = fields.nth(1)?.parse().ok().filter(|uid| *uid != 0)?;
    let gid = fields.next()?.parse().ok()?;
    Some(Account { uid, gid, dropped_to: Some(name.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgres_is_preferred_to_nobody_and_root_is_never_taken() {
        let users = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65533:::\npostgres:x:101:104:::\n";
        assert_eq!(unprivileged(users).map(|account| (account.uid, account.gid)), Some((101, 104)));
        assert_eq!(unprivileged("nobody:x:65534:65533:::").map(|account| account.gid), Some(65533));
        assert_eq!(unprivileged("postgres:x:0:0:::"), None);
        assert_eq!(unprivileged(""), None);
    }
}

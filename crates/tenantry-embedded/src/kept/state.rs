use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{Error, ErrorKind, Result, folder, secret::Secret};

/// The facts by which the next process reaches the server. Kept in a file only its owner can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// The port of the last start, which the next start takes again if it is free: URLs stay the same.
    pub(crate) port: u16,
    pub(crate) superuser: Secret,
    /// The password of every role that owns a database.
    pub(crate) owner: Secret,
    /// The short folder of the socket.
    pub(crate) sockets: PathBuf,
}

impl State {
    /// A state for data which is about to be made.
    pub(crate) fn new() -> Self {
        Self { port: 0, superuser: Secret::random(), owner: Secret::random(), sockets: PathBuf::new() }
    }

    /// Reads the file; `None` when there is none yet.
    pub(crate) fn load(file: &Path) -> Result<Option<Self>> {
        let content = match fs::read_to_string(file) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::at("read", file)(error)),
        };
        let damaged = || Error::new(ErrorKind::Folder, format!("`{}` is damaged", file.display()));
        Self::parse(&content).map(Some).ok_or_else(damaged)
    }

    pub(crate) fn save(&self, file: &Path) -> Result<()> {
        let Self { port, superuser, owner, sockets } = self;
        let (superuser, owner, sockets) = (superuser.expose(), owner.expose(), sockets.display());
        let content = format!("port={port}\nsuperuser={superuser}\nowner={owner}\nsockets={sockets}\n");
        folder::write_private(file, &content)
    }

    fn parse(content: &str) -> Option<Self> {
        let value = |key: &str| content.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        Some(Self {
            port: value("port")?.parse().ok()?,
            superuser: Secret::parse(value("superuser")?)?,
            owner: Secret::parse(value("owner")?)?,
            sockets: PathBuf::from(value("sockets")?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_was_saved_is_read_back_and_shows_no_password() {
        let state = State { port: 5433, sockets: PathBuf::from("/tmp/s"), ..State::new() };
        let file = std::env::temp_dir().join(format!("tenantry-state-{}", crate::secret::random_name()));
        state.save(&file).expect("saved");
        assert_eq!(State::load(&file).expect("loaded"), Some(state.clone()));
        assert!(!format!("{state:?}").contains(state.superuser.expose()));
        fs::remove_file(&file).expect("removed");
        assert_eq!(State::load(&file).expect("none"), None);
    }

    #[test]
    fn a_damaged_state_is_told_apart_from_none() {
        assert_eq!(State::parse("port=1\nsuperuser=a\nowner=\nsockets=/tmp\n"), None);
        assert_eq!(State::parse(""), None);
    }
}

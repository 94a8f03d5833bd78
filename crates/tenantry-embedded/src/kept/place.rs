use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::{Error, ErrorKind, Result, account::Account, folder};

/// The folder for data when the server's user cannot enter the project's folder.
const ELSEWHERE: &str = "/var/lib/tenantry";

/// The files of the server that belongs to one folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// `.tenantry/`
    pub(crate) home: PathBuf,
    pub(crate) data: PathBuf,
}

impl Place {
    /// Looks for the files in a folder, without making any.
    pub(crate) fn find(directory: &Path) -> Result<Option<Self>> {
        let directory = real_path(directory)?;
        let home = directory.join(".tenantry");
        let inside = home.join("data");
        let data = if inside.is_dir() { Some(inside) } else { pointed_to(&home, &directory)? };
        Ok(data.map(|data| Self { home, data }))
    }

    /// Finds or makes the folders. The data itself is made later, under the lock.
    pub(crate) fn make(directory: &Path, account: &Account) -> Result<Self> {
        let directory = real_path(directory)?;
        let home = directory.join(".tenantry");
        make_home(&home, account)?;
        if let Some(place) = Self::find(&directory)? {
            return Ok(place);
        }
        let is_open = account.dropped_to.is_none() || account.can_enter(&home);
        let data = if is_open { home.join("data") } else { make_elsewhere(&home, &directory)? };
        Ok(Self { home, data })
    }

    pub(crate) fn state_file(&self) -> PathBuf {
        self.home.join("server")
    }

    pub(crate) fn log_file(&self) -> PathBuf {
        self.home.join("server.log")
    }

    /// Takes the lock, or tells that somebody holds it: the server, or a process that is starting it.
    pub(crate) fn try_lock(&self) -> Result<Option<File>> {
        let path = self.home.join("lock");
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(Error::at("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(Error::at("lock", &path)(error)),
        }
    }

    /// Returns true if somebody holds the lock. Never takes it alone, so that it is in nobody's way.
    pub(crate) fn is_locked(&self) -> Result<bool> {
        let path = self.home.join("lock");
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(Error::at("open", &path)(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(Error::at("lock", &path)(error)),
        }
    }
}

/// The path without links. PostgreSQL and we write it to text files, and read it again.
fn real_path(directory: &Path) -> Result<PathBuf> {
    let real = fs::canonicalize(directory).map_err(Error::at("open", directory))?;
    let is_text = real.to_str().is_some_and(|path| !path.contains('\n'));
    if is_text {
        return Ok(real);
    }
    let message = format!("the path `{}` is not UTF-8, or has a line break", real.display());
    Err(Error::new(ErrorKind::Folder, message).with_hint("rename that folder, or work in another one"))
}

/// Makes `.tenantry/`, ignored by git. Root leaves it open for the server's user to pass through.
fn make_home(home: &Path, account: &Account) -> Result<()> {
    let mode = if account.dropped_to.is_some() { 0o711 } else { 0o700 };
    match DirBuilder::new().mode(mode).create(home) {
        Ok(()) => {
            fs::write(home.join(".gitignore"), "*\n").map_err(Error::at("write", &home.join(".gitignore")))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Error::at("create", home)(error)),
    }
}

fn pointer(home: &Path) -> PathBuf {
    home.join("data-directory")
}

/// Follows the pointer file to data outside, unless this folder is a copy of the one it was written for.
fn pointed_to(home: &Path, directory: &Path) -> Result<Option<PathBuf>> {
    let Some(data) = read_path(&pointer(home))? else { return Ok(None) };
    let Some(origin) = read_path(&data.with_file_name("origin"))? else { return Ok(None) };
    let is_copy = origin != directory && pointer(&origin.join(".tenantry")).exists();
    Ok((!is_copy).then_some(data))
}

fn read_path(file: &Path) -> Result<Option<PathBuf>> {
    match fs::read_to_string(file) {
        Ok(path) => Ok(Some(PathBuf::from(path.trim_end_matches('\n')))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::at("read", file)(error)),
    }
}

/// Makes the folder outside and the pointer to it.
fn make_elsewhere(home: &Path, directory: &Path) -> Result<PathBuf> {
    let path = Path::new(ELSEWHERE).join(folder::digest(directory.as_os_str().as_encoded_bytes()));
    let created = DirBuilder::new().mode(0o755).recursive(true).create(&path);
    created.map_err(|error| {
        let message = format!(
            "`{}` is closed to the user PostgreSQL runs as, and `{}` cannot be created",
            directory.display(),
            path.display()
        );
        let hint = "move the project to a folder every user can enter, or run as a normal user";
        Error::new(ErrorKind::Folder, message).with_hint(hint).because(error)
    })?;
    write_path(&path.join("origin"), directory)?;
    let data = path.join("data");
    write_path(&pointer(home), &data)?;
    Ok(data)
}

fn write_path(file: &Path, path: &Path) -> Result<()> {
    fs::write(file, format!("{}\n", path.display())).map_err(Error::at("write", file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temporary() -> PathBuf {
        let path = std::env::temp_dir().join(format!("tenantry-place-{}", crate::secret::random_name()));
        fs::create_dir_all(path.join(".tenantry")).expect("a folder");
        fs::canonicalize(path).expect("its path")
    }

    #[test]
    fn a_pointer_is_followed_by_the_folder_it_was_written_for_and_after_a_move_but_not_by_a_copy() {
        let (project, elsewhere) = (temporary(), temporary());
        let (home, data) = (project.join(".tenantry"), elsewhere.join("data"));
        write_path(&pointer(&home), &data).expect("the pointer");
        write_path(&elsewhere.join("origin"), &project).expect("the origin");

        assert_eq!(pointed_to(&home, &project).expect("original"), Some(data.clone()));
        assert_eq!(pointed_to(&home, Path::new("/a/copy")).expect("copy"), None);
        write_path(&elsewhere.join("origin"), Path::new("/moved/away")).expect("the origin");
        assert_eq!(pointed_to(&home, &project).expect("moved"), Some(data));

        fs::remove_dir_all(project).expect("cleaned");
        fs::remove_dir_all(elsewhere).expect("cleaned");
    }
}

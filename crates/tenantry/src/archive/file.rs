//! A file that is there when it is whole, and not before.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

/// A file that is written beside its place, and put there by [`ArchiveFile::keep`]. Dropped before that, it leaves
/// nothing; what a killed process leaves, as `NAME.part`, the next one writes over.
///
/// ```no_run
/// # async fn example(tenancy: tenantry::Tenancy, dump: impl AsyncFnMut(&[String]) -> tenantry::Result<String>)
/// # -> tenantry::Result<()> {
/// use tenantry::archive::ArchiveFile;
/// use tenantry::lifecycle::ExportOptions;
///
/// let acme = tenancy.tenant("acme").await?;
/// let file = ArchiveFile::create("acme.tar.zst", false)?;
/// let exported = tenancy.export(&acme, file.writer()?, &ExportOptions::default(), dump).await?;
/// file.keep()?;
/// println!("{} rows, {}", exported.rows, exported.sha256);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ArchiveFile {
    place: PathBuf,
    beside: PathBuf,
    file: File,
    replaces: bool,
    is_kept: bool,
}

impl ArchiveFile {
    /// Begins a file. One that is there already is replaced only if `replaces` says so, and not before the new one is
    /// whole.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] if it is there; [`ErrorKind::Conflict`] while another process writes it;
    /// [`ErrorKind::InvalidInput`] if it cannot be written.
    pub fn create(place: impl Into<PathBuf>, replaces: bool) -> Result<Self> {
        let place = place.into();
        if !replaces && place.symlink_metadata().is_ok() {
            return Err(is_there(&place));
        }
        let Some(name) = place.file_name() else {
            return Err(Error::new(ErrorKind::InvalidInput, format!("`{}` is no file", place.display())));
        };
        let mut name = name.to_owned();
        name.push(".part");
        let beside = place.with_file_name(name);
        let open = OpenOptions::new().write(true).create(true).truncate(false).open(&beside);
        let file = open.map_err(|error| cannot(&beside, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let message = format!("another process writes `{}`", place.display());
                return Err(Error::new(ErrorKind::Conflict, message).with_hint("wait for it, then try again"));
            }
            Err(TryLockError::Error(error)) => return Err(cannot(&beside, error)),
        }
        file.set_len(0).map_err(|error| cannot(&beside, error))?;
        Ok(Self { place, beside, file, replaces, is_kept: false })
    }

    /// The way into the file.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the process may not open more files.
    pub fn writer(&self) -> Result<impl Write + Send + use<>> {
        let file = self.file.try_clone().map_err(|error| cannot(&self.beside, error))?;
        Ok(io::BufWriter::with_capacity(256 << 10, file))
    }

    /// Puts the file in its place, once the disk has all of it.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] if another one came there meanwhile; [`ErrorKind::InvalidInput`] if the disk
    /// refuses.
    pub fn keep(mut self) -> Result<()> {
        self.file.sync_all().map_err(|error| cannot(&self.beside, error))?;
        if self.replaces {
            std::fs::rename(&self.beside, &self.place).map_err(|error| cannot(&self.place, error))?;
        } else {
            self.place_once()?;
        }
        self.is_kept = true;
        // Where a folder cannot be opened as a file, the system sees to it.
        let folder = self.place.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) {
            let _ = folder.sync_all();
        }
        Ok(())
    }

    /// A link is refused where there is a file, a rename would replace it.
    fn place_once(&self) -> Result<()> {
        match std::fs::hard_link(&self.beside, &self.place) {
            Ok(()) => {
                let _ = std::fs::remove_file(&self.beside);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(is_there(&self.place)),
            // Not every file system has links.
            Err(_) if self.place.symlink_metadata().is_ok() => Err(is_there(&self.place)),
            Err(_) => std::fs::rename(&self.beside, &self.place).map_err(|error| cannot(&self.place, error)),
        }
    }
}

impl Drop for ArchiveFile {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = std::fs::remove_file(&self.beside);
        }
    }
}

fn is_there(place: &Path) -> Error {
    Error::new(ErrorKind::AlreadyExists, format!("`{}` is there already", place.display()))
        .with_hint("choose another name, or say that it may be replaced")
}

fn cannot(path: &Path, error: io::Error) -> Error {
    let message = format!("`{}` cannot be written: {error}", path.display());
    Error::new(ErrorKind::InvalidInput, message).with_source(error)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_file_is_there_when_it_is_kept_and_replaces_only_what_it_may() {
        let folder = std::env::temp_dir().join(format!("tenantry-file-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (place, beside) = (folder.join("a.tar.zst"), folder.join("a.tar.zst.part"));
        let write = |text: &str, replaces| {
            let file = ArchiveFile::create(&place, replaces)?;
            let mut writer = file.writer()?;
            writer.write_all(text.as_bytes()).unwrap();
            writer.flush().unwrap();
            Ok::<_, Error>(file)
        };
        // A process that died has left this.
        std::fs::write(&beside, "much more than what comes").unwrap();
        let file = write("one", false).unwrap();
        assert!(!place.exists());
        assert_eq!(ArchiveFile::create(&place, false).unwrap_err().kind(), ErrorKind::Conflict);
        file.keep().unwrap();
        assert_eq!(std::fs::read_to_string(&place).unwrap(), "one");
        assert!(!beside.exists());
        assert_eq!(write("two", false).unwrap_err().kind(), ErrorKind::AlreadyExists);
        drop(write("two", true).unwrap());
        assert_eq!(std::fs::read_to_string(&place).unwrap(), "one");
        write("two", true).unwrap().keep().unwrap();
        assert_eq!(std::fs::read_to_string(&place).unwrap(), "two");
        // It came while the other was written.
        std::fs::remove_file(&place).unwrap();
        let file = write("three", false).unwrap();
        std::fs::write(&place, "other").unwrap();
        assert_eq!(file.keep().unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&place).unwrap(), "other");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

//! Writes the new files: all of them, or none.
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tenantry::Config;
use tenantry::migrate::{ImportedFile, Migrations};

use crate::failure::Failure;

/// The directories that are written to.
pub(super) struct Target {
    master: PathBuf,
    tenant: PathBuf,
}

impl Target {
    /// The directories of the configuration, unless another place is named.
    pub(super) fn of(config: &Config, to: Option<&Path>) -> Self {
        let (master, tenant) = match to {
            Some(to) => (to.join("master"), to.join("tenant")),
            None => config.migration_directories(),
        };
        Self { master, tenant }
    }

    /// The migrations that are there already.
    pub(super) fn migrations(&self) -> anyhow::Result<Migrations> {
        let present = Migrations::read_present(&self.master, &self.tenant);
        present.check_files().map_err(tenantry::Error::from)?;
        Ok(present)
    }

    pub(super) fn path_of(&self, file: &ImportedFile) -> PathBuf {
        let directory = if file.is_master { &self.master } else { &self.tenant };
        directory.join(&file.name)
    }

    /// Writes all files, each of which is new, or none.
    pub(super) fn write(&self, files: &[ImportedFile]) -> anyhow::Result<()> {
        for directory in [&self.master, &self.tenant] {
            fs::create_dir_all(directory).with_context(|| cannot_be_made(directory))?;
        }
        let mut written: Vec<PathBuf> = Vec::new();
        for file in files {
            let path = self.path_of(file);
            let made = OpenOptions::new().write(true).create_new(true).open(&path);
            written.extend(made.is_ok().then(|| path.clone()));
            if let Err(error) = made.and_then(|mut new| new.write_all(file.text.as_bytes())) {
                // Made a moment ago, and by nobody else.
                for path in &written {
                    let _ = fs::remove_file(path);
                }
                return Err(error).with_context(|| cannot_be_made(&path));
            }
        }
        Ok(())
    }
}

/// Fails if a new file has the version of one that is there.
pub(super) fn check_free(files: &[ImportedFile], present: &Migrations) -> anyhow::Result<()> {
    let taken = files.iter().filter_map(|file| {
        let set = if file.is_master { present.master() } else { present.tenant() };
        set.get(file.version)
    });
    let mut taken: Vec<_> = taken.map(|there| (there.version(), there.file())).collect();
    taken.dedup();
    let Some((version, file)) = taken.first() else { return Ok(()) };
    let more = match taken.len() - 1 {
        0 => String::new(),
        count => format!(", and so it is with {count} more"),
    };
    let message = format!("nothing was written: version {version} is that of `{file}` already{more}");
    let refused = Failure::new("conflict", message);
    Err(refused.with_hint("move away what is there, or write elsewhere by `--to DIR`").into())
}

fn cannot_be_made(path: &Path) -> String {
    format!("`{}` cannot be made", path.display())
}

//! Reads the files of directories.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use super::{Baselines, Migrations};
use crate::migration::baseline::{self, Baseline};
use crate::migration::directory::Directory;
use crate::migration::error::{MigrationError, Problem};
use crate::migration::script::Script;
use crate::migration::set::MigrationSet;
use crate::migration::tenant_files::TenantFiles;
use crate::migration::text::sql_text;
use crate::tenant::TypeName;

/// Reads a baseline, if there is such a file.
fn read_baseline(path: &Path, set: &MigrationSet) -> Result<Option<Arc<Baseline>>, Vec<MigrationError>> {
    let file = path.display().to_string();
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(vec![MigrationError::in_file(file, Problem::from(error))]),
    };
    let text = sql_text(&file, bytes).map_err(|error| vec![error])?;
    Ok(Some(Arc::new(Baseline::parse(&file, &text, set)?)))
}

impl Migrations {
    pub(super) fn read_all(
        master: &Path,
        tenant: &Path,
        types: &BTreeMap<TypeName, PathBuf>,
        baselines: Baselines,
    ) -> Self {
        let mut errors = Vec::new();
        let of_types = || types.values().map(PathBuf::as_path);
        let others = |other| std::iter::once(other).chain(of_types()).collect::<Vec<_>>();
        let directories =
            [Directory::master(master, &others(tenant)), Directory::tenant(tenant, &others(master))];
        let scripts = directories.map(|directory| directory.read(&mut errors));
        let mut files = Self::new(scripts, errors);
        if let Baselines::Read = baselines {
            match read_baseline(&tenant.join(baseline::FILE), files.tenant()) {
                Ok(baseline) => files.tenant.baseline = baseline,
                // Where files are missing, a baseline that was made of them only repeats that.
                Err(_) if !files.faults.files.is_empty() => {}
                Err(errors) => files.tenant.creation.extend(errors),
            }
        }
        types.iter().fold(files, |files, (name, path)| files.with_read(name, path, baselines))
    }

    /// Adds a type whose files are in a directory, with whatever is wrong with them.
    pub(super) fn with_read(mut self, type_name: &TypeName, path: &Path, baselines: Baselines) -> Self {
        let mut errors = Vec::new();
        let scripts = Directory::tenant(path, &[]).read(&mut errors);
        let mut files = self.typed(type_name, scripts, errors);
        let read = match baselines {
            Baselines::Read => read_baseline(&path.join(baseline::FILE), files.set()),
            Baselines::Ignored => Ok(None),
        };
        match read {
            Ok(None) => {}
            Ok(baseline) => {
                files = TenantFiles { baseline, has_own_baseline: true, creation: Vec::new(), ..files }
            }
            Err(_) if !files.unknown.is_empty() => {}
            Err(creation) => files = TenantFiles { has_own_baseline: true, creation, ..files },
        }
        self.types.insert(type_name.clone(), files);
        self
    }

    /// The files of a type: those of all tenants, which start from the baseline of all, and its own.
    pub(super) fn typed(
        &self,
        type_name: &TypeName,
        own: Vec<Script>,
        mut errors: Vec<MigrationError>,
    ) -> TenantFiles {
        let mut in_set = Vec::new();
        let own = MigrationSet::new(own, &mut in_set);
        let set = self.tenant().with_type(type_name.clone(), &own, &mut in_set);
        // Of what is missing, a second error would only say that it is.
        if errors.is_empty() && self.faults.files.is_empty() {
            errors = in_set;
        }
        TenantFiles { set: Arc::new(set), unknown: errors, ..self.tenant.clone() }
    }
}

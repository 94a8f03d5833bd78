//! Opens a place, and names what is in it.
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt as _};
use tenantry::tenant::TenantId;
use time::OffsetDateTime;

#[cfg(not(feature = "s3"))]
use super::no_s3 as s3;
use super::place::Place;
#[cfg(feature = "s3")]
use super::s3;
use super::stem::StoredFile;
use crate::failure::Failure;

/// An open place.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) root: ObjectPath,
    place: Place,
}

impl Store {
    /// Opens a place that is there. Of a bucket nothing is asked yet.
    pub(crate) fn open(place: &Place) -> anyhow::Result<Self> {
        let (objects, root): (Arc<dyn ObjectStore>, _) = match place {
            Place::Folder(folder) => (open_folder(folder)?, ObjectPath::default()),
            Place::Bucket { bucket, prefix } => (s3::open(bucket)?, ObjectPath::parse(prefix)?),
        };
        Ok(Self { objects, root, place: place.clone() })
    }

    /// Opens a place to write into it. A folder that is made is nobody else's.
    pub(crate) fn create(place: &Place) -> anyhow::Result<Self> {
        if let Place::Folder(folder) = place {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.with_context(|| format!("the folder `{place}` cannot be made"))?;
        }
        Self::open(place)
    }

    /// The file of a tenant.
    pub(crate) fn file_of(&self, tenant: TenantId, name: &str) -> ObjectPath {
        self.folder_of(tenant).join(name)
    }

    pub(super) fn folder_of(&self, tenant: TenantId) -> ObjectPath {
        self.root.clone().join(tenant.to_string())
    }

    /// A file of the place itself.
    pub(crate) fn file(&self, name: &str) -> ObjectPath {
        self.root.clone().join(name)
    }

    /// A file as people type it.
    pub(crate) fn shown(&self, file: &ObjectPath) -> String {
        let parts = file.prefix_match(&self.root).into_iter().flatten();
        let below = parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/");
        let place = self.place.to_string();
        format!("{}/{below}", place.trim_end_matches('/'))
    }

    /// Removes a file. One that is gone already is no mistake.
    pub(crate) async fn remove(&self, file: &ObjectPath) -> anyhow::Result<()> {
        match self.objects.delete(file).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failure("removed", file, &error)),
        }
    }

    /// Removes what writers of a tenant's archives have left that were killed before this time. A folder hides such
    /// files under names with a `#`; a bucket has rules of its own for parts without an end. Where it cannot be done,
    /// nothing is lost.
    pub(crate) fn sweep(&self, tenant: TenantId, before: OffsetDateTime) {
        let Place::Folder(folder) = &self.place else { return };
        let Ok(entries) = folder.join(tenant.to_string()).read_dir() else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let is_left =
                name.to_str().and_then(|name| name.rsplit_once('#')).is_some_and(|(name, number)| {
                    let file = StoredFile::parse(name);
                    file.is_some_and(|file| file.stem.at < before)
                        && number.bytes().all(|it| it.is_ascii_digit())
                });
            if is_left {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    /// The failure of something that was done to a file.
    pub(super) fn failure(
        &self,
        what: &str,
        file: &ObjectPath,
        error: &object_store::Error,
    ) -> anyhow::Error {
        let cause = match error {
            object_store::Error::NotFound { .. } => "there is no such file".to_owned(),
            error => error.to_string(),
        };
        Failure::new("store", format!("`{}` cannot be {what}: {cause}", self.shown(file))).into()
    }

    /// The failure of something that was done to the place.
    pub(super) fn unreadable(&self, error: &object_store::Error) -> anyhow::Error {
        Failure::new("store", format!("`{}` cannot be listed: {error}", self.place)).into()
    }
}

/// A folder whose files are on the disk when they are said to be there.
fn open_folder(folder: &Path) -> anyhow::Result<Arc<dyn ObjectStore>> {
    if !folder.is_dir() {
        let message = format!("there is no folder `{}`", folder.display());
        return Err(Failure::new("store", message).into());
    }
    let files = LocalFileSystem::new_with_prefix(folder);
    let files = files.with_context(|| format!("the folder `{}` cannot be opened", folder.display()))?;
    Ok(Arc::new(files.with_fsync(true)))
}

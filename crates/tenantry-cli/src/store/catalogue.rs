//! Enters exports into the catalogue, and lists them.
use std::collections::BTreeSet;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::ObjectStoreExt as _;
use object_store::path::Path as ObjectPath;
use tenantry::tenant::TenantId;

use super::entry::Entry;
use super::objects::Store;
use super::stem::{Kind, Stem, StoredFile};
use crate::failure::Failure;

/// Entries that are read at a time.
const AT_A_TIME: usize = 16;
/// The most that an entry may have, which is what somebody else has put there.
const LARGEST: u64 = 64 << 10;

/// The content of a place, by its names.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// The files of exports, with their tenants.
    pub(crate) files: Vec<(TenantId, StoredFile)>,
    /// Files that no export has written, or of which the catalogue has no entry.
    pub(crate) unknown: Vec<ObjectPath>,
}

impl Store {
    /// Enters the outcome of an export.
    pub(crate) async fn enter(&self, entry: &Entry, stem: &Stem, kind: Kind) -> anyhow::Result<()> {
        let file = self.file_of(entry.id, &stem.file(kind));
        let text = serde_json::to_string_pretty(entry)? + "\n";
        let put = self.objects.put(&file, text.into()).await;
        put.map(drop).map_err(|error| self.failure("written", &file, &error))
    }

    /// Reads an entry.
    pub(crate) async fn entry(&self, tenant: TenantId, file: &StoredFile) -> anyhow::Result<Entry> {
        let path = self.file_of(tenant, &file.name());
        let got = self.objects.get(&path).await;
        let got = got.map_err(|error| self.failure("read", &path, &error))?;
        if got.meta.size > LARGEST {
            return Err(self.no_entry(&path));
        }
        let bytes = got.bytes().await.map_err(|error| self.failure("read", &path, &error))?;
        serde_json::from_slice(&bytes).map_err(|_| self.no_entry(&path))
    }

    /// Reads many entries, several at a time, in this order.
    pub(crate) async fn entries(
        &self,
        files: impl IntoIterator<Item = (TenantId, StoredFile)>,
    ) -> anyhow::Result<Vec<(StoredFile, Entry)>> {
        let read = |(tenant, file): (TenantId, StoredFile)| async move {
            let entry = self.entry(tenant, &file).await?;
            anyhow::Ok((file, entry))
        };
        stream::iter(files).map(read).buffered(AT_A_TIME).try_collect().await
    }

    /// Lists the files of one tenant, and nothing else that is there.
    pub(crate) async fn files_of(&self, tenant: TenantId) -> anyhow::Result<Vec<StoredFile>> {
        let folder = self.folder_of(tenant);
        let listed: Vec<_> =
            self.objects.list(Some(&folder)).try_collect().await.map_err(|it| self.unreadable(&it))?;
        let of_tenant = listed.iter().filter_map(|file| self.parse(&file.location));
        Ok(of_tenant.filter(|(id, _)| *id == tenant).map(|(_, file)| file).collect())
    }

    /// Lists all that is there.
    pub(crate) async fn listing(&self) -> anyhow::Result<Listing> {
        let mut listing = Listing::default();
        let root = (!self.root.as_ref().is_empty()).then_some(&self.root);
        let mut listed = self.objects.list(root);
        while let Some(file) = listed.try_next().await.map_err(|error| self.unreadable(&error))? {
            match self.parse(&file.location) {
                Some(file) => listing.files.push(file),
                None => listing.unknown.push(file.location),
            }
        }
        listing.files.sort();
        let entered: BTreeSet<_> = listing
            .files
            .iter()
            .filter(|(_, file)| file.kind != Kind::Archive)
            .map(|(tenant, file)| (*tenant, file.stem.clone()))
            .collect();
        let is_known =
            |(tenant, file): &(TenantId, StoredFile)| entered.contains(&(*tenant, file.stem.clone()));
        let (known, without_entry): (Vec<_>, Vec<_>) = listing.files.into_iter().partition(is_known);
        listing
            .unknown
            .extend(without_entry.iter().map(|(tenant, file)| self.file_of(*tenant, &file.name())));
        listing.unknown.sort();
        Ok(Listing { files: known, ..listing })
    }

    /// The tenant and the export that a file belongs to, by its name.
    fn parse(&self, file: &ObjectPath) -> Option<(TenantId, StoredFile)> {
        let mut parts = file.prefix_match(&self.root)?;
        let (tenant, name) = (parts.next()?, parts.next()?);
        let tenant: TenantId = tenant.as_ref().parse().ok()?;
        let is_it = parts.next().is_none() && file.prefix_matches(&self.folder_of(tenant));
        StoredFile::parse(name.as_ref()).filter(|_| is_it).map(|file| (tenant, file))
    }

    fn no_entry(&self, file: &ObjectPath) -> anyhow::Error {
        Failure::new("store", format!("`{}` is no entry of a catalogue", self.shown(file))).into()
    }
}

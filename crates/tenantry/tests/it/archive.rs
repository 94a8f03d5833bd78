//! A tenant in one file, and what becomes of it again.

pub(crate) mod imported;
mod restored;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tenantry::archive::{Manifest, verify};
use tenantry::lifecycle::{ExportOptions, Exported};
use tenantry::tenant::{Suspension, Tenant};
use tenantry::{Error, ErrorKind, Tenancy};
use tenantry_embedded::ScratchDatabase;

use crate::clone::{ROWS, acme_with, dump, no_dump};
use crate::support::{Client, check_error};

/// A file in memory.
#[derive(Clone, Default)]
struct InMemory(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for InMemory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Writes an archive, and answers with its bytes.
pub(crate) async fn export(
    database: &ScratchDatabase,
    tenancy: &Tenancy,
    tenant: &Tenant,
) -> Result<(Exported, Vec<u8>), Error> {
    let file = InMemory::default();
    let dump = async |arguments: &[String]| Ok::<_, Error>(dump(database, arguments));
    let exported = tenancy.export(tenant, file.clone(), &ExportOptions::default(), dump).await?;
    let bytes = std::mem::take(&mut *file.0.lock().unwrap());
    Ok((exported, bytes))
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("tenantry-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn an_archive_says_whose_it_is_and_what_is_in_it() {
    let (database, tenancy, acme) = acme_with(ROWS).await;
    let domain = "acme.example".parse().unwrap();
    tenancy.add_domain(&acme, &domain).await.unwrap();
    let (exported, bytes) = export(&database, &tenancy, &acme).await.unwrap();
    let verified = verify(&bytes[..]).unwrap();
    assert_eq!((verified.bytes, verified.sha256), (exported.bytes, exported.sha256));
    let Manifest { slug, domains, version, digest, fingerprint, tables, .. } = verified.manifest.clone();
    assert_eq!((slug.as_str(), domains, version), ("acme", vec![domain], Some(1)));
    assert_eq!((Some(&digest), fingerprint), (acme.digest(), exported.fingerprint));
    let rows: Vec<_> = tables.iter().map(|table| (table.name.as_str(), table.rows)).collect();
    assert_eq!(rows, [("note", 0), ("customer", 2), ("log", 3), ("day_1", 1), ("_sqlx_migrations", 1)]);
    assert_eq!((exported.rows, exported.version, exported.structure_was_kept), (6, Some(1), false));
    assert_eq!(verified.manifest.materialized_views, ["emails"]);

    // The structure is kept, for another archive and for a clone.
    let again = tenancy.export(&acme, InMemory::default(), &ExportOptions::default(), no_dump).await.unwrap();
    assert!(again.structure_was_kept);
    // The session of the first has read the second, too, and holds nothing now.
    let mut owner = Client::owner(&database).await;
    let readers = "pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_advisory_unlock%'";
    assert_eq!(owner.count(&format!("{readers} AND pid <> pg_backend_pid() AND state = 'idle'")).await, 1);
    let locks = "pg_locks AS l JOIN pg_database AS d ON d.oid = l.database \
        WHERE datname = current_database() AND locktype = 'advisory'";
    assert_eq!(owner.count(locks).await, 0);
    let entries = tenancy.audit(acme.id(), 10).await.unwrap();
    assert_eq!((entries[1].verb.as_str(), entries[1].digest), ("export", Some(exported.sha256)));
}

#[tokio::test]
async fn a_tenant_that_is_not_served_is_exported_and_one_that_cannot_be_carried_is_not() {
    let (database, tenancy, acme) = acme_with(ROWS).await;
    tenancy.suspend(&acme, Suspension::new()).await.unwrap();
    assert_eq!(export(&database, &tenancy, &acme).await.unwrap().0.rows, 6);
    tenancy.delete(&acme).await.unwrap();
    assert_eq!(export(&database, &tenancy, &acme).await.unwrap().0.rows, 6);
    let mut owner = Client::owner(&database).await;
    owner.run(&format!("SET search_path TO {}", acme.schema())).await;
    owner.run("ALTER TABLE log ENABLE ROW LEVEL SECURITY; ALTER TABLE log FORCE ROW LEVEL SECURITY").await;
    let file = InMemory::default();
    let refused = tenancy.export(&acme, file.clone(), &ExportOptions::default(), no_dump).await;
    check_error(refused, ErrorKind::Unsupported, &["cannot be exported", "rows of table `log`"]);
    assert!(file.0.lock().unwrap().is_empty());
    owner.run("ALTER TABLE log NO FORCE ROW LEVEL SECURITY; CREATE TABLE \"a\nb\" ()").await;
    let refused = tenancy.export(&acme, file.clone(), &ExportOptions::default(), no_dump).await;
    check_error(refused, ErrorKind::Unsupported, &["end of a line"]);
    owner.run("UPDATE tenantry.tenant SET status = 'purging'").await;
    let refused = tenancy.export(&acme, file.clone(), &ExportOptions::default(), no_dump).await;
    check_error(refused, ErrorKind::TenantUnavailable, &["is purging"]);
    assert!(file.0.lock().unwrap().is_empty());
}

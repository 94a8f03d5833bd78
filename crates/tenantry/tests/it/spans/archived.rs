//! The spans of a tenant that becomes an archive, and of one that is made of it.

use super::Lines;
use crate::archive::export;
use crate::archive::imported::import;
use crate::clone::acme_with;

#[tokio::test]
async fn an_export_and_an_import_are_in_spans_with_their_tenants() {
    let (database, tenancy, acme) = acme_with("INSERT INTO note VALUES (1)").await;
    let (lines, _listening) = Lines::listen();
    let (_, archive) = export(&database, &tenancy, &acme).await.unwrap();
    lines.check_verb("export", &acme);
    tenancy.release(&acme).await.unwrap();
    lines.check_verb("release", &acme);
    // Its slug is in the archive, and known when that is read.
    let imported = import(&tenancy, &archive, &tenantry::FromArchive::default()).await.unwrap();
    lines.check_verb("import", &imported.tenant);
}

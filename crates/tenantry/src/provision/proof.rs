use sqlx::PgConnection;

use crate::error::{Error, ErrorKind, Result};
use crate::guard::{Guard, stands};
use crate::structure::{Fingerprint, StructurePart, Subject};
use crate::tenant::Tenant;

/// The structure that a schema had when it was found to be what the files make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) fingerprint: Fingerprint,
    /// The tables that did not count.
    pub(crate) left_out: Vec<String>,
}

impl Proof {
    /// Makes sure that it still is, in the transaction that writes its ledger.
    pub(super) async fn check(&self, connection: &mut PgConnection, tenant: &Tenant) -> Result<()> {
        let subject = Subject { schema: tenant.schema(), own_role: None };
        let is = Fingerprint::within(&mut *connection, subject, StructurePart::Shape(&self.left_out)).await?;
        // The question has changed the path, and nothing in the schema may stand for what the server has.
        sqlx::raw_sql("SET LOCAL search_path TO DEFAULT").execute(connection).await?;
        if is == self.fingerprint || !stands(Guard::AdoptionProof) {
            return Ok(());
        }
        let message =
            format!("schema `{}` was changed since it was compared with the files", tenant.schema());
        Err(Error::new(ErrorKind::Conflict, message)
            .with_tenant(tenant.slug())
            .with_hint("let nobody else change it, and adopt it again"))
    }
}

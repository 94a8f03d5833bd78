//! Reads what there is to carry, and compares what it needs with what is there.

use sqlx::PgConnection;

use super::Transfer;
use crate::error::{Error, ErrorKind, Result};
use crate::lifecycle::contents::{SourceTable, tables};
use crate::lifecycle::needs::{Here, Needs};
use crate::lifecycle::source::{needed_extensions, needed_servers, needed_shared, notes};
use crate::observe::Step;
use crate::structure::{OutsideNames, Structure, Subject};

/// The content of a source, as far as it is known before anything is made.
#[derive(Debug)]
pub(in crate::lifecycle) struct TransferPlan {
    pub(in crate::lifecycle) structure: Structure,
    pub(in crate::lifecycle) tables: Vec<SourceTable>,
    /// Things that the copy is without, or has beyond its source.
    pub(in crate::lifecycle) notes: Vec<String>,
    /// Both servers are of one major version.
    pub(super) is_one_version: bool,
    /// Owner and application are called the same where the source is and where the target is.
    pub(super) is_one_owner: bool,
}

impl Transfer<'_> {
    /// Makes the plan. The reader sees the source in a transaction, which shares its snapshot with `dump`; nothing is
    /// made yet.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] with what is missing in the target's database.
    pub(in crate::lifecycle) async fn plan<E: From<Error>>(
        &self,
        reader: &mut PgConnection,
        writer: &mut PgConnection,
        dump: &mut impl AsyncFnMut(&[String]) -> Result<String, E>,
    ) -> Result<TransferPlan, E> {
        let schema = self.source.schema();
        self.steps.step(Step::new("looking at the source", 0, None));
        let tables = tables(reader, schema).await?;
        let notes = notes(reader, schema).await?;
        let extensions = needed_extensions(reader, schema).await?;
        let shared = needed_shared(reader, &self.context.layout, schema).await?;
        let servers = needed_servers(reader, schema).await?;
        let own_role = self.role_of(self.source);
        let structure =
            Structure::of(reader, Subject { schema, own_role: own_role.as_deref() }, dump).await?;
        let (there, here) = (Here::of(reader).await?, Here::of(writer).await?);
        let [from, to] = self.application_roles()?;
        let OutsideNames { mut roles, tablespaces } = structure.outside_names()?;
        let is_renamed = there.owner == from && here.owner == to;
        if there.owner != here.owner && !is_renamed && roles.contains(&there.owner) {
            let reason = format!(
                "its owner `{}` is not `{}`, and has other privileges in it than an owner has",
                there.owner, here.owner
            );
            return Err(self.purpose.refused(self.source, ErrorKind::Unsupported, reason).into());
        }
        // The application goes by its name there.
        roles.retain(|role| role != from);
        let needs = Needs {
            server_major: there.major(),
            encoding: there.encoding.clone(),
            extensions,
            roles,
            tablespaces,
            servers,
            shared,
        };
        let whose = self.purpose.sentence(self.source);
        needs
            .check(writer, &here, &whose, "create them there")
            .await
            .map_err(|error| error.with_tenant(self.source.slug()))?;
        let is_one_owner = there.owner == here.owner && from == to;
        Ok(TransferPlan {
            structure,
            tables,
            notes,
            is_one_version: there.major() == here.major(),
            is_one_owner,
        })
    }
}

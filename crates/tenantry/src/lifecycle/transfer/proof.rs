//! Proves that what was made is what it should be.

use sqlx::PgConnection;

use super::Transfer;
use super::plan::TransferPlan;
use crate::error::{Error, ErrorKind, Result};
use crate::guard::{Guard, stands};
use crate::lifecycle::contents::{first, leading_out, shared};
use crate::observe::Step;
use crate::structure::{Fingerprint, Objects, StructurePart, Subject};

impl TransferPlan {
    /// Returns true if the same structure has the same fingerprint where it is and where it is made.
    pub(in crate::lifecycle) fn is_comparable(&self) -> bool {
        self.is_one_version && self.is_one_owner
    }
}

impl Transfer<'_> {
    /// Compares both, and looks whether what was made stands on its own.
    pub(super) async fn prove(
        &self,
        reader: &mut PgConnection,
        writer: &mut PgConnection,
        plan: &TransferPlan,
    ) -> Result<()> {
        self.steps.step(Step::new("comparing it with its source", 0, None));
        let difference = self.difference(reader, writer, plan).await?;
        if let Some(difference) = difference.filter(|_| stands(Guard::TransferProof)) {
            let hint = "a dump does not hold it, or SQL that ran behind the rows has changed it";
            return Err(self
                .refused(format!("what is made of it would differ from it in {difference}"))
                .with_hint(hint));
        }
        let leading_out = leading_out(writer, &shared(&self.context.layout), self.target.schema()).await?;
        if !leading_out.is_empty() {
            return Err(self.refused(format!("in what is made of it, {}", first(&leading_out))));
        }
        Ok(())
    }

    fn refused(&self, what: String) -> Error {
        self.purpose.refused(self.source, ErrorKind::Unsupported, what)
    }

    async fn difference(
        &self,
        reader: &mut PgConnection,
        writer: &mut PgConnection,
        plan: &TransferPlan,
    ) -> Result<Option<String>> {
        let roles = [self.role_of(self.source), self.role_of(self.target)];
        let [from, to] = [(self.source, &roles[0]), (self.target, &roles[1])]
            .map(|(tenant, role)| Subject { schema: tenant.schema(), own_role: role.as_deref() });
        if plan.is_comparable() && Fingerprint::of(writer, to).await? == plan.structure.fingerprint() {
            return Ok(None);
        }
        // Owners go by other names there, and privileges with them.
        let part = if plan.is_one_owner { StructurePart::Whole } else { StructurePart::Shape(&[]) };
        let should_be = Objects::within(reader, from, part).await?;
        let is = Objects::within(writer, to, part).await?;
        let [mut is, mut should_be] = [is, should_be];
        if !plan.is_one_version {
            [is, should_be] = [is, should_be].map(Objects::names_only);
        }
        Ok((!is.is_like(&should_be)).then(|| is.difference(&should_be)))
    }
}

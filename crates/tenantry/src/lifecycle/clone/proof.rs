//! Proves that a clone is what it should be.

use sqlx::PgConnection;

use super::pair::Pair;
use crate::error::{Error, ErrorKind, Result};
use crate::guard::{Guard, stands};
use crate::lifecycle::contents::{first, leading_out, shared};
use crate::observe::Step;
use crate::structure::{Fingerprint, Objects, Structure, Subject};

impl Pair<'_> {
    /// Compares the clone with its source, and looks whether it stands on its own.
    pub(super) async fn prove(&self, tx: &mut PgConnection, structure: &Structure) -> Result<()> {
        let Pair { context, source, clone, steps, .. } = *self;
        steps.step(Step::new("comparing the clone with its source", 0, None));
        let roles = [self.role_of(source), self.role_of(clone)];
        let [from, to] = [(source, &roles[0]), (clone, &roles[1])]
            .map(|(tenant, role)| Subject { schema: tenant.schema(), own_role: role.as_deref() });
        let refused = |what: String| {
            let message = format!("tenant `{}` cannot be cloned: {what}", source.slug());
            Err(Error::new(ErrorKind::Unsupported, message).with_tenant(source.slug()))
        };
        if Fingerprint::of(tx, to).await? != structure.fingerprint() && stands(Guard::CloneProof) {
            let (is, should_be) = (Objects::of(tx, to).await?, Objects::of(tx, from).await?);
            let what = format!("its clone would differ from it in {}", is.difference(&should_be));
            let hint = "a dump does not hold it, or the SQL that makes the clone anonymous has changed it";
            return refused(what).map_err(|error| error.with_hint(hint));
        }
        let leading_out = leading_out(tx, &shared(&context.layout), clone.schema()).await?;
        if !leading_out.is_empty() {
            return refused(format!("in the clone, {}", first(&leading_out)));
        }
        Ok(())
    }
}

//! Proves that a tenant has what the database had.

use sqlx::PgConnection;

use super::examine::Findings;
use super::work::Import;
use crate::error::{Error, ErrorKind, Result};
use crate::guard::{Guard, stands};
use crate::lifecycle::contents::{first, leading_out, shared};
use crate::observe::Step;
use crate::structure::{Objects, StructurePart, Subject};

impl Import<'_> {
    /// Compares both, and looks whether the tenant stands on its own.
    pub(super) async fn prove(
        &self,
        reader: &mut PgConnection,
        writer: &mut PgConnection,
        findings: &Findings,
    ) -> Result<()> {
        self.steps.step(Step::new("comparing the tenant with its database", 0, None));
        let layout = &self.context.layout;
        let visible: Vec<_> = layout.extension_schemas.iter().map(ToString::to_string).collect();
        let of = |schema| Subject { schema, own_role: None };
        let shape = StructurePart::Shape(&[]);
        let should_be = Objects::among(reader, of(self.source.name()), shape, &findings.extensions).await?;
        let is = Objects::among(writer, of(self.tenant.schema()), shape, &visible).await?;
        let [mut is, mut should_be] = [is, should_be].map(|objects| {
            objects.without_surroundings(&[visible.as_slice(), &findings.extensions].concat())
        });
        if !findings.is_one_version {
            [is, should_be] = [is, should_be].map(Objects::names_only);
        }
        if !is.is_like(&should_be) && stands(Guard::ImportProof) {
            let what = format!("the tenant would differ from it in {}", is.difference(&should_be));
            let hint = "a dump does not hold it, or objects depend on a ledger that is another one here";
            return Err(self.refused(&what).with_hint(hint));
        }
        let leading_out = leading_out(writer, &shared(layout), self.tenant.schema()).await?;
        if !leading_out.is_empty() {
            return Err(self.refused(&format!("in the tenant, {}", first(&leading_out))));
        }
        Ok(())
    }

    fn refused(&self, what: &str) -> Error {
        let message = format!("its database cannot be imported: {what}");
        Error::new(ErrorKind::Unsupported, message).with_tenant(self.tenant.slug())
    }
}

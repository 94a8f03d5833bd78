//! The part of a builder that decides what schemas look like.

use super::Builder;
use crate::migrate::Baseline;

impl Builder {
    /// The same for making schemas only: with all that decides what they look like, and no database.
    pub(crate) fn for_schemas(&self) -> Self {
        Self {
            migrations: self.migrations.clone(),
            layout: self.layout.clone(),
            role: self.role.clone(),
            reserved: self.reserved.clone(),
            ..Self::default()
        }
    }

    /// A text that differs where schemas would.
    pub(crate) fn essence(&self) -> String {
        let Self { migrations, layout, role, .. } = self;
        let types = migrations.types().map(|(name, set)| format!("{name} {:?}", set.digest()));
        format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {role:?}",
            migrations.master().digest(),
            migrations.tenant().digest(),
            types.collect::<Vec<_>>(),
            migrations.baseline().map(Baseline::sql),
            layout.master_schema,
            layout.extension_schemas,
        )
    }
}

//! The questions of a test about what was done by this value.

use std::sync::Arc;

use super::Tenancy;
use crate::error::Result;
use crate::pool::{Leftover, WriteRecord};
use crate::tenant::SchemaName;

impl Tenancy {
    /// Notes from here on what statements may have changed.
    pub(crate) fn note_in(&self, record: &Arc<WriteRecord>) {
        self.inner.context.databases.note_in(record);
    }

    /// Tells of what idle sessions hold, although the pools take them for clean, and removes it.
    pub(crate) async fn leftovers(&self) -> Result<Vec<Leftover>> {
        self.inner.context.databases.leftovers().await
    }

    pub(crate) fn master_schema(&self) -> &SchemaName {
        &self.inner.context.layout.master_schema
    }
}

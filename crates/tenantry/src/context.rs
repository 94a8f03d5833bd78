use std::sync::Arc;

use tokio::sync::Notify;

use crate::database::Layout;
use crate::migration::Migrations;
use crate::pool::{Databases, Role};
use crate::tenant::ReservedSlugs;

/// The facts of one installation that all work on its schemas needs: migrating, provisioning, and what comes later.
pub(crate) struct Context {
    pub(crate) databases: Databases,
    pub(crate) layout: Arc<Layout>,
    pub(crate) migrations: Migrations,
    pub(crate) reserved: ReservedSlugs,
    /// Set where every tenant has a role of its own.
    pub(crate) role: Option<Role>,
    /// Wakes the spare keeper.
    pub(crate) spare_taken: Notify,
}

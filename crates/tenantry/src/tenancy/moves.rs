//! Moves of tenants between databases.

use tracing::Instrument as _;

use super::Tenancy;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::{Error, Result};
use crate::lifecycle::{self, MoveOptions, MovePlan, Moved, NodeMoved, PlannedNodeMove};
use crate::observe::{Steps, verb_span};
use crate::registry::{MoveMethod, TenantMove, moves};
use crate::tenant::{Alias, Node, Tenant, Verb};

impl Tenancy {
    /// Moves a tenant to another database, which may be of another server. It is served when this returns, and handles
    /// that are kept follow it.
    ///
    /// `dump` gives what `pg_dump` says of the database that the tenant is in when it is called as the owner with these
    /// arguments. As for [`clone_tenant`](Self::clone_tenant), it is called once per structure.
    ///
    /// While rows are copied, over up to four pairs of connections, checkouts of the tenant wait, for up to
    /// [`PoolConfig::move_wait`](crate::PoolConfig::move_wait), and then fail with [`ErrorKind::TenantUnavailable`].
    /// Transactions that are under way end first. Writers that go past the pool wait for locks of the server, and find
    /// no schema afterwards: nothing is written where nobody reads any more. Rows are counted and compared by a sum of
    /// their hashes, and the structure by all that the servers say of it, before the registry leads to the new place.
    ///
    /// [`MoveOptions::online`] has checkouts wait for the last changes only: what is written during the copy is
    /// repeated from a replication slot.
    ///
    /// In the database that it left, its schema is kept under another name, without privileges, for
    /// [`MoveOptions::keep`]; then [`purge_copy`](Self::purge_copy) drops it. What fails is undone. After a process has
    /// died, the same call goes on, and [`abort_move`](Self::abort_move) undoes it. Owning the tables suffices, if it
    /// is not online.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`], before anything is made, naming what cannot be moved: what
    /// [`clone_tenant`](Self::clone_tenant) lists, what depends on the master schema, roles and extensions that are not
    /// there. [`ErrorKind::DatabaseClosed`] if the database takes no new tenants, unless the move was begun before.
    /// [`ErrorKind::AlreadyExists`] if there is a schema of its name. [`ErrorKind::Conflict`] if somebody else
    /// moves it, or changes its tables by hand. [`ErrorKind::PoolTimeout`], naming the sessions, if transactions do not
    /// end within 10 seconds. Or whatever `dump` fails with.
    pub async fn move_tenant<E: From<Error>>(
        &self,
        tenant: &Tenant,
        options: MoveOptions,
        dump: impl AsyncFnMut(&[String]) -> Result<String, E>,
    ) -> Result<Moved, E> {
        self.move_tenant_observed(tenant, options, (), dump).await
    }

    /// Does what [`move_tenant`](Self::move_tenant) does, and tells of its steps. Cancelled before it switches over, it
    /// fails, and undoes what it did.
    ///
    /// # Errors
    /// Like [`move_tenant`](Self::move_tenant).
    pub async fn move_tenant_observed<E: From<Error>>(
        &self,
        tenant: &Tenant,
        options: MoveOptions,
        steps: impl Steps,
        mut dump: impl AsyncFnMut(&[String]) -> Result<String, E>,
    ) -> Result<Moved, E> {
        let relocate = lifecycle::relocate(&self.inner.context, tenant, &options, &steps, &mut dump);
        let moved = relocate.instrument(verb_span(Verb::Move, tenant)).await;
        // It may be half-way, which others are to know as well.
        self.inner.registry.forget_tenant(tenant).await;
        moved
    }

    /// Looks whether a tenant can be moved there, and what it would cost. Nothing is made.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] if no database goes by this alias, [`ErrorKind::DatabaseUnavailable`] if one of the
    /// two cannot be reached. What stands in the way of a move is no error, but in [`MovePlan::refused`].
    pub async fn examine_move(&self, tenant: &Tenant, to: &Alias) -> Result<MovePlan> {
        lifecycle::examine_move(&self.inner.context, tenant, to).await
    }

    /// Undoes a move that was interrupted: the tenant is served where it was, and what was made is dropped. Answers
    /// with the tenant as it is now.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if no move of it was begun. [`ErrorKind::Conflict`] if it is under way, or has
    /// closed the schema already: then it can only go on.
    pub async fn abort_move(&self, tenant: &Tenant) -> Result<Tenant> {
        let abort = lifecycle::abort_move(&self.inner.context, tenant.id(), &());
        let aborted = abort.instrument(verb_span(Verb::Move, tenant)).await;
        self.inner.registry.forget_tenant(tenant).await;
        aborted
    }

    /// Moves a tenant of Citus to another node of its cluster, by `citus_schema_move`. Handles follow, and until they
    /// do they are served by a longer way: every node knows where the tenant is.
    ///
    /// Online, the tenant is read and written meanwhile; each of its tables needs a primary key, and the nodes
    /// `wal_level = logical`. Offline, writers wait. Dropped on the way, nothing has happened: the server undoes it.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if its database is not Citus, or it has no tables; [`ErrorKind::InvalidInput`] if the
    /// node takes no tenants; [`ErrorKind::Conflict`] if somebody works on the tenant; or whatever Citus answers.
    pub async fn move_to_node(&self, tenant: &Tenant, to: &Node, method: MoveMethod) -> Result<NodeMoved> {
        let relocate = lifecycle::move_to_node(&self.inner.context, tenant.id(), to, method);
        let moved = relocate.instrument(verb_span(Verb::Move, tenant)).await;
        self.inner.registry.forget_tenant(tenant).await;
        moved
    }

    /// Has the registry lead to the nodes that Citus has the tenants of a database on now; nobody is moved. For what
    /// was moved without Tenantry, and for tenants that were made before the registry knew nodes. Answers with the
    /// number of tenants that it led elsewhere.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the database is not Citus; or if it or the registry cannot be asked.
    pub async fn record_nodes(&self, alias: &Alias) -> Result<usize> {
        let corrected = lifecycle::record_nodes(&self.inner.context, alias).await;
        self.inner.registry.forget_all();
        corrected
    }

    /// The moves that Citus proposes to spread the tenants of a database evenly over its nodes, in its order; none are
    /// made. Citus counts bytes, and all schemas that are distributed, whoever they belong to.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the database is not Citus; or if it cannot be asked.
    pub async fn plan_rebalance(&self, alias: &Alias) -> Result<Vec<PlannedNodeMove>> {
        lifecycle::plan_rebalance(&self.inner.context, alias).await
    }

    /// The move of a tenant that is under way or was interrupted.
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub async fn move_under_way(&self, tenant: &Tenant) -> Result<Option<TenantMove>> {
        moves::under_way(&self.master(), tenant.id()).await
    }

    /// Up to `limit` moves whose copies in the databases that the tenants left may be dropped now, in the order of
    /// their numbers, after this one.
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub async fn copies_due_for_purge(&self, after: i64, limit: u32) -> Result<Vec<TenantMove>> {
        moves::due_after(&self.master(), after, i64::from(limit)).await
    }

    /// Drops the copy that a move has left in the database that the tenant went away from, for good. After an
    /// interruption the same call goes on.
    ///
    /// # Errors
    /// [`ErrorKind::Dependents`] if objects of other schemas depend on it; [`ErrorKind::DatabaseUnavailable`] if its
    /// database cannot be reached.
    pub async fn purge_copy(&self, moved: &TenantMove, steps: impl Steps) -> Result<()> {
        lifecycle::purge_copy(&self.inner.context, moved, &steps).await
    }
}

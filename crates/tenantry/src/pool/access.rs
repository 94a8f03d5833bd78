//! The way from a handle to a connection.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::driver::{Driver, PgDriver};
use super::grant::Grant;
use super::lease::{Lease, Switching};
use super::marks::Marks;
use super::preparation::Preparation;
use super::preprocessor::Target;
use super::shared::Pool;
use super::standing::{Seen, Surroundings};
use crate::error::{Error, ErrorKind, Result};
use crate::guard::{Guard, stands};
use crate::tenant::{Status, Tenant};

/// The parts that every kind of handle is made of.
pub(super) struct Access<D: Driver = PgDriver> {
    /// The pool of the database in which its target was when the handle was made.
    pub(super) pool: Pool<D>,
    grant: Grant,
    /// It goes to the node that its target is on, where the configuration wants that.
    follows_nodes: bool,
    /// The settings that the handle adds to those of the preprocessors.
    settings: Settings,
    /// `None` for the master schema, which has no status.
    surroundings: Option<Surroundings>,
    current: Mutex<Arc<Current<D>>>,
    /// Connections held over several statements through this handle and its clones.
    pub(super) held: Arc<AtomicU32>,
}

/// Names and values of session settings.
pub(super) type Settings = Vec<(String, String)>;

/// The target of a handle, as it was when somebody last asked.
pub(super) struct Current<D: Driver = PgDriver> {
    /// The pool of the database that it is in.
    home: Pool<D>,
    /// The pool that leads to its tables.
    pub(super) pool: Pool<D>,
    target: Target,
    /// Set where it is the same at every checkout.
    preparation: Option<Arc<Preparation>>,
    /// The comments that its statements get.
    pub(super) marks: Marks,
    /// `None` until somebody asked.
    seen: Option<Seen>,
}

impl<D: Driver> Current<D> {
    pub(super) fn tenant(&self) -> Option<&Tenant> {
        match &self.target {
            Target::Tenant(tenant) => Some(tenant),
            Target::Master => None,
        }
    }
}

impl<D: Driver> Clone for Access<D> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            grant: self.grant,
            follows_nodes: self.follows_nodes,
            settings: self.settings.clone(),
            surroundings: self.surroundings.clone(),
            current: Mutex::new(self.known()),
            held: Arc::clone(&self.held),
        }
    }
}

impl<D: Driver> Access<D> {
    /// Of a tenant that was read from the registry just now, or some time ago.
    pub(super) fn to_tenant(
        pool: Pool<D>,
        tenant: &Tenant,
        surroundings: Surroundings,
        is_just_read: bool,
    ) -> Self {
        let is_settled = is_just_read && tenant.status() != Status::Moving;
        let seen = is_settled.then(|| Seen::now(surroundings.standing.changes()));
        let means = Means { home: &pool, grant: Grant::Write, follows_nodes: true, settings: &[] };
        let current = means.current(Target::Tenant(tenant.clone()), Some(&surroundings), seen);
        Self::new(pool, Grant::Write, Settings::new(), Some(surroundings), current)
    }

    pub(super) fn to_master(pool: Pool<D>) -> Self {
        let means = Means { home: &pool, grant: Grant::Write, follows_nodes: true, settings: &[] };
        let current = means.current(Target::Master, None, None);
        Self::new(pool, Grant::Write, Settings::new(), None, current)
    }

    /// Of a tenant that is only read, with these settings.
    pub(super) fn to_read(
        pool: Pool<D>,
        grant: Grant,
        settings: Settings,
        tenant: &Tenant,
        surroundings: Surroundings,
    ) -> Self {
        let means = Means { home: &pool, grant, follows_nodes: true, settings: &settings };
        let current = means.current(Target::Tenant(tenant.clone()), Some(&surroundings), None);
        Self::new(pool, grant, settings, Some(surroundings), current)
    }

    fn new(
        pool: Pool<D>,
        grant: Grant,
        settings: Settings,
        surroundings: Option<Surroundings>,
        current: Current<D>,
    ) -> Self {
        let current = Mutex::new(Arc::new(current));
        Self { pool, grant, follows_nodes: true, settings, surroundings, current, held: Arc::default() }
    }

    fn means(&self) -> Means<'_, D> {
        let Self { pool, grant, follows_nodes, settings, .. } = self;
        Means { home: pool, grant: *grant, follows_nodes: *follows_nodes, settings }
    }

    /// The same by way of the server that the database's URL names, wherever its target is.
    pub(super) fn at_home(&self) -> Self {
        let known = self.known();
        let means = Means { home: &known.home, follows_nodes: false, ..self.means() };
        let current = means.current(known.target.clone(), self.surroundings.as_ref(), known.seen);
        Self { follows_nodes: false, current: Mutex::new(Arc::new(current)), ..self.clone() }
    }

    /// The same with one more setting of the session.
    pub(super) fn with_setting(&self, name: &str, value: &str) -> Result<Self> {
        let mut settings = self.settings.clone();
        settings.retain(|(known, _)| known != name);
        settings.push((name.to_owned(), value.to_owned()));
        let known = self.known();
        let means = Means { home: &known.home, settings: &settings, ..self.means() };
        // Refused now, not at each checkout.
        let _ = means.prepare(&known.target)?;
        let current = means.current(known.target.clone(), self.surroundings.as_ref(), known.seen);
        Ok(Self { settings, current: Mutex::new(Arc::new(current)), ..self.clone() })
    }

    /// A connection, and for whom it is, with settings for this one checkout.
    pub(super) async fn lease_with(
        &self,
        switching: Switching,
        settings: &[(String, String)],
    ) -> Result<(Lease<D>, Arc<Current<D>>)> {
        let lease = async {
            let current = self.current().await?;
            let lease = match &current.preparation {
                Some(preparation) if settings.is_empty() => {
                    current.pool.check_out_as(preparation, switching).await?
                }
                _ => {
                    let means = Means { home: &current.home, ..self.means() };
                    let preparation = means.prepare(&current.target)?;
                    let preparation = with(preparation, settings)?;
                    current.pool.check_out_as(&preparation, switching).await?
                }
            };
            Ok((lease, current))
        };
        lease.await.map_err(|error| self.explain(error))
    }

    /// Refuses a tenant that is not served, before a server is asked for a connection.
    ///
    /// # Errors
    /// Those that tell of the tenant or of the registry, and not of the server that is to be asked.
    pub(super) async fn look(&self) -> Result<()> {
        self.current().await.map(drop)
    }

    /// The target as it is now. What changed since somebody last asked is asked for.
    async fn current(&self) -> Result<Arc<Current<D>>> {
        let known = self.known();
        let (Some(surroundings), Some(tenant)) = (&self.surroundings, known.tenant()) else {
            return Ok(known);
        };
        let changes = surroundings.standing.changes();
        if known.seen.is_some_and(|seen| seen.is_believed(changes)) || !stands(Guard::KeptHandle) {
            return Ok(known);
        }
        let now = surroundings.settled(tenant, known.pool.move_wait()).await?;
        surroundings.check_served(&now)?;
        let pool = self.pool_of(&now)?;
        let seen = Some(Seen::now(changes));
        let target = Target::Tenant(now);
        let means = Means { home: &pool, ..self.means() };
        let current = Arc::new(means.current(target, Some(surroundings), seen));
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&current);
        Ok(current)
    }

    /// The pool of the database that the tenant is in now. What a handle may be used for depends on whether its pool is
    /// behind a pooler, so it stays with its kind; and one that only reads, with the replicas of its database.
    fn pool_of(&self, tenant: &Tenant) -> Result<Pool<D>> {
        if tenant.database() == self.pool.alias() {
            return Ok(self.pool.clone());
        }
        match self.pool.sibling(tenant.database()) {
            Some(pool) if pool.is_behind_pooler() == self.pool.is_behind_pooler() => Ok(pool),
            _ => Err(moved(tenant)),
        }
    }

    fn known(&self) -> Arc<Current<D>> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A handle that waits for a connection while it holds one itself may wait for itself.
    fn explain(&self, error: Error) -> Error {
        let held = self.held.load(Ordering::Relaxed);
        if error.kind() != ErrorKind::PoolTimeout || held == 0 || !stands(Guard::SelfDeadlock) {
            return error;
        }
        let message = format!(
            "{error}; the handle that asked holds {held} of them itself, in a transaction or checkout"
        );
        let explained = Error::new(ErrorKind::PoolTimeout, message)
            .with_hint("run the statement on the transaction, `&mut *tx`, or end the transaction first");
        match self.known().tenant() {
            Some(tenant) => explained.with_tenant(tenant.slug()),
            None => explained,
        }
    }
}

/// The parts of a handle that say how a session is prepared.
struct Means<'a, D: Driver> {
    home: &'a Pool<D>,
    grant: Grant,
    follows_nodes: bool,
    settings: &'a [(String, String)],
}

impl<D: Driver> Means<'_, D> {
    fn current(&self, target: Target, surroundings: Option<&Surroundings>, seen: Option<Seen>) -> Current<D> {
        // A refusal is for the checkout to report.
        let once = self.home.prepare_once(target.clone(), self.grant);
        let preparation = once.and_then(|preparation| with(preparation, self.settings).ok());
        let home = self.home.clone();
        let pool = if self.follows_nodes { home.toward(&target) } else { home.clone() };
        let marks = match &target {
            Target::Tenant(tenant) => {
                let fleet = surroundings.map(|surroundings| surroundings.fleet);
                Marks::of(tenant, fleet, pool.comment(), pool.trace())
            }
            Target::Master => Marks::of_master(pool.trace()),
        };
        Current { home, pool, target, preparation, marks, seen }
    }

    fn prepare(&self, target: &Target) -> Result<Arc<Preparation>> {
        with(self.home.prepare(target.clone(), self.grant)?, self.settings)
    }
}

fn with(preparation: Arc<Preparation>, settings: &[(String, String)]) -> Result<Arc<Preparation>> {
    if settings.is_empty() { Ok(preparation) } else { preparation.with(settings).map(Arc::new) }
}

fn moved(tenant: &Tenant) -> Error {
    let message = format!("tenant `{}` has moved to database `{}`", tenant.slug(), tenant.database());
    Error::new(ErrorKind::TenantUnavailable, message)
        .with_hint("take a new handle; one that this process cannot follow to needs its database in the configuration")
        .with_tenant(tenant.slug())
}

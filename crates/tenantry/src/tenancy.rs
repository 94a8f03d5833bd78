//! The one value an application keeps: everything starts from it.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgConnection, PgPool};
use tokio::sync::Notify;

use crate::context::Context;
use crate::database::{Config, DatabaseConfig};
use crate::doctor::{self, Finding};
use crate::error::{Error, ErrorKind, Result};
use crate::for_each;
use crate::http::TenancyLayer;
use crate::migrate::{self, Fleet, MigrateOptions, MigrationError, Migrations, Summary};
use crate::observe::Observer;
use crate::pool::{
    Databases, Layout, MasterDb, PoolStatus, Preprocessor, Preprocessors, Role, SearchPath, TenantDb,
};
#[cfg(feature = "tokio-postgres")]
use crate::pool::{MasterClient, TenantClient};
use crate::provision::{self, KeepSpares, NewTenant, SpareKeeper, SpareSummary, Stale};
use crate::registry::{self, CacheStatus, Registry, RegistryConfig, Run, RunEntry, Spare, runs, store};
use crate::resolve::{Resolution, Resolve, TenantKey};
use crate::tenant::{Alias, DomainName, ReservedSlugs, SchemaName, Slug, Status, Tenant};

tokio::task_local! {
    static CURRENT: Tenant;
}

/// All tenants of one installation. Cheap to clone; made with [`Tenancy::builder`].
///
/// ```no_run
/// use tenantry::resolve::Subdomain;
/// use tenantry::{DatabaseConfig, Migrations, NewTenant, Tenancy};
///
/// # async fn example(url: &str) -> tenantry::Result<()> {
/// let tenancy = Tenancy::builder()
///     .database(DatabaseConfig::from_url(url)?)
///     .migrations(Migrations::from_dirs("migrations/master", "migrations/tenant")?)
///     .resolver(Subdomain::of("example.com")?)
///     .connect()
///     .await?;
///
/// let acme = tenancy.create(NewTenant::new("acme").name("Acme Ltd")).await?;
/// let db = tenancy.db(&acme)?;
/// let notes: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&db).await?;
/// assert_eq!(notes, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tenancy {
    inner: Arc<Inner>,
}

struct Inner {
    context: Arc<Context>,
    registry: Registry,
    resolver: Arc<dyn Resolve>,
}

/// A moment in the life of a [`Tenancy`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenancyStatus {
    /// The pool of each database.
    pub pools: BTreeMap<Alias, PoolStatus>,
    /// The pool of tokio-postgres connections of each database.
    #[cfg(feature = "tokio-postgres")]
    pub client_pools: BTreeMap<Alias, PoolStatus>,
    /// The cache in front of the registry.
    pub cache: CacheStatus,
}

impl Tenancy {
    /// Starts with nothing but defaults; a database and usually a resolver and migrations are needed.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The tenant with this slug.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if no tenant could have this slug, [`ErrorKind::UnknownTenant`]
    /// if none has.
    pub async fn tenant(&self, slug: &str) -> Result<Tenant> {
        self.find(&TenantKey::Slug(Slug::parse(slug)?)).await
    }

    /// The tenant that goes by this slug or domain, in whatever status. Answered from memory while
    /// the tenant does not change.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownTenant`] if there is none.
    pub async fn find(&self, key: &TenantKey) -> Result<Tenant> {
        self.inner.registry.find(key).await
    }

    /// Up to `limit` tenants whose slugs come after `after`, in the order of their slugs: a
    /// page of all tenants. The first page comes after the empty text.
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub async fn tenants_after(&self, after: &str, limit: u32) -> Result<Vec<Tenant>> {
        let page = store::tenants_after(&self.master(), after, i64::from(limit)).await?;
        Ok(self.complete(page).await)
    }

    /// The same of those tenants of the fleet that are served.
    pub(crate) async fn served_after(&self, fleet: &Fleet, after: &str, limit: u32) -> Result<Vec<Tenant>> {
        let page = fleet.served_after(&self.master(), after, limit).await?;
        Ok(self.complete(page).await)
    }

    async fn complete(&self, page: Vec<Tenant>) -> Vec<Tenant> {
        let complete = registry::with_applied(&self.inner.context.databases, page.clone()).await;
        // A database that is down hides how far its tenants are, not that they exist.
        complete.unwrap_or_else(|error| {
            tracing::warn!(%error, "Cannot tell what some tenants have applied");
            page
        })
    }

    /// Does something for every tenant of the fleet that is served, several at a time, and tells of each when
    /// it is done: for periodic work, and for reports across tenants.
    ///
    /// A job that fails stops nobody. Nothing begins before the stream is first asked for a result, and no
    /// job is ahead of it by more than `concurrency`, so memory does not grow with the number of tenants.
    /// The error of the stream itself is that of the registry, and comes last.
    ///
    /// ```no_run
    /// use std::num::NonZeroU32;
    /// use std::pin::pin;
    ///
    /// use futures_util::TryStreamExt as _;
    /// use tenantry::{Fleet, TenantDb};
    ///
    /// # async fn example(tenancy: tenantry::Tenancy) -> tenantry::Result<()> {
    /// const FOUR: NonZeroU32 = NonZeroU32::new(4).unwrap();
    /// let count = async |db: TenantDb| {
    ///     sqlx::query_scalar::<_, i64>("SELECT count(*) FROM note").fetch_one(&db).await
    /// };
    /// let mut counts = pin!(tenancy.for_each(Fleet::all(), FOUR, count));
    /// while let Some((tenant, notes)) = counts.try_next().await? {
    ///     match notes {
    ///         Ok(notes) => println!("{}: {notes} notes", tenant.slug()),
    ///         Err(error) => eprintln!("{}: {error}", tenant.slug()),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Who gets a job
    ///
    /// Jobs begin in the order of the slugs. A tenant gets one if it was active at most a second before; who
    /// is suspended or removed until then is left out, as is who was not active from the beginning. What
    /// happens later is for the job to meet: a schema that is gone is [`ErrorKind::MissingSchema`].
    ///
    /// The tenant is the job's argument. It is not the task's [`current`](Self::current) one, unless the job
    /// says so with [`scope`](Self::scope).
    ///
    /// # Concurrency
    ///
    /// Each job is a task of its own, which goes on while nobody asks for results. No more run at the same
    /// time than one tenant may have connections ([`PoolConfig::reserve`](crate::PoolConfig::reserve)), in
    /// the database where these are fewest. So jobs that hold a connection leave some to requests, and to those
    /// jobs that look a second one up. Two fleets at once share what there is.
    ///
    /// Dropping the stream begins no more jobs and ends those under way at their next `.await`: what a
    /// transaction did is rolled back.
    ///
    /// # Errors
    /// Of the stream: [`ErrorKind::UnknownTenant`] and [`ErrorKind::TenantUnavailable`] before anything
    /// begins, if a tenant that was named is not there or not active. Of a tenant: whatever the job fails
    /// with, and whatever [`db`](Self::db) does.
    ///
    /// # Panics
    /// When a job panics, and outside of a tokio runtime.
    pub fn for_each<T, E, F, Fut>(
        &self,
        fleet: Fleet,
        concurrency: NonZeroU32,
        job: F,
    ) -> impl Stream<Item = Result<(Tenant, Result<T, E>)>> + Send + use<T, E, F, Fut>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: FnMut(TenantDb) -> Fut + Send,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        for_each::for_each(self.clone(), fleet, concurrency, job)
    }

    /// The most jobs that leave a connection to others, whatever database they work in.
    pub(crate) fn room_for_jobs(&self) -> u32 {
        let configs = self.inner.context.databases.configs();
        let caps = configs.map(|(_, config)| config.pool_config().cap_per_tenant());
        caps.min().unwrap_or(1)
    }

    /// The tables of a tenant. This is where its status counts, for requests and for jobs alike.
    ///
    /// # Errors
    /// [`ErrorKind::TenantUnavailable`] unless the tenant is active.
    pub fn db(&self, tenant: &Tenant) -> Result<TenantDb> {
        check_served(tenant)?;
        let pool = self.inner.context.databases.pool(tenant.database())?.clone();
        let fleet = self.inner.context.migrations.tenant().digest();
        Ok(TenantDb::new(pool, tenant.clone(), Some(&fleet)))
    }

    /// The tables of the master schema.
    pub fn master(&self) -> MasterDb {
        MasterDb::new(self.inner.context.databases.default_pool().clone())
    }

    /// The tables of the master schema in another database.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] if no database goes by this alias.
    pub fn master_of(&self, alias: &Alias) -> Result<MasterDb> {
        Ok(MasterDb::new(self.inner.context.databases.pool(alias)?.clone()))
    }

    /// The tables of a tenant, for code that is written against tokio-postgres. As [`db`](Self::db), on
    /// connections of a pool of its own, with the same limits. There is none behind a pooler in transaction
    /// mode: every statement fails with [`ErrorKind::Unsupported`].
    ///
    /// # Errors
    /// [`ErrorKind::TenantUnavailable`] unless the tenant is active.
    #[cfg(feature = "tokio-postgres")]
    pub fn client(&self, tenant: &Tenant) -> Result<TenantClient> {
        check_served(tenant)?;
        let pool = self.inner.context.databases.client_pool(tenant.database())?.clone();
        let fleet = self.inner.context.migrations.tenant().digest();
        Ok(TenantClient::new(pool, tenant.clone(), Some(&fleet)))
    }

    /// The tables of the master schema, for code that is written against tokio-postgres.
    #[cfg(feature = "tokio-postgres")]
    pub fn master_client(&self) -> MasterClient {
        MasterClient::new(self.inner.context.databases.default_client_pool().clone())
    }

    /// Makes a tenant: its schema, all tenant migrations, its row in the registry. It can be served
    /// when this returns.
    ///
    /// Where every migration is transactional, all of it is one transaction. Otherwise an
    /// interrupted call leaves a `provisioning` tenant, and the same call goes on with it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a bad or reserved slug, [`ErrorKind::AlreadyExists`] if the
    /// slug, a domain or the schema is taken, [`ErrorKind::Migration`] if a file fails,
    /// [`ErrorKind::Conflict`] if another process is making the same tenant.
    pub async fn create(&self, new: NewTenant) -> Result<Tenant> {
        let created = provision::create(&self.inner.context, &new).await;
        // Somebody may have looked for it before it was there.
        if let Ok(tenant) = &created {
            self.forget(tenant).await;
        }
        created
    }

    /// Removes the spares that are stale, and makes new ones until there are so many.
    ///
    /// A spare is a schema with all tenant migrations, made ahead of time: [`create`](Self::create) takes one
    /// where it can, renames it, and is done in a few milliseconds. A spare that has not applied what the
    /// migrations make now is never handed out, so call this after [`migrate`](Self::migrate), and from time to
    /// time, or have it done by [`keep_spares`](Self::keep_spares). Two who fill at once make no more than one.
    ///
    /// Only tenants of the default database are made of spares.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if each tenant has a role of its own, if a file is not plain SQL in a transaction,
    /// or if a function of the schema has the schema's own name in its text, which a rename does not change;
    /// [`ErrorKind::Migration`] if a file fails.
    pub async fn fill_spares(&self, count: u32) -> Result<SpareSummary> {
        provision::fill_spares(&self.inner.context, count, Stale::Now).await
    }

    /// Keeps so many spares in the background: looks at once, whenever this process has made a tenant of
    /// one, and from time to time for what others have taken.
    ///
    /// Any number of servers may do so at once; together they make no more than one. Failures are logged, and
    /// it is tried again after growing pauses. It needs a connection of its own while it looks. Stale spares
    /// are replaced; the old ones are removed when they are 15 minutes old, since while servers are
    /// replaced one by one the version before has spares as well, and may be making them.
    ///
    /// ```no_run
    /// # async fn example(tenancy: tenantry::Tenancy) -> tenantry::Result<()> {
    /// use tenantry::KeepSpares;
    ///
    /// let spares = tenancy.keep_spares(KeepSpares { count: 20, ..KeepSpares::default() })?;
    /// // … serve requests …
    /// spares.stop().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if each tenant has a role of its own, or if a file runs outside of a
    /// transaction.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn keep_spares(&self, options: KeepSpares) -> Result<SpareKeeper> {
        SpareKeeper::start(Arc::clone(&self.inner.context), options)
    }

    /// All spares, the oldest first.
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub async fn spares(&self) -> Result<Vec<Spare>> {
        provision::list_spares(&self.inner.context).await
    }

    /// Removes a tenant that is still `provisioning`, with whatever was made of it.
    ///
    /// # Errors
    /// [`ErrorKind::TenantUnavailable`] if it is past that, [`ErrorKind::UnknownTenant`] if there is
    /// none.
    pub async fn abort_creation(&self, slug: &str) -> Result<Tenant> {
        let tenant = provision::abort(&self.inner.context, &Slug::parse(slug)?).await?;
        self.forget(&tenant).await;
        Ok(tenant)
    }

    async fn forget(&self, tenant: &Tenant) {
        self.inner.registry.forget_tenant(tenant);
        match self.domains(tenant).await {
            Ok(domains) => {
                for domain in domains {
                    self.inner.registry.forget(&TenantKey::Domain(domain));
                }
            }
            // What was done is done, so this is no reason to report a failure.
            Err(_) => self.inner.registry.forget_all(),
        }
    }

    /// Gives a tenant a domain of its own.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an IP address, [`ErrorKind::AlreadyExists`] if the domain
    /// belongs to a tenant already.
    pub async fn add_domain(&self, tenant: &Tenant, domain: &DomainName) -> Result<()> {
        domain.check_registrable()?;
        let insert = async |registry: &mut PgConnection| store::insert_domain(registry, tenant, domain).await;
        self.inner.context.databases.with_registry(insert).await?;
        self.inner.registry.forget(&TenantKey::Domain(domain.clone()));
        Ok(())
    }

    /// Takes a domain from a tenant; answers whether it had it.
    ///
    /// # Errors
    /// If the registry cannot be written.
    pub async fn remove_domain(&self, tenant: &Tenant, domain: &DomainName) -> Result<bool> {
        let delete = async |registry: &mut PgConnection| store::delete_domain(registry, tenant, domain).await;
        let had_it = self.inner.context.databases.with_registry(delete).await?;
        self.inner.registry.forget(&TenantKey::Domain(domain.clone()));
        Ok(had_it)
    }

    /// The domains of a tenant, in alphabetical order.
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub async fn domains(&self, tenant: &Tenant) -> Result<Vec<DomainName>> {
        let names = store::domains_of(&self.master(), tenant.id()).await?;
        names.iter().map(|name| Ok(DomainName::parse(name)?)).collect()
    }

    /// Brings the master schema and the fleet up to date, or where the options say. A tenant that fails
    /// does not stop the others; the observer hears of each.
    ///
    /// A [`Fleet`] is migrated with the default [`MigrateOptions`]: four tenants at a time, and none of them
    /// waits for a lock for more than three seconds at a stretch. What needs the same files as another
    /// tenant, and can have them in one transaction, costs one round trip. The commits wait for the disk
    /// once for each database, before this returns; after a crash of the server until then, some tenants may
    /// be behind again. Dropping the future leaves each schema at the end of some file.
    ///
    /// Where there is something to do, it is a [run](Self::runs) that is recorded, and nobody else migrates
    /// the fleet at the same time. One that was interrupted is gone on with by
    /// [`MigrateOptions::resuming`]; any other run gets to the same point, since what is applied is applied.
    ///
    /// # Errors
    /// If the master schema's migrations fail, or the registry cannot be reached.
    /// [`ErrorKind::Conflict`] if somebody else migrates the fleet. Where several servers migrate when they
    /// start, let them [wait](MigrateOptions::wait).
    pub async fn migrate(
        &self,
        options: impl Into<MigrateOptions>,
        observer: impl Observer,
    ) -> Result<Summary> {
        let summary = migrate::migrate_fleet(&self.inner.context, &options.into(), &observer).await;
        self.inner.registry.forget_all();
        summary
    }

    /// The newest recorded runs, the newest first.
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub async fn runs(&self, limit: u32) -> Result<Vec<Run>> {
        runs::newest(&self.master(), i64::from(limit)).await
    }

    /// The run of this number.
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub async fn run(&self, id: i64) -> Result<Option<Run>> {
        runs::find(&self.master(), id).await
    }

    /// What a run did, page by page: up to `limit` schemas after the one with this slug, in the order of
    /// their slugs. The first page comes after `None` and begins with the master schema. Schemas that had
    /// nothing to do are not among them.
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub async fn run_entries_after(
        &self,
        run: &Run,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<RunEntry>> {
        runs::entries_after(&self.master(), run.id, after, i64::from(limit)).await
    }

    /// Tells of each schema what [`migrate`](Self::migrate) would do with it, and changes nothing.
    ///
    /// What has applied the same as another tenant is not asked again, so where all are up to date no
    /// schema is opened.
    ///
    /// ```no_run
    /// # async fn example(tenancy: tenantry::Tenancy) -> tenantry::Result<()> {
    /// let mut behind = 0;
    /// tenancy
    ///     .preview(tenantry::Fleet::all(), |preview| {
    ///         behind += usize::from(preview.changes.is_ok_and(|changes| !changes.is_empty()));
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the registry cannot be read, or a tenant that was named cannot be migrated.
    pub async fn preview(
        &self,
        options: impl Into<MigrateOptions>,
        each: impl FnMut(migrate::Preview<'_>),
    ) -> Result<()> {
        migrate::preview(&self.inner.context, &options.into(), each).await
    }

    /// Warns of the files that [`migrate`](Self::migrate) would apply, and changes nothing.
    /// [`Rule`](migrate::Rule) says what is warned of; [`Migrations::lint`] looks at all files.
    ///
    /// # Errors
    /// If the registry cannot be read, or a tenant that was named cannot be migrated.
    pub async fn lint(&self, options: impl Into<MigrateOptions>) -> Result<Vec<migrate::Warning>> {
        migrate::lint_pending(&self.inner.context, &options.into()).await
    }

    /// Makes the text of a `baseline.sql`: what the tenant migrations make of an empty schema, up to this
    /// version or the newest one. `dump` gives what `pg_dump` says of a schema when it is called as the
    /// owner, with [`pg_dump_arguments`](migrate::pg_dump_arguments).
    ///
    /// The migrations are replayed in a scratch schema of the default database, which is dropped again. A
    /// future that is dropped leaves it behind.
    ///
    /// # Errors
    /// If the migrations fail; if they leave rows, change privileges, or have a function or a string name
    /// the schema; or whatever `dump` fails with.
    pub async fn make_baseline<E: From<Error>>(
        &self,
        version: Option<i64>,
        dump: impl AsyncFnMut(&SchemaName) -> Result<String, E>,
    ) -> Result<String, E> {
        migrate::make_baseline(&self.inner.context, version, dump).await
    }

    /// Proves that starting from the baseline makes what the migrations make, by comparing dumps of both
    /// from scratch schemas, and answers with the version. Otherwise as [`make_baseline`](Self::make_baseline).
    ///
    /// # Errors
    /// [`ErrorKind::Migration`] with the first statement that differs; [`ErrorKind::InvalidInput`] if there
    /// is no baseline.
    pub async fn check_baseline<E: From<Error>>(
        &self,
        dump: impl AsyncFnMut(&SchemaName) -> Result<String, E>,
    ) -> Result<i64, E> {
        migrate::check_baseline(&self.inner.context, dump).await
    }

    /// The migrations this was built with.
    pub fn migrations(&self) -> &Migrations {
        &self.inner.context.migrations
    }

    /// Runs a future with the tenant as the task's [`current`](Self::current) one, for code deep
    /// inside that cannot be handed a [`TenantDb`].
    ///
    /// A task that is spawned inside does not inherit it.
    pub async fn scope<F: Future>(&self, tenant: &Tenant, future: F) -> F::Output {
        CURRENT.scope(tenant.clone(), future).await
    }

    /// The tenant of the innermost [`scope`](Self::scope) around this task; never a default.
    pub fn current() -> Option<Tenant> {
        CURRENT.try_with(Tenant::clone).ok()
    }

    /// A stock `PgPool` of this database, for libraries that insist on one, such as `SeaORM`.
    ///
    /// Its connections follow the [`current`](Self::current) tenant of the task that looks one up,
    /// [prepared](crate::pool) and verified like those of [`TenantDb`]. On release they are emptied
    /// in one message, and closed if a transaction is still open or anything else is in doubt.
    /// Where a [`TenantDb`] will do, it is the better choice.
    ///
    /// ```no_run
    /// use sqlx::postgres::PgPoolOptions;
    /// use tenantry::tenant::Alias;
    ///
    /// # async fn example(tenancy: tenantry::Tenancy) -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = tenancy.stock_pool(&Alias::default(), PgPoolOptions::new().max_connections(10))?;
    /// let acme = tenancy.tenant("acme").await?;
    /// let query = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&pool);
    /// let notes: i64 = tenancy.scope(&acme, query).await?;
    /// assert_eq!(notes, 0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The three hooks of the options are replaced; what a session needs goes into a
    /// [`Preprocessor`]. `min_connections` becomes 0 and `test_before_acquire` false. The pool comes on top of
    /// the database's own one and is closed with its own `close`.
    ///
    /// # Without a tenant
    ///
    /// Outside of a [`scope`](Self::scope), in a spawned task for instance, the checkout succeeds and every
    /// statement fails: the first with the reason, `no tenant is current in this task`, those after
    /// it on the same connection with `current transaction is aborted`. It is the same for a tenant
    /// that is not active, that lives in another database, whose schema is missing, or that a
    /// preprocessor refuses. (An error of a hook would make sqlx reconnect until `acquire_timeout`,
    /// and nobody would learn the reason.) The connection is closed afterwards.
    ///
    /// # Price
    ///
    /// | round trips for one statement | the caller waits for | the connection is taken for |
    /// | --- | --- | --- |
    /// | [`TenantDb`], connection last used by the same tenant | 1 | 1 |
    /// | [`TenantDb`], connection last used by another | 2 | 2 |
    /// | stock pool | 3 (switch, prepare, execute) | 6 (and clean, forget statements, ping) |
    /// | stock pool, statement without parameters sent with `raw_sql` | 2 | 4 |
    ///
    /// A further statement in the same checkout costs 2, or 1 if it has the same text. Prepared statements
    /// are not kept beyond a checkout, because sqlx knows them by their text alone: two tenants may
    /// have types of one name, or tables with different columns.
    ///
    /// # Holes
    ///
    /// - `try_acquire` runs no hook. Its connection shows no table, and refuses nothing else.
    /// - The tenant is that of the moment of the checkout: a connection or transaction that is kept does
    ///   not follow a later `scope`.
    /// - `RESET ALL` and `SET search_path` sent by hand work until the connection is returned, and
    ///   `ROLLBACK` sent by hand ends a refusal; what follows sees no table.
    /// - A `PgStatement` prepared for one tenant and run for another has the first one's columns. A
    ///   migration while a connection is held can fail its cached statements with `0A000`.
    /// - There is no fairness between tenants, and [`status`](Self::status) does not count the connections.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] if no database goes by this alias, [`ErrorKind::Unsupported`] behind a
    /// pooler in transaction mode, where no hook runs at the beginning of a transaction.
    ///
    /// # Panics
    /// Outside of a tokio runtime, as sqlx does.
    pub fn stock_pool(&self, database: &Alias, options: PgPoolOptions) -> Result<PgPool> {
        self.inner.context.databases.stock_pool(database, options, current_served)
    }

    /// The middleware that finds out which tenant a request is for. It rejects nothing: what
    /// a handler asks for decides.
    pub fn layer(&self) -> TenancyLayer {
        TenancyLayer::new(self.clone())
    }

    pub(crate) fn resolver(&self) -> &dyn Resolve {
        &*self.inner.resolver
    }

    /// Looks for what is not set up as it should be and for parts that do not agree: schemas and registry,
    /// ledgers and their summaries, tenants that have applied the same. [`Check`](doctor::Check) lists all. On
    /// connections of its own; changes nothing.
    ///
    /// What it asks is about all schemas or a page of them at a time, and it holds no more than a page. It reads
    /// what is in each schema, so how long it takes grows with the number of tables.
    ///
    /// ```no_run
    /// # async fn example(tenancy: tenantry::Tenancy) {
    /// for finding in tenancy.doctor().await {
    ///     eprintln!("{:?}: {}: {}. {}", finding.severity, finding.what, finding.why, finding.mend);
    /// }
    /// # }
    /// ```
    pub async fn doctor(&self) -> Vec<Finding> {
        let context = &self.inner.context;
        doctor::examine(context.databases.configs(), &context.layout, context.role.as_ref()).await
    }

    /// The pools and the cache at this moment.
    pub fn status(&self) -> TenancyStatus {
        let databases = &self.inner.context.databases;
        let pools = databases
            .aliases()
            .filter_map(|alias| Some((alias.clone(), databases.pool(alias).ok()?.status())));
        #[cfg(feature = "tokio-postgres")]
        let client_pools = databases
            .aliases()
            .filter_map(|alias| Some((alias.clone(), databases.client_pool(alias).ok()?.status())));
        TenancyStatus {
            pools: pools.collect(),
            #[cfg(feature = "tokio-postgres")]
            client_pools: client_pools.collect(),
            cache: self.inner.registry.status(),
        }
    }

    /// Stops the listener, refuses new checkouts, waits for the connections in use and closes all.
    ///
    /// # Errors
    /// [`ErrorKind::PoolTimeout`] naming who still holds a connection when the time is over.
    pub async fn close(&self, limit: Duration) -> Result<()> {
        self.inner.registry.stop().await;
        self.inner.context.databases.close(limit).await
    }
}

fn check_served(tenant: &Tenant) -> Result<()> {
    if tenant.status() == Status::Active {
        return Ok(());
    }
    let message = format!("tenant `{}` is {}", tenant.slug(), tenant.status());
    Err(Error::new(ErrorKind::TenantUnavailable, message).with_tenant(tenant.slug()))
}

/// The tenant of the running task, for who cannot be told otherwise.
fn current_served() -> Result<Tenant> {
    let Some(tenant) = Tenancy::current() else {
        return Err(Error::new(ErrorKind::UnknownTenant, "no tenant is current in this task")
            .with_hint("wrap the call in `tenancy.scope(&tenant, …)`; a spawned task does not inherit it"));
    };
    check_served(&tenant)?;
    Ok(tenant)
}

impl fmt::Debug for Tenancy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let aliases: Vec<_> = self.inner.context.databases.aliases().map(Alias::as_str).collect();
        f.debug_struct("Tenancy").field("databases", &aliases).finish_non_exhaustive()
    }
}

/// Collects what a [`Tenancy`] is made of.
pub struct Builder {
    databases: BTreeMap<Alias, DatabaseConfig>,
    migrations: Migrations,
    resolver: Arc<dyn Resolve>,
    preprocessors: Vec<Arc<dyn Preprocessor>>,
    chosen: Option<Vec<String>>,
    role: Option<Role>,
    layout: Layout,
    reserved: ReservedSlugs,
    registry: RegistryConfig,
    installs: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            databases: BTreeMap::new(),
            migrations: Migrations::none(),
            resolver: Arc::new(|_: &crate::resolve::Head<'_>| Resolution::None),
            preprocessors: Vec::new(),
            chosen: None,
            role: None,
            layout: Layout::default(),
            reserved: ReservedSlugs::default(),
            registry: RegistryConfig::default(),
            installs: false,
        }
    }
}

impl Builder {
    /// Takes over what `tenantry.toml` and the environment say. What is called after this wins.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] naming the key, [`ErrorKind::Migration`] naming file and line.
    pub fn config(mut self, config: &Config) -> Result<Self> {
        for (alias, database) in config.databases()? {
            self.databases.insert(alias, database);
        }
        self.migrations = Migrations::of(config).map_err(MigrationError::first_of)?;
        if let Some(schema) = config.master_schema() {
            self.layout.master_schema = schema.clone();
        }
        if let Some(schemas) = config.extension_schemas() {
            self.layout.extension_schemas = schemas.to_vec();
        }
        if let Some(reserved) = config.reserved_slugs() {
            self.reserved = reserved.clone();
        }
        self.chosen = config.preprocessors().map(<[String]>::to_vec);
        self.role = config.installation().map(Role::of);
        Ok(self)
    }

    /// The database `default`, which also holds the registry.
    pub fn database(self, config: DatabaseConfig) -> Self {
        self.database_as(Alias::default(), config)
    }

    /// A further database for tenants to live in.
    pub fn database_as(mut self, alias: Alias, config: DatabaseConfig) -> Self {
        self.databases.insert(alias, config);
        self
    }

    /// What the schemas are made of. Default: nothing.
    pub fn migrations(mut self, migrations: Migrations) -> Self {
        self.migrations = migrations;
        self
    }

    /// How a request tells its tenant. Default: it does not.
    pub fn resolver(mut self, resolver: impl Resolve) -> Self {
        self.resolver = Arc::new(resolver);
        self
    }

    /// Adds to what prepares a connection at each checkout. Default: [`SearchPath`] alone;
    /// the first call replaces that.
    pub fn preprocessor(mut self, preprocessor: impl Preprocessor) -> Self {
        self.preprocessors.push(Arc::new(preprocessor));
        self
    }

    /// Gives every tenant a PostgreSQL role of its own; see [`Role`] for what that guards against.
    pub fn role_per_tenant(mut self, role: Role) -> Self {
        self.role = Some(role);
        self
    }

    /// Where shared tables live. Default: `public`.
    pub fn master_schema(mut self, schema: SchemaName) -> Self {
        self.layout.master_schema = schema;
        self
    }

    /// The schemas that hold extensions, visible to every tenant. Default: `extensions`.
    pub fn extension_schemas(mut self, schemas: impl IntoIterator<Item = SchemaName>) -> Self {
        self.layout.extension_schemas = schemas.into_iter().collect();
        self
    }

    /// The slugs no tenant may take. Default: [`ReservedSlugs::default`].
    pub fn reserved_slugs(mut self, reserved: ReservedSlugs) -> Self {
        self.reserved = reserved;
        self
    }

    /// How the registry is cached.
    pub fn registry(mut self, config: RegistryConfig) -> Self {
        self.registry = config;
        self
    }

    /// Installs or upgrades the registry before anything else; safe when many servers start at
    /// once. Default: `false`, and `tenantry init` does it.
    pub fn install(mut self, installs: bool) -> Self {
        self.installs = installs;
        self
    }

    /// Connects, and checks that the registry is there. Never migrates a tenant.
    ///
    /// # Errors
    /// [`ErrorKind::DatabaseUnavailable`] if the default database cannot be reached; another one is
    /// only warned of. [`ErrorKind::Registry`] if one has no registry, [`ErrorKind::Configuration`] if
    /// the parts contradict each other.
    pub async fn connect(self) -> Result<Tenancy> {
        let preprocessors = self.preprocessors()?;
        let layout = Arc::new(self.layout);
        let databases = Databases::new(self.databases, &layout, &preprocessors)?;
        for alias in databases.aliases() {
            if self.installs {
                install(&databases, alias, &layout).await?;
            }
            verify(&databases, alias).await?;
        }
        let direct = databases.config(&Alias::default())?.direct();
        let registry = Registry::start(databases.clone(), direct, &self.registry);
        let context = Context {
            databases,
            layout,
            migrations: self.migrations,
            reserved: self.reserved,
            role: self.role,
            spare_taken: Notify::new(),
        };
        let context = Arc::new(context);
        Ok(Tenancy { inner: Arc::new(Inner { context, registry, resolver: self.resolver }) })
    }

    /// As [`Tenancy::doctor`], also where nothing can connect as it should or the registry is missing.
    pub async fn doctor(&self) -> Vec<Finding> {
        doctor::examine(self.databases.iter(), &self.layout, self.role.as_ref()).await
    }

    /// The preprocessors that run: those that were given, in the order that was chosen.
    fn preprocessors(&self) -> Result<Preprocessors> {
        let mut known = self.preprocessors.clone();
        let mut built_in: Vec<Arc<dyn Preprocessor>> = vec![Arc::new(SearchPath)];
        if let Some(role) = &self.role {
            built_in.push(Arc::new(role.clone()));
        }
        for preprocessor in built_in {
            if known.iter().all(|other| other.name() != preprocessor.name()) {
                known.insert(0, preprocessor);
            }
        }
        let Some(chosen) = &self.chosen else { return Ok(Preprocessors::new(known)) };
        let find = |name: &String| {
            let found = known.iter().find(|preprocessor| preprocessor.name() == name);
            found.cloned().ok_or_else(|| unknown_preprocessor(name, &known))
        };
        Ok(Preprocessors::new(chosen.iter().map(find).collect::<Result<_>>()?))
    }
}

fn unknown_preprocessor(name: &str, known: &[Arc<dyn Preprocessor>]) -> Error {
    let names: Vec<_> = known.iter().map(|preprocessor| preprocessor.name()).collect();
    Error::new(ErrorKind::Configuration, format!("no preprocessor is named `{name}`"))
        .with_hint(format!("known are: {}", names.join(", ")))
}

async fn install(databases: &Databases, alias: &Alias, layout: &Layout) -> Result<()> {
    let mut connection = databases.owner_connection(alias).await?;
    let role = databases.config(alias)?.application_role();
    registry::install_in(&mut connection, alias, &layout.master_schema, &layout.extension_schemas, role).await
}

/// A database that is down concerns its own tenants. Only without the default one, which says who
/// the tenants are, nothing works.
async fn verify(databases: &Databases, alias: &Alias) -> Result<()> {
    match verify_registry(databases, alias).await {
        Err(error) if error.kind() == ErrorKind::DatabaseUnavailable && *alias != Alias::default() => {
            tracing::warn!(database = %alias, %error, "Started without database `{alias}`");
            Ok(())
        }
        result => result,
    }
}

async fn verify_registry(databases: &Databases, alias: &Alias) -> Result<()> {
    let master = MasterDb::new(databases.pool(alias)?.clone());
    registry::verify_in(&master, alias).await
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("databases", &self.databases).finish_non_exhaustive()
    }
}

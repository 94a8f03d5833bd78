#[cfg(feature = "testing")]
mod schemas;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{Inner, Tenancy};
use crate::context::{Agreement, Context, SparesTaken};
use crate::database::{Config, DatabaseConfig, Layout, Period};
use crate::doctor::{self, Finding, ReplayMode};
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;
use crate::migrate::Migrations;
use crate::observe::Steps;
use crate::placement::{PlaceTenant, Placement, Rules};
use crate::pool::{CurrentTrace, Databases, Preprocessor, Preprocessors, Role, Traceparent};
use crate::registry::{self, Registry, RegistryConfig};
use crate::resolve::{Head, Resolution, Resolve};
use crate::tenant::{Alias, ReservedSlugs, SchemaName};

impl Tenancy {
    /// Starts with nothing but defaults; a database and usually a resolver and migrations are needed.
    pub fn builder() -> Builder {
        Builder::default()
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
    trace: Option<CurrentTrace>,
    layout: Layout,
    reserved: ReservedSlugs,
    placement: Placement,
    registry: RegistryConfig,
    operator: String,
    keep_deleted: Period,
    installs: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            databases: BTreeMap::new(),
            migrations: Migrations::none(),
            resolver: Arc::new(|_: &Head<'_>| Resolution::None),
            preprocessors: Vec::new(),
            chosen: None,
            role: None,
            trace: None,
            layout: Layout::default(),
            reserved: ReservedSlugs::default(),
            placement: Placement::default(),
            registry: RegistryConfig::default(),
            operator: format!("process {}", std::process::id()),
            keep_deleted: Period::days(30),
            installs: false,
        }
    }
}

impl Builder {
    /// Takes over what `tenantry.toml` and the environment say. What is called after this wins.
    ///
    /// What is wrong with the migration files is an error of those who need them: [`Migrations::read`] says who.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] naming the key.
    pub fn config(mut self, config: &Config) -> Result<Self> {
        for (alias, database) in config.databases()? {
            self.databases.insert(alias, database);
        }
        self.migrations = Migrations::of(config);
        if let Some(schema) = config.master_schema() {
            self.layout.master_schema = schema.clone();
        }
        if let Some(schemas) = config.extension_schemas() {
            self.layout.extension_schemas = schemas.to_vec();
        }
        if let Some(reserved) = config.reserved_slugs() {
            self.reserved = reserved.clone();
        }
        if let Some(placement) = config.placement() {
            self.placement = placement;
        }
        self.chosen = config.preprocessors().map(<[String]>::to_vec);
        self.role = config.installation().map(Role::of);
        if let Some(period) = config.keep_deleted() {
            self.keep_deleted = period;
        }
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

    /// Sets the migrations that schemas are made of. Default: none.
    pub fn migrations(mut self, migrations: Migrations) -> Self {
        self.migrations = migrations;
        self
    }

    /// Sets the resolver: how a request tells its tenant. Default: it does not.
    pub fn resolver(mut self, resolver: impl Resolve) -> Self {
        self.resolver = Arc::new(resolver);
        self
    }

    /// Adds to what prepares a connection at each checkout. Default: [`SearchPath`](crate::pool::SearchPath) alone;
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

    /// Names in the text of each statement the request that it is for, where that request is sampled:
    /// `/*tenant='acme',traceparent='00-…-01'*/`, or without the tenant unless
    /// [`Comment::Tenant`](crate::database::Comment::Tenant) is asked for. `current` is asked at each statement, in the
    /// task that runs it, and has to be quick.
    ///
    /// A text that no other statement has would take the place of those that are kept prepared. So such a statement is
    /// prepared for itself and forgotten, for a round trip more; those of requests that are not sampled stay as they
    /// are, and find their prepared statements as before. The rate of sampling is the rate of this cost.
    ///
    /// ```no_run
    /// use tenantry::pool::Traceparent;
    ///
    /// tokio::task_local! {
    ///     /// The header of the request that a task works for.
    ///     static TRACEPARENT: Traceparent;
    /// }
    ///
    /// # fn example(builder: tenantry::Builder) {
    /// let builder = builder.traceparent(|| TRACEPARENT.try_get().ok());
    /// # let _ = builder;
    /// # }
    /// ```
    ///
    /// Statements of the master schema have it, too; those of a [stock pool](Tenancy::stock_pool) have not.
    pub fn traceparent(mut self, current: impl Fn() -> Option<Traceparent> + Send + Sync + 'static) -> Self {
        self.trace = Some(CurrentTrace::new(current));
        self
    }

    /// Sets the schema where shared tables live. Default: `public`.
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

    /// Sets the way in which tenants that name no database find one: a [`Policy`](crate::placement::Policy), or a
    /// function of the application's own. Rules of the configuration count no more then. Default: all of them are made
    /// in `default`.
    pub fn placement(mut self, place: impl PlaceTenant) -> Self {
        self.placement = Placement::new(place, Rules::default());
        self
    }

    /// Settings of the cache in front of the registry.
    pub fn registry(mut self, config: RegistryConfig) -> Self {
        self.registry = config;
        self
    }

    /// Says who is at work, for those who read the [audit](Tenancy::audit). Default: `process` and its number.
    pub fn operator(mut self, operator: impl Into<String>) -> Self {
        self.operator = operator.into();
        self
    }

    /// Sets the time for which a [deleted](Tenancy::delete) tenant can come back. Default: 30 days.
    pub fn keep_deleted(mut self, period: Period) -> Self {
        self.keep_deleted = period;
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
        let preprocessors =
            Preprocessors::choose(self.preprocessors, self.role.as_ref(), self.chosen.as_deref())?
                .with_trace(self.trace);
        let layout = Arc::new(self.layout);
        let databases = Databases::new(self.databases, &layout, &preprocessors)?;
        self.placement.check(databases.aliases())?;
        if self.installs {
            registry::install(&databases, &layout).await?;
        }
        registry::verify(&databases).await?;
        for mistake in self.migrations.mistakes() {
            tracing::warn!("The migration files have a mistake: {mistake}");
        }
        let registry = Registry::start(databases.clone(), &self.registry)?;
        let context = Context {
            databases,
            layout,
            migrations: self.migrations,
            reserved: self.reserved,
            placement: self.placement,
            role: self.role,
            operator: self.operator,
            keep_deleted: self.keep_deleted.duration(),
            agreement: Agreement::default(),
            spares_taken: SparesTaken::default(),
        };
        let context = Arc::new(context);
        Ok(Tenancy { inner: Arc::new(Inner { context, registry, resolver: self.resolver }) })
    }

    /// Does what [`Tenancy::doctor`] does, also where nothing can connect as it should or the registry is missing.
    pub async fn doctor(&self) -> Vec<Finding> {
        self.doctor_observed(()).await
    }

    /// Does what [`doctor`](Self::doctor) does, and tells how far it is.
    pub async fn doctor_observed(&self, steps: impl Steps) -> Vec<Finding> {
        self.examine(ReplayMode::Kept, &steps).await
    }

    /// Does what [`doctor_observed`](Self::doctor_observed) does, and finds out what the files make where that was not
    /// kept: in each database that has tenants, they are replayed in a scratch schema, which is gone afterwards. So a
    /// difference from the files that all tenants share is found, too.
    pub async fn doctor_replaying(&self, steps: impl Steps) -> Vec<Finding> {
        self.examine(ReplayMode::IfNeeded, &steps).await
    }

    async fn examine(&self, replay: ReplayMode, steps: &dyn Steps) -> Vec<Finding> {
        let Self { databases, layout, role, migrations, .. } = self;
        doctor::examine(databases.iter(), layout, role.as_ref(), migrations, replay, steps).await
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("databases", &self.databases).finish_non_exhaustive()
    }
}

//! Preprocessors: they say what a session must look like at each checkout.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::PgConnection;

use crate::database::Layout;
use crate::error::{BoxError, Error, ErrorKind, Result};
use crate::tenant::{SchemaName, Tenant};

/// The one that a connection is for.
#[derive(Clone, Debug)]
pub enum Target {
    /// One tenant, in its own schema.
    Tenant(Tenant),
    /// Nobody in particular: the master schema.
    Master,
}

/// One checkout of a connection, as a [`Preprocessor`] sees it.
#[derive(Clone, Debug)]
pub struct CheckoutRequest {
    target: Target,
    layout: Arc<Layout>,
}

impl CheckoutRequest {
    pub(crate) fn new(target: Target, layout: Arc<Layout>) -> Self {
        Self { target, layout }
    }

    /// The tenant the connection is for; `None` for the master connection.
    pub fn tenant(&self) -> Option<&Tenant> {
        match &self.target {
            Target::Tenant(tenant) => Some(tenant),
            Target::Master => None,
        }
    }

    /// The one that the connection is for.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The schema the connection works in: the tenant's, or the master schema.
    pub fn schema(&self) -> &SchemaName {
        self.tenant().map_or(&self.layout.master_schema, Tenant::schema)
    }

    /// The schemas that hold extensions, visible to everybody.
    pub fn extension_schemas(&self) -> &[SchemaName] {
        &self.layout.extension_schemas
    }
}

/// Prepares a connection at each checkout.
///
/// [`prepare`](Self::prepare) says what the session must look like, without any I/O: the settings
/// of all preprocessors travel to the server in one message, together with the check that they
/// took effect. Where that is not enough, a [`Hook`] has the connection.
///
/// # Example: tell row-level triggers which tenant is writing
///
/// ```
/// use tenantry::pool::{CheckoutRequest, Preprocessor, SessionSettings};
///
/// struct Audit;
///
/// impl Preprocessor for Audit {
///     fn name(&self) -> &str {
///         "audit"
///     }
///
///     fn prepare(&self, request: &CheckoutRequest, session: &mut SessionSettings) -> tenantry::Result<()> {
///         let actor = request.tenant().map_or("master", |tenant| tenant.slug().as_str());
///         session.set("app.actor", actor)
///     }
/// }
///
/// assert_eq!(Audit.name(), "audit");
/// ```
pub trait Preprocessor: Send + Sync + 'static {
    /// The name by which `tenantry.toml` chooses it.
    fn name(&self) -> &str;

    /// Adds to what the session must look like. Called at every checkout, unless all preprocessors are
    /// [constant](Self::is_constant), so it must be quick; a connection whose session already looks
    /// like the sum of all answers is not switched again.
    ///
    /// # Errors
    /// Any error refuses the connection and reaches the caller.
    fn prepare(&self, request: &CheckoutRequest, session: &mut SessionSettings) -> Result<()>;

    /// Returns true if [`prepare`](Self::prepare) depends on the checkout and on nothing else, such as the
    /// running task or the time. Where all preprocessors are constant, a handle asks them once.
    fn is_constant(&self) -> bool {
        false
    }

    /// The hook that works on the connection itself, where settings are not enough. Default: none.
    fn hook(&self) -> Option<&dyn Hook> {
        None
    }
}

/// The part of a [`Preprocessor`] that works on the connection.
///
/// It runs after the settings were confirmed by the server, whenever a connection was switched or
/// cleaned, not when a clean one is handed to the same tenant again. What it changes in the session
/// lasts until the connection is switched. Behind a pooler in transaction mode it runs in each transaction; only
/// what it sets with `LOCAL` is sure to end with that. An error, or dropping the future, closes the
/// connection.
///
/// ```
/// use futures_util::future::BoxFuture;
/// use tenantry::pool::{Hook, CheckoutRequest, Preprocessor, SessionSettings};
///
/// struct Seed;
///
/// impl Preprocessor for Seed {
///     fn name(&self) -> &str {
///         "seed"
///     }
///
///     fn prepare(&self, _: &CheckoutRequest, _: &mut SessionSettings) -> tenantry::Result<()> {
///         Ok(())
///     }
///
///     fn hook(&self) -> Option<&dyn Hook> {
///         Some(self)
///     }
/// }
///
/// impl Hook for Seed {
///     fn after_switch<'a>(
///         &'a self,
///         _: &'a CheckoutRequest,
///         connection: &'a mut sqlx::PgConnection,
///     ) -> BoxFuture<'a, Result<(), Box<dyn std::error::Error + Send + Sync>>> {
///         Box::pin(async move {
///             sqlx::query("SELECT setseed(0.5)").execute(connection).await?;
///             Ok(())
///         })
///     }
/// }
///
/// assert!(Seed.hook().is_some());
/// ```
pub trait Hook: Send + Sync {
    /// Prepares a connection of sqlx's.
    fn after_switch<'a>(
        &'a self,
        request: &'a CheckoutRequest,
        connection: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), BoxError>>;

    /// Prepares a connection of tokio-postgres. Default: refuses it, because a connection that a hook has
    /// not prepared must not be used.
    ///
    /// With any hook, every switch takes a round trip of its own. What is changed stays in the session,
    /// so it must not open a transaction.
    #[cfg(feature = "tokio-postgres")]
    fn after_client_switch<'a>(
        &'a self,
        _request: &'a CheckoutRequest,
        _client: &'a tokio_postgres::Client,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        Box::pin(async { Err("its hook is for connections of sqlx only".into()) })
    }
}

/// The settings of a session: collected from the preprocessors, sent as one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionSettings {
    pub(super) search_path: Option<String>,
    pub(super) role: Option<String>,
    pub(super) variables: Vec<(String, String)>,
    /// Nothing is written, whatever the variables say.
    pub(super) is_read_only: bool,
}

impl SessionSettings {
    /// Sets the path in which unqualified names are searched: `schema` first, then an empty schema
    /// where nobody may create, the extension schemas, and `pg_temp`.
    pub fn search_path(&mut self, schema: &SchemaName, extensions: &[SchemaName]) {
        self.search_path = Some(crate::sql::SearchPathValue { schema, extensions }.to_string());
    }

    /// Sets the role whose privileges apply.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the name is empty, longer than 63 bytes or holds a NUL.
    pub fn role(&mut self, name: &str) -> Result<()> {
        if name.is_empty() || name.len() > 63 || name.contains('\0') {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("{name:?} cannot be the name of a role"),
            ));
        }
        self.role = Some(name.to_owned());
        Ok(())
    }

    /// Sets a variable of the session, such as `app.actor` or `statement_timeout`; a later value
    /// replaces an earlier one.
    ///
    /// A name of your own that is set for one checkout and not for another is, for the other,
    /// NULL on a connection that never had it and an empty text on one that did: PostgreSQL cannot forget the
    /// name. Set it at every checkout, or read it as `nullif(current_setting('app.actor', true), '')`, in a
    /// policy above all.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the name is not made of letters, digits, `_` and `.`, if the
    /// value holds a NUL, or for `search_path` and `role`, which have methods of their own.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        check_variable(name, value)?;
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
        Ok(())
    }
}

fn check_variable(name: &str, value: &str) -> Result<()> {
    let refuse =
        |why: &str| Err(Error::new(ErrorKind::InvalidInput, format!("session variable {name:?} {why}")));
    let well_formed = name.split('.').all(|part| {
        part.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    });
    if !well_formed {
        return refuse("is not made of lower-case letters, digits, `_` and `.`");
    }
    if matches!(name, "search_path" | "role" | "session_authorization" | "standard_conforming_strings") {
        return refuse("cannot be set by name");
    }
    if value.contains('\0') {
        return refuse("has a value that holds a NUL");
    }
    Ok(())
}

/// Points unqualified names at the tenant's schema, or at the master schema. The default.
///
/// The shared schema is not in a tenant's path: a table that is missing in the tenant is then an
/// error, never somebody else's table.
#[derive(Clone, Copy, Debug, Default)]
pub struct SearchPath;

impl Preprocessor for SearchPath {
    fn name(&self) -> &'static str {
        "search_path"
    }

    fn is_constant(&self) -> bool {
        true
    }

    fn prepare(&self, request: &CheckoutRequest, session: &mut SessionSettings) -> Result<()> {
        session.search_path(request.schema(), request.extension_schemas());
        Ok(())
    }
}

/// Works under a role per tenant, `<installation>_<schema>`, which may use that one schema only.
///
/// A guard against mistakes, such as a name qualified with another tenant's schema; no defence
/// against hostile SQL, which can say `RESET ROLE`. Up to about a thousand tenants per login role
/// on PostgreSQL 16 and older, where the first `SET ROLE` of a backend grows with its memberships.
/// The master connection keeps the login role.
///
/// ```
/// use tenantry::pool::{Preprocessor, Role};
///
/// assert_eq!(Role::of("saas").name(), "role");
/// ```
#[derive(Clone, Debug)]
pub struct Role {
    installation: String,
}

impl Role {
    /// Roles named after this installation, so that two installations on one server do not meet.
    pub fn of(installation: &str) -> Self {
        Self { installation: installation.to_owned() }
    }

    /// The role of the tenant that lives in `schema`.
    pub fn name_for(&self, schema: &SchemaName) -> String {
        format!("{}{schema}", self.prefix())
    }

    /// The beginning of the names of all tenants' roles.
    pub(crate) fn prefix(&self) -> String {
        format!("{}_", self.installation)
    }
}

impl Preprocessor for Role {
    fn name(&self) -> &'static str {
        "role"
    }

    fn is_constant(&self) -> bool {
        true
    }

    fn prepare(&self, request: &CheckoutRequest, session: &mut SessionSettings) -> Result<()> {
        match request.tenant() {
            Some(tenant) => session.role(&self.name_for(tenant.schema())),
            None => Ok(()),
        }
    }
}

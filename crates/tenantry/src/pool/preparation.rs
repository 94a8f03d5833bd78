//! From a checkout to the message that prepares a session, and what the server must answer.

use std::fmt::Write;
use std::sync::Arc;

use super::application_name::ApplicationName;
use super::grant::Grant;
use super::preprocessor::{CheckoutRequest, Preprocessor, Role, SearchPath, SessionSettings};
use super::traceparent::CurrentTrace;
use crate::error::{Error, ErrorKind, Result};
use crate::guard::{Guard, stands};
#[cfg(feature = "tokio-postgres")]
use crate::sql::VOID_SCHEMA;
use crate::sql::{Identifier, Literal};
use crate::tenant::{Digest, Tenant, TenantId};

/// The preprocessors of one installation, in the order in which they are asked.
#[derive(Clone)]
pub(crate) struct Preprocessors {
    list: Arc<[Arc<dyn Preprocessor>]>,
    /// Asked at each statement, where it was asked for.
    trace: Option<CurrentTrace>,
}

impl Preprocessors {
    pub(crate) fn new(list: Vec<Arc<dyn Preprocessor>>) -> Self {
        Self { list: list.into(), trace: None }
    }

    /// The same, with statements that name the request which they are for.
    pub(crate) fn with_trace(self, trace: Option<CurrentTrace>) -> Self {
        Self { trace, ..self }
    }

    pub(super) fn trace(&self) -> Option<&CurrentTrace> {
        self.trace.as_ref()
    }

    /// Takes those that were given, with the built-in ones that none of them replaces, in the order that was
    /// chosen by name.
    pub(crate) fn choose(
        mut given: Vec<Arc<dyn Preprocessor>>,
        role: Option<&Role>,
        chosen: Option<&[String]>,
    ) -> Result<Self> {
        let mut built_in: Vec<Arc<dyn Preprocessor>> = vec![Arc::new(SearchPath)];
        if let Some(role) = role {
            built_in.push(Arc::new(role.clone()));
        }
        let application_name = ApplicationName::default();
        if chosen.is_some_and(|chosen| chosen.iter().any(|name| name == application_name.name())) {
            built_in.push(Arc::new(application_name));
        }
        for preprocessor in built_in {
            if given.iter().all(|other| other.name() != preprocessor.name()) {
                given.insert(0, preprocessor);
            }
        }
        let Some(chosen) = chosen else { return Ok(Self::new(given)) };
        let find = |name: &String| {
            let found = given.iter().find(|preprocessor| preprocessor.name() == name);
            found.cloned().ok_or_else(|| unknown_preprocessor(name, &given))
        };
        Ok(Self::new(chosen.iter().map(find).collect::<Result<_>>()?))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<dyn Preprocessor>> {
        self.list.iter()
    }

    /// Returns true if one checkout of a tenant is like the next.
    pub(super) fn are_constant(&self) -> bool {
        self.iter().all(|preprocessor| preprocessor.is_constant())
    }

    pub(super) fn have_hooks(&self) -> bool {
        self.iter().any(|preprocessor| preprocessor.hook().is_some())
    }

    /// Asks what the session of this checkout must look like.
    pub(super) fn prepare(&self, request: CheckoutRequest, grant: Grant) -> Result<Preparation> {
        let mut settings = SessionSettings::default();
        for preprocessor in self.iter() {
            preprocessor.prepare(&request, &mut settings)?;
        }
        if settings.search_path.is_none() {
            let names: Vec<_> = self.iter().map(|one| one.name().to_owned()).collect();
            let message = format!("no preprocessor sets the search_path, only: {}", names.join(", "));
            return Err(
                Error::new(ErrorKind::Configuration, message).with_hint("add `search_path` to the list")
            );
        }
        let is_suspended = request.tenant().is_some_and(Tenant::is_read_only);
        settings.is_read_only = grant.is_read_only() || (is_suspended && stands(Guard::ReadOnlySession));
        Ok(Preparation { request, settings, grant })
    }
}

fn unknown_preprocessor(name: &str, known: &[Arc<dyn Preprocessor>]) -> Error {
    let names: Vec<_> = known.iter().map(|preprocessor| preprocessor.name()).collect();
    Error::new(ErrorKind::Configuration, format!("no preprocessor is named `{name}`"))
        .with_hint(format!("the known ones are: {}", names.join(", ")))
}

impl Default for Preprocessors {
    fn default() -> Self {
        Self::new(vec![Arc::new(SearchPath)])
    }
}

/// The time for which settings are made.
#[cfg(feature = "tokio-postgres")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Span {
    /// Until they are changed, or the transaction that they are made in is rolled back.
    Session,
    /// Until the transaction ends.
    Transaction,
}

/// The line that a checkout stands in: a tenant's, or for `None` the master schema's.
pub(super) type LineName = Option<TenantId>;

/// The state that a session must be in for one checkout.
#[derive(Clone, Debug)]
pub(crate) struct Preparation {
    pub(super) request: CheckoutRequest,
    settings: SessionSettings,
    grant: Grant,
}

impl Preparation {
    /// Returns true if a session in this state serves the other checkout as it is.
    ///
    /// The epoch tells a schema from another one that later got its name, and the digest what is in it.
    pub(super) fn serves(&self, other: &Preparation) -> bool {
        self.settings == other.settings && self.identity() == other.identity()
    }

    /// Returns true if this was the same tenant before its schema was dropped, renamed or moved.
    pub(super) fn is_outdated_by(&self, other: &Preparation) -> bool {
        match (self.tenant(), other.tenant()) {
            (Some(then), Some(now)) => then.id() == now.id() && then.epoch() != now.epoch(),
            _ => false,
        }
    }

    /// Returns true if this is another schema, or the same one at another version: a name may mean something else.
    pub(super) fn is_elsewhere(&self, other: &Preparation) -> bool {
        self.identity() != other.identity()
    }

    fn identity(&self) -> Option<(TenantId, i64, Option<&Digest>)> {
        self.tenant().map(|tenant| (tenant.id(), tenant.epoch(), tenant.digest()))
    }

    pub(super) fn tenant(&self) -> Option<&Tenant> {
        self.request.tenant()
    }

    pub(super) fn line(&self) -> LineName {
        self.tenant().map(Tenant::id)
    }

    /// Returns true if cached statements may mean types of this schema.
    pub(super) fn owns_types(&self) -> bool {
        self.tenant().is_some_and(Tenant::owns_types)
    }

    /// The message that turns a session in the state `from` into this one.
    ///
    /// Its last statement answers with the schema that is in force. `current_schema()` skips
    /// schemas that are missing or that the role may not use, so the answer proves both.
    pub(super) fn switch_message(&self, from: Option<&Preparation>) -> String {
        let mut message = String::with_capacity(192);
        // What `lastval()` would say belongs to whoever was served before.
        if stands(Guard::Sequences) {
            message.push_str("DISCARD SEQUENCES; ");
        }
        if let Some(from) = from {
            from.settings.render_resets(&self.settings, &mut message);
        }
        self.settings.render("SET", &mut message);
        let _ = write!(message, "SELECT {}", self.confirmation());
        message
    }

    /// The expression that answers with the schema in force, if the server is of the kind that is wanted.
    pub(super) fn confirmation(&self) -> &'static str {
        self.grant.confirmation()
    }

    /// The message that begins a transaction in which any session of the server is this one.
    ///
    /// Behind a pooler nothing is known of the session, not even that its role is the one that
    /// logged in. What is set ends with the transaction. The last answer is that of a
    /// [switch](Self::switch_message).
    pub(super) fn begin_message(&self) -> String {
        let mut message = String::with_capacity(256);
        if stands(Guard::PoolerTransaction) {
            message.push_str("BEGIN; ");
        }
        message.push_str("RESET ROLE; SET LOCAL standard_conforming_strings TO on; ");
        self.settings.render("SET LOCAL", &mut message);
        // Behind the settings, of which one may be the isolation level: that comes before any snapshot.
        let _ = write!(message, "DISCARD SEQUENCES; SELECT {}", self.confirmation());
        message
    }

    /// The message that opens a transaction in this state, on a session in the void.
    ///
    /// The check is a last statement that fails with a division by zero unless the schema that is in force
    /// is the one that was asked for.
    #[cfg(feature = "tokio-postgres")]
    pub(super) fn switch_ahead_message(&self, span: Span, has_check: bool) -> String {
        let mut message = String::with_capacity(320);
        message.push_str("BEGIN; ");
        let set = if span == Span::Session { "SET" } else { "SET LOCAL" };
        self.settings.render(set, &mut message);
        if span == Span::Session && self.settings.is_read_only {
            // What was set is for the transactions behind this one.
            message.push_str("SET LOCAL transaction_read_only TO on; ");
        }
        // Behind the settings, of which one may be the isolation level: that comes before any snapshot.
        if stands(Guard::Sequences) {
            message.push_str("DISCARD SEQUENCES; ");
        }
        if has_check && stands(Guard::SwitchAhead) {
            let schema = Literal(self.request.schema().as_str());
            let _ = write!(
                message,
                "SELECT 1 / (pg_catalog.current_schema() IS NOT DISTINCT FROM {schema})::pg_catalog.int4"
            );
        }
        message
    }

    /// The message that turns a session in the state `from` into one in the void, and answers with
    /// the schema in force.
    #[cfg(feature = "tokio-postgres")]
    pub(super) fn void_message(from: Option<&Preparation>) -> String {
        let mut message = String::with_capacity(128);
        if let Some(from) = from {
            from.settings.render_resets(&SessionSettings::default(), &mut message);
        }
        let _ = write!(message, "SET search_path TO {VOID_SCHEMA}; SELECT pg_catalog.current_schema()");
        message
    }

    /// Returns true if the transactions are read-only: because the tenant is suspended so, or the handle only reads.
    pub(super) fn is_read_only(&self) -> bool {
        self.settings.is_read_only
    }

    /// Returns true if its server is to be a standby.
    pub(super) fn is_on_standby(&self) -> bool {
        self.grant == Grant::ReadStandby
    }

    /// The error of a statement that writes, if the tenant may only be read, or the handle only reads.
    pub(super) fn refused_write(&self) -> Option<Error> {
        let tenant = self.tenant().filter(|_| self.settings.is_read_only)?;
        if let Some(refusal) = self.grant.refused_write() {
            return Some(refusal.with_tenant(tenant.slug()));
        }
        let message = format!("tenant `{}` is suspended and may only be read", tenant.slug());
        let error = Error::new(ErrorKind::Suspended, message).with_tenant(tenant.slug());
        Some(error.with_suspension(tenant.suspension()))
    }

    /// The statements that prepare a session which holds nothing.
    pub(super) fn settings(&self) -> String {
        let mut message = String::with_capacity(128);
        self.settings.render("SET", &mut message);
        message
    }

    /// The question that is answered with nothing if the schema is gone.
    pub(super) fn schema_question(&self) -> String {
        let name = Identifier(self.request.schema().as_str()).to_string();
        format!("SELECT pg_catalog.to_regnamespace({})::pg_catalog.text", Literal(&name))
    }

    /// The same with more settings, of which each replaces one of its name.
    pub(super) fn with(&self, settings: &[(String, String)]) -> Result<Self> {
        let mut more = self.clone();
        for (name, value) in settings {
            more.settings.set(name, value)?;
        }
        Ok(more)
    }

    /// Judges the answer to a switch.
    pub(super) fn verify(&self, answer: Option<&str>) -> Result<()> {
        match answer {
            Some(schema) if schema == self.request.schema().as_str() => Ok(()),
            answer => Err(self.grant.refused_server(answer).unwrap_or_else(|| self.missing_schema())),
        }
    }

    pub(super) fn missing_schema(&self) -> Error {
        let schema = self.request.schema();
        let hint = "check that the schema exists and that the application's role has USAGE on it";
        match self.tenant() {
            Some(tenant) => Error::new(
                ErrorKind::MissingSchema,
                format!("schema `{schema}` of tenant `{}` is missing or may not be used", tenant.slug()),
            )
            .with_tenant(tenant.slug()),
            None => Error::new(
                ErrorKind::MissingSchema,
                format!("the master schema `{schema}` is missing or may not be used"),
            ),
        }
        .with_hint(hint)
    }
}

impl SessionSettings {
    /// Writes `SET` or `SET LOCAL` statements, each ending in `; `. The role comes last: what is set before it
    /// may need the login role's privileges, what is verified after it must have the role's.
    fn render(&self, set: &str, message: &mut String) {
        if let Some(path) = &self.search_path {
            let _ = write!(message, "{set} search_path TO {path}; ");
        }
        for (name, value) in &self.variables {
            let _ = write!(message, "{set} {} TO {}; ", variable(name), Literal(value));
        }
        if self.is_read_only {
            // The session is for many transactions, and what is local to one is for that.
            let name = if set == "SET" { "default_transaction_read_only" } else { "transaction_read_only" };
            let _ = write!(message, "{set} {name} TO on; ");
        }
        if let Some(role) = &self.role {
            let _ = write!(message, "{set} ROLE {}; ", Identifier(role));
        }
    }

    /// Writes `RESET` statements for what is set here and will not be set by `next`.
    fn render_resets(&self, next: &SessionSettings, message: &mut String) {
        if self.role.is_some() {
            // Also when the next one sets a role: `SET` must not run with this one's privileges.
            message.push_str("RESET ROLE; ");
        }
        if self.is_read_only && !next.is_read_only {
            message.push_str("RESET default_transaction_read_only; ");
        }
        for (name, _) in &self.variables {
            if !next.variables.iter().any(|(other, _)| other == name) {
                let _ = write!(message, "RESET {}; ", variable(name));
            }
        }
    }
}

/// `app.actor` is two identifiers and a dot.
fn variable(name: &str) -> String {
    name.split('.').map(|part| Identifier(part).to_string()).collect::<Vec<_>>().join(".")
}

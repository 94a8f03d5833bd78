//! A place to work: a schema, its occupant, and the terms.

use super::citus;
use super::conflict::{Conflict, sentence};
use super::limits::Terms;
use crate::database::{Dialect, Layout};
use crate::error::{Error, ErrorKind};
use crate::guard::{Guard, stands};
use crate::registry::{kept_files, runs};
use crate::sql::{Identifier, Literal, SearchPathValue};
use crate::tenant::{Alias, SchemaName, Slug, Tenant, TypeName};

/// A schema that is worked on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site<'a> {
    pub(super) schema: &'a SchemaName,
    extensions: &'a [SchemaName],
    master: &'a SchemaName,
    occupant: Occupant<'a>,
    pub(super) dialect: Dialect,
    /// `None` where nobody uses the schema yet.
    pub(super) terms: Option<Terms>,
}

/// The one that a schema is for.
#[derive(Clone, Copy, Debug)]
enum Occupant<'a> {
    Tenant(&'a Slug, Option<&'a TypeName>),
    Master,
    /// A tenant that does not exist yet.
    Spare,
    /// Nobody: it is dumped and dropped.
    Scratch,
}

impl<'a> Site<'a> {
    pub(crate) fn of_tenant(layout: &'a Layout, tenant: &'a Tenant) -> Self {
        Self::new(
            layout,
            tenant.database(),
            tenant.schema(),
            Occupant::Tenant(tenant.slug(), tenant.type_name()),
        )
    }

    pub(super) fn master(layout: &'a Layout) -> Self {
        Self::new(layout, &Alias::default(), &layout.master_schema, Occupant::Master)
    }

    pub(crate) fn spare(layout: &'a Layout, database: &Alias, schema: &'a SchemaName) -> Self {
        Self::new(layout, database, schema, Occupant::Spare)
    }

    pub(super) fn scratch(layout: &'a Layout, database: &Alias, schema: &'a SchemaName) -> Self {
        Self::new(layout, database, schema, Occupant::Scratch)
    }

    fn new(layout: &'a Layout, database: &Alias, schema: &'a SchemaName, occupant: Occupant<'a>) -> Self {
        let Layout { master_schema: master, extension_schemas: extensions, dialects } = layout;
        Self { schema, extensions, master, occupant, dialect: dialects.of(database), terms: None }
    }

    /// The same schema, in use, in a run over the fleet.
    pub(super) fn on(self, terms: Terms) -> Self {
        Self { terms: Some(terms), ..self }
    }

    /// The same in a transaction that changes several schemas.
    pub(super) fn among_several(self) -> Self {
        let terms = self.terms.map(|terms| Terms { limits: terms.limits.for_several(), ..terms });
        Self { terms, ..self }
    }

    fn search_path(&self) -> SearchPathValue<'_> {
        SearchPathValue { schema: self.schema, extensions: self.extensions }
    }

    /// The `search_path` that a file begins with.
    pub(crate) fn path(&self) -> String {
        self.search_path().to_string()
    }

    pub(crate) fn is_on_citus(&self) -> bool {
        self.dialect.is_citus()
    }

    pub(super) fn is_master(&self) -> bool {
        matches!(self.occupant, Occupant::Master)
    }

    /// The schemas in which a file may change something. Extensions are installed by files of the master.
    pub(super) fn homes(&self) -> Vec<&'a str> {
        let extensions = self.extensions.iter().filter(|_| self.is_master());
        std::iter::once(self.schema).chain(extensions).map(SchemaName::as_str).collect()
    }

    /// The schemas outside that several tenants see.
    pub(super) fn shared_schemas(&self) -> Vec<&'a str> {
        let homes = self.homes();
        let extensions = self.extensions.iter().map(SchemaName::as_str);
        let shared = ["public", "tenantry", self.master.as_str()].into_iter().chain(extensions);
        shared.filter(|schema| !homes.contains(schema)).collect()
    }

    /// Points the session at the schema, and fails if the schema is not there.
    pub(super) fn enter(&self, set: &str) -> [String; 2] {
        let name = Identifier(self.schema.as_str()).to_string();
        [
            format!("{set} search_path TO {}", self.search_path()),
            format!("SELECT {}::pg_catalog.regnamespace", Literal(&name)),
        ]
    }

    /// Points a transaction at the schema, which has its ledger, within the limits of the run.
    pub(super) fn enter_transaction(&self) -> Vec<String> {
        let limits = match (self.terms, self.dialect) {
            (Some(terms), Dialect::Postgres) => terms.limits.render(),
            (None, Dialect::Postgres) => Vec::new(),
            (terms, Dialect::Citus) => citus::limits(terms.map(|terms| terms.limits)),
        };
        let enter = format!("SET LOCAL search_path TO {}", self.search_path());
        limits.into_iter().chain([enter]).collect()
    }

    /// The condition that the run was not taken over.
    pub(super) fn has_token(&self) -> Option<String> {
        self.terms.filter(|_| stands(Guard::RunToken)).map(|terms| runs::token_condition(terms.token))
    }

    /// The condition that no change of the tenant's type is half-done, nor was made since it was read. A tenant
    /// without a type needs none: the files of a type are none of its own, and stop it.
    pub(super) fn has_type(&self) -> Option<String> {
        let Occupant::Tenant(_, Some(type_name)) = self.occupant else { return None };
        let is_asked = stands(Guard::LedgerType);
        is_asked.then(|| kept_files::is_ledger_of(self.schema, Some(type_name)))
    }

    /// The schema as messages name it.
    pub(super) fn whose(&self) -> String {
        let schema = self.schema;
        match self.occupant {
            Occupant::Tenant(slug, _) => format!("tenant `{slug}`, schema `{schema}`"),
            Occupant::Master => format!("master schema `{schema}`"),
            Occupant::Spare => format!("spare schema `{schema}`"),
            Occupant::Scratch => format!("scratch schema `{schema}`"),
        }
    }

    pub(super) fn error(&self, kind: ErrorKind, message: String) -> Error {
        let error = Error::new(kind, message);
        match self.occupant {
            Occupant::Tenant(slug, _) => error.with_tenant(slug),
            Occupant::Master | Occupant::Spare | Occupant::Scratch => error,
        }
    }

    pub(crate) fn conflict(&self, conflicts: &[Conflict]) -> Error {
        let hint = conflicts.first().map(Conflict::hint).unwrap_or_default();
        let message = format!("{} ({})", sentence(conflicts), self.whose());
        self.error(ErrorKind::Migration, message).with_hint(hint)
    }
}

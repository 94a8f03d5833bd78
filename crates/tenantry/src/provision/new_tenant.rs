//! The order for a new tenant.

use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::proof::Proof;
use super::removal::refuse_shared;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::tenant::{
    Alias, DomainName, SchemaName, Slug, Status, Tenant, TenantId, TenantRecord, TypeName, checked_settings,
};

/// A tenant that is to be made.
///
/// ```
/// use tenantry::NewTenant;
///
/// let acme = NewTenant::new("acme").name("Acme Ltd").setting("plan", "gold");
/// assert_eq!(acme.slug(), "acme");
/// ```
#[derive(Clone, Debug)]
pub struct NewTenant {
    slug: String,
    settings: Map<String, Value>,
    /// `None` for the one that the placement chooses.
    database: Option<Alias>,
    type_name: Option<TypeName>,
    domains: Vec<DomainName>,
    existing_schema: Option<SchemaName>,
    applied_through: Option<i64>,
    proof: Option<Proof>,
}

impl NewTenant {
    /// A tenant by the slug it chose, which is checked when the tenant is made.
    pub fn new(slug: impl Into<String>) -> Self {
        Self {
            slug: slug.into(),
            settings: Map::new(),
            database: None,
            type_name: None,
            domains: Vec::new(),
            existing_schema: None,
            applied_through: None,
            proof: None,
        }
    }

    /// The slug as it was given.
    pub fn slug(&self) -> &str {
        &self.slug
    }

    /// Sets the name to show people; kept in the settings. It is checked when the tenant is made, like a
    /// [`TenantName`](crate::tenant::TenantName).
    pub fn name(self, name: &str) -> Self {
        self.setting("name", name)
    }

    /// Anything the application wants to keep with the tenant.
    pub fn setting(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.settings.insert(key.to_owned(), value.into());
        self
    }

    /// The database its schema is made in. Default: the one that the
    /// [placement](crate::Builder::placement) chooses, which is `default` unless something else was said. For a clone
    /// it is that of its source, and for a schema that is there already `default`.
    pub fn database(self, database: Alias) -> Self {
        Self { database: Some(database), ..self }
    }

    /// Its type, whose files its schema gets beside those of all tenants. Default: none.
    pub fn of_type(self, type_name: TypeName) -> Self {
        Self { type_name: Some(type_name), ..self }
    }

    /// A domain of its own, besides the subdomain its slug gives it.
    pub fn domain(mut self, domain: DomainName) -> Self {
        if !self.domains.contains(&domain) {
            self.domains.push(domain);
        }
        self
    }

    /// Registers a schema that is already there instead of making one. It is not migrated now.
    pub fn existing_schema(mut self, schema: SchemaName) -> Self {
        self.existing_schema = Some(schema);
        self
    }

    /// Notes in the ledger of an [existing schema](Self::existing_schema) that all files up to this version are
    /// applied, which nobody checks. A schema with a ledger of its own knows better. For a database that is
    /// [imported](crate::Tenancy::import_database) this comes before its ledger.
    pub fn applied_through(mut self, version: i64) -> Self {
        self.applied_through = Some(version);
        self
    }

    /// Refuses an existing schema whose structure is another than this.
    pub(crate) fn proven(self, proof: Proof) -> Self {
        Self { proof: Some(proof), ..self }
    }

    pub(super) fn proof(&self) -> Option<&Proof> {
        self.proof.as_ref()
    }

    pub(crate) fn through(&self) -> Option<i64> {
        self.applied_through
    }

    pub(crate) fn domains(&self) -> &[DomainName] {
        &self.domains
    }

    /// The database that was asked for.
    pub(crate) fn chosen_database(&self) -> Option<&Alias> {
        self.database.as_ref()
    }

    pub(crate) fn type_name(&self) -> Option<&TypeName> {
        self.type_name.as_ref()
    }

    /// Adds the settings that it has not chosen itself.
    pub(crate) fn with_defaults<'a>(
        mut self,
        settings: impl Iterator<Item = (&'a String, &'a Value)>,
    ) -> Self {
        for (key, value) in settings {
            if !self.settings.contains_key(key) {
                self.settings.insert(key.clone(), value.clone());
            }
        }
        self
    }

    pub(crate) fn registers_existing(&self) -> bool {
        self.existing_schema.is_some()
    }

    /// The tenant this becomes, checked against the rules but not yet against the registry.
    pub(crate) fn draft(&self, context: &Context, status: Status) -> Result<Tenant> {
        let draft = self.outline(context, status)?;
        check_open(context, draft.database(), draft.slug())?;
        Ok(draft)
    }

    /// The same for one that may be there already, half made, whatever became of its database since.
    pub(super) fn outline(&self, context: &Context, status: Status) -> Result<Tenant> {
        let slug = checked_slug(context, &self.slug)?;
        let settings = checked_settings(self.settings.clone())?;
        self.domains.iter().try_for_each(DomainName::check_registrable)?;
        let id = TenantId::random();
        let schema = match &self.existing_schema {
            Some(schema) => {
                refuse_shared(context, schema)?;
                schema.clone()
            }
            None => SchemaName::generate(&slug, id),
        };
        check_role(context, &schema)?;
        Ok(Tenant::from(TenantRecord {
            id,
            slug,
            schema,
            database: self.database.clone().unwrap_or_default(),
            node: None,
            type_name: self.type_name.clone(),
            status,
            suspension: None,
            settings: Value::Object(settings),
            epoch: 0,
            digest: None,
            owns_types: false,
            last_error: None,
            created_at: OffsetDateTime::now_utc(),
        }))
    }
}

/// Reads a slug that a tenant may take: a legal one that is not reserved.
pub(crate) fn checked_slug(context: &Context, text: &str) -> Result<Slug> {
    let slug = Slug::parse(text).map_err(|error| {
        let message = format!("{:?} cannot be a slug: {error}", shortened(text));
        Error::new(ErrorKind::InvalidInput, message)
            .with_hint("use lower-case letters, digits and hyphens, at most 63")
    })?;
    if context.reserved.contains(&slug) {
        let message = format!("the slug `{slug}` is reserved");
        return Err(Error::new(ErrorKind::InvalidInput, message)
            .with_hint("choose another one, or change the list of reserved slugs"));
    }
    Ok(slug)
}

/// # Errors
/// [`ErrorKind::DatabaseClosed`] if the configuration closes the database that the tenant is to come to. The registry
/// may close it as well, which is found out when the tenant or its move is entered.
pub(crate) fn check_open(context: &Context, alias: &Alias, slug: &Slug) -> Result<()> {
    if !context.databases.config(alias)?.is_closed() {
        return Ok(());
    }
    let message = format!("database `{alias}` is closed to new tenants by the configuration");
    Err(Error::new(ErrorKind::DatabaseClosed, message)
        .with_tenant(slug)
        .with_hint(format!("take `closed` out of `[databases.{alias}]`, or name another database")))
}

/// PostgreSQL would cut a long name without a word, and the tenant would ask for the whole one.
fn check_role(context: &Context, schema: &SchemaName) -> Result<()> {
    let Some(name) = context.role.as_ref().map(|role| role.name_for(schema)) else { return Ok(()) };
    if name.len() <= SchemaName::MAX_BYTES {
        return Ok(());
    }
    let message = format!(
        "the role `{name}` would be {} bytes long, PostgreSQL keeps only {}",
        name.len(),
        SchemaName::MAX_BYTES
    );
    Err(Error::new(ErrorKind::InvalidInput, message)
        .with_hint("give the installation or the tenant a shorter name"))
}

/// The part that is shown of a text of any length.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}

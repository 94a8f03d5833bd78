use std::{fmt, sync::Arc};

use serde::{Serialize, Serializer, ser::SerializeStruct};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::settings::NAME;
use super::{Alias, Digest, Node, SchemaName, Slug, Status, Suspension, TenantId, TypeName};

/// One customer, as the registry knew it when it was read. Cheap to clone, never changes.
///
/// Serialises as a flat JSON object; the epoch, which only the pool compares, is left out.
///
/// ```
/// use tenantry::tenant::{Alias, SchemaName, Slug, Status, Tenant, TenantId, TenantRecord};
///
/// let (id, slug) = (TenantId::random(), Slug::parse("acme")?);
/// let tenant = Tenant::from(TenantRecord {
///     id,
///     schema: SchemaName::generate(&slug, id),
///     slug,
///     database: Alias::default(),
///     node: None,
///     type_name: None,
///     status: Status::Active,
///     suspension: None,
///     settings: serde_json::json!({ "name": "Acme Ltd", "plan": "gold" }),
///     epoch: 0,
///     digest: None,
///     owns_types: false,
///     last_error: None,
///     created_at: time::OffsetDateTime::UNIX_EPOCH,
/// });
/// assert_eq!(tenant.slug().as_str(), "acme");
/// assert_eq!(tenant.name(), "Acme Ltd");
/// assert_eq!(tenant.settings()["plan"], "gold");
/// # Ok::<(), tenantry::tenant::InvalidSlug>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Tenant(Arc<TenantRecord>);

/// A tenant that may not be worked for in its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotServed {
    slug: Slug,
    status: Status,
    suspension: Option<Suspension>,
}

impl NotServed {
    /// The tenant.
    pub fn slug(&self) -> &Slug {
        &self.slug
    }

    /// The status that keeps it from being served.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The terms on which it is suspended, if it is.
    pub fn suspension(&self) -> Option<&Suspension> {
        self.suspension.as_ref()
    }
}

impl fmt::Display for NotServed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tenant `{}` is {}", self.slug, self.status)?;
        match self.suspension.as_ref().and_then(Suspension::end).and_then(|end| end.format(&Rfc3339).ok()) {
            Some(end) => write!(f, " until {end}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for NotServed {}

/// The fields of a [`Tenant`], to make one from: what a row of the registry holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantRecord {
    /// See [`Tenant::id`].
    pub id: TenantId,
    /// See [`Tenant::slug`].
    pub slug: Slug,
    /// See [`Tenant::schema`].
    pub schema: SchemaName,
    /// See [`Tenant::database`].
    pub database: Alias,
    /// See [`Tenant::node`].
    pub node: Option<Node>,
    /// See [`Tenant::type_name`].
    pub type_name: Option<TypeName>,
    /// The status that was written down: a suspension whose end has come is still there. See [`Tenant::status`].
    pub status: Status,
    /// See [`Tenant::suspension`].
    pub suspension: Option<Suspension>,
    /// See [`Tenant::settings`].
    pub settings: serde_json::Value,
    /// See [`Tenant::epoch`].
    pub epoch: i64,
    /// See [`Tenant::digest`].
    pub digest: Option<Digest>,
    /// See [`Tenant::owns_types`].
    pub owns_types: bool,
    /// See [`Tenant::last_error`].
    pub last_error: Option<String>,
    /// See [`Tenant::created_at`].
    pub created_at: OffsetDateTime,
}

impl Tenant {
    /// Identifies the tenant, whatever it is called.
    pub fn id(&self) -> TenantId {
        self.0.id
    }

    /// The name by which the customer calls it in addresses; may change.
    pub fn slug(&self) -> &Slug {
        &self.0.slug
    }

    /// The schema that holds its tables.
    pub fn schema(&self) -> &SchemaName {
        &self.0.schema
    }

    /// The database its schema is in.
    pub fn database(&self) -> &Alias {
        &self.0.database
    }

    /// The node of a Citus cluster that its tables are on, as far as the registry knows. Whoever goes elsewhere finds
    /// them as well, by a longer way.
    pub fn node(&self) -> Option<&Node> {
        self.0.node.as_ref()
    }

    /// Its type, by which its schema has files beside those of all tenants.
    pub fn type_name(&self) -> Option<&TypeName> {
        self.0.type_name.as_ref()
    }

    /// Its status at this moment: where it is in its life. A suspension whose [end](Suspension::until) has come
    /// is over, so the tenant is active.
    pub fn status(&self) -> Status {
        match self.0.status {
            Status::Suspended if self.0.suspension.as_ref().is_some_and(Suspension::has_ended) => {
                Status::Active
            }
            status => status,
        }
    }

    /// The status as it was written down, which a statement on its row compares.
    pub(crate) fn recorded_status(&self) -> Status {
        self.0.status
    }

    /// The terms on which it is suspended, or was when it was deleted. `None` if they were never said, or their end has
    /// come.
    pub fn suspension(&self) -> Option<&Suspension> {
        self.0.suspension.as_ref().filter(|suspension| !suspension.has_ended())
    }

    /// Returns true if it is suspended in a way that lets reads go on.
    pub fn is_read_only(&self) -> bool {
        self.0.status == Status::Suspended && self.suspension().is_some_and(Suspension::is_read_only)
    }

    /// Refuses a tenant that is not served: all but one that is active, or suspended and may be read.
    ///
    /// # Errors
    /// [`NotServed`] says what it is instead.
    pub fn check_served(&self) -> Result<(), NotServed> {
        let status = self.status();
        if status == Status::Active || self.is_read_only() {
            return Ok(());
        }
        let suspension = self.suspension().filter(|_| status == Status::Suspended).cloned();
        Err(NotServed { slug: self.slug().clone(), status, suspension })
    }

    /// Refuses a tenant that is not served, nor will be when its move to another database has ended.
    pub(crate) fn check_served_soon(&self) -> Result<(), NotServed> {
        if self.status() == Status::Moving { Ok(()) } else { self.check_served() }
    }

    /// The data that the application stored with it, free in form.
    pub fn settings(&self) -> &serde_json::Value {
        &self.0.settings
    }

    /// The name to show people: the text `name` in the settings, or else the slug.
    pub fn name(&self) -> &str {
        let name = self.0.settings.get(NAME).and_then(serde_json::Value::as_str);
        name.unwrap_or(self.0.slug.as_str())
    }

    /// A number that grows when the schema is dropped, renamed or moved: connections prepared under an older
    /// one are closed, not used.
    pub fn epoch(&self) -> i64 {
        self.0.epoch
    }

    /// The digest of what the schema has applied, if it was ever migrated.
    pub fn digest(&self) -> Option<&Digest> {
        self.0.digest.as_ref()
    }

    /// Returns true if the schema has types of its own (enums, domains, composites, ranges), so that a connection
    /// must forget the ones it knew by name.
    pub fn owns_types(&self) -> bool {
        self.0.owns_types
    }

    /// The reason why the last command on it failed, until one succeeds.
    pub fn last_error(&self) -> Option<&str> {
        self.0.last_error.as_deref()
    }

    /// The time of its creation.
    pub fn created_at(&self) -> OffsetDateTime {
        self.0.created_at
    }
}

impl Tenant {
    /// The fields, to make a changed tenant from.
    pub fn to_record(&self) -> TenantRecord {
        (*self.0).clone()
    }
}

impl From<TenantRecord> for Tenant {
    fn from(record: TenantRecord) -> Self {
        Self(Arc::new(record))
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tenant({} in {}.{}, {})", self.slug(), self.database(), self.schema(), self.status())
    }
}

impl Serialize for Tenant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Tenant", 14)?;
        object.serialize_field("id", &self.id())?;
        object.serialize_field("slug", self.slug())?;
        object.serialize_field("name", self.name())?;
        object.serialize_field("schema", self.schema())?;
        object.serialize_field("database", self.database())?;
        object.serialize_field("node", &self.node().map(Node::to_string))?;
        object.serialize_field("type", &self.type_name())?;
        object.serialize_field("status", &self.status())?;
        object.serialize_field("suspension", &self.suspension())?;
        object.serialize_field("settings", self.settings())?;
        object.serialize_field("digest", &self.digest())?;
        object.serialize_field("owns_types", &self.owns_types())?;
        object.serialize_field("last_error", &self.last_error())?;
        object.serialize_field("created_at", &AsRfc3339(self.created_at()))?;
        object.end()
    }
}

#[derive(Serialize)]
struct AsRfc3339(#[serde(with = "time::serde::rfc3339")] OffsetDateTime);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;
    use uuid::uuid;

    use super::*;

    fn record() -> TenantRecord {
        TenantRecord {
            id: uuid!("0192f0c1-7a6b-4c5d-8e9f-5d4e3f2a1b0c").into(),
            slug: Slug::parse("acme").unwrap(),
            schema: SchemaName::parse("t_acme_4e3f2a1b0c").unwrap(),
            database: Alias::default(),
            node: None,
            type_name: Some(TypeName::parse("pro").unwrap()),
            status: Status::Active,
            suspension: None,
            settings: json!({ "name": "Acme Ltd" }),
            epoch: 3,
            digest: Some(Digest::from_bytes([1; 32])),
            owns_types: true,
            last_error: None,
            created_at: OffsetDateTime::UNIX_EPOCH,
        }
    }

    #[track_caller]
    fn check_name(settings: serde_json::Value, expect: &str) {
        assert_eq!(Tenant::from(TenantRecord { settings, ..record() }).name(), expect);
    }

    #[test]
    fn only_an_active_tenant_is_served() {
        for status in Status::ALL {
            let tenant = Tenant::from(TenantRecord { status, ..record() });
            let refusal = tenant.check_served().err().map(|refusal| refusal.to_string());
            let expected = (status != Status::Active).then(|| format!("tenant `acme` is {status}"));
            assert_eq!(refusal, expected);
        }
    }

    fn suspended(suspension: Suspension) -> Tenant {
        let suspension = Some(suspension);
        Tenant::from(TenantRecord { status: Status::Suspended, suspension, ..record() })
    }

    #[test]
    fn a_suspension_ends_by_itself() {
        let ended = suspended(Suspension::new().until(OffsetDateTime::now_utc()).read_only());
        assert_eq!((ended.status(), ended.recorded_status()), (Status::Active, Status::Suspended));
        assert_eq!((ended.check_served(), ended.suspension(), ended.is_read_only()), (Ok(()), None, false));

        let end = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap() + time::Duration::DAY;
        let lasting = suspended(Suspension::new().until(end));
        let refusal = lasting.check_served().unwrap_err();
        assert_eq!((lasting.status(), refusal.suspension()), (Status::Suspended, lasting.suspension()));
        let end = end.format(&Rfc3339).unwrap();
        assert_eq!(refusal.to_string(), format!("tenant `acme` is suspended until {end}"));
    }

    #[test]
    fn a_tenant_that_may_be_read_is_served() {
        let tenant = suspended(Suspension::new().read_only());
        assert_eq!((tenant.status(), tenant.is_read_only()), (Status::Suspended, true));
        assert_eq!(tenant.check_served(), Ok(()));
        let deleted = Tenant::from(TenantRecord { status: Status::Deleted, ..tenant.to_record() });
        assert_eq!(deleted.suspension(), tenant.suspension(), "it is kept");
        let refusal = deleted.check_served().unwrap_err();
        assert_eq!((refusal.to_string().as_str(), refusal.suspension()), ("tenant `acme` is deleted", None));
    }

    #[test]
    fn the_slug_stands_in_for_a_missing_name() {
        check_name(json!({ "name": "Acme Ltd" }), "Acme Ltd");
        check_name(json!({}), "acme");
        check_name(json!(null), "acme");
        check_name(json!({ "name": 7 }), "acme");
    }

    #[test]
    fn debug_fits_on_a_line() {
        let text = format!("{:?}", Tenant::from(record()));
        assert_eq!(text, "Tenant(acme in default.t_acme_4e3f2a1b0c, active)");
    }

    #[test]
    fn two_readings_of_the_same_row_are_equal() {
        assert_eq!(Tenant::from(record()), Tenant::from(record()));
        assert_ne!(Tenant::from(record()), Tenant::from(TenantRecord { epoch: 4, ..record() }));
    }

    #[test]
    fn json_is_flat_and_complete() {
        let expect = json!({
            "id": "0192f0c1-7a6b-4c5d-8e9f-5d4e3f2a1b0c",
            "slug": "acme",
            "name": "Acme Ltd",
            "schema": "t_acme_4e3f2a1b0c",
            "database": "default",
            "node": null,
            "type": "pro",
            "status": "active",
            "suspension": null,
            "settings": { "name": "Acme Ltd" },
            "digest": "01".repeat(32),
            "owns_types": true,
            "last_error": null,
            "created_at": "1970-01-01T00:00:00Z",
        });
        assert_eq!(serde_json::to_value(Tenant::from(record())).unwrap(), expect);
    }
}

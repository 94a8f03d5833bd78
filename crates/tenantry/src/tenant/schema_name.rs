use std::sync::Arc;

use super::{
    Slug, TenantId,
    text::{serde_as_text, text},
};

/// The name of a PostgreSQL schema that may hold a tenant. Holding one is the proof; nobody checks again.
///
/// Names that Tenantry makes come from [`generate`](Self::generate). Names of schemas that already exist
/// come from [`parse`](Self::parse), which takes whatever PostgreSQL takes — capitals, spaces, quotes —
/// because the name is always quoted when it is placed in SQL.
///
/// ```
/// use tenantry::tenant::{InvalidSchemaName, SchemaName};
///
/// assert_eq!(SchemaName::parse("Customer \"7\"")?.as_str(), "Customer \"7\"");
/// assert_eq!(SchemaName::parse("pg_temp"), Err(InvalidSchemaName::Reserved { name: "pg_" }));
/// # Ok::<(), InvalidSchemaName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaName(Arc<str>);

/// The reason why a text is not a [`SchemaName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSchemaName {
    /// There is no text at all.
    #[error("schema name is empty")]
    Empty,
    /// PostgreSQL would silently cut it, and two tenants could then share what is left.
    #[error("schema name is {bytes} bytes long, PostgreSQL keeps only {}", SchemaName::MAX_BYTES)]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// PostgreSQL's texts end at a NUL.
    #[error("schema name has a NUL at byte {at}")]
    Nul {
        /// The byte where it is.
        at: usize,
    },
    /// It belongs to PostgreSQL (`pg_…`, `information_schema`) or to Tenantry's registry.
    #[error("schema name `{name}` is reserved")]
    Reserved {
        /// The reserved name, or the prefix `pg_`.
        name: &'static str,
    },
}

impl SchemaName {
    /// The longest name PostgreSQL keeps, in bytes.
    pub const MAX_BYTES: usize = 63;

    /// Accepts any name an existing schema can have, except those of PostgreSQL and of the registry.
    ///
    /// # Errors
    /// [`InvalidSchemaName`] names the rule that was broken and the byte where it broke.
    pub fn parse(name: &str) -> Result<Self, InvalidSchemaName> {
        if name.is_empty() {
            return Err(InvalidSchemaName::Empty);
        }
        if name.len() > Self::MAX_BYTES {
            return Err(InvalidSchemaName::TooLong { bytes: name.len() });
        }
        if let Some(at) = name.find('\0') {
            return Err(InvalidSchemaName::Nul { at });
        }
        match reserved(name) {
            Some(name) => Err(InvalidSchemaName::Reserved { name }),
            None => Ok(Self(name.into())),
        }
    }

    /// Makes the name of a new tenant's schema: readable through the slug, unique through the id.
    ///
    /// The slug is only decoration. It may change later, the schema's name does not.
    ///
    /// ```
    /// use tenantry::tenant::{SchemaName, Slug, TenantId};
    /// use uuid::uuid;
    ///
    /// let id = TenantId::from(uuid!("0192f0c1-7a6b-4c5d-8e9f-5d4e3f2a1b0c"));
    /// let schema = SchemaName::generate(&Slug::parse("acme-eu")?, id);
    /// assert_eq!(schema.as_str(), "t_acme_eu_4e3f2a1b0c");
    /// # Ok::<(), tenantry::tenant::InvalidSlug>(())
    /// ```
    pub fn generate(slug: &Slug, id: TenantId) -> Self {
        let readable: String = slug.as_str().chars().take(40).map(underscored).collect();
        let id = id.as_uuid().simple().to_string();
        Self(format!("t_{readable}_{unique}", unique = &id[id.len() - 10..]).into())
    }

    /// Makes a name for a schema that waits to become a tenant's.
    pub(crate) fn generate_spare() -> Self {
        let id = TenantId::random().as_uuid().simple().to_string();
        Self(format!("tenantry_spare_{unique}", unique = &id[id.len() - 10..]).into())
    }

    /// The name as PostgreSQL's catalog has it, unquoted.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

text!(SchemaName, InvalidSchemaName);
serde_as_text!(SchemaName);

// PostgreSQL compares case-sensitively: `PG_temp` is an ordinary name, `pg_anything` is not.
fn reserved(name: &str) -> Option<&'static str> {
    match name {
        "information_schema" => Some("information_schema"),
        "tenantry" => Some("tenantry"),
        "tenantry_void" => Some("tenantry_void"),
        _ if name.starts_with("pg_") => Some("pg_"),
        _ => None,
    }
}

fn underscored(character: char) -> char {
    if character.is_ascii_alphanumeric() { character } else { '_' }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(name: &str, expect: Result<(), InvalidSchemaName>) {
        assert_eq!(SchemaName::parse(name).map(|parsed| assert_eq!(parsed.as_str(), name)), expect);
    }

    #[test]
    fn whatever_postgresql_accepts_is_accepted_unchanged() {
        for name in ["acme", "Acme", "a b", "a\"b", "a'; drop schema public;--", "público", "1", "a.b", "\n"]
        {
            check(name, Ok(()));
        }
    }

    #[test]
    fn length_is_counted_in_bytes() {
        check("", Err(InvalidSchemaName::Empty));
        check(&"é".repeat(31), Ok(()));
        check(&"é".repeat(32), Err(InvalidSchemaName::TooLong { bytes: 64 }));
    }

    #[test]
    fn a_nul_is_refused_where_it_stands() {
        check("ab\0c", Err(InvalidSchemaName::Nul { at: 2 }));
    }

    #[test]
    fn names_of_postgresql_and_of_the_registry_are_refused_in_lower_case_only() {
        for name in ["information_schema", "tenantry", "tenantry_void"] {
            check(name, Err(InvalidSchemaName::Reserved { name }));
            check(&name.to_uppercase(), Ok(()));
        }
        for name in ["pg_", "pg_catalog", "pg_temp_3", "pg_é"] {
            check(name, Err(InvalidSchemaName::Reserved { name: "pg_" }));
        }
        for name in ["pg", "pgx", "Pg_catalog", "tenantry_spare_0123456789", "public"] {
            check(name, Ok(()));
        }
    }

    #[test]
    fn serde_cannot_smuggle_in_a_reserved_name() {
        let name = SchemaName::parse("t_acme_0123456789").unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), r#""t_acme_0123456789""#);
        assert_eq!(serde_json::from_str::<SchemaName>(r#""t_acme_0123456789""#).unwrap(), name);
        let error = serde_json::from_str::<SchemaName>(r#""pg_catalog""#).unwrap_err();
        assert!(error.to_string().starts_with("schema name `pg_` is reserved"), "{error}");
    }

    #[test]
    fn at_most_forty_bytes_of_the_slug_are_used() {
        let slug = Slug::parse(&"a".repeat(63)).unwrap();
        let schema = SchemaName::generate(&slug, TenantId::random());
        assert_eq!(schema.as_str().len(), "t_".len() + 40 + "_".len() + 10);
    }

    proptest! {
        #[test]
        fn generated_names_need_no_quotes(slug in "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", id: [u8; 16]) {
            prop_assume!(!slug.starts_with("xn--"));
            let id = TenantId::from(uuid::Uuid::from_bytes(id));
            let schema = SchemaName::generate(&Slug::parse(&slug).unwrap(), id);
            prop_assert_eq!(SchemaName::parse(schema.as_str()), Ok(schema.clone()));
            prop_assert!(schema.as_str().bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_')));
        }

        #[test]
        fn no_input_panics(name: String) {
            let _ = SchemaName::parse(&name);
        }
    }
}

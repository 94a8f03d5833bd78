use std::fmt;
use std::sync::Arc;

use super::Tenant;

/// A key for a cache that tenants share, or several installations, such as Redis: `tenant:<id>:<name>`.
///
/// Made by [`Tenant::key`]. Two tenants never have the same one, whatever the name is: it begins with the id, which is
/// as long as any other, and which no two tenants of any installation share. A slug is neither: it may be renamed, and
/// then be somebody else's.
///
/// As a key of a map in memory it is cheap to clone and to compare; as text it is what a store takes.
///
/// ```
/// use std::collections::HashMap;
/// use tenantry::Tenant;
/// use tenantry::tenant::CacheKey;
///
/// // A cache in memory, such as `moka::sync::Cache<CacheKey, u64>`.
/// fn count(cache: &mut HashMap<CacheKey, u64>, tenant: &Tenant) -> u64 {
///     *cache.entry(tenant.key("notes")).or_insert_with(|| 42)
/// }
///
/// // A store behind a wire, such as `redis::cmd("GET").arg(key.as_ref())`.
/// fn get(store: &HashMap<String, String>, key: impl AsRef<str>) -> Option<&String> {
///     store.get(key.as_ref())
/// }
///
/// fn greeting<'a>(store: &'a HashMap<String, String>, tenant: &Tenant, user: i64) -> Option<&'a String> {
///     get(store, tenant.key(format_args!("greeting:{user}")))
/// }
/// # let _ = (count, greeting);
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CacheKey(Arc<str>);

impl Tenant {
    /// The key of something of this tenant in a cache, which no other tenant of any installation has.
    ///
    /// All keys of a tenant begin with `key("")`, which finds them in a store that can look for a prefix.
    ///
    /// ```
    /// # fn example(acme: &tenantry::Tenant) {
    /// assert_eq!(acme.key("notes").to_string(), format!("tenant:{}:notes", acme.id()));
    /// assert_eq!(acme.key(format_args!("note:{}", 7)), acme.key("note:7"));
    /// # }
    /// ```
    pub fn key(&self, name: impl fmt::Display) -> CacheKey {
        CacheKey(format!("tenant:{}:{name}", self.id()).into())
    }
}

impl CacheKey {
    /// The text of the key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for CacheKey {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<CacheKey> for String {
    fn from(key: CacheKey) -> Self {
        key.0.as_ref().to_owned()
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use time::OffsetDateTime;

    use crate::tenant::{Alias, SchemaName, Slug, Status, Tenant, TenantId, TenantRecord};

    fn tenant(slug: &str) -> Tenant {
        let (slug, id) = (Slug::parse(slug).unwrap(), TenantId::random());
        Tenant::from(TenantRecord {
            id,
            schema: SchemaName::generate(&slug, id),
            slug,
            database: Alias::default(),
            node: None,
            type_name: None,
            status: Status::Active,
            suspension: None,
            settings: serde_json::json!({}),
            epoch: 0,
            digest: None,
            owns_types: false,
            last_error: None,
            created_at: OffsetDateTime::UNIX_EPOCH,
        })
    }

    #[test]
    fn a_key_has_the_id_and_not_the_slug() {
        let acme = tenant("acme");
        assert_eq!(acme.key("notes").as_str(), format!("tenant:{}:notes", acme.id()));
        assert_eq!(acme.key("").to_string(), format!("tenant:{}:", acme.id()));
        assert_eq!(String::from(acme.key(7)), acme.key("7").as_ref());
    }

    proptest! {
        /// Whatever names they choose: the name of one may look like the key of the other.
        #[test]
        fn keys_of_two_tenants_are_never_the_same(name in "(?s).*", other in "(?s).*") {
            let [acme, globex] = ["acme", "globex"].map(tenant);
            prop_assert_ne!(acme.key(&name), globex.key(&other));
            prop_assert_ne!(acme.key(&name), globex.key(acme.key(&name)));
            prop_assert_eq!(acme.key(&name) == acme.key(&other), name == other);
        }
    }
}

use std::{collections::BTreeSet, sync::LazyLock};

use serde::{Deserialize, Serialize};

use super::Slug;

/// Slugs that no customer may take, because the application, its mail or its users' trust needs them.
///
/// They are refused when a tenant is created or renamed; a tenant that already has one keeps it. The default
/// holds the usual host names (`www`, `api`, `mail`, `static`), names that a phisher would like (`admin`,
/// `login`, `billing`) and names that machines look up by themselves (`autodiscover`, `wpad`).
///
/// ```
/// use tenantry::tenant::{ReservedSlugs, Slug};
///
/// let internal = Slug::parse("internal-tools")?;
/// let mut reserved = ReservedSlugs::default();
/// assert!(reserved.contains(&Slug::parse("www")?));
/// assert!(!reserved.contains(&internal));
///
/// reserved.extend([internal.clone()]);
/// assert!(reserved.contains(&internal));
/// # Ok::<(), tenantry::tenant::InvalidSlug>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReservedSlugs(BTreeSet<Slug>);

impl ReservedSlugs {
    /// Reserves nothing.
    pub const fn none() -> Self {
        Self(BTreeSet::new())
    }

    /// Returns true if customers are refused this slug.
    pub fn contains(&self, slug: &Slug) -> bool {
        self.0.contains(slug)
    }

    /// The reserved slugs in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = &Slug> {
        self.0.iter()
    }
}

impl Default for ReservedSlugs {
    fn default() -> Self {
        static USUAL: LazyLock<ReservedSlugs> = LazyLock::new(|| {
            DEFAULT.split_ascii_whitespace().filter_map(|slug| Slug::parse(slug).ok()).collect()
        });
        USUAL.clone()
    }
}

impl FromIterator<Slug> for ReservedSlugs {
    fn from_iter<I: IntoIterator<Item = Slug>>(slugs: I) -> Self {
        Self(slugs.into_iter().collect())
    }
}

impl Extend<Slug> for ReservedSlugs {
    fn extend<I: IntoIterator<Item = Slug>>(&mut self, slugs: I) {
        self.0.extend(slugs);
    }
}

const DEFAULT: &str = "
    about account accounts admin administrator api app apps assets auth autoconfig autodiscover
    backup beta billing blog broadcasthost
    cdn chat cloud cname community console contact
    dashboard db default demo dev developer developers dns docs download downloads
    email example files forum ftp
    git graphql health help home hostmaster id images img imap info internal invalid isatap
    jobs js legal live localdomain localhost log login logout
    m mail master me media metrics mobile monitoring mta-sts mx my
    news no-reply noreply ns ns1 ns2 ns3 ns4 null
    oauth openid pay payment payments pop pop3 portal postmaster preview pricing privacy private prod
    production proxy public register registry root
    sales secure security server shop signin signup site sitemap smtp ssh sso ssl staging static stats
    status store support sysadmin system
    tenant tenantry terms test tls tools undefined upload uploads user users
    vpn web webhook webhooks webmail webmaster wpad ws wss www www1 www2 www3
";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_default_is_a_slug_and_none_is_listed_twice() {
        assert_eq!(ReservedSlugs::default().iter().count(), DEFAULT.split_ascii_whitespace().count());
    }

    #[test]
    fn the_names_the_design_promises_are_reserved() {
        for slug in ["www", "api", "admin", "app", "mail", "static", "localhost"] {
            assert!(ReservedSlugs::default().contains(&Slug::parse(slug).unwrap()), "{slug}");
        }
        assert!(!ReservedSlugs::default().contains(&Slug::parse("acme").unwrap()));
    }

    #[test]
    fn a_configured_list_replaces_the_default() {
        let reserved: ReservedSlugs = serde_json::from_str(r#"["Desk"]"#).unwrap();
        assert!(reserved.contains(&Slug::parse("desk").unwrap()));
        assert!(!reserved.contains(&Slug::parse("www").unwrap()));
        assert!(serde_json::from_str::<ReservedSlugs>(r#"["a b"]"#).is_err());
    }
}

use std::fmt;

use http::HeaderName;

use super::{Head, InvalidResolver, Resolution, Resolve};
use crate::tenant::Slug;

/// The first answer of several resolvers that is not [`None`](Resolution::None).
///
/// An [`Invalid`](Resolution::Invalid) request ends the search: it stays invalid whoever looks at it next. Only
/// a host with an underscore, as containers have it, does not: no tenant has such a host, so resolvers that do not
/// look at hosts are asked. When none of them knows a tenant, the request is invalid.
///
/// ```
/// use tenantry::resolve::{CustomDomain, FirstOf, InvalidResolver, Subdomain};
///
/// let subdomain = Subdomain::of("example.com")?;
/// let wrong = FirstOf::new(vec![Box::new(CustomDomain::new()), Box::new(subdomain.clone())]);
/// assert_eq!(wrong.unwrap_err(), InvalidResolver::CatchAllNotLast { position: 1, count: 2 });
/// assert!(FirstOf::new(vec![Box::new(subdomain), Box::new(CustomDomain::new())]).is_ok());
/// # Ok::<(), InvalidResolver>(())
/// ```
pub struct FirstOf {
    resolvers: Vec<Box<dyn Resolve>>,
}

impl FirstOf {
    /// Asks the resolvers in this order.
    ///
    /// # Errors
    /// [`InvalidResolver::CatchAllNotLast`] when one that answers every request, such as
    /// [`CustomDomain`](super::CustomDomain), has others after it.
    pub fn new(resolvers: Vec<Box<dyn Resolve>>) -> Result<Self, InvalidResolver> {
        let count = resolvers.len();
        match resolvers.iter().position(Resolve::is_catch_all) {
            Some(index) if index + 1 < count => {
                Err(InvalidResolver::CatchAllNotLast { position: index + 1, count })
            }
            _ => Ok(Self { resolvers }),
        }
    }
}

impl Resolve for FirstOf {
    fn resolve(&self, head: &Head<'_>) -> Resolution {
        let mut otherwise = Resolution::None;
        for resolver in &self.resolvers {
            match resolver.resolve(head) {
                Resolution::None => {}
                Resolution::Invalid(reason) if reason.is_of_a_name_outside_of_dns() => {
                    otherwise = Resolution::Invalid(reason);
                }
                answer => return answer,
            }
        }
        otherwise
    }

    fn address(&self, head: &Head<'_>, slug: &Slug) -> Option<String> {
        let answers = |resolution| match resolution {
            Resolution::None => false,
            Resolution::Invalid(reason) => !reason.is_of_a_name_outside_of_dns(),
            _ => true,
        };
        self.resolvers.iter().find(|resolver| answers(resolver.resolve(head)))?.address(head, slug)
    }

    fn varies_by(&self) -> Vec<HeaderName> {
        let mut headers = Vec::new();
        for header in self.resolvers.iter().flat_map(Resolve::varies_by) {
            if !headers.contains(&header) {
                headers.push(header);
            }
        }
        headers
    }

    fn is_catch_all(&self) -> bool {
        self.resolvers.iter().any(Resolve::is_catch_all)
    }
}

impl fmt::Debug for FirstOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FirstOf({} resolvers)", self.resolvers.len())
    }
}

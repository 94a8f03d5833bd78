use http::HeaderName;

use super::{
    Head, InvalidRequest, InvalidResolver, Resolution, Resolve, head::text_in, peer::TrustedNetworks,
};
use crate::tenant::Slug;

/// The tenant is the slug in a header that a gateway sets: `x-tenant: acme`.
///
/// Anyone can send a header, so it is ignored unless the [`Peer`](super::Peer) is in a network given to
/// [`trusting`](Self::trusting): until one is, this resolves nothing. From a trusted peer, a value that is no
/// slug is [`Invalid`](Resolution::Invalid): the gateway meant a tenant, and no other resolver shall guess.
///
/// ```
/// use http::Request;
/// use tenantry::{resolve::{Head, Header, Peer, Resolution, Resolve}, tenant::Slug};
///
/// let resolver = Header::named("x-tenant")?.trusting(["10.0.0.0/8"])?;
/// let mut request = Request::builder().header("x-tenant", "acme").body(())?;
/// assert_eq!(resolver.resolve(&Head::of(&request)), Resolution::None);
///
/// request.extensions_mut().insert(Peer([10, 1, 2, 3].into()));
/// assert_eq!(resolver.resolve(&Head::of(&request)), Resolution::tenant(Slug::parse("acme")?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Header {
    name: HeaderName,
    gateways: TrustedNetworks,
}

impl Header {
    /// Looks at the header of this name, in any case.
    ///
    /// # Errors
    /// [`InvalidResolver::HeaderName`] when no header can have that name.
    pub fn named(name: &str) -> Result<Self, InvalidResolver> {
        let header = name.parse().map_err(|_| InvalidResolver::HeaderName(name.to_owned()))?;
        Ok(Self { name: header, gateways: TrustedNetworks::default() })
    }

    /// Believes peers in these networks (`10.0.0.0/8`, `fd00::/8`, `127.0.0.1`).
    ///
    /// # Errors
    /// [`InvalidResolver::Network`] when one is not a network.
    pub fn trusting<N: AsRef<str>>(
        mut self,
        gateways: impl IntoIterator<Item = N>,
    ) -> Result<Self, InvalidResolver> {
        self.gateways.extend(gateways)?;
        Ok(self)
    }

    fn try_resolve(&self, head: &Head<'_>) -> Result<Resolution, InvalidRequest> {
        if !self.gateways.contain(head.peer(), head.headers(), &self.name) {
            return Ok(Resolution::None);
        }
        let Some(value) = head.only(&self.name)? else { return Ok(Resolution::None) };
        let slug = Slug::parse(text_in(&self.name, value)?);
        slug.map(Resolution::tenant)
            .map_err(|source| InvalidRequest::Slug { header: self.name.clone(), source })
    }
}

impl Resolve for Header {
    fn resolve(&self, head: &Head<'_>) -> Resolution {
        self.try_resolve(head).unwrap_or_else(Resolution::Invalid)
    }

    fn varies_by(&self) -> Vec<HeaderName> {
        self.gateways.varies_by(&self.name)
    }
}

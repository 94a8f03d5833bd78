use http::HeaderName;

use super::{Head, InvalidResolver, Resolution, Resolve, head::X_FORWARDED_HOST, peer::TrustedNetworks};

/// The tenant is whoever registered the host: `notes.acme.com`.
///
/// Takes every host for some tenant's; whether it is, the registry knows. So in a [`FirstOf`](super::FirstOf)
/// it comes last.
///
/// ```
/// use http::Request;
/// use tenantry::{resolve::{CustomDomain, Head, Resolution, Resolve}, tenant::DomainName};
///
/// let request = Request::builder().header("host", "Notes.ACME.com").body(())?;
/// let resolution = CustomDomain::new().resolve(&Head::of(&request));
/// assert_eq!(resolution, Resolution::tenant(DomainName::parse("notes.acme.com")?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct CustomDomain {
    proxies: TrustedNetworks,
}

impl CustomDomain {
    /// Looks at the host of the request itself.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the host from `X-Forwarded-Host`, when the [`Peer`](super::Peer) is in one of these networks
    /// (`10.0.0.0/8`, `fd00::/8`, `127.0.0.1`). Let the proxy overwrite the header: a list is refused.
    ///
    /// # Errors
    /// [`InvalidResolver::Network`] when one is not a network.
    pub fn trusting<N: AsRef<str>>(
        mut self,
        proxies: impl IntoIterator<Item = N>,
    ) -> Result<Self, InvalidResolver> {
        self.proxies.extend(proxies)?;
        Ok(self)
    }
}

impl Resolve for CustomDomain {
    fn resolve(&self, head: &Head<'_>) -> Resolution {
        match head.host_behind(&self.proxies) {
            Ok(Some(host)) => Resolution::tenant(host),
            Ok(None) => Resolution::None,
            Err(error) => Resolution::Invalid(error),
        }
    }

    fn varies_by(&self) -> Vec<HeaderName> {
        self.proxies.varies_by(&X_FORWARDED_HOST)
    }

    fn is_catch_all(&self) -> bool {
        true
    }
}

use http::HeaderName;
use http::uri::PathAndQuery;

use super::{
    Head, InvalidRequest, InvalidResolver, Resolution, Resolve, head::X_FORWARDED_HOST, peer::TrustedNetworks,
};
use crate::tenant::{DomainName, Slug};

/// The tenant is the label in front of a base domain: `acme.example.com`.
///
/// | host | resolution, with base `example.com` |
/// | --- | --- |
/// | `example.com`, `www.example.com` | master |
/// | `acme.example.com`, in any case, with any port | tenant `acme` |
/// | `foo.bar.example.com`, `evil-example.com`, `10.0.0.1` | none |
/// | `127.0.0.1`, `[::1]` | none; master with base `localhost`, whose addresses they are |
/// | `xn--….example.com`: fine as a host, impossible as a slug | none |
/// | `a_b.example.com`, `acme..example.com`: not a host | invalid |
///
/// Two bases are a [`FirstOf`](super::FirstOf) two of these.
///
/// ```
/// use http::Request;
/// use tenantry::{resolve::{Head, Resolution, Resolve, Subdomain}, tenant::Slug};
///
/// let resolver = Subdomain::of("localhost")?.master_at("admin")?;
/// let resolve = |host| {
///     let request = Request::builder().header("host", host).body(())?;
///     Ok::<_, http::Error>(resolver.resolve(&Head::of(&request)))
/// };
/// assert_eq!(resolve("acme.localhost:3000")?, Resolution::tenant(Slug::parse("acme")?));
/// assert_eq!(resolve("localhost:3000")?, Resolution::Master);
/// assert_eq!(resolve("127.0.0.1:3000")?, Resolution::Master);
/// assert_eq!(resolve("admin.localhost:3000")?, Resolution::Master);
/// assert_eq!(resolve("acme.example.com")?, Resolution::None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Subdomain {
    base: DomainName,
    master: Vec<Slug>,
    proxies: TrustedNetworks,
}

impl Subdomain {
    /// Tenants are directly below this domain; the domain itself and `www` below it are the master's.
    ///
    /// With the base `localhost`, so are the loopback addresses, which are another spelling of it. Any other
    /// address is nobody's: scanners that try all addresses of a network do not find the master.
    ///
    /// # Errors
    /// [`InvalidResolver::Base`] when it is not a domain name, has a port, or is an IP address.
    pub fn of(base: &str) -> Result<Self, InvalidResolver> {
        let invalid = |source| InvalidResolver::Base { base: base.to_owned(), source };
        let name = DomainName::parse(base).map_err(|error| invalid(Some(error)))?;
        if name.ip().is_some() {
            return Err(invalid(None));
        }
        Self { base: name, master: Vec::new(), proxies: TrustedNetworks::default() }.master_at("www")
    }

    /// Gives one more label to the master schema, as in `admin` for `admin.example.com`.
    ///
    /// # Errors
    /// [`InvalidResolver::Label`] when it is not one DNS label.
    pub fn master_at(mut self, label: &str) -> Result<Self, InvalidResolver> {
        let invalid = |source| InvalidResolver::Label { label: label.to_owned(), source };
        self.master.push(Slug::parse(label).map_err(invalid)?);
        Ok(self)
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

    fn try_resolve(&self, head: &Head<'_>) -> Result<Resolution, InvalidRequest> {
        let Some(host) = head.host_behind(&self.proxies)? else { return Ok(Resolution::None) };
        if host == self.base || self.is_localhost(&host) {
            return Ok(Resolution::Master);
        }
        Ok(match self.slug_in(&host) {
            Some(slug) if self.master.contains(&slug) => Resolution::Master,
            Some(slug) => Resolution::tenant(slug),
            None => Resolution::None,
        })
    }

    fn is_localhost(&self, host: &DomainName) -> bool {
        self.base.as_str() == "localhost" && host.ip().is_some_and(|address| address.is_loopback())
    }

    // A label with a dot in it (`foo.bar`) is not a slug, so only hosts directly below the base pass.
    fn slug_in(&self, host: &DomainName) -> Option<Slug> {
        let label = host.as_str().strip_suffix(self.base.as_str())?.strip_suffix('.')?;
        Slug::parse(label).ok()
    }
}

impl Resolve for Subdomain {
    fn resolve(&self, head: &Head<'_>) -> Resolution {
        self.try_resolve(head).unwrap_or_else(Resolution::Invalid)
    }

    fn address(&self, head: &Head<'_>, slug: &Slug) -> Option<String> {
        let authority = head.authority_behind(&self.proxies).ok()??;
        self.slug_in(&DomainName::from_host(authority).ok()?)?;
        let is_port = |port: &&str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = authority.rsplit_once(':').map(|(_, port)| port).filter(is_port);
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let path = head.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        path.starts_with('/').then(|| format!("//{slug}.{}{port}{path}", self.base))
    }

    fn varies_by(&self) -> Vec<HeaderName> {
        self.proxies.varies_by(&X_FORWARDED_HOST)
    }
}

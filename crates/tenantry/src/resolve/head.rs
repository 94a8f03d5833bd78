use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Extensions, Method, Request, Uri};

use super::{InvalidRequest, Peer, peer::TrustedNetworks};
use crate::guard::{Guard, stands};
use crate::tenant::DomainName;

/// The head of a request, which is all that a [`Resolve`](super::Resolve) may look at.
///
/// ```
/// use http::Request;
/// use tenantry::resolve::Head;
///
/// let request = Request::builder().uri("/notes").header("host", "ACME.example.com:8443").body(())?;
/// let head = Head::of(&request);
/// assert_eq!(head.uri().path(), "/notes");
/// assert_eq!(head.host()?.map(|host| host.to_string()), Some("acme.example.com".to_owned()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    extensions: Option<&'a Extensions>,
    peer: Option<Peer>,
}

impl<'a> Head<'a> {
    /// Looks at the parts of a request that are not in an [`http::Request`].
    pub fn new(method: &'a Method, uri: &'a Uri, headers: &'a HeaderMap, peer: Option<Peer>) -> Self {
        Self { method, uri, headers, extensions: None, peer }
    }

    /// Looks at a request; the [`Peer`] is the one in its extensions.
    pub fn of<B>(request: &'a Request<B>) -> Self {
        let head = Self::new(request.method(), request.uri(), request.headers(), None);
        head.with_extensions(request.extensions())
    }

    /// Looks at a request that was taken apart, as in an extractor; the [`Peer`] is the one in its extensions.
    pub fn of_parts(parts: &'a Parts) -> Self {
        Self::new(&parts.method, &parts.uri, &parts.headers, None).with_extensions(&parts.extensions)
    }

    fn with_extensions(self, extensions: &'a Extensions) -> Self {
        Self { extensions: Some(extensions), peer: extensions.get().copied(), ..self }
    }

    /// Looks at the same request as it was at another URI.
    pub fn at(self, uri: &'a Uri) -> Self {
        Self { uri, ..self }
    }

    /// The method.
    pub fn method(&self) -> &'a Method {
        self.method
    }

    /// The URI as it was requested.
    pub fn uri(&self) -> &'a Uri {
        self.uri
    }

    /// The headers.
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// The other end of the TCP connection, if the server told.
    pub fn peer(&self) -> Option<Peer> {
        self.peer
    }

    /// The thing of a type that middleware in front of the resolver has attached to the request: a session, the
    /// claims of a token.
    ///
    /// `None` if there is nothing of this type, and for a head that was put together with [`new`](Self::new).
    ///
    /// ```
    /// use http::Request;
    /// use tenantry::resolve::{Head, Resolution, Resolve};
    /// use tenantry::tenant::TenantId;
    ///
    /// #[derive(Clone)]
    /// struct Claims {
    ///     tenant: TenantId,
    /// }
    ///
    /// let by_token = |head: &Head<'_>| match head.extension::<Claims>() {
    ///     Some(claims) => Resolution::tenant(claims.tenant),
    ///     None => Resolution::None,
    /// };
    /// let mut request = Request::new(());
    /// assert_eq!(by_token.resolve(&Head::of(&request)), Resolution::None);
    ///
    /// let tenant = TenantId::random();
    /// request.extensions_mut().insert(Claims { tenant });
    /// assert_eq!(by_token.resolve(&Head::of(&request)), Resolution::tenant(tenant));
    /// ```
    pub fn extension<T: Send + Sync + 'static>(&self) -> Option<&'a T> {
        self.extensions?.get()
    }

    /// The host that the request is for: the authority of the URI, else the `Host` header. `None` when it has
    /// neither, as HTTP/1.0 allows. What a proxy says about the host is not looked at.
    ///
    /// # Errors
    /// [`InvalidRequest`] when there is more than one `Host` header, when the URI names another host than the
    /// header does, and when either is not a host. The ports may differ.
    pub fn host(&self) -> Result<Option<DomainName>, InvalidRequest> {
        let header = self.only(&HOST)?.map(|value| host_in(&HOST, value)).transpose()?;
        let authority = self.uri.authority().map(|authority| parse_host(authority.as_str())).transpose()?;
        match (authority, header) {
            (Some(authority), Some(header)) if authority != header => Err(InvalidRequest::Conflict),
            (authority, header) => Ok(authority.or(header)),
        }
    }

    /// The host that a trusted peer says was asked for, else the [`host`](Self::host).
    pub(super) fn host_behind(
        &self,
        proxies: &TrustedNetworks,
    ) -> Result<Option<DomainName>, InvalidRequest> {
        if !proxies.contain(self.peer, self.headers, &X_FORWARDED_HOST) {
            return self.host();
        }
        match self.only(&X_FORWARDED_HOST)? {
            Some(value) => host_in(&X_FORWARDED_HOST, value).map(Some),
            None => self.host(),
        }
    }

    /// The text of the same host, with the port that was asked for.
    pub(super) fn authority_behind(
        &self,
        proxies: &TrustedNetworks,
    ) -> Result<Option<&'a str>, InvalidRequest> {
        if proxies.contain(self.peer, self.headers, &X_FORWARDED_HOST)
            && let Some(value) = self.only(&X_FORWARDED_HOST)?
        {
            return text_in(&X_FORWARDED_HOST, value).map(Some);
        }
        match (self.uri.authority(), self.only(&HOST)?) {
            (Some(authority), _) => Ok(Some(authority.as_str())),
            (None, Some(value)) => text_in(&HOST, value).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// The value of a header that may be there once.
    pub(super) fn only(&self, name: &HeaderName) -> Result<Option<&'a HeaderValue>, InvalidRequest> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (_, Some(_)) if stands(Guard::OneHost) => Err(InvalidRequest::Repeated { header: name.clone() }),
            (value, _) => Ok(value),
        }
    }
}

pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The text of a header.
pub(super) fn text_in<'a>(name: &HeaderName, value: &'a HeaderValue) -> Result<&'a str, InvalidRequest> {
    value.to_str().map_err(|_| InvalidRequest::NotText { header: name.clone() })
}

// Proxies that append make a list whose first entry is whatever the client sent, so none of it is believed.
fn host_in(name: &HeaderName, value: &HeaderValue) -> Result<DomainName, InvalidRequest> {
    let text = text_in(name, value)?;
    if text.contains(',') {
        return Err(InvalidRequest::Repeated { header: name.clone() });
    }
    parse_host(text)
}

fn parse_host(host: &str) -> Result<DomainName, InvalidRequest> {
    DomainName::from_host(host).map_err(InvalidRequest::Host)
}

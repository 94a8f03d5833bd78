use std::borrow::Cow;

use http::HeaderName;

use crate::tenant::{InvalidDomainName, InvalidSlug};

/// The reason why a request cannot be said to be for anyone. It is the client's (or a proxy's) mistake: answer 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// The host is none.
    #[error("request has an invalid host")]
    Host(#[source] InvalidDomainName),
    /// The URI and the `Host` header name different hosts.
    #[error("request names two different hosts")]
    Conflict,
    /// A header that may be there once is there more often, or is a list.
    #[error("request has more than one `{header}`")]
    Repeated {
        /// The header.
        header: HeaderName,
    },
    /// A header has bytes that are not visible ASCII.
    #[error("request has a `{header}` that is not ASCII text")]
    NotText {
        /// The header.
        header: HeaderName,
    },
    /// The header that names the tenant holds no slug.
    #[error("request has a `{header}` that names no tenant")]
    Slug {
        /// The header.
        header: HeaderName,
        /// The mistake in its value.
        source: InvalidSlug,
    },
    /// The tenant's segment of the path is percent-encoded, a dot segment or empty: another program
    /// may read it as another tenant.
    #[error("request has an ambiguous path")]
    Path,
    /// The reason that a resolver of the application gives.
    #[error("{0}")]
    Other(Cow<'static, str>),
}

impl InvalidRequest {
    /// The advice to the operator whose proxy or client sends such requests.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Repeated { .. } => Some("let the proxy overwrite the header, not append to it"),
            Self::Conflict => Some("let the proxy send one host, in the URI and in `Host`"),
            Self::Path => {
                Some("let the client or the proxy send the path without percent signs, `.` and `..` there")
            }
            _ => None,
        }
    }

    /// Returns true if nothing is wrong but that the host is a name outside of DNS, as in `my_app:3000`. Then
    /// whoever does not look at hosts may be asked.
    pub(super) fn is_of_a_name_outside_of_dns(&self) -> bool {
        matches!(self, Self::Host(InvalidDomainName::Underscore { .. }))
    }
}

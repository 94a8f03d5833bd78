use crate::tenant::{InvalidDomainName, InvalidSlug};

/// The reason why a resolver cannot be built. It is a mistake in the application or its configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidResolver {
    /// The base of a [`Subdomain`](super::Subdomain) is no domain name.
    #[error("`{base}` is not a domain name that can have subdomains")]
    Base {
        /// The text that was given.
        base: String,
        /// The mistake in it; nothing if it is an IP address.
        source: Option<InvalidDomainName>,
    },
    /// A label for the master schema is not one DNS label.
    #[error("`{label}` is not a label of a domain name")]
    Label {
        /// The text that was given.
        label: String,
        /// The mistake in it.
        source: InvalidSlug,
    },
    /// A trusted network is neither an IP address nor one with a prefix length.
    #[error("`{0}` is not a network such as `10.0.0.0/8` or `fd00::/8`")]
    Network(String),
    /// The name of a [`Header`](super::Header) is none.
    #[error("`{0}` is not the name of a header")]
    HeaderName(String),
    /// The prefix of a [`PathSegment`](super::PathSegment) is no plain path.
    #[error("`{0}` is not a plain path such as `/t`")]
    PathPrefix(String),
    /// A [`FirstOf`](super::FirstOf) would never ask the resolvers after this one.
    #[error("resolver {position} of {count} answers every request: put it last")]
    CatchAllNotLast {
        /// The resolver, counted from 1.
        position: usize,
        /// The number of them.
        count: usize,
    },
}

/// Turns the error of this concept into the one of the library, for `?`.
impl From<InvalidResolver> for crate::Error {
    fn from(error: InvalidResolver) -> Self {
        Self::new(crate::ErrorKind::Configuration, error.to_string())
    }
}

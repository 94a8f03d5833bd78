use std::fmt;

use http::StatusCode;

use crate::error::{Error, ErrorKind};

/// The reason why a request got no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RejectionKind {
    /// 400: the host, or what else names the tenant, is malformed or given twice.
    InvalidHost,
    /// 404: the address is no tenant's.
    NoTenant,
    /// 404: the address could be a tenant's, but nobody has it.
    UnknownTenant,
    /// 308: the address was the tenant's before it was renamed, and the application
    /// [redirects](super::TenancyLayer::redirect_renamed).
    Renamed,
    /// 404: the address is a tenant's, and this is only for the application itself.
    NotMaster,
    /// 503: the tenant is not served at the moment.
    TenantUnavailable,
    /// 503: the tenant is suspended. [`Rejection::suspension`](super::Rejection::suspension) has the message for its
    /// customer.
    Suspended,
    /// 503: no connection became free, the database is down, or the application is about to end.
    Busy,
    /// 500: what the tenant needs is broken.
    Broken,
    /// 500: the application forgot `.layer(tenancy.layer())`.
    NoLayer,
}

impl RejectionKind {
    /// The status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::InvalidHost => StatusCode::BAD_REQUEST,
            Self::Renamed => StatusCode::PERMANENT_REDIRECT,
            Self::NoTenant | Self::UnknownTenant | Self::NotMaster => StatusCode::NOT_FOUND,
            Self::TenantUnavailable | Self::Suspended | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken | Self::NoLayer => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Says nothing that the request did not say: no slug, no schema, no address.
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::InvalidHost => "The address of this request is not valid.",
            Self::NoTenant | Self::UnknownTenant => "There is no account at this address.",
            Self::Renamed => "This account has another address now.",
            Self::NotMaster => "There is no such page at this address.",
            Self::TenantUnavailable => "This account is not available at the moment.",
            Self::Suspended => "This account is suspended.",
            Self::Busy => "The service is busy. Please try again in a moment.",
            Self::Broken => "Something went wrong on our side.",
            Self::NoLayer => "This service is not set up completely.",
        }
    }

    /// In seconds. When a suspension ends, only that knows.
    pub(super) fn retry_after(self) -> Option<u64> {
        match self {
            Self::Busy => Some(1),
            Self::TenantUnavailable => Some(60),
            _ => None,
        }
    }
}

impl From<&Error> for RejectionKind {
    fn from(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::UnknownTenant => Self::UnknownTenant,
            ErrorKind::TenantUnavailable => Self::TenantUnavailable,
            ErrorKind::Suspended => Self::Suspended,
            ErrorKind::PoolClosed => Self::Busy,
            _ if error.is_retryable() => Self::Busy,
            _ => Self::Broken,
        }
    }
}

/// For logs: the pages say it in other words.
impl fmt::Display for RejectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidHost => "the request does not say clearly whom it is for",
            Self::NoTenant => "the request is for no tenant",
            Self::UnknownTenant => "the request is for a tenant that does not exist",
            Self::Renamed => "the tenant has another slug now",
            Self::NotMaster => "the request is not for the master",
            Self::TenantUnavailable => "the tenant is not served at the moment",
            Self::Suspended => "the tenant is suspended",
            Self::Busy => "no connection to the database is free",
            Self::Broken => "what the tenant needs is broken",
            Self::NoLayer => "the application has no `.layer(tenancy.layer())` around this route",
        })
    }
}

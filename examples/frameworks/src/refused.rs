//! The answer to a request that failed, and how things are asked of a request.

use http::request::Parts;
use tenantry::http::Extract;

/// The answer to a request that failed, in the words of Tenantry. It is the error of a handler.
#[derive(Debug)]
pub struct Refused(pub http::Response<String>);

impl<E: Into<tenantry::Error>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self(error.into().answer())
    }
}

/// Takes a `TenantDb`, a `Tenant` or a `MasterDb` out of a head that the layer has seen.
pub(crate) async fn ask<T: Extract>(head: &Parts) -> Result<T, Refused> {
    T::extract(head).await.map_err(|rejection| Refused(rejection.answer()))
}

/// A head with nothing in it, to begin with.
pub(crate) fn empty_head() -> Parts {
    http::Request::new(()).into_parts().0
}

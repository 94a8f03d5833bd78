//! The extractor: the argument that a handler can ask for.

use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::rc::Rc;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use tenantry::http::{Extract, RejectionKind};

use crate::rejection::Rejection;
use crate::tenants::Seen;

/// An argument of a handler, taken from the request: `Ask(db): Ask<TenantDb>`.
///
/// | argument | on a tenant | on the master | elsewhere |
/// | --- | --- | --- | --- |
/// | `Ask<TenantDb>`, `Ask<TenantReadDb>`, `Ask<Tenant>` | given | 404 | 404 |
/// | `Ask<MasterDb>` | 404 | given | 404 |
/// | `Ask<Option<TenantDb>>`, `Ask<Option<TenantReadDb>>`, `Ask<Option<Tenant>>` | `Some` | `None` | `None` |
/// | `Ask<Option<MasterDb>>` | `None` | `Some` | `None` |
/// | `Ask<Tenancy>`, `Ask<Resolved>` | given | given | given |
///
/// The option belongs inside: `Ask<Option<TenantDb>>` is `None` for a request that is for no tenant, and for nothing
/// else. `Option<Ask<TenantDb>>` compiles too, but that is actix-web's own, which makes `None` of every rejection: of a
/// suspended tenant and of a full pool as well.
///
/// A handle runs statements as `&db`, which has to be the handle itself: take it out of `Ask` in the argument.
#[derive(Clone, Copy, Debug)]
pub struct Ask<T>(pub T);

impl<T> Ask<T> {
    /// The thing that was asked for.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Ask<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Ask<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Extract + 'static> FromRequest for Ask<T> {
    type Error = Rejection;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Rejection>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let seen = request.extensions().get::<Rc<Seen>>().cloned();
        Box::pin(async move { ask(seen).await.map(Self) })
    }
}

async fn ask<T: Extract>(seen: Option<Rc<Seen>>) -> Result<T, Rejection> {
    // A head without anything attached, which tells that the middleware is missing.
    let (nothing, ()) = http::Request::new(()).into_parts();
    let Some(seen) = seen else {
        return T::extract(&nothing).await.map_err(|rejection| Rejection::new(rejection, None));
    };
    let answer = match &seen.head {
        Some(head) => T::extract(head).await,
        None => Err(tenantry::http::Rejection::new(RejectionKind::InvalidHost, &nothing)),
    };
    answer.map_err(|rejection| Rejection::new(rejection, seen.own_answer.clone()))
}

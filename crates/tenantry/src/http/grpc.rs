//! gRPC, served by tonic: what a method asks for, and statuses of gRPC where it gets nothing.
//!
//! [`TenancyLayer`](super::TenancyLayer) goes around a server of tonic as it goes around any service of tower. It finds
//! the host in `:authority`, and the peer as tonic knows it. A method then asks by [`extract`]:
//!
//! ```
//! use tenantry::TenantDb;
//! use tenantry::http::grpc;
//! use tonic::{Request, Response, Status};
//!
//! async fn count(request: Request<()>) -> Result<Response<i64>, Status> {
//!     let db: TenantDb = grpc::extract(&request).await?;
//!     Ok(Response::new(count_in(&db).await?))
//! }
//!
//! async fn count_in(db: &TenantDb) -> tenantry::Result<i64> {
//!     Ok(sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(db).await?)
//! }
//! ```
//!
//! [`Rejection`] and [`Error`] become a [`Status`], with the words that a problem document has over HTTP:
//!
//! | what is wrong | status | over HTTP |
//! | --- | --- | --- |
//! | the authority is no host, or contradicts `host` | `INVALID_ARGUMENT` | 400 |
//! | nobody has the address, it is no tenant's, or not the master's; no such row | `NOT_FOUND` | 404 |
//! | the tenant is suspended | `FAILED_PRECONDITION`, with the message for its customer | 503 |
//! | the tenant is not served, no connection is free, the database is down | `UNAVAILABLE` | 503 |
//! | a value of the caller breaks a rule | `INVALID_ARGUMENT` | 400 |
//! | a slug is taken | `ALREADY_EXISTS` | 409 |
//! | others depend on what is to go | `FAILED_PRECONDITION` | 409 |
//! | anything else | `INTERNAL` | 500 |
//!
//! Clients try again by themselves what is `UNAVAILABLE`, and that alone. It carries `grpc-retry-pushback-ms`, the time
//! to wait, where `Retry-After` says it over HTTP. `on_rejection` and `redirect_renamed` are for HTTP: to a client of
//! gRPC, a former slug is one that nobody has.

use std::future::Future;

use http::request::Parts;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Request, Status};

use super::extract::Extract;
use super::rejection::Rejection;
use super::rejection_kind::RejectionKind;
use super::resolved::Resolved;
use super::response::{Words, log};
use crate::error::{Error, ErrorKind};
use crate::tenant::Suspension;

/// Takes from a request what a method needs: a [`TenantDb`](crate::TenantDb), a [`Tenant`](crate::Tenant), and whatever
/// else [`Extract`] knows.
///
/// # Errors
/// The status that answers the request.
pub fn extract<T: Extract, M>(
    request: &Request<M>,
) -> impl Future<Output = Result<T, Status>> + Send + use<T, M> {
    let head = head(request);
    async move { T::extract(&head).await.map_err(Status::from) }
}

/// The part of a request's head that is asked. The message is not borrowed: a stream of them may not be shared.
fn head<M>(request: &Request<M>) -> Parts {
    let (mut head, ()) = http::Request::new(()).into_parts();
    if let Some(resolved) = request.extensions().get::<Resolved>() {
        head.extensions.insert(resolved.clone());
    }
    head
}

impl From<Rejection> for Status {
    fn from(rejection: Rejection) -> Self {
        let (kind, suspension) = (rejection.kind(), rejection.suspension());
        status(code_of_rejection(kind), kind, &Words::of(kind, suspension), suspension)
    }
}

/// Lets `?` work in a method, in a body that returns [`Result`](crate::Result).
impl From<Error> for Status {
    fn from(error: Error) -> Self {
        log(&error, error.status());
        let (kind, text) = (RejectionKind::from(&error), error.to_string());
        let words = Words::of_error(&error, kind, &text);
        status(code_of_error(&error, kind), kind, &words, error.suspension())
    }
}

fn status(code: Code, kind: RejectionKind, words: &Words<'_>, suspension: Option<&Suspension>) -> Status {
    let message = words.detail.unwrap_or(words.title);
    let mut metadata = MetadataMap::new();
    if suspension.is_none()
        && let Some(seconds) = kind.retry_after()
    {
        metadata.insert("grpc-retry-pushback-ms", MetadataValue::from(seconds * 1000));
    }
    Status::with_metadata(code, message, metadata)
}

fn code_of_rejection(kind: RejectionKind) -> Code {
    match kind {
        RejectionKind::InvalidHost => Code::InvalidArgument,
        RejectionKind::NoTenant
        | RejectionKind::UnknownTenant
        | RejectionKind::Renamed
        | RejectionKind::NotMaster => Code::NotFound,
        RejectionKind::Suspended => Code::FailedPrecondition,
        RejectionKind::TenantUnavailable | RejectionKind::Busy => Code::Unavailable,
        RejectionKind::Broken | RejectionKind::NoLayer => Code::Internal,
    }
}

fn code_of_error(error: &Error, kind: RejectionKind) -> Code {
    match error.kind() {
        ErrorKind::RowNotFound => Code::NotFound,
        ErrorKind::InvalidInput => Code::InvalidArgument,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::Dependents => Code::FailedPrecondition,
        ErrorKind::DatabaseClosed => Code::Unavailable,
        _ => code_of_rejection(kind),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[track_caller]
    fn check(kind: ErrorKind, code: Code, message: &str, pushback: Option<&str>) {
        let status = Status::from(Error::new(kind, "slug `acme` of the caller"));
        assert_eq!((status.code(), status.message()), (code, message), "{kind:?}");
        let found = status.metadata().get("grpc-retry-pushback-ms").map(|value| value.to_str().unwrap());
        assert_eq!(found, pushback, "{kind:?}");
    }

    #[test]
    fn an_error_is_a_status_that_tells_no_more_than_the_caller_knows() {
        let text = "slug `acme` of the caller";
        check(ErrorKind::InvalidInput, Code::InvalidArgument, text, None);
        check(ErrorKind::AlreadyExists, Code::AlreadyExists, text, None);
        check(ErrorKind::RowNotFound, Code::NotFound, "There is no such thing.", None);
        check(ErrorKind::UnknownTenant, Code::NotFound, "There is no account at this address.", None);
        check(ErrorKind::Suspended, Code::FailedPrecondition, "This account is suspended.", None);
        let busy = "The service is busy. Please try again in a moment.";
        check(ErrorKind::PoolClosed, Code::Unavailable, busy, Some("1000"));
        let broken = "Something went wrong on our side.";
        check(ErrorKind::Configuration, Code::Internal, broken, None);
        check(ErrorKind::Decode, Code::Internal, broken, None);
    }

    #[tokio::test]
    async fn a_request_that_the_layer_has_not_seen_is_internal() {
        let tenant = extract::<crate::Tenant, _>(&Request::new(())).await;
        assert_eq!(tenant.unwrap_err().code(), Code::Internal);
    }
}

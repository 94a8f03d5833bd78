//! The answers to requests that fail, for people and for programs.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, RETRY_AFTER};

use super::rejection_kind::RejectionKind;
use crate::error::{Error, ErrorKind};

/// A problem document of RFC 9457.
pub(super) fn problem(status: StatusCode, title: &str) -> Response {
    let body = serde_json::json!({ "status": status.as_u16(), "title": title }).to_string();
    (status, [(CONTENT_TYPE, "application/problem+json")], body).into_response()
}

pub(super) fn page(status: StatusCode, message: &str) -> Response {
    let body = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>{message}</title>\
         <body style=\"font: 1.1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 20vh auto; padding: 0 1rem\">\
         <h1 style=\"font-size: 1.4rem\">{message}</h1></body></html>\n"
    );
    (status, [(CONTENT_TYPE, "text/html; charset=utf-8")], body).into_response()
}

pub(super) fn with_retry_after(mut response: Response, kind: RejectionKind) -> Response {
    if let Some(seconds) = kind.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, seconds);
    }
    response
}

/// Logs what is ours to mend, because the answer does not say it.
pub(super) fn log(error: &Error, status: StatusCode) {
    if status.is_server_error() {
        tracing::error!(hint = error.hint(), "Answered {status}: {error:#}");
    }
}

/// Lets `?` work in a handler: a response with the error's [`status`](Error::status). The body is a problem
/// document and repeats the error's text only where it is about what the caller sent.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = self.status();
        log(&self, status);
        let kind = RejectionKind::from(&self);
        let title = match self.kind() {
            ErrorKind::RowNotFound => "There is no such thing.".to_owned(),
            ErrorKind::InvalidInput | ErrorKind::AlreadyExists => self.to_string(),
            _ => kind.message().to_owned(),
        };
        with_retry_after(problem(status, &title), kind)
    }
}

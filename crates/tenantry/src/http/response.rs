//! The answers to requests that fail, for people and for programs.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use time::OffsetDateTime;

use super::rejection_kind::RejectionKind;
use crate::error::{Error, ErrorKind};
use crate::tenant::Suspension;

/// The words of an answer.
pub(super) struct Words<'a> {
    pub(super) title: &'a str,
    /// The message for the customer of a suspended tenant.
    pub(super) detail: Option<&'a str>,
}

impl<'a> Words<'a> {
    /// The usual ones.
    pub(super) fn of(kind: RejectionKind, suspension: Option<&'a Suspension>) -> Self {
        let title = match suspension {
            Some(suspension) if suspension.is_read_only() => "This account can only be read at the moment.",
            _ => kind.message(),
        };
        Self { title, detail: suspension.and_then(Suspension::message) }
    }

    /// The words for the error of a handler, with its text.
    pub(super) fn of_error(error: &'a Error, kind: RejectionKind, text: &'a str) -> Self {
        let words = Self::of(kind, error.suspension());
        match error.kind() {
            ErrorKind::RowNotFound => Self { title: "There is no such thing.", ..words },
            ErrorKind::InvalidInput | ErrorKind::AlreadyExists => Self { title: text, ..words },
            _ => words,
        }
    }
}

/// A problem document of RFC 9457.
pub(super) fn problem(status: StatusCode, words: &Words<'_>) -> Response<String> {
    let mut body = serde_json::json!({ "status": status.as_u16(), "title": words.title });
    if let Some(detail) = words.detail {
        body["detail"] = detail.into();
    }
    with_body(status, "application/problem+json", body.to_string())
}

pub(super) fn page(status: StatusCode, words: &Words<'_>) -> Response<String> {
    let title = escaped(words.title);
    let detail = words.detail.map_or_else(String::new, |detail| {
        format!("<p style=\"white-space: pre-line\">{}</p>", escaped(detail))
    });
    let body = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title>\
         <body style=\"font: 1.1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 20vh auto; padding: 0 1rem\">\
         <h1 style=\"font-size: 1.4rem\">{title}</h1>{detail}</body></html>\n"
    );
    with_body(status, "text/html; charset=utf-8", body)
}

fn with_body(status: StatusCode, kind: &'static str, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Leads to another address, with the same method. Not for good: whoever was renamed may be renamed back.
pub(super) fn redirect_to(address: HeaderValue) -> Response<String> {
    let mut response = Response::new(String::new());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(LOCATION, address);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The text as HTML shows it, wherever it stands.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

/// Says when to come back, where that is known.
pub(super) fn with_retry_after(
    mut response: Response<String>,
    kind: RejectionKind,
    suspension: Option<&Suspension>,
) -> Response<String> {
    let end = suspension.and_then(Suspension::end);
    let until_end = end.map(|end| seconds_from(OffsetDateTime::now_utc(), end));
    if let Some(seconds) = until_end.or_else(|| kind.retry_after()) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Whole seconds, of which the last has passed at the end; at least one.
fn seconds_from(now: OffsetDateTime, end: OffsetDateTime) -> u64 {
    let left = end - now;
    let begun = i64::from(left.subsec_nanoseconds() > 0);
    u64::try_from(left.whole_seconds() + begun).unwrap_or_default().max(1)
}

/// Logs what is ours to mend, because the answer does not say it. A suspension is somebody's decision.
pub(super) fn log(error: &Error, status: StatusCode) {
    if error.kind() == ErrorKind::Suspended {
        tracing::debug!("Answered {status}: {error}");
    } else if status.is_server_error() {
        tracing::error!(hint = error.hint(), "Answered {status}: {error:#}");
    }
}

impl Error {
    /// The answer to a request whose handler failed with this: a response with the [`status`](Self::status).
    ///
    /// The body is a problem document and repeats the error's text only where it is about what the caller sent. What is
    /// ours to mend is logged. With the feature `axum` an error is an `IntoResponse`, so that `?` works in a handler.
    pub fn answer(&self) -> Response<String> {
        let status = self.status();
        log(self, status);
        let kind = RejectionKind::from(self);
        let text = self.to_string();
        let words = Words::of_error(self, kind, &text);
        with_retry_after(problem(status, &words), kind, self.suspension())
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;

    #[test]
    fn a_text_is_shown_and_never_read_as_html() {
        assert_eq!(escaped("<b a=\"'\"> & ä"), "&lt;b a=&quot;&#39;&quot;&gt; &amp; ä");
    }

    #[test]
    fn who_comes_back_when_told_finds_the_end_has_come() {
        let now = OffsetDateTime::UNIX_EPOCH;
        for (left, seconds) in [
            (Duration::ZERO, 1),
            (Duration::seconds(-5), 1),
            (Duration::milliseconds(1), 1),
            (Duration::milliseconds(1_001), 2),
            (Duration::seconds(60), 60),
            (Duration::weeks(1_000), 604_800_000),
        ] {
            assert_eq!(seconds_from(now, now + left), seconds, "{left}");
        }
    }
}

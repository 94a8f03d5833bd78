//! The head of a request of actix-web, which has the types of `http` 0.2, in those of `http` 1.

use std::str::FromStr;

use actix_web::http::header::{HeaderMap as ActixHeaders, HeaderValue as ActixValue, VARY as ACTIX_VARY};
use actix_web::http::uri::PathAndQuery as ActixPath;
use actix_web::http::{Method as ActixMethod, Uri as ActixUri};
use bytes::{Bytes, BytesMut};
use http::header::VARY;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use tenantry::http::TenancyLayer;

/// Makes a head of the same method, URI and headers. `None` if `http` 1 takes one of them for malformed.
pub(crate) fn head(method: &ActixMethod, uri: &ActixUri, headers: &ActixHeaders) -> Option<Parts> {
    let (mut head, ()) = http::Request::new(()).into_parts();
    head.method = Method::from_bytes(method.as_str().as_bytes()).ok()?;
    head.uri = Uri::try_from(uri.to_string()).ok()?;
    head.headers = copy_of(headers)?;
    Some(head)
}

/// Copies the values into one allocation, however many there are. The names of usual headers need none.
fn copy_of(headers: &ActixHeaders) -> Option<HeaderMap> {
    let bytes = headers.iter().map(|(_, value)| value.len()).sum();
    let mut values = BytesMut::with_capacity(bytes);
    let mut copy = HeaderMap::try_with_capacity(headers.len()).ok()?;
    for (name, value) in headers {
        values.extend_from_slice(value.as_bytes());
        let mut text = HeaderValue::from_maybe_shared(values.split().freeze()).ok()?;
        text.set_sensitive(value.is_sensitive());
        copy.try_append(HeaderName::from_str(name.as_str()).ok()?, text).ok()?;
    }
    Some(copy)
}

/// The same URI with another path. `None` if `http` 0.2 takes it for malformed.
pub(crate) fn at(uri: &ActixUri, path: &str) -> Option<ActixUri> {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(ActixPath::from_maybe_shared(Bytes::copy_from_slice(path.as_bytes())).ok()?);
    ActixUri::from_parts(parts).ok()
}

/// Names in `Vary` what the middleware names there.
pub(crate) fn vary(layer: &TenancyLayer, headers: &mut ActixHeaders) {
    let named =
        headers.get_all(ACTIX_VARY).filter_map(|value| HeaderValue::from_bytes(value.as_bytes()).ok());
    let mut varies: HeaderMap = named.map(|value| (VARY, value)).collect();
    let known = varies.len();
    layer.vary(&mut varies);
    for value in varies.get_all(VARY).iter().skip(known) {
        if let Ok(value) = ActixValue::from_bytes(value.as_bytes()) {
            headers.append(ACTIX_VARY, value);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use actix_web::test::TestRequest;

    use super::*;

    fn converted(request: TestRequest) -> Option<Parts> {
        let request = request.to_http_request();
        head(request.method(), request.uri(), request.headers())
    }

    #[test]
    fn nothing_of_a_head_is_lost() {
        let request = TestRequest::with_uri("http://acme.example.com:8443/notes?page=2&q=%C3%A4")
            .method(ActixMethod::from_bytes(b"PURGE").unwrap())
            .append_header(("host", "acme.example.com"))
            .append_header(("x-tenant", &b"\xff"[..]))
            .append_header(("x-empty", ""))
            .append_header(("x-tenant", "globex"));
        let head = converted(request).unwrap();
        assert_eq!(head.method.as_str(), "PURGE");
        assert_eq!(head.uri, "http://acme.example.com:8443/notes?page=2&q=%C3%A4");
        assert_eq!(head.headers["host"], "acme.example.com");
        assert_eq!(head.headers["x-empty"], "");
        let both: Vec<_> = head.headers.get_all("x-tenant").iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(both, [&b"\xff"[..], b"globex"], "a value that is no text, and the order of two");
        assert_eq!(head.headers.len(), 4);
    }

    #[test]
    fn a_path_is_exchanged_and_the_rest_stays() {
        for (uri, path, expect) in [
            ("/t/acme/notes?page=2", "/notes?page=2", "/notes?page=2"),
            ("http://example.com:8443/t/acme", "/", "http://example.com:8443/"),
        ] {
            assert_eq!(at(&uri.parse().unwrap(), path).unwrap(), expect);
        }
        assert_eq!(at(&"/t/acme".parse().unwrap(), "a path with spaces"), None);
    }
}

//! The headers that a response depends on, for the caches that it passes.

use http::header::VARY;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The headers by which the resolver tells tenants apart, as `Vary` names them.
#[derive(Clone, Debug, Default)]
pub(super) struct Vary(Vec<HeaderName>);

impl Vary {
    pub(super) fn by(headers: Vec<HeaderName>) -> Self {
        Self(headers)
    }

    /// Adds those that the application has not named itself.
    pub(super) fn add_to(&self, headers: &mut HeaderMap) {
        for name in &self.0 {
            if !is_named(name, headers) {
                headers.append(VARY, HeaderValue::from_name(name.clone()));
            }
        }
    }
}

fn is_named(name: &HeaderName, headers: &HeaderMap) -> bool {
    let values = headers.get_all(VARY).iter().filter_map(|value| value.to_str().ok());
    let mut names = values.flat_map(|value| value.split(',')).map(str::trim);
    names.any(|named| named == "*" || named.eq_ignore_ascii_case(name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_named_once_and_those_of_the_application_stay() {
        let names = ["x-tenant", "x-forwarded-host"].map(HeaderName::from_static);
        for (before, after) in [
            (&[][..], &["x-tenant", "x-forwarded-host"][..]),
            (&["accept"], &["accept", "x-tenant", "x-forwarded-host"]),
            (&["Accept, X-Tenant"], &["Accept, X-Tenant", "x-forwarded-host"]),
            (&["accept", "X-Forwarded-Host,x-tenant"], &["accept", "X-Forwarded-Host,x-tenant"]),
            (&["x-tenant-of-ours"], &["x-tenant-of-ours", "x-tenant", "x-forwarded-host"]),
            (&["*"], &["*"]),
        ] {
            let mut headers: HeaderMap =
                before.iter().map(|value| (VARY, HeaderValue::from_static(value))).collect();
            Vary::by(names.to_vec()).add_to(&mut headers);
            assert_eq!(headers.get_all(VARY).iter().collect::<Vec<_>>(), after, "{before:?}");
        }
        let mut headers = HeaderMap::new();
        Vary::default().add_to(&mut headers);
        assert!(headers.is_empty());
    }
}

use http::uri::PathAndQuery;

use super::{Head, InvalidRequest, InvalidResolver, Resolution, Resolve, TenantKey};
use crate::tenant::Slug;

/// The tenant is a segment of the path: `/t/acme/notes` is tenant `acme` at `/notes`.
///
/// The application sees only the rest, with the query, so its routes are the same for all tenants. The layer
/// must therefore wrap the router: a layer inside it runs after the route was chosen.
///
/// Paths that are not below the prefix, or whose segment cannot be a slug, are [`None`](Resolution::None).
/// Once there is a segment, a percent sign in it, a `.` or `..` anywhere, or an empty segment right after it
/// are [`Invalid`](Resolution::Invalid): a proxy that cleans paths up would see another tenant than we do.
///
/// ```
/// use http::Request;
/// use tenantry::resolve::{Head, PathSegment, Resolution, Resolve};
///
/// let request = Request::builder().uri("/t/acme/notes?page=2").body(())?;
/// match PathSegment::under("/t")?.resolve(&Head::of(&request)) {
///     Resolution::Tenant { key, path: Some(path) } => {
///         assert_eq!(key.to_string(), "acme");
///         assert_eq!(path, "/notes?page=2");
///     }
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct PathSegment {
    // Without a slash at the end, so empty for the root.
    prefix: String,
}

impl PathSegment {
    /// The tenant is the first segment: `/acme/notes`.
    pub fn new() -> Self {
        Self::default()
    }

    /// The tenant is the first segment below a prefix such as `/t`.
    ///
    /// # Errors
    /// [`InvalidResolver::PathPrefix`] when it does not start with a slash, or has a segment that is empty,
    /// `.`, `..`, or made of other characters than letters, digits and `-._~`.
    pub fn under(prefix: &str) -> Result<Self, InvalidResolver> {
        let plain = prefix.strip_suffix('/').unwrap_or(prefix);
        let is_plain = match plain.strip_prefix('/') {
            Some(segments) => segments.split('/').all(is_plain_segment),
            None => prefix == "/",
        };
        if is_plain { Ok(Self { prefix: plain.to_owned() }) } else { Err(invalid_prefix(prefix)) }
    }

    fn try_resolve(&self, head: &Head<'_>) -> Result<Resolution, InvalidRequest> {
        let Some((segment, rest)) = self.split(head.uri().path()) else { return Ok(Resolution::None) };
        if is_ambiguous(segment, rest) {
            return Err(InvalidRequest::Path);
        }
        let Ok(slug) = Slug::parse(segment) else { return Ok(Resolution::None) };
        let path = path_and_query(rest, head.uri().query())?;
        Ok(Resolution::Tenant { key: TenantKey::Slug(slug), path: Some(path) })
    }

    // Splits `/t/acme/notes` into `acme` and `/notes`; nothing when no segment follows the prefix.
    fn split<'a>(&self, path: &'a str) -> Option<(&'a str, &'a str)> {
        let below = path.strip_prefix(&self.prefix)?.strip_prefix('/')?;
        let (segment, rest) = below.split_at(below.find('/').unwrap_or(below.len()));
        (!segment.is_empty()).then_some((segment, rest))
    }
}

impl Resolve for PathSegment {
    fn resolve(&self, head: &Head<'_>) -> Resolution {
        self.try_resolve(head).unwrap_or_else(Resolution::Invalid)
    }

    fn address(&self, head: &Head<'_>, slug: &Slug) -> Option<String> {
        let (_, rest) = self.split(head.uri().path())?;
        let query = head.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        Some(format!("{}/{slug}{rest}{query}", self.prefix))
    }
}

fn invalid_prefix(prefix: &str) -> InvalidResolver {
    InvalidResolver::PathPrefix(prefix.to_owned())
}

fn is_plain_segment(segment: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    !segment.is_empty() && segment.bytes().all(is_plain) && !is_dots(segment)
}

// A rest of `//host/…` is an address to a browser that is redirected to it.
fn is_ambiguous(segment: &str, rest: &str) -> bool {
    segment.contains('%') || rest.starts_with("//") || has_dot_segment(segment) || has_dot_segment(rest)
}

// Proxies differ in what they decode before they clean up, so every spelling counts.
fn has_dot_segment(path: &str) -> bool {
    if !path.contains(['.', '%']) {
        return false;
    }
    let decoded = path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
    decoded.split(['/', '\\']).any(is_dots)
}

fn is_dots(segment: &str) -> bool {
    matches!(segment, "." | "..")
}

fn path_and_query(rest: &str, query: Option<&str>) -> Result<PathAndQuery, InvalidRequest> {
    let path = if rest.is_empty() { "/" } else { rest };
    let path_and_query = match query {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
        None => PathAndQuery::try_from(path),
    };
    path_and_query.map_err(|_| InvalidRequest::Path)
}

//! The URI that was asked for, where axum's users look for it.

use http::{Extensions, Uri};

/// Notes it before the tenant is taken out of the path. A router outside of us knows it already.
#[cfg(feature = "axum")]
pub(super) fn note(extensions: &mut Extensions, uri: &Uri) {
    use axum::extract::OriginalUri;

    if extensions.get::<OriginalUri>().is_none() {
        extensions.insert(OriginalUri(uri.clone()));
    }
}

/// Notes nothing: without axum, it is in [`Resolved`](super::Resolved) alone.
#[cfg(not(feature = "axum"))]
pub(super) fn note(_: &mut Extensions, _: &Uri) {}

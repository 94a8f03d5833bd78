//! The other end of the connection, as axum knows it.

use http::Extensions;

/// Notes the other end of the connection as axum knows it, so that resolvers can judge whom to trust.
#[cfg(feature = "axum")]
pub(super) fn note(extensions: &mut Extensions) {
    use axum::extract::ConnectInfo;

    use crate::resolve::Peer;

    let address = extensions.get::<ConnectInfo<std::net::SocketAddr>>().map(|info| info.0.ip());
    if let (Some(address), None) = (address, extensions.get::<Peer>()) {
        extensions.insert(Peer(address));
    }
}

/// Notes nothing: without axum, the server sets the [`Peer`](crate::resolve::Peer) itself.
#[cfg(not(feature = "axum"))]
pub(super) fn note(_: &mut Extensions) {}

//! The other end of the connection, as the server in front of the layer knows it.

use std::net::SocketAddr;

use http::Extensions;

use crate::resolve::Peer;

/// Notes the other end of the connection as axum or tonic knows it, so that resolvers can judge whom to trust. Any
/// other server sets the [`Peer`] itself.
pub(super) fn note(extensions: &mut Extensions) {
    if extensions.get::<Peer>().is_none()
        && let Some(address) = axum(extensions).or_else(|| tonic(extensions))
    {
        extensions.insert(Peer(address.ip()));
    }
}

#[cfg(feature = "axum")]
fn axum(extensions: &Extensions) -> Option<SocketAddr> {
    extensions.get::<axum::extract::ConnectInfo<SocketAddr>>().map(|info| info.0)
}

#[cfg(not(feature = "axum"))]
fn axum(_: &Extensions) -> Option<SocketAddr> {
    None
}

/// Asks a request of tonic, which finds it behind TLS too.
#[cfg(feature = "tonic")]
fn tonic(extensions: &mut Extensions) -> Option<SocketAddr> {
    let request =
        tonic::Request::from_parts(tonic::metadata::MetadataMap::new(), std::mem::take(extensions), ());
    let address = request.remote_addr();
    *extensions = request.into_parts().1;
    address
}

#[cfg(not(feature = "tonic"))]
fn tonic(_: &Extensions) -> Option<SocketAddr> {
    None
}

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

use super::InvalidResolver;

/// The other end of the TCP connection: the client, or the last proxy in front of us.
///
/// An extension of the request, put there by the server. Without it nobody is trusted, which is logged once
/// where a header comes that some network is trusted to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer(pub IpAddr);

/// The networks whose peers are believed what they say about others.
#[derive(Clone, Debug, Default)]
pub(super) struct TrustedNetworks {
    networks: Vec<IpNet>,
    /// Shared by the copies of a resolver, so that it is said once.
    has_missed_a_peer: Arc<AtomicBool>,
}

impl TrustedNetworks {
    pub(super) fn extend<N: AsRef<str>>(
        &mut self,
        networks: impl IntoIterator<Item = N>,
    ) -> Result<(), InvalidResolver> {
        for network in networks {
            self.networks.push(parse(network.as_ref())?);
        }
        Ok(())
    }

    /// The header, if any peer is believed when it sends it.
    pub(super) fn varies_by(&self, header: &HeaderName) -> Vec<HeaderName> {
        if self.networks.is_empty() { Vec::new() } else { vec![header.clone()] }
    }

    /// Returns true if the peer is believed when it sends this header.
    pub(super) fn contain(&self, peer: Option<Peer>, headers: &HeaderMap, header: &HeaderName) -> bool {
        if self.networks.is_empty() {
            return false;
        }
        let Some(Peer(address)) = peer else {
            if headers.contains_key(header) {
                self.miss_the_peer(header);
            }
            return false;
        };
        // A socket that serves both families shows an IPv4 peer as `::ffff:10.0.0.1`.
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    fn miss_the_peer(&self, header: &HeaderName) {
        if !self.has_missed_a_peer.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "`{header}` is ignored, because the server does not tell the address of the peer. With axum, serve \
                 `app.into_make_service_with_connect_info::<SocketAddr>()`, which inserts `ConnectInfo`; with \
                 another server, insert `tenantry::http::Peer`"
            );
        }
    }
}

fn parse(network: &str) -> Result<IpNet, InvalidResolver> {
    let parsed = network.parse::<IpNet>().or_else(|_| network.parse::<IpAddr>().map(IpNet::from));
    parsed.map_err(|_| InvalidResolver::Network(network.to_owned()))
}

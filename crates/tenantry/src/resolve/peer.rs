use std::net::IpAddr;

use ipnet::IpNet;

use super::InvalidResolver;

/// The other end of the TCP connection: the client, or the last proxy in front of us.
///
/// An extension of the request, put there by the server. Without it nobody is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer(pub IpAddr);

/// The networks whose peers are believed what they say about others.
#[derive(Clone, Debug, Default)]
pub(super) struct TrustedNetworks(Vec<IpNet>);

impl TrustedNetworks {
    pub(super) fn extend<N: AsRef<str>>(
        &mut self,
        networks: impl IntoIterator<Item = N>,
    ) -> Result<(), InvalidResolver> {
        for network in networks {
            self.0.push(parse(network.as_ref())?);
        }
        Ok(())
    }

    pub(super) fn contain(&self, peer: Option<Peer>) -> bool {
        let Some(Peer(address)) = peer else { return false };
        // A socket that serves both families shows an IPv4 peer as `::ffff:10.0.0.1`.
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

fn parse(network: &str) -> Result<IpNet, InvalidResolver> {
    let parsed = network.parse::<IpNet>().or_else(|_| network.parse::<IpAddr>().map(IpNet::from));
    parsed.map_err(|_| InvalidResolver::Network(network.to_owned()))
}

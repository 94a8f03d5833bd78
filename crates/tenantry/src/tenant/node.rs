use std::fmt;
use std::str::FromStr;

/// A node of a Citus cluster, by the name that its coordinator knows it by.
///
/// ```
/// use tenantry::tenant::Node;
///
/// let node: Node = "worker-2.internal:5432".parse()?;
/// assert_eq!((node.host(), node.port()), ("worker-2.internal", 5432));
/// assert!("eu".parse::<Node>().is_err(), "the alias of a database has no port");
/// # Ok::<(), tenantry::tenant::InvalidNode>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    host: String,
    port: u16,
}

/// A text that is no [`Node`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no node: a node is `host:port`")]
pub struct InvalidNode(String);

impl Node {
    /// The node at a host and a port of it.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// The host, as `pg_dist_node` has it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Node {
    type Err = InvalidNode;

    fn from_str(text: &str) -> Result<Self, InvalidNode> {
        let invalid = || InvalidNode(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        // An IPv6 address is in brackets here, and without them in the catalog.
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        match port.parse() {
            Ok(port @ 1..) if !host.is_empty() => Ok(Self::new(host, port)),
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        for text in ["worker:5432", "10.0.0.7:1", "[::1]:65535"] {
            assert_eq!(text.parse::<Node>().map(|node| node.to_string()).as_deref(), Ok(text));
        }
        for text in ["", "worker", ":5432", "worker:", "worker:0", "worker:65536", "worker:5432x"] {
            assert_eq!(text.parse::<Node>(), Err(InvalidNode(text.to_owned())));
        }
    }
}

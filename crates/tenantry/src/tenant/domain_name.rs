use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use idna::{AsciiDenyList, domain_to_ascii_cow};

use super::text::{serde_as_text, text};

/// A host in its one canonical spelling: what a customer registers, and what a request asks for.
///
/// Lower case, other scripts in punycode, no port, no trailing dot. An IPv4 address has four plain numbers,
/// an IPv6 address stands in brackets and has no zone. `_` is refused: no certificate can be issued for such
/// a name, so no customer can own one.
///
/// Equal hosts are equal values, and parsing what [`as_str`](Self::as_str) gives returns the same value.
///
/// ```
/// use tenantry::tenant::DomainName;
///
/// let registered = DomainName::parse("Bücher.example.")?;
/// assert_eq!(registered.as_str(), "xn--bcher-kva.example");
/// assert_eq!(DomainName::from_host("XN--BCHER-KVA.EXAMPLE:8443")?, registered);
/// # Ok::<(), tenantry::tenant::InvalidDomainName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName(Arc<str>);

/// The reason why a text is not a [`DomainName`]. Places are counted in bytes of the canonical spelling.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidDomainName {
    /// There is no text at all.
    #[error("host is empty")]
    Empty,
    /// It has more than 253 bytes.
    #[error("host is longer than {} bytes", DomainName::MAX_BYTES)]
    TooLong,
    /// Two dots in a row, a dot at the start or more than one at the end.
    #[error("host has nothing before the dot at byte {at}")]
    EmptyLabel {
        /// The byte where the label should start.
        at: usize,
    },
    /// More than 63 bytes between two dots.
    #[error("host has more than {} bytes between dots from byte {at}", DomainName::MAX_LABEL_BYTES)]
    LabelTooLong {
        /// The byte where the label starts.
        at: usize,
    },
    /// A character that no host name has.
    #[error("host has {character:?} at byte {at}")]
    Character {
        /// The character.
        character: char,
        /// The byte where it starts.
        at: usize,
    },
    /// An underscore in a name that is fine otherwise: containers and services have such names, domains have not.
    #[error("host has an underscore at byte {at}, which no domain has")]
    Underscore {
        /// The byte where it is.
        at: usize,
    },
    /// A hyphen right before or after a dot or an end.
    #[error("host has a hyphen at an end of the label at byte {at}")]
    Hyphen {
        /// The byte where the label starts.
        at: usize,
    },
    /// An address where a name is to be registered.
    #[error("host is an address, not a name")]
    Address,
    /// A port on a name that is to be registered.
    #[error("host has a port, a registered name has none")]
    Port,
    /// A port that is not a number from 0 to 65535.
    #[error("host has an invalid port")]
    InvalidPort,
    /// The last label is a number, but the whole is not an IPv4 address of four plain numbers.
    #[error("host ends in a number but is not an IPv4 address")]
    Ipv4,
    /// Brackets that do not hold a plain IPv6 address.
    #[error("host is not an IPv6 address in brackets")]
    Ipv6,
    /// Unicode or punycode that no domain name can have.
    #[error("host is not a valid internationalized domain name")]
    Idna,
}

impl DomainName {
    /// The longest name DNS can look up, in bytes.
    pub const MAX_BYTES: usize = 253;

    /// The longest part between two dots, in bytes.
    pub const MAX_LABEL_BYTES: usize = 63;

    /// Accepts a name to register, in any script and case, with or without the trailing dot. A port is
    /// refused, because a registered name answers on every port.
    ///
    /// # Errors
    /// [`InvalidDomainName`] names the rule that was broken.
    pub fn parse(name: &str) -> Result<Self, InvalidDomainName> {
        let (host, port) = split_port(name)?;
        if port.is_some() {
            return Err(InvalidDomainName::Port);
        }
        canonical(host).map(Self)
    }

    /// Accepts the host of a request: like [`parse`](Self::parse), but a port is dropped, and other scripts
    /// must already be in punycode, as HTTP requires.
    ///
    /// # Errors
    /// [`InvalidDomainName`] names the rule that was broken; answer it with 400.
    pub fn from_host(host: &str) -> Result<Self, InvalidDomainName> {
        if let Some((at, character)) = host.char_indices().find(|(_, character)| !character.is_ascii()) {
            return Err(InvalidDomainName::Character { character, at });
        }
        let (host, port) = split_port(host)?;
        match port {
            Some(port) if !is_port(port) => Err(InvalidDomainName::InvalidPort),
            _ => canonical(host).map(Self),
        }
    }

    /// The host as text; an IPv6 address has its brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address, if the host is one and not a name.
    pub fn ip(&self) -> Option<IpAddr> {
        let address = self.0.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&self.0);
        address.parse().ok()
    }

    /// Returns true if a tenant may have it for its own: an address belongs to the server.
    ///
    /// # Errors
    /// [`InvalidDomainName::Address`] for an address.
    pub fn check_registrable(&self) -> Result<(), InvalidDomainName> {
        if self.ip().is_some() { Err(InvalidDomainName::Address) } else { Ok(()) }
    }
}

text!(DomainName, InvalidDomainName);
serde_as_text!(DomainName);

// Splits at the colon that is not inside an IPv6 literal. An empty port (`host:`) is a port: RFC 3986 has it.
fn split_port(host: &str) -> Result<(&str, Option<&str>), InvalidDomainName> {
    if host.len() > MAX_INPUT_BYTES {
        return Err(InvalidDomainName::TooLong);
    }
    let address_bytes = if host.starts_with('[') {
        host.find(']').ok_or(InvalidDomainName::Ipv6)? + 1
    } else {
        host.find(':').unwrap_or(host.len())
    };
    match host.split_at(address_bytes) {
        (host, "") => Ok((host, None)),
        (host, port) => match port.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None => Err(InvalidDomainName::Ipv6),
        },
    }
}

// A name of 253 bytes in another script can have four times as many in UTF-8; beyond that nothing is valid,
// and nobody gets to make us convert ten kilobytes.
const MAX_INPUT_BYTES: usize = 4 * DomainName::MAX_BYTES;

// `u16::from_str` would also take `+443`.
fn is_port(port: &str) -> bool {
    port.is_empty() || port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

fn canonical(host: &str) -> Result<Arc<str>, InvalidDomainName> {
    if let Some(address) = host.strip_prefix('[') {
        return ipv6(address);
    }
    let host = ascii(host)?;
    let host = host.strip_suffix('.').unwrap_or(&host);
    if host.is_empty() {
        return Err(InvalidDomainName::Empty);
    }
    if host.len() > DomainName::MAX_BYTES {
        return Err(InvalidDomainName::TooLong);
    }
    check_labels(host)?;
    check_ipv4(host)?;
    match host.find('_') {
        Some(at) => Err(InvalidDomainName::Underscore { at }),
        None => Ok(host.into()),
    }
}

fn ipv6(address: &str) -> Result<Arc<str>, InvalidDomainName> {
    let address = address.strip_suffix(']').and_then(|address| address.parse::<Ipv6Addr>().ok());
    address.map(|address| format!("[{address}]").into()).ok_or(InvalidDomainName::Ipv6)
}

// Most hosts are plain ASCII; only other scripts and punycode, which may be spelled wrong, need the tables.
fn ascii(host: &str) -> Result<String, InvalidDomainName> {
    let lower = host.to_ascii_lowercase();
    if lower.is_ascii() && !lower.split('.').any(|label| label.starts_with("xn--")) {
        return Ok(lower);
    }
    match domain_to_ascii_cow(lower.as_bytes(), AsciiDenyList::EMPTY) {
        Ok(ascii) => Ok(ascii.into_owned()),
        Err(_) => Err(InvalidDomainName::Idna),
    }
}

fn check_labels(host: &str) -> Result<(), InvalidDomainName> {
    let mut at = 0;
    for label in host.split('.') {
        check_label(label, at)?;
        at += label.len() + 1;
    }
    Ok(())
}

fn check_label(label: &str, at: usize) -> Result<(), InvalidDomainName> {
    if label.is_empty() {
        return Err(InvalidDomainName::EmptyLabel { at });
    }
    if label.len() > DomainName::MAX_LABEL_BYTES {
        return Err(InvalidDomainName::LabelTooLong { at });
    }
    if let Some((offset, character)) = label.char_indices().find(|&(_, character)| !is_allowed(character)) {
        return Err(InvalidDomainName::Character { character, at: at + offset });
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(InvalidDomainName::Hyphen { at });
    }
    Ok(())
}

// An underscore is refused last, when nothing else is wrong.
fn is_allowed(character: char) -> bool {
    matches!(character, 'a'..='z' | '0'..='9' | '-' | '_')
}

// Browsers and libc read `127.1`, `0x7f.1` and `2130706433` as addresses, DNS knows no numeric top-level
// domain.
fn check_ipv4(host: &str) -> Result<(), InvalidDomainName> {
    let last = host.rsplit('.').next().unwrap_or(host);
    let is_decimal = last.bytes().all(|byte| byte.is_ascii_digit());
    let is_hex =
        last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if (is_decimal || is_hex) && host.parse::<Ipv4Addr>().is_err() {
        return Err(InvalidDomainName::Ipv4);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::{InvalidDomainName::*, *};

    #[track_caller]
    fn check(name: &str, expect: Result<&str, InvalidDomainName>) {
        assert_eq!(DomainName::parse(name).as_ref().map(DomainName::as_str), expect.as_ref().copied());
    }

    #[track_caller]
    fn check_host(host: &str, expect: Result<&str, InvalidDomainName>) {
        assert_eq!(DomainName::from_host(host).as_ref().map(DomainName::as_str), expect.as_ref().copied());
    }

    #[test]
    fn case_and_one_trailing_dot_do_not_matter() {
        check("acme.com", Ok("acme.com"));
        check("ACME.Com", Ok("acme.com"));
        check("acme.com.", Ok("acme.com"));
        check("localhost", Ok("localhost"));
        check("acme.com..", Err(EmptyLabel { at: 9 }));
        check(".", Err(Empty));
        check("..", Err(EmptyLabel { at: 0 }));
        check("", Err(Empty));
    }

    #[test]
    fn other_scripts_become_punycode() {
        check("bücher.example", Ok("xn--bcher-kva.example"));
        check("BÜCHER.example", Ok("xn--bcher-kva.example"));
        check("bu\u{308}cher.example", Ok("xn--bcher-kva.example"));
        check("例え。テスト", Ok("xn--r8jz45g.xn--zckzah"));
        check("ａｃｍｅ.com", Ok("acme.com"));
        check("acme.com。", Ok("acme.com"));
        check("xn--bcher-kva.example", Ok("xn--bcher-kva.example"));
        check("xn--a.example", Err(Idna));
        check("xn--.example", Err(Idna));
        check("a\u{202e}b.example", Err(Idna));
    }

    #[test]
    fn a_registered_name_has_no_port_and_a_request_may() {
        check("acme.com:443", Err(Port));
        check("acme.com:", Err(Port));
        check_host("acme.com:443", Ok("acme.com"));
        check_host("acme.com.:443", Ok("acme.com"));
        check_host("acme.com:", Ok("acme.com"));
        check_host("acme.com:65535", Ok("acme.com"));
        for host in ["acme.com:65536", "acme.com:+1", "acme.com:-1", "acme.com:x", "acme.com:1:2", "::1"] {
            check_host(host, Err(InvalidPort));
        }
        check_host(":443", Err(Empty));
    }

    #[test]
    fn a_request_cannot_carry_unicode() {
        check_host("bücher.example", Err(Character { character: 'ü', at: 1 }));
    }

    #[test]
    fn addresses_have_one_spelling() {
        check("127.0.0.1", Ok("127.0.0.1"));
        check("127.0.0.1.", Ok("127.0.0.1"));
        check("[::1]", Ok("[::1]"));
        check("[0:0:0:0:0:0:0:1]", Ok("[::1]"));
        check("[2001:DB8::1]", Ok("[2001:db8::1]"));
        check_host("[::1]:443", Ok("[::1]"));
        for name in ["127.1", "0x7f.1", "0x7f000001", "0x", "2130706433", "127.0.0.01", "256.0.0.1", "a.1"] {
            check(name, Err(Ipv4));
        }
        for name in ["[::1", "[::1]x", "[]", "[fe80::1%eth0]", "[fe80::1%25eth0]", "[127.0.0.1]", "[::1]]"] {
            check(name, Err(Ipv6));
        }
    }

    #[test]
    fn an_address_is_told_from_a_name() {
        assert_eq!(DomainName::parse("127.0.0.1").unwrap().ip(), Some(Ipv4Addr::LOCALHOST.into()));
        assert_eq!(DomainName::parse("[::1]").unwrap().ip(), Some(Ipv6Addr::LOCALHOST.into()));
        assert_eq!(DomainName::parse("1.2.3.4.example").unwrap().ip(), None);
    }

    #[test]
    fn lengths_are_those_of_dns() {
        let label = "a".repeat(63);
        let longest = [label.as_str(), &label, &label, &label[..61]].join(".");
        check(&longest, Ok(&longest));
        check(&format!("{longest}."), Ok(&longest));
        check(&format!("{longest}a"), Err(TooLong));
        check(&"a".repeat(64), Err(LabelTooLong { at: 0 }));
        check(&format!("b.{}", "a".repeat(64)), Err(LabelTooLong { at: 2 }));
        check(&"ü".repeat(10_000), Err(TooLong));
    }

    #[test]
    fn characters_that_no_host_has_are_refused() {
        for character in " @/\\?#%&'\"<>,;|*\t\n\0\u{7f}".chars() {
            check(&format!("ac{character}me.com"), Err(Character { character, at: 2 }));
        }
        check("*.acme.com", Err(Character { character: '*', at: 0 }));
        check("-acme.com", Err(Hyphen { at: 0 }));
        check("acme-.com", Err(Hyphen { at: 0 }));
        check("acme.-com", Err(Hyphen { at: 5 }));
        check("a---b.com", Ok("a---b.com"));
    }

    #[test]
    fn an_underscore_is_named_only_where_nothing_else_is_wrong() {
        check("my_app", Err(Underscore { at: 2 }));
        check("_dmarc.acme.com", Err(Underscore { at: 0 }));
        check_host("acme.my_app_:3000", Err(Underscore { at: 7 }));
        check("my_app..com", Err(EmptyLabel { at: 7 }));
        check("my_app.c om", Err(Character { character: ' ', at: 8 }));
        check("my_app-.com", Err(Hyphen { at: 0 }));
        check("my_app.1", Err(Ipv4));
        check_host("my_app:x", Err(InvalidPort));
    }

    proptest! {
        #[test]
        fn every_value_parses_to_itself(name in "\\PC{0,80}|[a-zA-Z0-9.:\\[\\]xn-]{0,80}") {
            let values = [DomainName::parse(&name), DomainName::from_host(&name)];
            for value in values.into_iter().flatten() {
                prop_assert_eq!(DomainName::parse(value.as_str()), Ok(value.clone()));
                prop_assert_eq!(DomainName::from_host(value.as_str()), Ok(value.clone()));
                prop_assert!(value.as_str().is_ascii() && !value.as_str().is_empty());
            }
        }
    }
}

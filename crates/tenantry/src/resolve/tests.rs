#![allow(clippy::unwrap_used)]

use std::net::IpAddr;

use http::{HeaderValue, Request, Uri};
use proptest::prelude::*;

use super::*;
use crate::tenant::{DomainName, Slug};

const HOST: &str = "host";
const FORWARDED: &str = "x-forwarded-host";
const PROXY: &str = "10.1.2.3";

/// The [`Resolution`] that a test expects, short enough for a table.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Expect<'a> {
    Tenant(&'a str),
    Master,
    None,
    Invalid,
}
use Expect::{Invalid, Master, Tenant};

fn request(uri: &str, headers: &[(&'static str, &[u8])]) -> Option<Request<()>> {
    let mut request = Request::new(());
    *request.uri_mut() = uri.parse::<Uri>().ok()?;
    for &(name, value) in headers {
        request.headers_mut().append(name, HeaderValue::from_bytes(value).ok()?);
    }
    Some(request)
}

fn from_peer(peer: &str, mut request: Request<()>) -> Request<()> {
    request.extensions_mut().insert(Peer(peer.parse().unwrap()));
    request
}

#[track_caller]
fn check_request(resolver: &impl Resolve, request: &Request<()>, expect: Expect<'_>) {
    let resolution = resolver.resolve(&Head::of(request));
    let key;
    let actual = match &resolution {
        Resolution::Tenant { key: found, .. } => {
            key = found.to_string();
            Tenant(&key)
        }
        Resolution::Master => Master,
        Resolution::None => Expect::None,
        Resolution::Invalid(_) => Invalid,
    };
    assert_eq!(actual, expect, "{resolution:?}");
}

/// Sends one `Host` header to `Subdomain::of("example.com")`. Bytes that no header can hold never reach a
/// resolver; the server has already answered 400.
#[track_caller]
fn check(host: impl AsRef<[u8]>, expect: Expect<'_>) {
    let resolver = Subdomain::of("example.com").unwrap();
    match request("/", &[(HOST, host.as_ref())]) {
        Some(request) => check_request(&resolver, &request, expect),
        None => assert_eq!(expect, Invalid),
    }
}

#[test]
fn a_label_below_the_base_is_a_tenant() {
    check("acme.example.com", Tenant("acme"));
    check("7.example.com", Tenant("7"));
    check("a--b.example.com", Tenant("a--b"));
    check(format!("{}.example.com", "a".repeat(63)), Tenant(&"a".repeat(63)));
}

#[test]
fn the_base_and_www_are_master() {
    check("example.com", Master);
    check("EXAMPLE.com.:443", Master);
    check("www.example.com", Master);
    check("WWW.example.com", Master);
}

#[test]
fn port_case_and_one_trailing_dot_do_not_matter() {
    check("ACME.example.com:8443", Tenant("acme"));
    check("ACME.EXAMPLE.COM.:443", Tenant("acme"));
    check("acme.example.com.", Tenant("acme"));
    check("acme.example.com:", Tenant("acme"));
    check("acme.example.com:0", Tenant("acme"));
    check("acme.example.com:65535", Tenant("acme"));
}

#[test]
fn the_base_matches_only_at_a_dot_and_at_the_end() {
    check("foo.bar.example.com", Expect::None);
    check("acme.www.example.com", Expect::None);
    check("www.acme.example.com", Expect::None);
    check("evil-example.com", Expect::None);
    check("evilexample.com", Expect::None);
    check("acme.example.com.evil.com", Expect::None);
    check("example.com.evil.com", Expect::None);
    check("acme.example.com-evil.com", Expect::None);
    check("acme.example.co", Expect::None);
    check("acme.example", Expect::None);
    check("example", Expect::None);
    check("com", Expect::None);
    check("acme", Expect::None);
    check("acme.localhost", Expect::None);
    check(format!("{}example.com", "a.".repeat(121)), Expect::None);
}

#[test]
fn other_scripts_are_no_slugs_however_they_are_written() {
    check("xn--80ak6aa92e.example.com", Expect::None);
    check("XN--80AK6AA92E.example.com", Expect::None);
    check("xn--cme-5cd.example.com", Expect::None);
    check("acme.xn--xample-9uf.com", Expect::None);
    check("xn--a.example.com", Invalid);
    check("xn--.example.com", Invalid);
    check("xn--acme-.example.com", Invalid);
    check("аcme.example.com", Invalid);
    check("acme.ехample.com", Invalid);
    check("ａｃｍｅ.example.com", Invalid);
    check("acme。example.com", Invalid);
    check("acme.example.com\u{200b}", Invalid);
    check("ac\u{ad}me.example.com", Invalid);
    check("\u{202e}moc.elpmaxe.emca", Invalid);
}

#[test]
fn addresses_are_nobody() {
    check("127.0.0.1", Expect::None);
    check("10.0.0.1:8080", Expect::None);
    check("127.0.0.1.", Expect::None);
    check("[::1]", Expect::None);
    check("[::1]:443", Expect::None);
    check("[2001:DB8::1]", Expect::None);
    check("[::ffff:127.0.0.1]", Expect::None);
}

#[test]
fn loopback_addresses_are_the_master_where_localhost_is() {
    let at = |host: &str, expect: Expect<'_>| {
        let request = request("/", &[(HOST, host.as_bytes())]).unwrap();
        check_request(&Subdomain::of("LocalHost.").unwrap(), &request, expect);
    };
    for host in [
        "127.0.0.1",
        "127.0.0.1:3000",
        "127.0.0.1:",
        "127.0.0.1.",
        "127.8.8.8",
        "[::1]",
        "[::1]:3000",
        "[0:0::0:1]",
    ] {
        at(host, Master);
    }
    // Addresses of others, and names that only look like an address.
    for host in ["0.0.0.0", "10.0.0.1", "128.0.0.1", "[::]", "[::2]", "[::ffff:127.0.0.1]", "[::127.0.0.1]"] {
        at(host, Expect::None);
    }
    for host in ["127.0.0.1.localhost", "1.localhost.example.com", "127.0.0.1.example.com", "127-0-0-1"] {
        at(host, Expect::None);
    }
    for host in
        ["127.1", "127.0.0.01", "2130706433", "0x7f.0.0.1", "127.0.0.1..", "127.0.0.1:0x50", "127.0.0.1 "]
    {
        at(host, Invalid);
    }
    for host in
        ["::1", "::1:3000", "[::1", "[::1]3000", "[::1].localhost", "[::1%25lo]", "127.0.0.1@localhost"]
    {
        at(host, Invalid);
    }
    at("127.0.0.1, acme.localhost", Invalid);
    at("1.localhost", Tenant("1"));
}

#[test]
fn a_loopback_address_behind_a_trusted_proxy_is_the_master_too() {
    let resolver = Subdomain::of("localhost").unwrap().trusting([PROXY]).unwrap();
    let request = || request("/", &[(HOST, b"acme.localhost"), (FORWARDED, b"127.0.0.1:3000")]).unwrap();
    check_request(&resolver, &from_peer(PROXY, request()), Master);
    check_request(&resolver, &from_peer("11.0.0.1", request()), Tenant("acme"));
}

#[test]
fn addresses_in_odd_spellings_are_invalid() {
    for host in ["127.1", "0x7f.0.0.1", "0x7f000001", "2130706433", "0177.0.0.01", "256.1.1.1", "1.2.3.4.5"] {
        check(host, Invalid);
    }
    for host in
        ["::1", "[::1", "::1]", "[]", "[::1]x", "[::1].example.com", "[fe80::1%eth0]", "[fe80::1%25eth0]"]
    {
        check(host, Invalid);
    }
    check("[acme].example.com", Invalid);
    check("[v1.acme]", Invalid);
}

#[test]
fn ports_that_are_none_are_invalid() {
    for port in
        ["99999", "65536", "-1", "+1", "x", "80x", " 80", "80 ", "80:80", ":80", "0x50", "80/", "000000"]
    {
        let expect = if port == "000000" { Tenant("acme") } else { Invalid };
        check(format!("acme.example.com:{port}"), expect);
    }
    check(":80", Invalid);
    check(":", Invalid);
    check("acme:80.example.com", Invalid);
}

#[test]
fn dots_in_the_wrong_places_are_invalid() {
    for host in
        [".", "..", "....", ".example.com", "acme..example.com", "acme.example.com..", "..example.com"]
    {
        check(host, Invalid);
    }
    check("acme.example.com.:443.", Invalid);
}

#[test]
fn characters_that_no_host_has_are_invalid() {
    for host in [
        "",
        " ",
        " acme.example.com",
        "acme.example.com ",
        "acme .example.com",
        "\tacme.example.com",
        "acme.example.com\t",
        "acme_eu.example.com",
        "_dmarc.example.com",
        "*.example.com",
        "-acme.example.com",
        "acme-.example.com",
        "-.example.com",
        "acme@example.com",
        "acme:secret@acme.example.com",
        "evil.com@acme.example.com",
        "http://acme.example.com",
        "//acme.example.com",
        "acme.example.com/",
        "acme.example.com/notes",
        "evil.com\\.example.com",
        "acme.example.com?x",
        "acme.example.com#x",
        "%61cme.example.com",
        "acme%2eexample.com",
        "acme%00.example.com",
        "acme.example.com%0d%0aset-cookie:x",
        "acme.example.com,globex.example.com",
        "acme.example.com, globex.example.com",
        "acme.example.com;globex.example.com",
        "acme.example.com globex.example.com",
        "z'; drop schema public;--.example.com",
        "\"acme\".example.com",
        "<script>.example.com",
        "${jndi:ldap://x}.example.com",
        "acme\0.example.com",
        "acme.example.com\0",
        "acme.example.com\r\nhost: globex.example.com",
        "acme.example.com\n",
        "acme\u{7f}.example.com",
        "localhost\u{0b}",
    ] {
        check(host, Invalid);
    }
    check(b"acme\xff.example.com", Invalid);
    check(b"\xc3\x28.example.com", Invalid);
    check(b"acme\x80.example.com", Invalid);
}

#[test]
fn hosts_longer_than_dns_allows_are_invalid() {
    check(format!("{}.example.com", "a".repeat(64)), Invalid);
    check(format!("{}example.com", "a.".repeat(122)), Invalid);
    check("a".repeat(10_000), Invalid);
    check(format!("{}.example.com", "a".repeat(10_000)), Invalid);
    check(".".repeat(10_000), Invalid);
    check("a.".repeat(5_000), Invalid);
    check(":".repeat(10_000), Invalid);
    check("[".repeat(10_000), Invalid);
    check(format!("acme.example.com:{}", "8".repeat(10_000)), Invalid);
    check(format!("xn--{}.example.com", "9".repeat(59)), Invalid);
}

#[track_caller]
fn check_host_sources(uri: &str, hosts: &[&str], expect: Expect<'_>) {
    let headers: Vec<_> = hosts.iter().map(|host| (HOST, host.as_bytes())).collect();
    let request = request(uri, &headers).unwrap();
    check_request(&Subdomain::of("example.com").unwrap(), &request, expect);
}

#[test]
fn the_authority_and_the_host_header_must_agree() {
    let acme = "http://acme.example.com/notes";
    check_host_sources(acme, &[], Tenant("acme"));
    check_host_sources(acme, &["ACME.example.com.:80"], Tenant("acme"));
    check_host_sources("http://acme.example.com:8080/", &["acme.example.com"], Tenant("acme"));
    check_host_sources(acme, &["globex.example.com"], Invalid);
    check_host_sources(acme, &["acme.example.com", "acme.example.com"], Invalid);
    check_host_sources(acme, &[""], Invalid);
    check_host_sources("acme.example.com:443", &[], Tenant("acme"));
    check_host_sources("http://user@acme.example.com/", &[], Invalid);
    check_host_sources("http://acme.example.com@evil.com/", &[], Invalid);
    check_host_sources("http://[::1]/", &[], Expect::None);
}

#[test]
fn exactly_one_host_header_is_believed() {
    check_host_sources("/", &[], Expect::None);
    check_host_sources("*", &["acme.example.com"], Tenant("acme"));
    check_host_sources("/", &["acme.example.com", "globex.example.com"], Invalid);
    check_host_sources("/", &["acme.example.com", "acme.example.com"], Invalid);
    check_host_sources("/", &["acme.example.com", ""], Invalid);
}

#[test]
fn any_base_works() {
    let at = |base: &str, host: &str, expect: Expect<'_>| {
        let request = request("/", &[(HOST, host.as_bytes())]).unwrap();
        check_request(&Subdomain::of(base).unwrap(), &request, expect);
    };
    at("localhost", "acme.localhost:3000", Tenant("acme"));
    at("localhost", "localhost:3000", Master);
    at("Example.COM.", "acme.example.com", Tenant("acme"));
    at("apps.example.com", "acme.apps.example.com", Tenant("acme"));
    at("apps.example.com", "acme.example.com", Expect::None);
    at("apps.example.com", "example.com", Expect::None);
    at("bücher.example", "acme.xn--bcher-kva.example", Tenant("acme"));
    at("xn--bcher-kva.example", "acme.xn--bcher-kva.example", Tenant("acme"));
}

#[test]
fn a_base_must_be_a_domain_name() {
    for base in ["", ".", ".example.com", "*.example.com", "example.com:80", "http://example.com", "a b"] {
        let error = Subdomain::of(base).unwrap_err();
        assert!(matches!(&error, InvalidResolver::Base { source: Some(_), .. }), "{base}: {error}");
    }
    for base in ["127.0.0.1", "[::1]"] {
        let error = Subdomain::of(base).unwrap_err();
        assert!(matches!(&error, InvalidResolver::Base { source: None, .. }), "{base}: {error}");
    }
}

#[test]
fn more_labels_can_be_the_masters() {
    let resolver = Subdomain::of("example.com").unwrap().master_at("Admin").unwrap();
    for host in ["admin.example.com", "www.example.com", "example.com"] {
        check_request(&resolver, &request("/", &[(HOST, host.as_bytes())]).unwrap(), Master);
    }
    assert!(resolver.master_at("a.b").is_err());
}

#[track_caller]
fn check_forwarded(peer: Option<&str>, forwarded: &[&str], expect: Expect<'_>) {
    let mut headers: Vec<(_, &[u8])> = vec![(HOST, b"globex.example.com")];
    headers.extend(forwarded.iter().map(|host| (FORWARDED, host.as_bytes())));
    let mut request = request("/", &headers).unwrap();
    if let Some(peer) = peer {
        request = from_peer(peer, request);
    }
    let trusting = Subdomain::of("example.com").unwrap().trusting(["10.0.0.0/8", "fd00::/8", "192.0.2.1"]);
    check_request(&trusting.unwrap(), &request, expect);
}

#[test]
fn a_forwarded_host_counts_only_from_a_trusted_peer() {
    let acme = &["acme.example.com:443"];
    for trusted in [PROXY, "::ffff:10.1.2.3", "fd00::1", "192.0.2.1"] {
        check_forwarded(Some(trusted), acme, Tenant("acme"));
    }
    for stranger in ["11.0.0.1", "::ffff:11.0.0.1", "fe80::1", "192.0.2.2", "::10.1.2.3"] {
        check_forwarded(Some(stranger), acme, Tenant("globex"));
    }
    check_forwarded(None, acme, Tenant("globex"));
    check_forwarded(Some(PROXY), &[], Tenant("globex"));
}

#[test]
fn a_forwarded_host_is_one_host() {
    check_forwarded(Some(PROXY), &["acme.example.com, proxy.example.com"], Invalid);
    check_forwarded(Some(PROXY), &["acme.example.com", "acme.example.com"], Invalid);
    check_forwarded(Some(PROXY), &[""], Invalid);
    check_forwarded(Some("11.0.0.1"), &["", "x,y"], Tenant("globex"));
}

#[test]
fn nobody_is_trusted_unless_asked_to() {
    let request = request("/", &[(HOST, b"globex.example.com"), (FORWARDED, b"acme.example.com")]).unwrap();
    let request = from_peer("127.0.0.1", request);
    check_request(&Subdomain::of("example.com").unwrap(), &request, Tenant("globex"));
    check_request(&CustomDomain::new(), &request, Tenant("globex.example.com"));
    let trusting = CustomDomain::new().trusting(["127.0.0.0/8"]).unwrap();
    check_request(&trusting, &request, Tenant("acme.example.com"));
}

#[test]
fn a_trusted_network_must_be_one() {
    for network in ["", "10.0.0.0/33", "10.0.0/8", "proxy.example.com", "10.0.0.1:80", "*"] {
        let error = CustomDomain::new().trusting([network]).unwrap_err();
        assert_eq!(error, InvalidResolver::Network(network.to_owned()));
    }
}

#[test]
fn a_custom_domain_is_any_host() {
    let at = |host: &[u8], expect: Expect<'_>| {
        check_request(&CustomDomain::new(), &request("/", &[(HOST, host)]).unwrap(), expect);
    };
    at(b"Notes.ACME.com:443", Tenant("notes.acme.com"));
    at(b"XN--BCHER-KVA.example", Tenant("xn--bcher-kva.example"));
    at(b"[::1]:80", Tenant("[::1]"));
    at(b"a..b", Invalid);
    check_request(&CustomDomain::new(), &request("/", &[]).unwrap(), Expect::None);
}

#[track_caller]
fn check_header(peer: Option<&str>, values: &[&[u8]], expect: Expect<'_>) {
    let headers: Vec<_> = values.iter().map(|value| ("x-tenant", *value)).collect();
    let mut request = request("/", &headers).unwrap();
    if let Some(peer) = peer {
        request = from_peer(peer, request);
    }
    let resolver = Header::named("X-Tenant").unwrap().trusting(["10.0.0.0/8"]).unwrap();
    check_request(&resolver, &request, expect);
}

#[test]
fn a_header_counts_only_from_a_trusted_peer() {
    check_header(Some(PROXY), &[b"acme"], Tenant("acme"));
    check_header(Some(PROXY), &[b"ACME"], Tenant("acme"));
    check_header(Some(PROXY), &[], Expect::None);
    check_header(Some("11.0.0.1"), &[b"acme"], Expect::None);
    check_header(Some("11.0.0.1"), &[b"acme", b"\xff"], Expect::None);
    check_header(None, &[b"acme"], Expect::None);

    let trusting_nobody = Header::named("x-tenant").unwrap();
    let request = from_peer("127.0.0.1", request("/", &[("x-tenant", b"acme")]).unwrap());
    check_request(&trusting_nobody, &request, Expect::None);
}

#[test]
fn a_header_holds_one_slug() {
    for value in
        [&b""[..], b" ", b"acme,globex", b"acme globex", b"a.b", b"xn--a", b"\xff", b"z'; drop schema x;--"]
    {
        check_header(Some(PROXY), &[value], Invalid);
    }
    check_header(Some(PROXY), &[b"acme", b"globex"], Invalid);
    check_header(Some(PROXY), &[b"acme", b"acme"], Invalid);
    assert_eq!(Header::named("x tenant").unwrap_err(), InvalidResolver::HeaderName("x tenant".into()));
}

/// Expects the tenant and the path that is left, as `acme /notes`.
#[track_caller]
fn check_path(resolver: &PathSegment, uri: &str, expect: Expect<'_>) {
    let request = request(uri, &[]).unwrap();
    match (resolver.resolve(&Head::of(&request)), expect) {
        (Resolution::Tenant { key, path: Some(path) }, Tenant(expect)) => {
            assert_eq!(format!("{key} {path}"), expect);
        }
        _ => check_request(resolver, &request, expect),
    }
}

#[test]
fn a_segment_below_the_prefix_is_a_tenant() {
    let under = PathSegment::under("/t").unwrap();
    check_path(&under, "/t/acme/notes", Tenant("acme /notes"));
    check_path(&under, "/t/ACME/Notes/", Tenant("acme /Notes/"));
    check_path(&under, "/t/acme/notes?page=2&x=/../", Tenant("acme /notes?page=2&x=/../"));
    check_path(&under, "/t/acme", Tenant("acme /"));
    check_path(&under, "/t/acme/", Tenant("acme /"));
    check_path(&under, "/t/acme?x", Tenant("acme /?x"));
    check_path(&under, "/t/acme/?", Tenant("acme /?"));
    check_path(&under, "/t/t/acme", Tenant("t /acme"));
    check_path(&under, "/t/acme/caf%C3%A9/a.b/.well-known", Tenant("acme /caf%C3%A9/a.b/.well-known"));
    check_path(&under, "/t/acme/a//b", Tenant("acme /a//b"));
    check_path(&under, "http://example.com/t/acme/notes", Tenant("acme /notes"));
}

#[test]
fn a_prefix_is_optional_and_may_be_long() {
    let first = PathSegment::new();
    check_path(&first, "/acme/notes", Tenant("acme /notes"));
    check_path(&first, "/acme", Tenant("acme /"));
    check_path(&first, "/", Expect::None);
    check_path(&first, "*", Expect::None);
    check_path(&first, "/favicon.ico", Expect::None);
    check_path(&PathSegment::under("/").unwrap(), "/acme/notes", Tenant("acme /notes"));
    check_path(&PathSegment::under("/a/b.c/").unwrap(), "/a/b.c/acme/notes", Tenant("acme /notes"));
}

#[test]
fn other_paths_are_nobodys() {
    let under = PathSegment::under("/t").unwrap();
    for uri in
        ["/", "/t", "/t/", "/t//acme", "//t/acme", "/tacme/x", "/T/acme", "/notes", "/%74/acme", "*", "a:1"]
    {
        check_path(&under, uri, Expect::None);
    }
    for uri in ["/t/a_b/x", "/t/xn--a/x", "/t/-a/x", "/t/a.b/x", "/t/a;b/x", "/t/@a/x", "/t/a,b"] {
        check_path(&under, uri, Expect::None);
    }
    check_path(&under, &format!("/t/{}/x", "a".repeat(64)), Expect::None);
}

#[test]
fn a_path_that_a_proxy_could_read_otherwise_is_invalid() {
    let under = PathSegment::under("/t").unwrap();
    for uri in [
        "/t/%61cme/notes",
        "/t/acme%2Fnotes",
        "/t/acme%00/notes",
        "/t/./acme/notes",
        "/t/../acme/notes",
        "/t/%2e%2E/acme/notes",
        "/t/acme/../globex/notes",
        "/t/acme/./notes",
        "/t/acme/notes/..",
        "/t/acme/%2e%2e/globex",
        "/t/acme/.%2E/globex",
        "/t/acme/..%2Fglobex",
        "/t/acme/..%5cglobex",
        "/t/acme//evil.com/notes",
        "/t/acme//",
    ] {
        check_path(&under, uri, Invalid);
    }
}

#[test]
fn a_prefix_must_be_a_plain_path() {
    for prefix in
        ["", "t", "t/", "//", "/t//", "//t", "/t//u", "/.", "/t/..", "/%74", "/t?x", "/t#x", "/a b", "/é"]
    {
        let error = PathSegment::under(prefix).unwrap_err();
        assert_eq!(error, InvalidResolver::PathPrefix(prefix.to_owned()));
    }
}

fn first_of(resolvers: Vec<Box<dyn Resolve>>) -> FirstOf {
    FirstOf::new(resolvers).unwrap()
}

#[test]
fn the_first_answer_wins() {
    let resolver = first_of(vec![
        Box::new(Header::named("x-tenant").unwrap().trusting([PROXY]).unwrap()),
        Box::new(Subdomain::of("example.com").unwrap()),
        Box::new(Subdomain::of("example.org").unwrap()),
        Box::new(CustomDomain::new()),
    ]);
    let at = |host: &[u8], expect: Expect<'_>| {
        check_request(&resolver, &request("/", &[(HOST, host), ("x-tenant", b"globex")]).unwrap(), expect);
    };
    at(b"acme.example.com", Tenant("acme"));
    at(b"acme.example.org", Tenant("acme"));
    at(b"example.org", Master);
    at(b"notes.acme.com", Tenant("notes.acme.com"));
    at(b"foo.bar.example.com", Tenant("foo.bar.example.com"));
    at(b"a..b", Invalid);

    let request = request("/", &[(HOST, b"acme.example.com"), ("x-tenant", b"globex")]).unwrap();
    check_request(&resolver, &from_peer(PROXY, request), Tenant("globex"));
}

#[test]
fn an_invalid_answer_ends_the_search() {
    let broken = |_: &Head<'_>| Resolution::Invalid(InvalidRequest::Other("no".into()));
    let resolver = first_of(vec![Box::new(broken), Box::new(|_: &Head<'_>| Resolution::Master)]);
    check_request(&resolver, &request("/", &[]).unwrap(), Invalid);
}

#[test]
fn a_host_with_an_underscore_leaves_the_search_to_those_that_do_not_look_at_hosts() {
    let by_host: [fn() -> Box<dyn Resolve>; 3] = [
        || Box::new(Subdomain::of("example.com").unwrap()),
        || Box::new(CustomDomain::new()),
        || Box::new(|head: &Head<'_>| head.host().map_or_else(Resolution::Invalid, |_| Resolution::None)),
    ];
    let ask = |first: Box<dyn Resolve>, host: &[u8], path, expect: Expect<'_>| {
        let by_header = Header::named("x-tenant").unwrap().trusting([PROXY]).unwrap();
        // A catch-all may not come first, and a closure is not taken for one.
        let first = move |head: &Head<'_>| first.resolve(head);
        let resolver = first_of(vec![Box::new(first), Box::new(by_header), Box::new(PathSegment::new())]);
        check_request(&resolver, &request(path, &[(HOST, host)]).unwrap(), expect);
        let request = request("/", &[(HOST, host), ("x-tenant", b"globex")]).unwrap();
        let expect = if expect == Tenant("acme") { Tenant("globex") } else { Invalid };
        check_request(&resolver, &from_peer(PROXY, request), expect);
    };
    for first in by_host {
        for host in [&b"my_app:3000"[..], b"_", b"a_b.example.com", b"MY_APP."] {
            ask(first(), host, "/acme/notes", Tenant("acme"));
        }
        for host in [&b"my_app:x"[..], b"a..b", b"my app", b"-my_app", b"my_app, acme.example.com"] {
            ask(first(), host, "/acme/notes", Invalid);
        }
    }
    let only_hosts = first_of(vec![by_host[0](), by_host[1]()]);
    check_request(&only_hosts, &request("/", &[(HOST, b"my_app")]).unwrap(), Invalid);
}

#[test]
fn a_proxy_may_call_us_by_a_name_with_an_underscore() {
    let resolver = first_of(vec![
        Box::new(Subdomain::of("example.org").unwrap()),
        Box::new(Subdomain::of("example.com").unwrap().trusting([PROXY]).unwrap()),
    ]);
    let request = request("/", &[(HOST, b"my_app:3000"), (FORWARDED, b"acme.example.com")]).unwrap();
    check_request(&resolver, &request, Invalid);
    check_request(&resolver, &from_peer(PROXY, request), Tenant("acme"));
}

#[test]
fn a_shared_resolver_is_a_resolver() {
    let by_host = || Subdomain::of("example.com").unwrap();
    let shared: std::sync::Arc<dyn Resolve> = std::sync::Arc::new(by_host());
    let boxed: Box<dyn Resolve> = Box::new(std::sync::Arc::clone(&shared));
    let request = request("/", &[(HOST, b"acme.example.com")]).unwrap();
    check_request(&shared, &request, Tenant("acme"));
    check_request(&boxed, &request, Tenant("acme"));
    check_request(&std::sync::Arc::new(by_host()), &request, Tenant("acme"));

    let catch_all: std::sync::Arc<dyn Resolve> = std::sync::Arc::new(CustomDomain::new());
    let after: Vec<Box<dyn Resolve>> = vec![Box::new(catch_all), Box::new(by_host())];
    assert!(FirstOf::new(after).is_err(), "it is still one that nobody may come after");
}

#[test]
fn a_resolver_sees_what_middleware_attached() {
    let id = crate::tenant::TenantId::random();
    let resolver = |head: &Head<'_>| {
        head.extension::<crate::tenant::TenantId>().map_or(Resolution::None, |id| Resolution::tenant(*id))
    };
    let mut request = request("/", &[]).unwrap();
    check_request(&resolver, &request, Expect::None);
    request.extensions_mut().insert(id);
    check_request(&resolver, &request, Tenant(&id.to_string()));
    let (parts, ()) = request.into_parts();
    assert_eq!(resolver(&Head::of_parts(&parts)), Resolution::tenant(id));
    let bare = Head::new(&parts.method, &parts.uri, &parts.headers, None);
    assert_eq!(resolver(&bare), Resolution::None);
}

#[test]
fn no_resolvers_resolve_nothing() {
    check_request(&first_of(vec![]), &request("/", &[(HOST, b"acme.example.com")]).unwrap(), Expect::None);
}

#[test]
fn a_catch_all_is_accepted_only_at_the_end_also_when_nested() {
    let nested = || first_of(vec![Box::new(Subdomain::of("a.com").unwrap()), Box::new(CustomDomain::new())]);
    assert!(FirstOf::new(vec![Box::new(PathSegment::new()), Box::new(nested())]).is_ok());
    assert_eq!(
        FirstOf::new(vec![Box::new(PathSegment::new()), Box::new(nested()), Box::new(PathSegment::new())])
            .unwrap_err(),
        InvalidResolver::CatchAllNotLast { position: 2, count: 3 },
    );
}

/// Hosts near the base `example.com`, and hosts that are not.
fn any_host() -> impl Strategy<Value = Vec<u8>> {
    let labels = "(([a-zA-Z0-9]{1,4}|a_b|-a|xn--[a-z0-9-]{0,9})\\.){0,3}";
    let near = format!("{labels}(example|example|EXAMPLE|evil-example)\\.com(|\\.|\\.\\.)(|:[0-9]{{0,6}})");
    prop_oneof![
        4 => proptest::string::string_regex(&near).unwrap().prop_map(String::into_bytes),
        1 => any::<String>().prop_map(String::into_bytes),
        1 => any::<Vec<u8>>(),
    ]
}

fn any_uri() -> impl Strategy<Value = String> {
    prop_oneof!["/t/[a-zA-Z0-9.%/-]{0,20}(\\?[a-z]{0,3})?", "[!-~]{0,30}", "http://[a-z.@:0-9\\[\\]]{0,20}/"]
}

fn any_request() -> impl Strategy<Value = Request<()>> {
    let header = prop_oneof![Just(HOST), Just(FORWARDED), Just("x-tenant")];
    let headers = prop::collection::vec((header, any_host()), 0..4);
    (any_uri(), headers, any::<Option<IpAddr>>()).prop_filter_map("not HTTP", |(uri, headers, peer)| {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_slice())).collect();
        let mut request = request(&uri, &headers)?;
        if let Some(peer) = peer {
            request.extensions_mut().insert(Peer(peer));
        }
        Some(request)
    })
}

fn every_resolver() -> Vec<Box<dyn Resolve>> {
    let all = ["0.0.0.0/0", "::/0"];
    vec![
        Box::new(Subdomain::of("example.com").unwrap()),
        Box::new(Subdomain::of("example.com").unwrap().trusting(all).unwrap()),
        Box::new(Header::named("x-tenant").unwrap().trusting(all).unwrap()),
        Box::new(PathSegment::new()),
        Box::new(PathSegment::under("/t").unwrap()),
        Box::new(CustomDomain::new()),
        Box::new(CustomDomain::new().trusting(all).unwrap()),
    ]
}

proptest! {
    #[test]
    fn no_request_panics(request in any_request()) {
        for resolver in every_resolver() {
            resolver.resolve(&Head::of(&request));
        }
    }

    #[test]
    fn a_slug_from_a_host_is_all_there_is_before_the_base(host in any_host()) {
        let Some(request) = request("/", &[(HOST, &host)]) else { return Ok(()) };
        let resolution = Subdomain::of("example.com").unwrap().resolve(&Head::of(&request));
        if let Resolution::Tenant { key: TenantKey::Slug(slug), path } = resolution {
            let host = String::from_utf8(host).unwrap().to_lowercase();
            let name = host.split(':').next().unwrap();
            let name = name.strip_suffix('.').unwrap_or(name);
            prop_assert_eq!(name, format!("{slug}.example.com"));
            prop_assert_eq!(path, None);
        }
    }

    #[test]
    fn every_slug_below_the_base_is_found(slug in "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?") {
        prop_assume!(!slug.starts_with("xn--") && slug != "www");
        let request = request("/", &[(HOST, format!("{slug}.example.com").as_bytes())]).unwrap();
        let resolution = Subdomain::of("example.com").unwrap().resolve(&Head::of(&request));
        prop_assert_eq!(resolution, Resolution::tenant(Slug::parse(&slug).unwrap()));
    }

    #[test]
    fn a_domain_from_a_host_is_that_host(host in any_host()) {
        let Some(request) = request("/", &[(HOST, &host)]) else { return Ok(()) };
        let expect = String::from_utf8(host).ok().and_then(|host| DomainName::from_host(&host).ok());
        match (CustomDomain::new().resolve(&Head::of(&request)), expect) {
            (resolution, Some(expect)) => prop_assert_eq!(resolution, Resolution::tenant(expect)),
            (resolution, None) => prop_assert!(matches!(resolution, Resolution::Invalid(_))),
        }
    }

    #[test]
    fn prefix_tenant_and_rest_make_up_the_path(path in "/t/[a-zA-Z0-9.%/-]{0,20}") {
        let request = request(&path, &[]).unwrap();
        let resolution = PathSegment::under("/t").unwrap().resolve(&Head::of(&request));
        if let Resolution::Tenant { key, path: Some(rest) } = resolution {
            let (path, whole) = (path.to_lowercase(), format!("/t/{key}{rest}").to_lowercase());
            prop_assert!(whole == path || whole == format!("{path}/"), "{} is not {}", whole, path);
        }
    }
}

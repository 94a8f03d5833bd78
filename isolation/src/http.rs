//! The assertions on requests as bytes.

use crate::application::Application as _;
use crate::wire::Http;

/// The requests whose heads are as a browser, a proxy or an attacker may send them, and the tenant that each is for, if
/// it is for any. Whatever is refused is refused by 400 or 404.
const HEADS: &[(&str, &str, Option<&str>)] = &[
    ("/notes", "host: ACME.Example.COM:8080", Some("acme")),
    ("/notes", "host: acme.example.com.", Some("acme")),
    ("http://acme.example.com/notes", "host: acme.example.com", Some("acme")),
    ("/notes", "host: acme.example.com\r\nx-forwarded-host: globex.example.com", Some("acme")),
    (
        "/notes",
        "host: acme.example.com\r\nx-tenant: globex\r\nforwarded: host=globex.example.com",
        Some("acme"),
    ),
    ("/notes", "host: acme.example.com\r\nhost: globex.example.com", None),
    ("http://globex.example.com/notes", "host: acme.example.com", None),
    ("/notes", "host: acme.example.com, globex.example.com", None),
    ("/notes", "host: acme.example.com@globex.example.com", None),
    ("/notes", "host: acme.example.com/../globex.example.com", None),
    ("/notes", "host: acme.example.com\t", Some("acme")),
    ("/notes", "host: acme.example.com globex.example.com", None),
    ("/notes", "host: acme..example.com", None),
    ("/notes", "host: %61cme.example.com", None),
    ("/notes", "host: acme.example.com.evil.com", None),
    ("/notes", "host: acme%00.example.com", None),
    ("/notes", "host: example.com", None),
    ("/notes", "host: tenantry_void.example.com", None),
    ("/notes", "host: nobody.example.com", None),
    ("/notes", "host: \"; DROP SCHEMA public; --.example.com", None),
    ("/notes", "host: acm\u{e9}.example.com", None),
    ("/notes", "host:", None),
    ("/notes", "x-no: host", None),
];

/// Asserts that a request is for the tenant that its host names, and for nobody where that is not clear. Both tenants
/// have notes whose titles begin with their hosts.
pub async fn hosts_are_not_believed_blindly(application: &Http) {
    for (target, headers, tenant) in HEADS {
        let answer = application.send(&format!("GET {target}"), headers, "").await;
        let answer = answer.unwrap_or_else(|| panic!("{target} with {headers:?} was not answered"));
        match tenant {
            Some(tenant) => {
                let titles = answer.titles().unwrap_or_else(|failed| panic!("{headers:?}: {failed:?}"));
                let host = format!("{tenant}.example.com");
                assert!(!titles.is_empty(), "{headers:?}: {answer:?}");
                assert!(titles.iter().all(|title| title.starts_with(&host)), "{headers:?}: {answer:?}");
            }
            None => assert!(matches!(answer.status, 400 | 404), "{target} with {headers:?}: {answer:?}"),
        }
    }
}

/// Asserts that `/t/NAME/…` leads to a tenant at a host that is nobody's, whatever stands in the rest of the path. Both
/// tenants have notes whose titles begin with their hosts.
pub async fn paths_lead_to_their_tenant(application: &Http) {
    for (path, status) in [
        ("/t/acme/notes", 200),
        ("/t/acme/notes?of=/t/globex/notes", 200),
        ("/t/ACME/notes", 200),
        ("/t/acme/t/globex/notes", 404),
        ("/t/acme/../globex/notes", 404),
        ("/t/%61cme/notes", 404),
        ("/t/nobody/notes", 404),
        ("//t/acme/notes", 404),
        ("/t/acme", 404),
        ("/notes", 404),
    ] {
        let answer = application.send(&format!("GET {path}"), "host: elsewhere.net", "").await;
        let answer = answer.unwrap_or_else(|| panic!("{path} was not answered"));
        let is_refused = status == 404 && matches!(answer.status, 400 | 404);
        assert!(answer.status == status || is_refused, "{path}: {answer:?}");
        for title in answer.titles().unwrap_or_default() {
            assert!(title.starts_with("acme.example.com"), "{path}: {answer:?}");
        }
    }
    // A host that is a tenant's leads to it by any other path.
    let titles = application.list("globex.example.com").await;
    assert!(titles.is_ok_and(|titles| titles.iter().all(|title| title.starts_with("globex"))));
}

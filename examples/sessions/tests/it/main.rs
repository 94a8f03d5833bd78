//! The example does what its documentation promises.
#![allow(clippy::unwrap_used)]

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use tenantry::Tenancy;
use tenantry_embedded::ScratchDatabase;
use tower::ServiceExt as _;

struct Answer {
    status: StatusCode,
    /// The cookie that was set, with its attributes.
    set_cookie: Option<String>,
    body: String,
}

impl Answer {
    /// The cookie as a browser sends it back.
    fn cookie(&self) -> String {
        self.set_cookie.as_deref().unwrap().split(';').next().unwrap().to_owned()
    }
}

async fn send(app: &Router, host: &str, path: &str, cookie: &str, form: Option<&str>) -> Answer {
    let request = Request::builder().uri(path).header("host", host).header(header::COOKIE, cookie);
    let request = match form {
        Some(form) => request
            .method("POST")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form.to_owned())),
        None => request.body(Body::empty()),
    };
    let response = app.clone().oneshot(request.unwrap()).await.unwrap();
    let set_cookie = response.headers().get(header::SET_COOKIE);
    let set_cookie = set_cookie.map(|cookie| cookie.to_str().unwrap().to_owned());
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    Answer { status, set_cookie, body: String::from_utf8(body.to_vec()).unwrap() }
}

async fn start() -> (Tenancy, ScratchDatabase) {
    let database = ScratchDatabase::create().await.unwrap();
    (sessions::open(database.url()).await.unwrap(), database)
}

const ACME: &str = "acme.localhost";
const GLOBEX: &str = "globex.localhost";

#[tokio::test]
async fn a_cookie_of_one_tenant_is_refused_at_another_whatever_its_domain() {
    let (tenancy, _database) = start().await;
    for domain in [None, Some(".localhost")] {
        let app = sessions::app(&tenancy, domain);
        let login = send(&app, ACME, "/login", "", Some("name=jane")).await;
        assert_eq!(login.status, StatusCode::NO_CONTENT);
        let names_domain = login.set_cookie.as_deref().unwrap().contains("Domain=");
        assert_eq!(names_domain, domain.is_some(), "{:?}", login.set_cookie);
        let cookie = login.cookie();

        let there = send(&app, GLOBEX, "/me", &cookie, None).await;
        assert_eq!(there.status, StatusCode::FORBIDDEN, "{}", there.body);
        assert_eq!(there.set_cookie, None);
        // Nor is it taken over, or ended, by somebody who signs in or out with it there.
        for path in ["/login", "/logout"] {
            let there = send(&app, GLOBEX, path, &cookie, Some("name=mallory")).await;
            assert_eq!((there.status, there.set_cookie), (StatusCode::FORBIDDEN, None));
        }
        let here = send(&app, ACME, "/me", &cookie, None).await;
        assert_eq!((here.status, here.body.as_str()), (StatusCode::OK, "jane of acme\n"));
    }
}

#[tokio::test]
async fn a_session_goes_on_under_another_slug_and_ends_where_it_began() {
    let (tenancy, _database) = start().await;
    let app = sessions::app(&tenancy, None);
    let login = send(&app, ACME, "/login", "", Some("name=jane")).await;
    let cookie = login.cookie();
    let renamed = "apex.localhost";
    tenancy.rename(&tenancy.tenant("acme").await.unwrap(), "apex").await.unwrap();
    assert_eq!(send(&app, renamed, "/me", &cookie, None).await.body, "jane of apex\n");
    assert_eq!(send(&app, renamed, "/logout", &cookie, Some("")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(send(&app, renamed, "/me", &cookie, None).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn whoever_has_no_session_may_sign_in_and_nobody_is_given_one_for_looking() {
    let (tenancy, _database) = start().await;
    let app = sessions::app(&tenancy, None);
    for cookie in ["", "id=AAAAAAAAAAAAAAAAAAAAAA", "id=no session"] {
        let look = send(&app, GLOBEX, "/me", cookie, None).await;
        assert_eq!(look.status, StatusCode::UNAUTHORIZED, "{cookie}: {}", look.body);
        let sets_session = look.set_cookie.is_some_and(|cookie| !cookie.starts_with("id=;"));
        assert!(!sets_session, "{cookie}");
        let login = send(&app, GLOBEX, "/login", cookie, Some("name=joe")).await;
        assert_eq!(login.status, StatusCode::NO_CONTENT);
        assert_ne!(login.cookie(), cookie);
        assert_eq!(send(&app, GLOBEX, "/me", &login.cookie(), None).await.body, "joe of globex\n");
    }
    let nobody = send(&app, "nobody.localhost", "/me", "", None).await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
}

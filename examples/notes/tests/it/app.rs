use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};
use tenantry::{Config, Tenancy};
use tenantry_embedded::ScratchDatabase;
use tower::ServiceExt;

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

pub(crate) struct App {
    router: Router,
    pub(crate) tenancy: Tenancy,
    _database: ScratchDatabase,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) location: String,
    kind: String,
    headers: HeaderMap,
    pub(crate) body: String,
}

fn config(database: &ScratchDatabase) -> Config {
    let mut config = Config::find(&std::env::temp_dir()).unwrap();
    config.set_default_url(database.url().to_owned());
    config
}

impl App {
    pub(crate) async fn start() -> Self {
        let database = ScratchDatabase::create().await.unwrap();
        let config = config(&database);
        let tenancy = notes::open(&config).await.unwrap();
        Self { router: notes::app(&tenancy, 3000, &config), tenancy, _database: database }
    }

    pub(crate) async fn fetch(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.fetch(request).await;
        let header = |name| {
            response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        Answer {
            status: response.status(),
            location: header(header::LOCATION),
            kind: header(header::CONTENT_TYPE),
            headers: response.headers().clone(),
            body: String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap(),
        }
    }

    pub(crate) async fn get(&self, host: &str, path: &str) -> Answer {
        self.send(request(Method::GET, host, path, "", "")).await
    }

    pub(crate) async fn post(&self, host: &str, path: &str, form: &str) -> Answer {
        self.send(request(Method::POST, host, path, FORM, form)).await
    }

    async fn add(&self, host: &str, note: &str) -> Answer {
        self.send(request(Method::POST, host, "/api/notes", JSON, note)).await
    }

    async fn delete(&self, host: &str, id: &str) -> Answer {
        self.send(request(Method::DELETE, host, &format!("/api/notes/{id}"), "", "")).await
    }
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.body))
    }

    #[track_caller]
    pub(crate) fn expect(&self, status: u16, text: &str) {
        assert_eq!(self.status, status, "{}", self.body);
        assert!(self.body.contains(text), "no {text:?} in {}", self.body);
    }

    #[track_caller]
    pub(crate) fn expect_redirect(&self, location: &str) {
        assert_eq!((self.status, self.location.as_str()), (StatusCode::SEE_OTHER, location), "{}", self.body);
    }

    #[track_caller]
    pub(crate) fn expect_problem(&self, status: u16, text: &str) {
        self.expect(status, text);
        assert_eq!(self.kind, "application/problem+json");
        assert_eq!(self.json()["status"], status);
    }
}

pub(crate) fn request(method: Method, host: &str, path: &str, kind: &str, body: &str) -> Request<Body> {
    let builder = Request::builder().method(method).uri(path).header(header::HOST, host);
    let builder = builder.extension(ConnectInfo(SocketAddr::from(([192, 0, 2, 1], 50_000))));
    builder.header(header::CONTENT_TYPE, kind).body(Body::from(body.to_owned())).unwrap()
}

#[tokio::test]
async fn two_tenants_have_different_notes() {
    let app = App::start().await;
    app.get("acme.localhost:3000", "/").await.expect(200, "Order more anvils");
    app.get("globex.localhost:3000", "/").await.expect(200, "Water the orchids");

    let acme = app.get("acme.localhost", "/api/notes").await;
    let globex = app.get("globex.localhost", "/api/notes").await;
    assert_eq!(acme.json()[0], json!({ "id": 2, "title": "Order more anvils" }));
    assert_eq!(globex.json()[0], json!({ "id": 2, "title": "Book the volcano" }));
}

#[tokio::test]
async fn a_sign_up_works_on_the_next_request() {
    let app = App::start().await;
    // Asked for too early, which must not be remembered.
    app.get("initech.localhost", "/").await.expect(404, "no account");

    let answer = app.post("localhost:8080", "/signup", "slug=Initech&name=Initech+%26+Sons").await;
    answer.expect_redirect("http://initech.localhost:8080/");
    app.get("initech.localhost:8080", "/").await.expect(200, "Notes of Initech &#38; Sons");
    assert_eq!(app.get("initech.localhost", "/api/notes").await.json(), json!([]));

    let front_page = app.get("localhost:8080", "/").await;
    front_page.expect(200, "<a href=\"http://initech.localhost:8080/\">Initech &#38; Sons</a>");
    front_page.expect(200, "Sign-ups in the last 24 hours: 1");
}

#[tokio::test]
async fn without_a_port_in_the_host_the_own_one_counts() {
    let app = App::start().await;
    app.post("localhost", "/signup", "slug=initech").await.expect_redirect("http://initech.localhost:3000/");
}

#[tokio::test]
async fn a_refused_sign_up_is_shown_with_what_was_typed() {
    let app = App::start().await;
    let long = format!("slug=fine&name={}", "x".repeat(201));
    for (form, status, refusal, kept) in [
        (
            "slug=z%27%3B+drop+schema+public%3B--&name=Z",
            400,
            "digits and - may appear",
            "z&#39;; drop schema",
        ),
        ("slug=%3Cb%3E", 400, "may appear", "value=\"&#60;b&#62;\""),
        ("slug=www&name=Triple", 400, "is reserved", "value=\"Triple\""),
        ("slug=acme&name=Another", 409, "is taken", "value=\"Another\""),
        ("name=Nameless", 400, "slug is empty", "value=\"Nameless\""),
        ("slug=fine&name=a%00b", 400, "name has", "value=\"fine\""),
        ("slug=fine&name=a%E2%80%AEb", 400, "name has", "value=\"fine\""),
        ("slug=fine&name=a%E2%80%A8b", 400, "one line of visible text", "value=\"fine\""),
        (&long, 400, "name is 201 characters long", "value=\"fine\""),
    ] {
        let answer = app.post("localhost", "/signup", form).await;
        answer.expect(status, refusal);
        answer.expect(status, kept);
        answer.expect(status, "role=\"alert\"");
    }
    assert_eq!(app.get("fine.localhost", "/").await.status, 404);
}

#[tokio::test]
async fn what_users_type_is_escaped() {
    let app = App::start().await;
    app.post("acme.localhost", "/notes", "title=%3Cscript%3Ealert(1)%3C/script%3E")
        .await
        .expect_redirect("/");

    let page = app.get("acme.localhost", "/").await;
    page.expect(200, "&#60;script&#62;alert(1)");
    assert!(!page.body.contains("<script"));
    let notes = app.get("acme.localhost", "/api/notes").await.json();
    assert_eq!(notes[0]["title"], "<script>alert(1)</script>");
}

#[tokio::test]
async fn a_title_is_one_line_of_at_most_200_characters() {
    let app = App::start().await;
    let (longest, too_long) = ("ä".repeat(200), "ä".repeat(201));
    assert_eq!(app.add("acme.localhost", &json!({ "title": longest }).to_string()).await.status, 201);

    let (turned, two_lines) = ("a\u{202e}b", "a\u{2028}b");
    for (title, why) in [
        (" ", "empty"),
        ("a\nb", "single line"),
        ("a\0b", "single line"),
        (turned, "single line"),
        (two_lines, "single line"),
        (&too_long, "200"),
    ] {
        let answer = app.add("acme.localhost", &json!({ "title": title }).to_string()).await;
        answer.expect_problem(400, why);
    }
    let page = app.post("acme.localhost", "/notes", "title=+").await;
    page.expect(400, "The title must not be empty.");
    page.expect(400, "Order more anvils");
}

#[tokio::test]
async fn notes_are_added_and_deleted_by_the_api() {
    let app = App::start().await;
    let created = app.add("acme.localhost", r#"{"title": " Buy anvils "}"#).await;
    created.expect(201, "");
    assert_eq!(created.json(), json!({ "id": 3, "title": "Buy anvils" }));

    app.delete("acme.localhost", "3").await.expect(204, "");
    app.delete("acme.localhost", "3").await.expect_problem(404, "");
    assert_eq!(app.get("acme.localhost", "/api/notes").await.json().as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn notes_are_added_and_deleted_by_the_page() {
    let app = App::start().await;
    app.post("acme.localhost", "/notes", "title=Buy+anvils").await.expect_redirect("/");
    let page = app.get("acme.localhost", "/").await;
    page.expect(200, "Buy anvils");
    page.expect(200, "action=\"/notes/3/delete\"");

    for _pressed_twice in 0..2 {
        app.post("acme.localhost", "/notes/3/delete", "").await.expect_redirect("/");
    }
    assert!(!app.get("acme.localhost", "/").await.body.contains("Buy anvils"));
}

#[tokio::test]
async fn another_tenants_note_cannot_be_deleted() {
    let app = App::start().await;
    let id = app.add("acme.localhost", r#"{"title": "Only at Acme"}"#).await.json()["id"].to_string();
    app.delete("globex.localhost", &id).await.expect_problem(404, "");
    app.post("globex.localhost", &format!("/notes/{id}/delete"), "").await.expect_redirect("/");
    app.get("acme.localhost", "/api/notes").await.expect(200, "Only at Acme");
}

#[tokio::test]
async fn who_am_i_says_what_postgresql_says() {
    let app = App::start().await;
    let (acme, globex) =
        (app.get("acme.localhost", "/api/whoami").await, app.get("globex.localhost", "/api/whoami").await);
    assert_eq!(acme.json()["tenant"], "acme");
    assert!(acme.json()["schema"].as_str().unwrap().starts_with("t_acme_"));
    assert!(globex.json()["schema"].as_str().unwrap().starts_with("t_globex_"));
}

#[tokio::test]
async fn an_unknown_host_is_not_found() {
    let app = App::start().await;
    for host in ["nobody.localhost", "example.com", "a.acme.localhost", "10.0.0.1", "127.0.0.1.localhost"] {
        for path in ["/", "/api/notes", "/api/whoami"] {
            assert_eq!(app.get(host, path).await.status, 404, "{host}{path}");
        }
    }
    let page = app.get("nobody.localhost", "/").await;
    assert_eq!(page.kind, "text/html; charset=utf-8", "{}", page.body);
}

#[tokio::test]
async fn a_loopback_address_is_another_name_of_localhost() {
    let app = App::start().await;
    for (host, slug) in [("127.0.0.1:8080", "initech"), ("[::1]:8080", "hooli")] {
        app.get(host, "/").await.expect(200, "<a href=\"http://acme.localhost:8080/\">Acme</a>");
        assert_eq!(app.get(host, "/api/notes").await.status, 404, "{host} is no tenant");
        let answer = app.post(host, "/signup", &format!("slug={slug}")).await;
        answer.expect_redirect(&format!("http://{slug}.localhost:8080/"));
    }
}

#[tokio::test]
async fn another_header_moves_nobody() {
    let app = App::start().await;
    let mut request = request(Method::GET, "acme.localhost", "/api/whoami", "", "");
    request.headers_mut().insert("x-forwarded-host", "globex.localhost".parse().unwrap());
    assert_eq!(app.send(request).await.json()["tenant"], "acme");
}

#[tokio::test]
async fn a_page_of_one_kind_of_host_is_not_found_at_the_other() {
    let app = App::start().await;
    assert_eq!(app.post("acme.localhost", "/signup", "slug=initech").await.status, 404);
    assert_eq!(app.post("localhost", "/notes", "title=Nowhere").await.status, 404);
    assert_eq!(app.get("localhost", "/api/notes").await.status, 404);
    assert_eq!(app.add("localhost", r#"{"title": "Nowhere"}"#).await.status, 404);
    assert_eq!(app.get("www.localhost", "/").await.status, 200);
}

#[tokio::test]
async fn two_hosts_are_a_bad_request() {
    let app = App::start().await;
    for path in ["/", "/api/notes"] {
        let mut request = request(Method::GET, "acme.localhost", path, "", "");
        request.headers_mut().append(header::HOST, "globex.localhost".parse().unwrap());
        assert_eq!(app.send(request).await.status, 400);
    }
}

#[tokio::test]
async fn health_is_told_on_any_host() {
    let app = App::start().await;
    for host in ["localhost", "acme.localhost", "nobody.localhost", "127.0.0.1:3000"] {
        app.get(host, "/healthz").await.expect(200, "ok");
    }
}

#[tokio::test]
async fn programs_get_problems_as_json() {
    let app = App::start().await;
    for host in ["nobody.localhost", "localhost"] {
        let mut request = request(Method::GET, host, "/api/notes", "", "");
        request.headers_mut().insert(header::ACCEPT, JSON.parse().unwrap());
        app.send(request).await.expect_problem(404, "title");
    }
    app.add("acme.localhost", "{").await.expect_problem(400, "JSON");
    app.add("acme.localhost", "{}").await.expect_problem(422, "title");
    app.delete("acme.localhost", "three").await.expect_problem(400, "three");
}

#[tokio::test]
async fn processes_may_start_at_the_same_time() {
    let database = ScratchDatabase::create().await.unwrap();
    let config = config(&database);
    let open = || notes::open(&config);
    let (first, second, third) = tokio::join!(open(), open(), open());
    let tenancy = first.unwrap();
    let app = App { router: notes::app(&tenancy, 3000, &config), tenancy, _database: database };
    drop((second.unwrap(), third.unwrap()));
    assert_eq!(app.get("acme.localhost", "/api/notes").await.json().as_array().unwrap().len(), 2);
}

fn from_a_page(host: &str, path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = request(Method::POST, host, path, FORM, "title=Sent+from+elsewhere&slug=elsewhere");
    for (name, value) in headers {
        request.headers_mut().insert(name.parse::<header::HeaderName>().unwrap(), value.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn forms_of_other_sites_and_of_other_tenants_are_refused() {
    let app = App::start().await;
    let host = "acme.localhost:3000";
    for headers in [
        &[("sec-fetch-site", "cross-site")][..],
        // Another tenant is the same site, and still another customer.
        &[("sec-fetch-site", "same-site"), ("origin", "http://globex.localhost:3000")],
        &[("sec-fetch-site", "cross-site"), ("origin", "http://acme.localhost:3000")],
        &[("origin", "http://globex.localhost:3000")],
        &[("origin", "http://acme.localhost:4000")],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", "acme.localhost:3000")],
    ] {
        let answer = app.send(from_a_page(host, "/notes", headers)).await;
        assert_eq!(answer.status, 403, "{headers:?}: {}", answer.body);
    }
    assert_eq!(app.get(host, "/api/notes").await.json().as_array().unwrap().len(), 2);
    let sign_up = app.send(from_a_page("localhost", "/signup", &[("origin", "http://acme.localhost")])).await;
    assert_eq!(sign_up.status, 403);

    for headers in [
        &[("sec-fetch-site", "same-origin"), ("origin", "http://acme.localhost:3000")][..],
        &[("sec-fetch-site", "none")],
        &[("origin", "http://ACME.localhost:3000")],
        &[],
    ] {
        app.send(from_a_page(host, "/notes", headers)).await.expect_redirect("/");
    }
    // A link on another site leads here.
    let mut link = request(Method::GET, host, "/", "", "");
    link.headers_mut().insert("sec-fetch-site", "cross-site".parse().unwrap());
    assert_eq!(app.send(link).await.status, 200);
}

#[tokio::test]
async fn every_answer_tells_browsers_to_be_careful() {
    let app = App::start().await;
    for (host, path) in [
        ("acme.localhost", "/"),
        ("localhost", "/"),
        ("localhost", "/operator"),
        ("acme.localhost", "/settings"),
        ("nobody.localhost", "/"),
        ("x", "/healthz"),
        ("x", "/nowhere"),
    ] {
        let answer = app.get(host, path).await;
        let policy = answer.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        // Browsers hold the redirect to a new tenant against this list.
        assert!(policy.contains("form-action 'self' http://*.localhost:* http://localhost:*"), "{policy}");
        assert_eq!(answer.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(answer.headers[header::REFERRER_POLICY], "same-origin");
    }
    let refused = app.send(from_a_page("acme.localhost", "/notes", &[("origin", "null")])).await;
    assert!(refused.headers.contains_key(header::CONTENT_SECURITY_POLICY));
}

#[tokio::test]
async fn an_address_has_so_many_sign_ups_in_an_hour() {
    let app = App::start().await;
    let sign_up = async |address: &str, slug: &str| {
        let mut request = request(Method::POST, "localhost", "/signup", FORM, &format!("slug={slug}"));
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(address.parse().unwrap(), 50_000)));
        app.send(request).await
    };
    // All at a time, and refused ones count as well.
    let attempts = (0..30).map(|_| sign_up("2001:db8::1", "www"));
    let statuses: Vec<_> =
        futures_util::future::join_all(attempts).await.iter().map(|it| it.status.as_u16()).collect();
    let count = |status| statuses.iter().filter(|it| **it == status).count();
    assert_eq!((count(400), count(429)), (20, 10), "{statuses:?}");

    let neighbour = sign_up("2001:db8::2", "initech").await;
    neighbour.expect(429, "Too many sign-ups");
    neighbour.expect(429, "value=\"initech\"");
    assert_eq!(app.get("initech.localhost", "/").await.status, 404);
    for address in ["2001:db8:0:1::1", "192.0.2.7", "::ffff:192.0.2.7"] {
        assert_eq!(sign_up(address, "www").await.status, 400, "{address}");
    }
    sign_up("192.0.2.7", "initech").await.expect_redirect("http://initech.localhost:3000/");
}

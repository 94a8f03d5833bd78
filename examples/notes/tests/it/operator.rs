use axum::http::{Method, header};
use tenantry::NewTenant;
use tenantry::tenant::Tenant;

use crate::app::{App, FORM, request};

impl App {
    async fn acme(&self) -> Tenant {
        self.tenancy.tenant("acme").await.unwrap()
    }

    /// Presses a button of the page beside Acme.
    async fn press(&self, button: &str, form: &str) {
        let path = format!("/operator/{}/{button}", self.acme().await.id());
        self.get("localhost", "/operator").await.expect(200, &format!("action=\"{path}\""));
        self.post("localhost", &path, form).await.expect_redirect("/operator");
    }
}

#[tokio::test]
async fn a_tenant_is_suspended_with_a_message_and_resumed() {
    let app = App::start().await;
    app.get("localhost", "/").await.expect(200, "href=\"/operator\"");
    app.press("suspend", "message=Please+pay+%3Cb%3E").await;
    app.get("acme.localhost", "/").await.expect(503, "Please pay &lt;b&gt;");
    app.get("localhost", "/operator").await.expect(200, "suspended: “Please pay &#60;b&#62;”");
    app.get("globex.localhost", "/").await.expect(200, "Water the orchids");

    app.press("resume", "").await;
    app.get("acme.localhost", "/").await.expect(200, "Order more anvils");

    app.press("suspend", "message=&read_only=on").await;
    app.get("acme.localhost", "/").await.expect(200, "Order more anvils");
    assert_eq!(app.post("acme.localhost", "/notes", "title=More").await.status, 503);
    app.get("localhost", "/operator").await.expect(200, "suspended, may be read");
}

#[tokio::test]
async fn a_deleted_tenant_is_brought_back() {
    let app = App::start().await;
    app.post("acme.localhost", "/settings/delete", "text=acme").await;
    assert!(!app.get("localhost", "/").await.body.contains("acme.localhost"));
    // Pressed on a page that is older than the deletion.
    let path = format!("/operator/{}/suspend", app.acme().await.id());
    app.post("localhost", &path, "").await.expect(409, "cannot be suspended");
    app.press("undelete", "").await;
    app.get("acme.localhost", "/").await.expect(200, "Order more anvils");
}

#[tokio::test]
async fn what_the_operator_types_is_checked() {
    let app = App::start().await;
    let path = format!("/operator/{}/suspend", app.acme().await.id());
    for message in ["a%0Ab", "a%00b", &"x".repeat(201)] {
        app.post("localhost", &path, &format!("message={message}")).await.expect(400, "The message must");
    }
    let nobody = "/operator/00000000-0000-0000-0000-000000000000/suspend";
    assert_eq!(app.post("localhost", nobody, "").await.status, 404);
    assert_eq!(app.post("localhost", "/operator/acme/suspend", "").await.status, 400);
    app.get("localhost", "/operator?after=%27%3B--").await.expect(200, "acme.localhost");
    assert!(app.tenancy.db(&app.acme().await).is_ok());
}

#[tokio::test]
async fn no_page_of_the_operator_is_found_at_a_tenant() {
    let app = App::start().await;
    let id = app.acme().await.id();
    app.post("globex.localhost", "/settings/address", "text=moved").await;
    for host in
        ["acme.localhost", "globex.localhost", "nobody.localhost", "example.com", "localhost.example.com"]
    {
        assert_eq!(app.get(host, "/operator").await.status, 404, "{host}");
        for button in ["suspend", "resume", "undelete"] {
            let path = format!("/operator/{id}/{button}");
            assert_eq!(app.post(host, &path, "").await.status, 404, "{host}{path}");
        }
    }
    // A tenant's page cannot press the buttons either.
    for (name, value) in [("origin", "http://acme.localhost:3000"), ("sec-fetch-site", "same-site")] {
        let path = format!("/operator/{id}/suspend");
        let mut request = request(Method::POST, "localhost:3000", &path, FORM, "");
        let name: header::HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
        assert_eq!(app.send(request).await.status, 403, "{value}");
    }
    assert!(app.tenancy.db(&app.acme().await).is_ok());
}

#[tokio::test]
async fn a_long_list_is_read_page_by_page() {
    let app = App::start().await;
    for number in 0..20 {
        app.tenancy.create(NewTenant::new(format!("t{number:02}"))).await.unwrap();
    }
    let first = app.get("localhost", "/operator").await;
    first.expect(200, "href=\"/operator?after=t17\">More");
    assert!(!first.body.contains("t18.localhost"));
    let second = app.get("localhost", "/operator?after=t17").await;
    second.expect(200, "t19.localhost");
    assert!(!second.body.contains("acme.localhost") && !second.body.contains("More"));

    let id = app.tenancy.tenant("t19").await.unwrap().id();
    let path = format!("/operator/{id}/suspend");
    app.post("localhost", &path, "after=t17").await.expect_redirect("/operator?after=t17");
}

#[tokio::test]
async fn the_numbers_of_the_pools_are_there_for_the_operator_only() {
    let app = App::start().await;
    app.get("acme.localhost", "/").await.expect(200, "Order more anvils");
    let numbers = app.get("localhost", "/metrics").await;
    numbers.expect(200, "tenantry_checkouts_total");
    numbers.expect(200, "database=\"default\"");
    numbers.expect(200, "# HELP tenantry_held Connections that are in use.");
    assert!(!numbers.body.contains("acme"), "{}", numbers.body);
    for host in ["acme.localhost", "nobody.localhost", "example.com"] {
        assert_eq!(app.get(host, "/metrics").await.status, 404, "{host}");
    }
}

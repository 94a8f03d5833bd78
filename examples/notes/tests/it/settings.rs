use std::io::Cursor;

use axum::body::to_bytes;
use axum::http::{Method, header};
use tenantry::FromArchive;
use tenantry::tenant::{Status, Suspension};

use crate::app::{App, FORM, request};

const ACME: &str = "acme.localhost:3000";

impl App {
    /// Deletes Acme by its page, and gives the path of the way back.
    async fn leave(&self) -> String {
        let answer = self.post(ACME, "/settings/delete", "text=+ACME+").await;
        let path = answer.location.strip_prefix("http://localhost:3000").map(ToOwned::to_owned);
        assert_eq!(answer.status, 303, "{}", answer.body);
        path.unwrap_or_else(|| panic!("{:?} is no address of the master", answer.location))
    }
}

#[tokio::test]
async fn the_name_is_changed_and_escaped() {
    let app = App::start().await;
    app.get(ACME, "/").await.expect(200, "<a href=\"/settings\">");
    app.get(ACME, "/settings").await.expect(200, "value=\"Acme\"");
    app.post(ACME, "/settings/name", "text=%3Cb%3E+%26+Sons").await.expect_redirect("/settings");
    app.get(ACME, "/settings").await.expect(200, "value=\"&#60;b&#62; &#38; Sons\"");
    app.get("localhost", "/").await.expect(200, "&#60;b&#62; &#38; Sons</a>");

    for (form, why) in [("text=", "name"), ("", "name"), ("text=a%00b", "name"), ("text=a%E2%80%AEb", "name")]
    {
        app.post(ACME, "/settings/name", form).await.expect(400, why);
    }
    app.get(ACME, "/").await.expect(200, "Notes of &#60;b&#62;");
}

#[tokio::test]
async fn links_to_the_old_address_go_on_working() {
    let app = App::start().await;
    let moved = app.post("acme.localhost:8080", "/settings/address", "text=Apex").await;
    moved.expect_redirect("http://apex.localhost:8080/settings");
    let settings = app.get("apex.localhost:8080", "/settings").await;
    settings.expect(200, "acme.localhost lead here until 20");

    for path in ["/", "/api/notes", "/settings", "/settings?x=1"] {
        let answer = app.get("acme.localhost:8080", path).await;
        assert_eq!(answer.status, 308, "{path}");
        // Without a scheme, so that it stays what it was.
        assert_eq!(answer.location, format!("//apex.localhost:8080{path}"));
    }
    app.get("apex.localhost", "/").await.expect(200, "Order more anvils");
    // The old address is nobody else's.
    app.post("localhost", "/signup", "slug=acme").await.expect(409, "is taken");
}

#[tokio::test]
async fn a_refused_address_is_shown_with_what_was_typed() {
    let app = App::start().await;
    for (form, status, why, kept) in [
        ("text=globex", 409, "is taken", "value=\"globex\""),
        ("text=www", 400, "is reserved", "value=\"www\""),
        ("text=%22%3E%3Cb%3E", 400, "may appear", "value=\"&#34;&#62;&#60;b&#62;\""),
        ("text=", 400, "slug is empty", "value=\"\""),
    ] {
        let answer = app.post(ACME, "/settings/address", form).await;
        answer.expect(status, why);
        answer.expect(status, kept);
        answer.expect(status, "role=\"alert\"");
    }
    app.get(ACME, "/").await.expect(200, "Notes of Acme");
}

#[tokio::test]
async fn an_account_takes_a_few_addresses_only() {
    let app = App::start().await;
    for (from, to) in [("acme", "a1"), ("a1", "a2"), ("a2", "a3")] {
        let answer = app.post(&format!("{from}.localhost"), "/settings/address", &format!("text={to}")).await;
        answer.expect_redirect(&format!("http://{to}.localhost:3000/settings"));
    }
    app.post("a3.localhost", "/settings/address", "text=a4").await.expect(429, "too often");
    assert_eq!(app.get("a4.localhost", "/").await.status, 404);
}

#[tokio::test]
async fn who_leaves_can_come_back_within_an_hour() {
    let app = App::start().await;
    app.post(ACME, "/settings/delete", "text=").await.expect(400, "type its address: acme");
    app.post(ACME, "/settings/delete", "text=globex").await.expect(400, "type its address: acme");
    let path = app.leave().await;
    assert_eq!(app.get(ACME, "/").await.status, 404);
    assert_eq!(app.post(ACME, "/settings/delete", "text=acme").await.status, 404, "pressed twice");

    for _looked_at_twice in 0..2 {
        app.get("localhost:3000", &path).await.expect(200, &format!("action=\"{path}\""));
        assert_eq!(app.get(ACME, "/").await.status, 404, "looking changes nothing");
    }
    assert_eq!(app.post("globex.localhost:3000", &path, "").await.status, 404, "only at the master");
    app.post("localhost:3000", &path, "").await.expect_redirect("http://acme.localhost:3000/");
    app.get(ACME, "/").await.expect(200, "Order more anvils");
    app.post("localhost:3000", &path, "").await.expect(404, "Nothing to bring back");
}

#[tokio::test]
async fn a_link_undoes_the_deletion_it_was_made_for_and_no_other() {
    let app = App::start().await;
    let path = app.leave().await;
    let acme = app.tenancy.tenant("acme").await.unwrap();
    app.tenancy.undelete(&acme).await.unwrap();
    app.post("localhost", &path, "").await.expect(404, "Nothing to bring back");

    app.tenancy.delete(&acme).await.unwrap();
    for nothing in [&path, "/farewell/x", "/farewell/00000000-0000-0000-0000-000000000000"] {
        app.get("localhost", nothing).await.expect(404, "Nothing to bring back");
        app.post("localhost", nothing, "").await.expect(404, "Nothing to bring back");
    }
    assert_eq!(app.get(ACME, "/").await.status, 404);

    app.tenancy.undelete(&acme).await.unwrap();
    let path = app.leave().await;
    sqlx::query("UPDATE farewell SET valid_until = now() - interval '1 second'")
        .execute(&app.tenancy.master())
        .await
        .unwrap();
    app.post("localhost", &path, "").await.expect(404, "Nothing to bring back");
}

#[tokio::test]
async fn forms_of_other_tenants_change_no_settings() {
    let app = App::start().await;
    for path in ["/settings/name", "/settings/address", "/settings/export", "/settings/delete"] {
        for (name, value) in [("origin", "http://globex.localhost:3000"), ("sec-fetch-site", "same-site")] {
            let mut request = request(Method::POST, ACME, path, FORM, "text=acme");
            let name: header::HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
            assert_eq!(app.send(request).await.status, 403, "{path}");
        }
        for host in ["localhost", "nobody.localhost"] {
            assert_eq!(app.post(host, path, "text=acme").await.status, 404, "{host}{path}");
        }
    }
    app.get(ACME, "/").await.expect(200, "Notes of Acme");
}

#[tokio::test]
async fn a_suspended_account_keeps_its_settings() {
    let app = App::start().await;
    let acme = app.tenancy.tenant("acme").await.unwrap();
    app.tenancy.suspend(&acme, Suspension::new().read_only()).await.unwrap();
    app.get(ACME, "/settings").await.expect(200, "Settings of Acme");
    for path in ["/settings/name", "/settings/address", "/settings/delete"] {
        app.post(ACME, path, "text=acme").await.expect(503, "can only be read");
    }
    app.tenancy.suspend(&acme, Suspension::new().saying("Call us")).await.unwrap();
    for path in ["/settings/name", "/settings/address", "/settings/delete"] {
        app.post(ACME, path, "text=acme").await.expect(503, "Call us");
    }
    assert_eq!(app.tenancy.tenant("acme").await.unwrap().status(), Status::Suspended);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_account_has_is_downloaded_and_makes_another_one() {
    let app = App::start().await;
    app.get(ACME, "/settings").await.expect(200, "action=\"/settings/export\"");
    let answer = app.fetch(request(Method::POST, ACME, "/settings/export", FORM, "")).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()[header::CONTENT_DISPOSITION], "attachment; filename=\"acme.tar.zst\"");
    let archive = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    let open = move || Ok(Box::new(Cursor::new(archive.clone())) as Box<_>);
    let imported = app.tenancy.import(open, &FromArchive::default().slug("again")).await.unwrap();
    assert_eq!(imported.rows, 2);
    app.get("again.localhost", "/").await.expect(200, "Order more anvils");
}

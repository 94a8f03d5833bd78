use actix_web::{HttpResponse, ResponseError as _};
use tenantry::http::RejectionKind;
use tenantry_actix::Rejection;

use crate::support::{by_subdomain, request, send};

#[tokio::test]
async fn people_get_a_page_and_programs_get_json() {
    let world = by_subdomain().await;
    let page = send(world.tenants(), request("nobody.example.com", "/schema")).await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.body.contains("There is no account at this address."));
    assert!(!page.body.contains("nobody"), "the page repeats nothing of the request");

    let program = request("nobody.example.com", "/schema").insert_header(("accept", "application/json"));
    let problem = send(world.tenants(), program).await;
    assert_eq!(problem.header("content-type"), Some("application/problem+json"));
    assert_eq!(problem.body, r#"{"status":404,"title":"There is no account at this address."}"#);
}

#[tokio::test]
async fn the_error_of_a_handler_tells_no_secrets() {
    let world = by_subdomain().await;
    let missing = send(world.tenants(), request("acme.example.com", "/missing-row")).await;
    assert_eq!((missing.status, missing.header("content-type")), (404, Some("application/problem+json")));
    let broken = send(world.tenants(), request("acme.example.com", "/broken")).await;
    assert_eq!(broken.status, 500);
    assert_eq!(broken.body, r#"{"status":500,"title":"Something went wrong on our side."}"#);
}

fn in_own_words(rejection: Rejection) -> HttpResponse {
    match rejection.kind() {
        _ if rejection.wants_json() => rejection.error_response(),
        kind => {
            let language = rejection.headers().get("accept-language").map(|value| value.as_bytes().to_vec());
            let words =
                if language.as_deref() == Some(b"de") { "Hier ist niemand" } else { "Nobody is here" };
            HttpResponse::build(rejection.status_code()).body(format!("{words}: {kind:?}"))
        }
    }
}

#[tokio::test]
async fn an_application_answers_in_its_own_words() {
    let world = by_subdomain().await;
    let ask = async |host, name: &'static str, value: &'static str| {
        let request = request(host, "/slug").insert_header((name, value));
        send(world.tenants().on_rejection(in_own_words), request).await
    };
    let german = ask("nobody.example.com", "accept-language", "de").await;
    assert_eq!((german.status, german.body.as_str()), (404, "Hier ist niemand: UnknownTenant"));
    let english = ask("example.com", "accept-language", "en").await;
    assert_eq!((english.status, english.body.as_str()), (404, "Nobody is here: NoTenant"));
    let json = ask("not a host", "accept", "application/json").await;
    assert_eq!((json.status, json.header("content-type")), (400, Some("application/problem+json")));
    assert_eq!(ask("acme.example.com", "accept", "*/*").await.body, "acme");
}

#[tokio::test]
async fn a_tenant_that_was_renamed_is_led_to() {
    let world = by_subdomain().await;
    let acme = world.tenancy.tenant("acme").await.unwrap();
    world.tenancy.rename(&acme, "apex").await.unwrap();
    let former = || request("acme.example.com:8080", "/slug?page=2");
    assert_eq!(send(world.tenants(), former()).await.status, 404, "unless it is wished for");
    // There are no own words for a redirect.
    let tenants = world.tenants().redirect_renamed().on_rejection(in_own_words);
    let redirect = send(tenants.clone(), former()).await;
    assert_eq!(redirect.status, 308);
    assert_eq!(redirect.header("location"), Some("//apex.example.com:8080/slug?page=2"));
    assert_eq!(redirect.header("cache-control"), Some("no-store"));
    assert_eq!(send(tenants, request("apex.example.com", "/slug")).await.body, "apex");
    assert_eq!(RejectionKind::Renamed.status(), 308);
}

use tenantry::http::{BYPASS, BypassKey};
use tenantry::tenant::Suspension;
use time::{Duration, OffsetDateTime};

use crate::support::{by_subdomain, request, send};

#[tokio::test]
async fn a_suspended_tenant_is_503_but_for_a_bypass() {
    let world = by_subdomain().await;
    let acme = world.tenancy.tenant("acme").await.unwrap();
    let in_an_hour = OffsetDateTime::now_utc() + Duration::HOUR;
    let terms = Suspension::new().saying("Please <pay>").until(in_an_hour);
    let acme = world.tenancy.suspend(&acme, terms).await.unwrap();
    let key = BypassKey::new("correct horse battery staple, and more").unwrap();
    let tenants = || world.tenants().bypass(key.clone());

    let refused = send(tenants(), request("acme.example.com", "/schema")).await;
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains("Please &lt;pay&gt;"), "{}", refused.body);
    let seconds: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&seconds), "{seconds}");

    let bypass = key.sign(acme.id(), in_an_hour);
    let support = || request("acme.example.com", "/schema").insert_header((BYPASS, bypass.as_str()));
    assert_eq!(send(tenants(), support()).await.body, acme.schema().as_str());
    assert_eq!(send(world.tenants(), support()).await.status, 503, "nobody looks at it");
    let by_client = request("acme.example.com", "/client").insert_header((BYPASS, bypass.as_str()));
    assert_eq!(send(tenants(), by_client).await.body, acme.schema().as_str());
    assert_eq!(send(tenants(), request("acme.example.com", "/client")).await.status, 503);
    let cookie = ("cookie", format!("a=b; {BYPASS}={bypass}"));
    let by_cookie = request("acme.example.com", "/schema").insert_header(cookie);
    assert_eq!(send(tenants(), by_cookie).await.status, 200);
}

//! Names and settings of tenants that are served, and how others hear of them.

use serde_json::json;
use tenantry::resolve::TenantKey;
use tenantry::tenant::TenantId;
use tenantry::{ErrorKind, NewTenant};

use crate::support::{builder, check_error, config, database, eventually, tenancy};

#[tokio::test]
async fn a_new_name_is_seen_at_once_here_and_soon_elsewhere() {
    let database = database().await;
    let (here, there) = (tenancy(&database, &[]).await, tenancy(&database, &[]).await);
    let acme = here.create(NewTenant::new("acme").name("Acme").setting("plan", "gold")).await.unwrap();
    assert_eq!(there.tenant("acme").await.unwrap().name(), "Acme");

    let renamed = here.set_name(&acme, " Acme & Söhne ").await.unwrap();
    assert_eq!((renamed.name(), renamed.settings()["plan"].as_str()), ("Acme & Söhne", Some("gold")));
    assert_eq!(here.tenant("acme").await.unwrap(), renamed);
    assert_eq!(here.find(&acme.id().into()).await.unwrap(), renamed);
    eventually("the other process sees it", async || there.tenant("acme").await.unwrap() == renamed).await;
}

#[tokio::test]
async fn settings_that_others_change_at_the_same_time_stay() {
    let database = database().await;
    let tenancy = tenancy(&database, &[]).await;
    let acme = tenancy.create(NewTenant::new("acme").setting("trial", true)).await.unwrap();
    let changes = (0..20).map(|number| {
        let key = format!("key{number}");
        let (tenancy, acme) = (tenancy.clone(), acme.clone());
        tokio::spawn(async move { tenancy.set_settings(&acme, json!({ key: number })).await })
    });
    for change in changes.collect::<Vec<_>>() {
        change.await.unwrap().unwrap();
    }
    let limits = json!({ "users": 5, "until": null });
    let acme = tenancy.set_settings(&acme, json!({ "trial": null, "limits": limits })).await.unwrap();
    let settings = acme.settings().as_object().unwrap();
    assert_eq!((settings.len(), &settings["limits"], &settings["key19"]), (21, &limits, &json!(19)));
    assert_eq!(tenancy.tenant("acme").await.unwrap(), acme);
}

#[tokio::test]
async fn a_name_that_misleads_is_refused_wherever_it_comes_in() {
    let database = database().await;
    let tenancy = tenancy(&database, &[]).await;
    let acme = tenancy.create(NewTenant::new("acme").name("Acme")).await.unwrap();
    let override_ = "Acme\u{202e}dtL";
    let at = &["name has '\\u{202e}' at byte 4"];
    check_error(tenancy.set_name(&acme, override_).await, ErrorKind::InvalidInput, at);
    let settings = tenancy.set_settings(&acme, json!({ "name": override_ })).await;
    check_error(settings, ErrorKind::InvalidInput, at);
    check_error(tenancy.create(NewTenant::new("globex").name(override_)).await, ErrorKind::InvalidInput, at);
    for name in ["", "two\nlines", "two\u{2028}lines", &"x".repeat(201)] {
        check_error(tenancy.set_name(&acme, name).await, ErrorKind::InvalidInput, &["name "]);
    }
    check_error(tenancy.set_settings(&acme, json!(["a"])).await, ErrorKind::InvalidInput, &["object"]);
    let nul = json!({ "deep": [{ "er": "a\0" }] });
    check_error(tenancy.set_settings(&acme, nul).await, ErrorKind::InvalidInput, &["NUL"]);
    assert_eq!(tenancy.tenant("acme").await.unwrap(), acme);
    check_error(tenancy.tenant("globex").await, ErrorKind::UnknownTenant, &[]);
}

#[tokio::test]
async fn a_tenant_that_is_gone_cannot_be_changed() {
    let database = database().await;
    let tenancy = tenancy(&database, &[]).await;
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    sqlx::query("DELETE FROM tenantry.tenant").execute(&tenancy.master()).await.unwrap();
    check_error(tenancy.set_name(&acme, "Acme").await, ErrorKind::UnknownTenant, &["`acme` was removed"]);
}

#[tokio::test]
async fn an_id_leads_to_its_tenant_whatever_it_is_called_now() {
    let database = database().await;
    // Behind a firewall that swallows the listener, only the cache's own rules count.
    let deaf = config(&database).owner_url(database.url()).unwrap();
    let deaf = deaf.direct_url("postgres://nobody:x@127.0.0.1:1/nowhere").unwrap();
    let tenancy = builder(&database).database(deaf).connect().await.unwrap();
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let key = TenantKey::from(acme.id());
    assert_eq!(tenancy.find(&key).await.unwrap(), acme);
    let loads = tenancy.status().cache.loads;
    tenancy.find(&key).await.unwrap();
    assert_eq!(tenancy.status().cache.loads, loads, "answered from memory");

    let renamed = tenancy.set_settings(&acme, json!({ "a": 1 })).await.unwrap();
    assert_eq!(tenancy.find(&key).await.unwrap(), renamed);
    let nobody = TenantId::random();
    check_error(tenancy.find(&nobody.into()).await, ErrorKind::UnknownTenant, &[&nobody.to_string()]);
}

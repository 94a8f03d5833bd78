//! Two tenants, and what is not for either of them.

use loco_rs::prelude::*;
use notebook::initializers::tenancy::tenancy;
use serde_json::{Value, json};

use super::{HERE, Running, Schema, database_with_tenants, loco};

#[tokio::test]
async fn each_tenant_has_notes_of_its_own() {
    let database = database_with_tenants().await;
    let running = Running::start(&database, Schema::Kept).await;
    for (host, title) in [("acme.localhost", "Order anvils"), ("globex.localhost", "Cool the volcano")] {
        let note = json!({ "id": 1, "title": title });
        let added = running.ask(host, "POST", "/api/notes", &json!({ "title": title })).await;
        assert_eq!(added, (200, note.clone()));
        assert_eq!(running.get(host, "/api/notes").await, (200, json!([note])));
    }
    for host in ["nobody.localhost", "localhost", "acme.example.com", "10.0.0.1"] {
        let (status, problem) = running.get(host, "/api/notes").await;
        assert_eq!((status, &problem["status"]), (404, &json!(404)), "{host}: {problem}");
        // Loco's own routes ask for no tenant.
        for path in ["/_ping", "/_readiness"] {
            assert_eq!(running.get(host, path).await, (200, json!({ "ok": true })), "{host}{path}");
        }
    }
    let twice = running.ask("acme.localhost\r\nHost: globex.localhost", "GET", "/api/notes", &Value::Null);
    assert_eq!(twice.await.0, 400);
}

#[tokio::test]
async fn a_suspended_tenant_is_not_served_and_the_other_one_is() {
    let database = database_with_tenants().await;
    let running = Running::start(&database, Schema::Kept).await;
    let tenancy = tenancy(&running.ctx).await.unwrap();
    let acme = tenancy.tenant("acme").await.unwrap();
    tenancy.suspend(&acme, Default::default()).await.unwrap();
    assert_eq!(running.get("acme.localhost", "/api/notes").await.0, 503);
    assert_eq!(running.get("globex.localhost", "/api/notes").await, (200, json!([])));
}

#[tokio::test]
async fn a_reset_of_locos_leaves_the_tenants() {
    let database = database_with_tenants().await;
    let running = Running::start(&database, Schema::Kept).await;
    let new = json!({ "title": "Order anvils" });
    assert_eq!(running.ask("acme.localhost", "POST", "/api/notes", &new).await.0, 200);
    let plan = "CREATE TABLE plans (id int)";
    running.ctx.db.execute_unprepared(plan).await.unwrap();

    let running = Running::start(&database, Schema::Recreated).await;
    running.ctx.db.execute_unprepared(plan).await.expect("the table of before is gone");
    let kept = (200, json!([{ "id": 1, "title": "Order anvils" }]));
    assert_eq!(running.get("acme.localhost", "/api/notes").await, kept);
    let late = loco(HERE, &database, &["task", "tenant:create", "slug:initech"]);
    assert!(late.status.success());
    assert_eq!(running.get("initech.localhost", "/api/notes").await, (200, json!([])));
}

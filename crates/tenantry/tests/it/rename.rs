//! A tenant has another slug, and the one it had is its own for a while.

use std::time::Duration;

use http::{Request, StatusCode};
use tenantry::database::Period;
use tenantry::resolve::{CustomDomain, FirstOf, PathSegment, Resolve, Subdomain, TenantKey};
use tenantry::{ErrorKind, NewTenant, PoolConfig};
use tower::Layer as _;

use crate::doctor::close_public;
use crate::http::{Application, application, request, routes, send};
use crate::support::{Client, check_error, database, domain, eventually, slug, tenancy};

const NOTE: &str = "CREATE TABLE note (id int)";

#[tokio::test]
async fn whoever_is_connected_goes_on() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let db = tenancy.db(&acme).unwrap();
    let mut tx = db.begin().await.unwrap();
    sqlx::query("INSERT INTO note VALUES (1)").execute(&mut *tx).await.unwrap();
    check_error(tenancy.tenant("apex").await, ErrorKind::UnknownTenant, &[]);

    let apex = tenancy.rename(&acme, "APEX").await.unwrap();
    assert_eq!((apex.slug(), apex.id(), apex.schema()), (&slug("apex"), acme.id(), acme.schema()));
    tx.commit().await.unwrap();
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&db).await.unwrap();
    assert_eq!(count, 1);
    check_error(tenancy.tenant("acme").await, ErrorKind::UnknownTenant, &[]);
    assert_eq!(tenancy.tenant("apex").await.unwrap(), apex, "that nobody had it is forgotten");
    assert_eq!(tenancy.rename(&acme, "apex").await.unwrap(), apex, "once more changes nothing");

    // There and back, and there again.
    let back = tenancy.rename(&apex, "acme").await.unwrap();
    assert_eq!(back, acme);
    let former = tenancy.former_slugs(&acme).await.unwrap();
    assert_eq!(former.iter().map(|it| it.slug.as_str()).collect::<Vec<_>>(), ["apex"]);
    tenancy.rename(&acme, "apex").await.unwrap();
    tenancy.rename(&acme, "zenith").await.unwrap();
    let former = tenancy.former_slugs(&acme).await.unwrap();
    assert_eq!(former.iter().map(|it| it.slug.as_str()).collect::<Vec<_>>(), ["apex", "acme"]);
    let entry = &tenancy.audit(acme.id(), 1).await.unwrap()[0];
    assert_eq!(
        (entry.verb.as_str(), entry.slug.as_str(), &entry.options["to"]),
        ("rename", "apex", &"zenith".into())
    );
    close_public(&database).await;
    assert_eq!(tenancy.doctor().await, []);
}

#[tokio::test]
async fn requests_and_kept_handles_are_answered_while_a_tenant_is_renamed() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    let mut acme = tenancy.create(NewTenant::new("name-0")).await.unwrap();
    let (key, db) = (TenantKey::Id(acme.id()), tenancy.db(&acme).unwrap());
    let (mut asked, mut kept) = (0, 0);
    let visitors = async {
        loop {
            let found = tenancy.find(&key).await.unwrap();
            let by_request = "SELECT current_schema()::text";
            let schema: String =
                sqlx::query_scalar(by_request).fetch_one(&tenancy.db(&found).unwrap()).await.unwrap();
            assert_eq!(schema, found.schema().as_str());
            asked += 1;
        }
    };
    let handle = async {
        loop {
            sqlx::query("INSERT INTO note VALUES (1)").execute(&db).await.unwrap();
            kept += 1;
        }
    };
    let operator = async {
        for number in 1..=20 {
            acme = tenancy.rename(&acme, &format!("name-{number}")).await.unwrap();
        }
    };
    tokio::select! {
        () = operator => {}
        () = visitors => {}
        () = handle => {}
    }
    assert!(asked >= 10 && kept >= 10, "{asked} requests and {kept} statements met 20 renames");
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&db).await.unwrap();
    assert!(count >= kept, "{count} rows of {kept} inserts");
}

#[tokio::test]
async fn a_slug_that_was_left_is_nobody_elses_for_a_while() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let globex = tenancy.create(NewTenant::new("globex")).await.unwrap();
    for (wish, kind) in [
        ("www", ErrorKind::InvalidInput),
        ("no slug", ErrorKind::InvalidInput),
        ("globex", ErrorKind::AlreadyExists),
    ] {
        check_error(tenancy.rename(&acme, wish).await, kind, &[wish]);
    }
    let apex = tenancy.rename(&acme, "apex").await.unwrap();
    let taken = tenancy.create(NewTenant::new("acme")).await;
    check_error(taken, ErrorKind::AlreadyExists, &["tenant `acme` already exists"]);
    check_error(tenancy.rename(&globex, "acme").await, ErrorKind::AlreadyExists, &["acme"]);

    let mut client = Client::owner(&database).await;
    client.run("UPDATE tenantry.former_slug SET redirect_until = now()").await;
    assert_eq!(tenancy.former_slugs(&apex).await.unwrap(), []);
    tenancy.create(NewTenant::new("acme")).await.unwrap();
    assert_eq!(client.count("tenantry.former_slug").await, 0, "what is over is removed by the next one");

    tenancy.rename_for(&apex, "zenith", Period::days(0)).await.unwrap();
    tenancy.create(NewTenant::new("apex")).await.unwrap();
}

#[tokio::test]
async fn whoever_wants_the_slug_at_that_moment_does_not_get_it() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let insert = "INSERT INTO tenantry.tenant (id, slug, schema_name, status)
                  VALUES (gen_random_uuid(), 'acme', 'another', 'active')";
    let (mut renames, mut creates) = (Client::owner(&database).await, Client::owner(&database).await);
    let mut watch = Client::owner(&database).await;
    for ends in ["COMMIT", "ROLLBACK"] {
        renames
            .run(&format!(
                "BEGIN; UPDATE tenantry.tenant SET slug = 'apex' WHERE slug = 'acme';
                 INSERT INTO tenantry.former_slug VALUES ('acme', '{}', now() + '1 day')",
                acme.id()
            ))
            .await;
        let waits = async || watch.count("pg_locks WHERE NOT granted").await > 0;
        let (inserted, ()) = tokio::join!(creates.try_run(insert), async {
            eventually("it waits", waits).await;
            renames.run(ends).await;
        });
        let code = inserted.unwrap_err().into_database_error().unwrap().code().unwrap().into_owned();
        assert_eq!(code, "23505", "{ends}");
        renames.run("UPDATE tenantry.tenant SET slug = 'acme'; DELETE FROM tenantry.former_slug").await;
    }
}

async fn ask(application: &Application, request: Request<axum::body::Body>) -> (u16, Option<String>) {
    let layer = application.tenancy.layer().redirect_renamed();
    let answer = send(layer.layer(routes()), request).await;
    if answer.status == StatusCode::PERMANENT_REDIRECT {
        assert_eq!(answer.header("cache-control"), Some("no-store"), "it may be renamed back");
    }
    (answer.status.as_u16(), answer.header("location").map(str::to_owned))
}

async fn renamed(resolver: impl Resolve) -> Application {
    let application = application(resolver, PoolConfig::default()).await;
    let acme = application.tenancy.tenant("acme").await.unwrap();
    application.tenancy.add_domain(&acme, &domain("acme.org")).await.unwrap();
    application.tenancy.rename(&acme, "apex").await.unwrap();
    application
}

#[tokio::test]
async fn requests_for_a_slug_that_was_left_are_redirected_where_the_application_asks_for_it() {
    let subdomain = Subdomain::of("example.com").unwrap().trusting(["10.0.0.0/8"]).unwrap();
    let resolver = FirstOf::new(vec![Box::new(subdomain), Box::new(CustomDomain::new())]).unwrap();
    let application = renamed(resolver).await;
    for (host, path, expect) in [
        ("acme.example.com", "/slug", Some("//apex.example.com/slug")),
        ("ACME.example.com:8443", "/slug?a=b%20c&d", Some("//apex.example.com:8443/slug?a=b%20c&d")),
        ("acme.example.com", "/schema", Some("//apex.example.com/schema")),
        ("nobody.example.com", "/slug", None),
    ] {
        let status = if expect.is_some() { 308 } else { 404 };
        let answer = ask(&application, request(host, path)).await;
        assert_eq!(answer, (status, expect.map(str::to_owned)), "{host}{path}");
    }
    assert_eq!(ask(&application, request("apex.example.com", "/slug")).await.0, 200);
    assert_eq!(ask(&application, request("acme.org", "/slug")).await.0, 200, "a domain stays what it is");
    let absolute = request("acme.example.com", "http://acme.example.com/slug?x");
    assert_eq!(ask(&application, absolute).await.1.as_deref(), Some("//apex.example.com/slug?x"));
    let mut proxied = request("10.1.1.1:80", "/slug");
    proxied.headers_mut().insert("x-forwarded-host", "acme.example.com:444".parse().unwrap());
    proxied.extensions_mut().insert(tenantry::resolve::Peer([10, 0, 0, 7].into()));
    assert_eq!(ask(&application, proxied).await.1.as_deref(), Some("//apex.example.com:444/slug"));

    // Only where it is asked for.
    let answer =
        send(routes().layer(application.tenancy.layer()), request("acme.example.com", "/slug")).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    // A page that is for nobody in particular is served.
    assert_eq!(ask(&application, request("acme.example.com", "/anywhere")).await.0, 200);

    let loads = application.tenancy.status().cache.loads;
    for _ in 0..20 {
        assert_eq!(ask(&application, request("acme.example.com", "/slug")).await.0, 308);
    }
    assert!(
        application.tenancy.status().cache.loads <= loads + 2,
        "it is asked for every few seconds at most"
    );

    let apex = application.tenancy.tenant("apex").await.unwrap();
    application.tenancy.delete(&apex).await.unwrap();
    assert_eq!(ask(&application, request("acme.example.com", "/slug")).await.0, 404, "nobody is told of it");
    application.tenancy.undelete(&apex).await.unwrap();
    application.tenancy.rename(&apex, "acme").await.unwrap();
    assert_eq!(ask(&application, request("acme.example.com", "/slug")).await.0, 200);
    assert_eq!(
        ask(&application, request("apex.example.com", "/slug")).await.1.as_deref(),
        Some("//acme.example.com/slug")
    );
}

#[tokio::test]
async fn a_path_segment_is_exchanged() {
    let application = renamed(PathSegment::under("/t").unwrap()).await;
    for (path, expect) in [("/t/acme/slug?x=1", "/t/apex/slug?x=1"), ("/t/ACME/schema", "/t/apex/schema")] {
        assert_eq!(ask(&application, request("example.com", path)).await, (308, Some(expect.to_owned())));
    }
    assert_eq!(ask(&application, request("example.com", "/t/apex/slug")).await.0, 200);
}

#[tokio::test]
async fn another_process_hears_of_a_new_slug() {
    let database = database().await;
    let (one, other) = (tenancy(&database, &[NOTE]).await, tenancy(&database, &[NOTE]).await);
    let acme = one.create(NewTenant::new("acme")).await.unwrap();
    let db = other.db(&other.tenant("acme").await.unwrap()).unwrap();
    check_error(other.tenant("apex").await, ErrorKind::UnknownTenant, &[]);
    assert_eq!(other.formerly(&slug("acme")).await.unwrap(), None);
    one.rename(&acme, "apex").await.unwrap();
    eventually("it is found", async || other.tenant("apex").await.is_ok()).await;
    eventually("it is gone", async || other.tenant("acme").await.is_err()).await;
    eventually("it is known", async || other.formerly(&slug("acme")).await.unwrap().is_some()).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&db).await.unwrap();
    assert_eq!(count, 0);
}

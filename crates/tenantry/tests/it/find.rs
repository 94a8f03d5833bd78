//! Looking tenants up: what the cache answers, and what makes it forget.

use std::time::Duration;

use tenantry::registry::RegistryConfig;
use tenantry::tenant::Status;
use tenantry::{ErrorKind, NewTenant, PoolConfig, Tenancy};
use tenantry_embedded::ScratchDatabase;
use tokio::task::JoinSet;

use crate::support::{
    Client, builder, by_domain, by_slug, check_error, config, database, domain, eventually, tenancy,
};

fn loads(tenancy: &Tenancy) -> u64 {
    tenancy.status().cache.loads
}

async fn is_unknown(tenancy: &Tenancy, slug: &str) -> bool {
    match tenancy.tenant(slug).await {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::UnknownTenant, "{error:?}");
            true
        }
    }
}

/// A Tenancy that no announcement reaches, as behind a firewall that swallows the listener.
async fn deaf(database: &ScratchDatabase, cache: RegistryConfig) -> Tenancy {
    let nowhere = config(database)
        .owner_url(database.url())
        .unwrap()
        .direct_url("postgres://nobody:x@127.0.0.1:1/nowhere")
        .unwrap();
    builder(database).database(nowhere).registry(cache).connect().await.unwrap()
}

#[tokio::test]
async fn an_unknown_tenant_is_named_in_the_error() {
    let database = database().await;
    let tenancy = tenancy(&database, &[]).await;
    let error = check_error(tenancy.tenant("acme").await, ErrorKind::UnknownTenant, &["`acme`"]);
    assert_eq!(error.tenant().unwrap().as_str(), "acme");
    check_error(tenancy.find(&by_domain("acme.test")).await, ErrorKind::UnknownTenant, &["`acme.test`"]);
    check_error(tenancy.tenant("no slug").await, ErrorKind::InvalidInput, &["' ' at byte 2"]);
}

#[tokio::test]
async fn the_creating_process_finds_its_tenant_at_once() {
    let database = database().await;
    // Only what the process itself drops counts here.
    let tenancy = deaf(&database, RegistryConfig::default()).await;
    assert!(is_unknown(&tenancy, "acme").await);
    check_error(tenancy.find(&by_domain("acme.test")).await, ErrorKind::UnknownTenant, &[]);

    let acme = tenancy.create(NewTenant::new("acme").domain(domain("acme.test"))).await.unwrap();
    assert_eq!(tenancy.tenant("acme").await.unwrap(), acme);
    assert_eq!(tenancy.find(&by_domain("acme.test")).await.unwrap(), acme);

    check_error(tenancy.find(&by_domain("notes.test")).await, ErrorKind::UnknownTenant, &[]);
    tenancy.add_domain(&acme, &domain("notes.test")).await.unwrap();
    assert_eq!(tenancy.find(&by_domain("notes.test")).await.unwrap(), acme);
    assert!(tenancy.remove_domain(&acme, &domain("notes.test")).await.unwrap());
    check_error(tenancy.find(&by_domain("notes.test")).await, ErrorKind::UnknownTenant, &[]);
}

#[tokio::test]
async fn another_process_hears_of_a_new_tenant() {
    let database = database().await;
    let (here, there) = (tenancy(&database, &[]).await, tenancy(&database, &[]).await);
    // The answer "nobody" is known to the other process for five seconds, unless it is told.
    assert!(is_unknown(&there, "acme").await);
    let acme = here.create(NewTenant::new("acme")).await.unwrap();
    let found = async || there.tenant("acme").await.is_ok_and(|found| found == acme);
    tokio::time::timeout(Duration::from_secs(2), eventually("the other process finds it", found))
        .await
        .unwrap();
}

#[tokio::test]
async fn whatever_sql_does_to_a_row_reaches_the_cache() {
    let database = database().await;
    // Nothing expires while this runs.
    let patient = RegistryConfig {
        cache_ttl: Duration::from_mins(10),
        negative_ttl: Duration::from_mins(10),
        ..RegistryConfig::default()
    };
    let tenancy = builder(&database).registry(patient).connect().await.unwrap();
    tenancy.create(NewTenant::new("acme").domain(domain("acme.test"))).await.unwrap();
    let mut client = Client::owner(&database).await;
    let by_name = async |slug: &str| tenancy.find(&by_slug(slug)).await.ok();
    let by_host = async |name: &str| tenancy.find(&by_domain(name)).await.ok();
    // Known, or known to be missing.
    for slug in ["acme", "acme-2"] {
        by_name(slug).await;
    }
    for name in ["acme.test", "new.test"] {
        by_host(name).await;
    }

    client.run("UPDATE tenantry.tenant SET status = 'suspended'").await;
    eventually("the status, by slug", async || by_name("acme").await.unwrap().status() == Status::Suspended)
        .await;
    eventually("the status, by domain", async || {
        by_host("acme.test").await.unwrap().status() == Status::Suspended
    })
    .await;

    client.run("UPDATE tenantry.tenant SET settings = '{\"name\": \"Acme\"}'").await;
    eventually("the settings", async || by_name("acme").await.unwrap().name() == "Acme").await;

    client.run("UPDATE tenantry.tenant SET slug = 'acme-2'").await;
    eventually("the new slug", async || by_name("acme-2").await.is_some()).await;
    eventually("the old slug is free", async || by_name("acme").await.is_none()).await;
    eventually("the new slug, by domain", async || {
        by_host("acme.test").await.unwrap().slug().as_str() == "acme-2"
    })
    .await;

    client
        .run("INSERT INTO tenantry.domain (name, tenant_id) SELECT 'new.test', id FROM tenantry.tenant")
        .await;
    eventually("the new domain", async || by_host("new.test").await.is_some()).await;
    client.run("UPDATE tenantry.domain SET name = 'newer.test' WHERE name = 'new.test'").await;
    eventually("the renamed domain", async || by_host("newer.test").await.is_some()).await;
    eventually("its old name", async || by_host("new.test").await.is_none()).await;
    client.run("DELETE FROM tenantry.domain WHERE name = 'newer.test'").await;
    eventually("the removed domain", async || by_host("newer.test").await.is_none()).await;

    client.run("DELETE FROM tenantry.tenant").await;
    eventually("the deleted tenant", async || by_name("acme-2").await.is_none()).await;
    eventually("its domain", async || by_host("acme.test").await.is_none()).await;
}

#[tokio::test]
async fn a_hundred_misses_of_one_key_ask_the_database_once() {
    let database = database().await;
    let tenancy = tenancy(&database, &[]).await;
    tenancy.create(NewTenant::new("acme")).await.unwrap();
    for slug in ["acme", "nobody"] {
        let before = loads(&tenancy);
        let mut searches = JoinSet::new();
        for _ in 0..100 {
            let tenancy = tenancy.clone();
            searches.spawn(async move { tenancy.find(&by_slug(slug)).await.is_ok() });
        }
        assert_eq!(searches.join_all().await, [slug == "acme"; 100]);
        assert_eq!(loads(&tenancy) - before, 1, "{slug}");
    }
}

#[tokio::test]
async fn a_warm_cache_asks_nothing() {
    let database = database().await;
    let tenancy = deaf(&database, RegistryConfig::default()).await;
    tenancy.create(NewTenant::new("acme").domain(domain("acme.test"))).await.unwrap();
    let ask = async || {
        tenancy.tenant("acme").await.unwrap();
        tenancy.find(&by_domain("acme.test")).await.unwrap();
        assert!(is_unknown(&tenancy, "nobody").await);
    };
    ask().await;
    let warm = loads(&tenancy);
    for _ in 0..100 {
        ask().await;
    }
    assert_eq!(loads(&tenancy), warm);
}

#[tokio::test]
async fn without_announcements_an_answer_is_not_served_longer_than_its_time() {
    let database = database().await;
    let short = Duration::from_millis(300);
    let cache = RegistryConfig { cache_ttl: short, negative_ttl: short, ..RegistryConfig::default() };
    let tenancy = deaf(&database, cache).await;
    tenancy.create(NewTenant::new("acme")).await.unwrap();
    let mut client = Client::owner(&database).await;

    assert_eq!(tenancy.tenant("acme").await.unwrap().status(), Status::Active);
    assert!(is_unknown(&tenancy, "globex").await);
    client.run("UPDATE tenantry.tenant SET status = 'suspended'").await;
    client
        .run(
            "INSERT INTO tenantry.tenant (id, slug, schema_name, status) \
              VALUES (gen_random_uuid(), 'globex', 'g', 'active')",
        )
        .await;
    tokio::time::sleep(short).await;
    assert_eq!(tenancy.tenant("acme").await.unwrap().status(), Status::Suspended);
    assert!(!is_unknown(&tenancy, "globex").await);
}

#[tokio::test]
async fn an_answer_that_is_asked_for_all_the_time_expires_too() {
    let database = database().await;
    let cache = RegistryConfig { cache_ttl: Duration::from_millis(200), ..RegistryConfig::default() };
    let tenancy = deaf(&database, cache).await;
    tenancy.create(NewTenant::new("acme")).await.unwrap();
    tenancy.tenant("acme").await.unwrap();
    Client::owner(&database).await.run("UPDATE tenantry.tenant SET status = 'suspended'").await;
    // Being used must not keep it.
    eventually("the change is seen", async || {
        tenancy.tenant("acme").await.unwrap().status() == Status::Suspended
    })
    .await;
}

#[tokio::test]
async fn the_cache_holds_no_more_than_its_capacity() {
    let database = database().await;
    let cache = RegistryConfig {
        cache_capacity: 20,
        negative_ttl: Duration::from_mins(10),
        ..RegistryConfig::default()
    };
    let tenancy = deaf(&database, cache).await;
    let ask_all = async || {
        for number in 0..500 {
            assert!(is_unknown(&tenancy, &format!("nobody-{number}")).await);
        }
    };
    ask_all().await;
    eventually("no more than the capacity", async || {
        is_unknown(&tenancy, "nobody-0").await && tenancy.status().cache.entries <= 20
    })
    .await;
    let before = loads(&tenancy);
    ask_all().await;
    assert!(loads(&tenancy) - before >= 480, "more answers were kept than there is room for");
}

#[tokio::test]
async fn an_error_is_not_kept() {
    let database = database().await;
    let tenancy = deaf(&database, RegistryConfig::default()).await;
    tenancy.create(NewTenant::new("acme")).await.unwrap();
    let mut client = Client::owner(&database).await;
    client.run("ALTER TABLE tenantry.tenant RENAME TO elsewhere").await;
    tenancy.tenant("acme").await.unwrap_err();
    client.run("ALTER TABLE tenantry.elsewhere RENAME TO tenant").await;
    tenancy.tenant("acme").await.unwrap();
}

#[tokio::test]
async fn junk_in_an_announcement_only_costs_the_cache() {
    let database = database().await;
    let tenancy = tenancy(&database, &[]).await;
    tenancy.create(NewTenant::new("acme")).await.unwrap();
    let mut client = Client::owner(&database).await;
    for junk in ["", "tenant", "tenant x y", "domain ..", "fleet", "\u{1f980} 'quoted'", &"x".repeat(7000)] {
        let quoted = junk.replace('\'', "''");
        client.run(&format!("SELECT pg_notify('tenantry', '{quoted}')")).await;
        tenancy.tenant("acme").await.unwrap();
    }
    client.run("UPDATE tenantry.tenant SET status = 'suspended'").await;
    eventually("what is well formed is still heard", async || {
        tenancy.tenant("acme").await.unwrap().status() == Status::Suspended
    })
    .await;
}

#[tokio::test]
async fn a_row_edited_into_nonsense_is_named() {
    let database = database().await;
    let tenancy = tenancy(&database, &[]).await;
    let acme = tenancy.create(NewTenant::new("acme").domain(domain("acme.test"))).await.unwrap();
    let mut client = Client::owner(&database).await;
    let id = acme.id().to_string();
    for (column, nonsense) in [("slug", "Not a slug!"), ("schema_name", "pg_catalog"), ("database", "")] {
        let before: String = client.value(&format!("SELECT {column} FROM tenantry.tenant")).await;
        client.run(&format!("UPDATE tenantry.tenant SET {column} = '{nonsense}'")).await;
        let says = [id.as_str(), column, "tenantry.tenant"];
        eventually("the nonsense is found", async || tenancy.find(&by_domain("acme.test")).await.is_err())
            .await;
        check_error(tenancy.find(&by_domain("acme.test")).await, ErrorKind::Registry, &says);
        check_error(tenancy.tenants_after("", 10).await, ErrorKind::Registry, &says);
        client.run(&format!("UPDATE tenantry.tenant SET {column} = '{before}'")).await;
    }
    eventually("it is repaired", async || tenancy.tenant("acme").await.is_ok()).await;
}

#[tokio::test]
async fn dropping_a_search_disturbs_no_other() {
    let database = database().await;
    let one = PoolConfig { max_connections: 1, ..PoolConfig::default() };
    let tenancy = builder(&database).database(config(&database).pool(one)).connect().await.unwrap();
    tenancy.create(NewTenant::new("acme")).await.unwrap();
    // With its only connection lent out, every search waits, and the first one works for all.
    let held = tenancy.master().acquire().await.unwrap();
    let before = loads(&tenancy);
    let first = tokio::spawn({
        let tenancy = tenancy.clone();
        async move { tenancy.tenant("acme").await }
    });
    eventually("the first search has begun", async || loads(&tenancy) > before).await;
    let second = tokio::spawn({
        let tenancy = tenancy.clone();
        async move { tenancy.tenant("acme").await }
    });
    tokio::task::yield_now().await;
    first.abort();
    drop(held);
    second.await.unwrap().unwrap();
}

#[tokio::test]
async fn all_tenants_are_read_page_by_page() {
    let database = database().await;
    let tenancy = tenancy(&database, &[]).await;
    for slug in ["a-1", "a", "b", "a1", "z"] {
        tenancy.create(NewTenant::new(slug)).await.unwrap();
    }
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = tenancy.tenants_after(&after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.slug().to_string();
        seen.extend(page.iter().map(|tenant| tenant.slug().to_string()));
    }
    assert_eq!(seen, ["a", "a-1", "a1", "b", "z"]);
}

//! Tenants find their database: by a policy, by rules, by a function; and none comes to one that is closed or away.

use std::collections::BTreeMap;

use serde_json::json;
use tenantry::lifecycle::PlannedMove;
use tenantry::observe::Step;
use tenantry::placement::{DatabaseFigures, Newcomer, Policy};
use tenantry::tenant::{Alias, SchemaName, Status};
use tenantry::{Builder, Config, DatabaseConfig, Error, ErrorKind, MoveOptions, NewTenant, Tenancy};
use tenantry_embedded::ScratchDatabase;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use crate::clone::dump;
use crate::support::{Client, Folder, builder, check_error, config, database, tenant_files};

const NOTE: &str = "CREATE TABLE note (id int, title text)";

fn alias(text: &str) -> Alias {
    Alias::parse(text).unwrap()
}

/// Three databases: `default`, `a` and `b`.
struct Place {
    main: ScratchDatabase,
    a: ScratchDatabase,
    b: ScratchDatabase,
}

impl Place {
    async fn new() -> Self {
        Self { main: database().await, a: database().await, b: database().await }
    }

    fn builder(&self) -> Builder {
        builder(&self.main)
            .database_as(alias("a"), config(&self.a))
            .database_as(alias("b"), config(&self.b))
            .migrations(tenant_files(&[NOTE]))
    }
}

/// The databases that tenants come to, one after the other.
async fn placed(tenancy: &Tenancy, slugs: &[&str]) -> Vec<String> {
    let mut databases = Vec::new();
    for slug in slugs {
        let tenant = tenancy.create(NewTenant::new(*slug)).await.unwrap();
        databases.push(tenant.database().to_string());
    }
    databases
}

#[tokio::test]
async fn a_policy_says_where_tenants_are_made_and_a_named_database_wins() {
    let place = Place::new().await;
    let tenancy = place.builder().connect().await.unwrap();
    assert_eq!(placed(&tenancy, &["d1", "d2"]).await, ["default", "default"]);

    let tenancy = place.builder().placement(Policy::FewestTenants).connect().await.unwrap();
    assert_eq!(placed(&tenancy, &["f1", "f2", "f3", "f4", "f5"]).await, ["a", "b", "a", "b", "a"]);
    let named = NewTenant::new("named").database(alias("a"));
    assert_eq!(tenancy.create(named).await.unwrap().database(), &alias("a"));

    // Several processes take turns with each other.
    let open = async || place.builder().placement(Policy::RoundRobin).connect().await.unwrap();
    let (one, other) = (open().await, open().await);
    let mut turns = placed(&one, &["r1", "r2"]).await;
    turns.extend(placed(&other, &["r3", "r4", "r5"]).await);
    turns.extend(placed(&one, &["r6"]).await);
    turns[..3].sort_unstable();
    turns[3..].sort_unstable();
    assert_eq!(turns, ["a", "b", "default", "a", "b", "default"]);

    for full in [&place.main, &place.a] {
        let fill = "CREATE TABLE ballast AS SELECT repeat('x', 1000) AS it FROM generate_series(1, 20000)";
        Client::owner(full).await.run(fill).await;
    }
    let tenancy = place.builder().placement(Policy::Smallest).connect().await.unwrap();
    assert_eq!(placed(&tenancy, &["s1", "s2"]).await, ["b", "b"]);
    let states = tenancy.databases().await.unwrap();
    let tenants: BTreeMap<_, _> = states.iter().map(|it| (it.alias.as_str(), it.tenants)).collect();
    assert_eq!(tenants.values().sum::<u64>(), 16, "{tenants:?}");
    assert!(states.iter().all(|it| it.bytes > Some(1_000_000) && it.error.is_none() && !it.is_closed()));
}

#[tokio::test]
async fn rules_and_functions_narrow_the_choice() {
    let place = Place::new().await;
    let folder = Folder::new();
    let text = format!(
        "[databases.default]\nurl = '{}'\n[databases.a]\nurl = '{}'\n[databases.b]\nurl = '{}'\n\
         [placement]\npolicy = 'fewest-tenants'\n[placement.by.region]\neu = ['a', 'b']\n'*' = ['default']\n",
        place.main.url(),
        place.a.url(),
        place.b.url(),
    );
    std::fs::write(folder.path().join("tenantry.toml"), &text).unwrap();
    let read = Config::load(&folder.path().join("tenantry.toml")).unwrap();
    let by_rules = Tenancy::builder().config(&read).unwrap().migrations(tenant_files(&[NOTE])).install(true);
    let tenancy = by_rules.connect().await.unwrap();
    for (slug, region, expect) in [
        ("e1", json!("eu"), "a"),
        ("e2", json!("eu"), "b"),
        ("u1", json!("us"), "default"),
        ("n", json!(null), "default"),
    ] {
        let tenant = tenancy.create(NewTenant::new(slug).setting("region", region)).await.unwrap();
        assert_eq!(tenant.database().as_str(), expect, "{slug}");
    }

    let by_seats = |newcomer: &Newcomer<'_>, candidates: &[DatabaseFigures]| {
        let is_large = newcomer.setting("seats").and_then(serde_json::Value::as_u64) > Some(100);
        let wanted = if is_large { "b" } else { "a" };
        candidates.iter().find(|it| it.alias.as_str() == wanted).map(|it| it.alias.clone())
    };
    let tenancy = place.builder().placement(by_seats).connect().await.unwrap();
    let large = tenancy.create(NewTenant::new("large").setting("seats", 500)).await.unwrap();
    assert_eq!(large.database(), &alias("b"));
    tenancy.close_database(&alias("a")).await.unwrap();
    let refused = tenancy.create(NewTenant::new("small")).await;
    check_error(refused, ErrorKind::Configuration, &["placement chose no database, out of default, b"]);

    std::fs::write(folder.path().join("tenantry.toml"), text.replace("['a', 'b']", "['c']")).unwrap();
    let read = Config::load(&folder.path().join("tenantry.toml")).unwrap();
    let refused = Tenancy::builder().config(&read).unwrap().connect().await;
    check_error(refused, ErrorKind::Configuration, &["`placement.by.region.eu`: no database is named `c`"]);
}

#[tokio::test]
async fn nobody_comes_to_a_closed_database_and_who_is_there_stays() {
    let place = Place::new().await;
    let open = async || place.builder().placement(Policy::FewestTenants).connect().await.unwrap();
    let (one, other) = (open().await, open().await);
    assert_eq!(placed(&one, &["t1", "t2", "t3"]).await, ["a", "b", "default"]);
    assert!(one.close_database(&alias("a")).await.unwrap());
    assert!(!other.close_database(&alias("a")).await.unwrap(), "it was closed already");
    assert_eq!(placed(&other, &["t4", "t5", "t6"]).await, ["b", "default", "b"]);

    let closed = |what| [what, "closed to new tenants", "`tenantry database open a`"];
    let refused = other.create(NewTenant::new("t7").database(alias("a"))).await;
    check_error(refused, ErrorKind::DatabaseClosed, &closed("database `a`"));
    Client::owner(&place.a).await.run("CREATE SCHEMA old_shop").await;
    let existing =
        NewTenant::new("old").database(alias("a")).existing_schema(SchemaName::parse("old_shop").unwrap());
    check_error(other.create(existing).await, ErrorKind::DatabaseClosed, &closed("database `a`"));
    assert!(other.tenant("t7").await.is_err() && other.tenant("old").await.is_err());

    let t1 = other.tenant("t1").await.unwrap();
    let notes: i64 =
        sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&other.db(&t1).unwrap()).await.unwrap();
    assert_eq!(notes, 0);
    assert!(one.open_database(&alias("a")).await.unwrap());
    assert_eq!(placed(&other, &["t8"]).await, ["a"]);
    check_error(
        one.close_database(&alias("c")).await,
        ErrorKind::Configuration,
        &["no database is named `c`"],
    );

    let by_file = place.builder().database_as(alias("a"), config(&place.a).closed(true));
    let tenancy = by_file.placement(Policy::FewestTenants).connect().await.unwrap();
    assert_eq!(placed(&tenancy, &["t9", "t10"]).await, ["default", "b"]);
    let refused = tenancy.create(NewTenant::new("t11").database(alias("a"))).await;
    check_error(refused, ErrorKind::DatabaseClosed, &["by the configuration", "take `closed` out"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_moves_to_a_closed_database_and_whoever_left_one_comes_back_once_it_is_open() {
    let place = Place::new().await;
    let open = async |closed| {
        let builder = place.builder().database_as(alias("b"), config(&place.b).closed(closed));
        builder.connect().await.unwrap()
    };
    let (tenancy, by_file) = (open(false).await, open(true).await);
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    tenancy.close_database(&alias("a")).await.unwrap();
    for (tenancy, to, hint) in [
        (&tenancy, "a", "`tenantry database open a`"),
        (&by_file, "a", "`tenantry database open a`"),
        (&by_file, "b", "take `closed` out of `[databases.b]`"),
    ] {
        let told = ["closed to new tenants", &format!("`{to}`"), hint];
        let plan = tenancy.examine_move(&acme, &alias(to)).await.unwrap();
        let said = format!("{:?}", plan.refused);
        assert!(told.iter().all(|part| said.contains(part)), "{said}");
        for order in [MoveOptions::to(alias(to)), MoveOptions::to(alias(to)).online()] {
            let dump = async |arguments: &[String]| Ok::<_, Error>(dump(&place.main, arguments));
            check_error(tenancy.move_tenant(&acme, order, dump).await, ErrorKind::DatabaseClosed, &told);
        }
    }
    assert_eq!(Client::owner(&place.main).await.count("tenantry.move").await, 0);
    tenancy.open_database(&alias("a")).await.unwrap();

    // It is closed after the first look, and before anything is entered: `pg_dump` is called in between.
    let dump_and_close = async |arguments: &[String]| {
        tenancy.close_database(&alias("a")).await.unwrap();
        Ok::<_, Error>(dump(&place.main, arguments))
    };
    let late = tenancy.move_tenant(&acme, MoveOptions::to(alias("a")), dump_and_close).await;
    check_error(late, ErrorKind::DatabaseClosed, &["`a` is closed to new tenants"]);
    assert_eq!(Client::owner(&place.main).await.count("tenantry.move").await, 0);
    tenancy.open_database(&alias("a")).await.unwrap();

    // Whoever is under way arrives, and leaves again although it is closed.
    let close = |step: Step<'_>| {
        if step.what == "making tables" {
            let (tenancy, a) = (&tenancy, alias("a"));
            block_in_place(|| Handle::current().block_on(tenancy.close_database(&a))).unwrap();
        }
    };
    let dump = async |arguments: &[String]| Ok::<_, Error>(dump(&place.main, arguments));
    let moved = tenancy.move_tenant_observed(&acme, MoveOptions::to(alias("a")), close, dump).await.unwrap();
    assert_eq!(moved.tenant.database(), &alias("a"));
    let back = MoveOptions::to(Alias::default());
    let dump = async |arguments: &[String]| Ok::<_, Error>(crate::clone::dump(&place.a, arguments));
    let back = tenancy.move_tenant(&moved.tenant, back, dump).await.unwrap();
    assert_eq!(back.tenant.database(), &Alias::default());
}

#[tokio::test]
async fn a_tenant_that_was_begun_somewhere_is_finished_there() {
    let place = Place::new().await;
    let folder = Folder::of(&["SELECT broken"]);
    let to_a =
        |_: &Newcomer<'_>, candidates: &[DatabaseFigures]| candidates.get(1).map(|it| it.alias.clone());
    let open =
        async || place.builder().migrations(folder.migrations()).placement(to_a).connect().await.unwrap();
    let tenancy = open().await;
    check_error(tenancy.create(NewTenant::new("acme")).await, ErrorKind::Migration, &["0001_step.sql"]);
    assert_eq!(tenancy.tenant("acme").await.unwrap().database(), &alias("a"));
    tenancy.close_database(&alias("a")).await.unwrap();
    folder.write("tenant/0001_step.sql", NOTE);
    let acme = open().await.create(NewTenant::new("acme")).await.unwrap();
    assert_eq!((acme.status(), acme.database()), (Status::Active, &alias("a")));
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_passed_over_unless_it_is_named() {
    let place = Place::new().await;
    let nobody = DatabaseConfig::from_url("postgres://app:hunter2@127.0.0.1:1/eu").unwrap();
    let builder = || place.builder().database_as(alias("a"), nobody.clone());
    let tenancy = builder().placement(Policy::FewestTenants).connect().await.unwrap();
    assert_eq!(placed(&tenancy, &["t1", "t2", "t3"]).await, ["b", "default", "b"]);
    let away = tenancy.unreachable();
    assert_eq!(away.keys().collect::<Vec<_>>(), [&alias("a")]);
    assert!(away[&alias("a")].to_string().contains("database `a` at app@127.0.0.1:1/eu"), "{away:?}");
    let refused = tenancy.create(NewTenant::new("t4").database(alias("a"))).await;
    check_error(refused, ErrorKind::DatabaseUnavailable, &["`a`"]);
    assert!(tenancy.tenant("t4").await.is_err(), "nothing was begun");

    tenancy.close_database(&alias("b")).await.unwrap();
    tenancy.close_database(&Alias::default()).await.unwrap();
    let refused = tenancy.create(NewTenant::new("t5")).await;
    check_error(refused, ErrorKind::DatabaseUnavailable, &["`a` does not answer", "`b` is closed"]);
}

#[tokio::test]
async fn who_was_refused_does_not_count() {
    let place = Place::new().await;
    let tenancy = place.builder().placement(Policy::FewestTenants).connect().await.unwrap();
    let with_domain = |slug: &str| NewTenant::new(slug).domain("t.test".parse().unwrap());
    assert_eq!(tenancy.create(with_domain("t1")).await.unwrap().database(), &alias("a"));
    assert_eq!(placed(&tenancy, &["t2"]).await, ["b"]);
    for _ in 0..3 {
        check_error(tenancy.create(with_domain("taken")).await, ErrorKind::AlreadyExists, &["t.test"]);
    }
    assert_eq!(placed(&tenancy, &["t3"]).await, ["default"]);
}

#[tokio::test]
async fn every_database_has_its_spares_and_a_closed_one_none() {
    let place = Place::new().await;
    let tenancy = place.builder().placement(Policy::FewestTenants).connect().await.unwrap();
    assert_eq!(tenancy.fill_spares(2).await.unwrap().made, 6);
    let at = async |tenancy: &Tenancy| {
        let mut counts = BTreeMap::new();
        for spare in tenancy.spares().await.unwrap() {
            assert!(spare.is_current);
            *counts.entry(spare.database.to_string()).or_insert(0) += 1;
        }
        counts
            .into_iter()
            .map(|(database, count)| format!("{database} {count}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    assert_eq!(at(&tenancy).await, "a 2, b 2, default 2");
    assert_eq!(placed(&tenancy, &["t1", "t2", "t3"]).await, ["a", "b", "default"]);
    assert_eq!(at(&tenancy).await, "a 1, b 1, default 1");
    for slug in ["t1", "t2"] {
        let tenant = tenancy.tenant(slug).await.unwrap();
        assert_eq!(tenant.digest(), Some(&tenancy.migrations().tenant().digest()));
        sqlx::query("INSERT INTO note VALUES (1)").execute(&tenancy.db(&tenant).unwrap()).await.unwrap();
    }
    tenancy.close_database(&alias("b")).await.unwrap();
    let filled = tenancy.fill_spares(2).await.unwrap();
    assert_eq!((filled.made, filled.removed), (2, 1));
    assert_eq!(at(&tenancy).await, "a 2, default 2");

    // Where all tenants are made in one database, the others need none.
    let tenancy = place.builder().connect().await.unwrap();
    assert_eq!(tenancy.fill_spares(3).await.unwrap().made, 1);
    let findings = tenancy.doctor().await;
    assert!(findings.iter().all(|it| !it.what.contains("tenantry_spare")), "{findings:?}");
}

#[tokio::test]
async fn who_leaves_a_database_is_spread_over_the_others() {
    let place = Place::new().await;
    let tenancy = place.builder().placement(Policy::FewestTenants).connect().await.unwrap();
    for number in 1..=4 {
        tenancy.create(NewTenant::new(format!("t{number}")).database(alias("a"))).await.unwrap();
    }
    tenancy.create(NewTenant::new("there").database(alias("b"))).await.unwrap();
    let gone = tenancy.create(NewTenant::new("gone").database(alias("a"))).await.unwrap();
    tenancy.delete(&gone).await.unwrap();
    let planned = async |tenancy: &Tenancy, to: &[Alias]| {
        let plan = tenancy.plan_drain(&alias("a"), to).await.unwrap();
        assert_eq!(plan.staying, BTreeMap::from([(Status::Deleted, 1)]));
        let told = plan.moves.iter().map(|PlannedMove { tenant, to, .. }| match to {
            Ok(to) => format!("{} {to}", tenant.slug()),
            Err(error) => format!("{} {:?}", tenant.slug(), error.kind()),
        });
        told.collect::<Vec<_>>().join(", ")
    };
    assert_eq!(planned(&tenancy, &[]).await, "t1 default, t2 b, t3 default, t4 b");
    assert_eq!(planned(&tenancy, &[alias("b")]).await, "t1 b, t2 b, t3 b, t4 b");
    // Whoever was on the way goes on to where it led.
    let begun = "INSERT INTO tenantry.move (tenant_id, slug, schema_name, source, target, kept_schema, keep_seconds,
                     operator, method, step)
                 SELECT id, slug, schema_name, database, 'b', 'tenantry_moved_0', 0, 'somebody', 'offline', 'planned'
                 FROM tenantry.tenant WHERE slug = 't1'";
    Client::owner(&place.main).await.run(begun).await;
    assert_eq!(planned(&tenancy, &[Alias::default()]).await, "t1 b, t2 default, t3 default, t4 default");
    tenancy.abort_move(&tenancy.tenant("t1").await.unwrap()).await.unwrap();
    tenancy.close_database(&alias("b")).await.unwrap();
    assert_eq!(planned(&tenancy, &[]).await, "t1 default, t2 default, t3 default, t4 default");
    let nowhere = "t1 DatabaseClosed, t2 DatabaseClosed, t3 DatabaseClosed, t4 DatabaseClosed";
    assert_eq!(planned(&tenancy, &[alias("b")]).await, nowhere);
    // Whoever makes all tenants in one database still has them spread when another one is left.
    let tenancy = place.builder().connect().await.unwrap();
    assert_eq!(planned(&tenancy, &[]).await, "t1 default, t2 default, t3 default, t4 default");
    let refused = tenancy.plan_drain(&alias("a"), &[alias("a")]).await;
    check_error(refused, ErrorKind::InvalidInput, &["the one that is to be left"]);
}

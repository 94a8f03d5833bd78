//! The registry is there, complete, and the one this library knows.

use tenantry::{DatabaseConfig, ErrorKind, NewTenant, Tenancy};
use tokio::task::JoinSet;

use crate::support::{Client, builder, check_error, config, database, domain, tenancy};

#[tokio::test(flavor = "multi_thread")]
async fn ten_servers_may_start_at_once_on_an_empty_database() {
    let database = database().await;
    let mut servers = JoinSet::new();
    for _ in 0..10 {
        servers.spawn(builder(&database).connect());
    }
    for (number, server) in servers.join_all().await.into_iter().enumerate() {
        let tenancy = server.unwrap();
        tenancy.create(NewTenant::new(format!("tenant-{number}"))).await.unwrap();
    }
    let mut client = Client::owner(&database).await;
    let steps: Vec<(i32,)> = client.rows("SELECT step FROM tenantry.installed ORDER BY step").await;
    assert_eq!(steps, (1..=23).map(|step| (step,)).collect::<Vec<_>>(), "each step ran once");
    assert_eq!(client.count("tenantry.tenant").await, 10);
}

#[tokio::test]
async fn installing_again_changes_nothing() {
    let database = database().await;
    let first = tenancy(&database, &[]).await;
    let acme = first.create(NewTenant::new("acme")).await.unwrap();
    let mut client = Client::owner(&database).await;
    let before: String =
        client.value("SELECT string_agg(installed::text, ';') FROM tenantry.installed").await;

    let second = tenancy(&database, &[]).await;
    assert_eq!(second.tenant("acme").await.unwrap(), acme);
    let after: String = client.value("SELECT string_agg(installed::text, ';') FROM tenantry.installed").await;
    assert_eq!(before, after);
}

#[tokio::test]
async fn a_database_without_registry_is_refused() {
    let database = database().await;
    let connected = Tenancy::builder().database(config(&database)).connect().await;
    check_error(connected, ErrorKind::Registry, &["is not installed", "tenantry init", ".install(true)"]);

    let mut client = Client::owner(&database).await;
    let exists: bool = client.value("SELECT to_regnamespace('tenantry') IS NOT NULL").await;
    assert!(!exists, "connecting installed something that nobody asked for");
}

#[tokio::test]
async fn a_registry_that_lacks_a_step_is_refused_until_it_is_installed() {
    let database = database().await;
    let mut client = Client::owner(&database).await;
    drop(tenancy(&database, &[]).await);
    client
        .run(
            "DROP TABLE tenantry.tenant, tenantry.domain CASCADE; DROP FUNCTION tenantry.announce_tenant, \
              tenantry.announce_domain; DELETE FROM tenantry.installed WHERE step IN (2, 9, 15, 23)",
        )
        .await;
    let connected = Tenancy::builder().database(config(&database)).connect().await;
    check_error(connected, ErrorKind::Registry, &["is older than this version", "tenantry init"]);

    let upgraded = tenancy(&database, &[]).await;
    upgraded.create(NewTenant::new("acme")).await.unwrap();
}

#[tokio::test]
async fn a_registry_of_a_newer_version_is_refused_and_left_alone() {
    let database = database().await;
    let mut client = Client::owner(&database).await;
    drop(tenancy(&database, &[]).await);
    client.run("INSERT INTO tenantry.installed (step) VALUES (999)").await;
    for installs in [false, true] {
        let connected = builder(&database).install(installs).connect().await;
        check_error(connected, ErrorKind::Registry, &["upgraded by a newer version", "use that version"]);
    }
}

#[tokio::test]
async fn an_installation_without_the_privilege_says_which() {
    let database = database().await;
    let mut superuser = Client::superuser(&database).await;
    let guest = format!("{}_guest", database.name());
    superuser.run(&format!("CREATE ROLE {guest} LOGIN PASSWORD 'guest'")).await;
    let url = crate::roles::url_as(&database, &guest, "guest");
    let connected =
        Tenancy::builder().database(DatabaseConfig::from_url(&url).unwrap()).install(true).connect().await;
    check_error(connected, ErrorKind::Registry, &["could not be installed", "needs CREATE on the database"]);
}

type LookupRow = (Option<String>, String, String, String, String);

#[tokio::test]
async fn the_lookup_view_has_the_documented_columns() {
    let database = database().await;
    let tenancy = tenancy(&database, &[]).await;
    let two = NewTenant::new("acme").domain(domain("acme.test")).domain(domain("notes.acme.test"));
    let acme = tenancy.create(two).await.unwrap();
    let globex = tenancy.create(NewTenant::new("globex")).await.unwrap();

    let mut client = Client::owner(&database).await;
    let columns: Vec<(String, String)> = client
        .rows(
            "SELECT column_name::text, data_type::text FROM information_schema.columns \
               WHERE table_schema = 'tenantry' AND table_name = 'tenant_lookup' ORDER BY ordinal_position",
        )
        .await;
    let expect = ["host", "slug", "schema", "database", "status", "type", "node"];
    assert_eq!(columns, expect.map(|name| (name.to_owned(), "text".to_owned())));

    let rows: Vec<LookupRow> = client
        .rows("SELECT host, slug, schema, database, status FROM tenantry.tenant_lookup ORDER BY 2, 1")
        .await;
    let row = |host: Option<&str>, slug: &str, schema: &str| {
        let text = str::to_owned;
        (host.map(text), text(slug), text(schema), text("default"), text("active"))
    };
    let (of_acme, of_globex) = (acme.schema().as_str(), globex.schema().as_str());
    assert_eq!(
        rows,
        [
            row(Some("acme.test"), "acme", of_acme),
            row(Some("notes.acme.test"), "acme", of_acme),
            row(None, "globex", of_globex),
        ]
    );
}

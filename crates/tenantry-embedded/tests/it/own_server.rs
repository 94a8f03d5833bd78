use std::time::Instant;

use sqlx::{Connection, PgConnection};
use tenantry_embedded::{ErrorKind, ScratchServer};

use crate::bench::{ask, connect, run};

#[tokio::test]
async fn what_was_committed_survives_a_kill() {
    let mut server = ScratchServer::start().await.unwrap();
    let database = server.database("shop").await.unwrap();
    let port = server.port();
    run(database.url(), "CREATE TABLE shelf (id int)").await;
    for round in 1..=3_i64 {
        run(database.url(), "INSERT INTO shelf VALUES (1)").await;
        let mut connected = connect(database.url()).await;
        server.kill().await;
        assert!(connected.ping().await.is_err(), "the connection is broken");
        assert!(PgConnection::connect(database.url()).await.is_err(), "nobody listens");
        assert_eq!(server.database("shop").await.unwrap_err().kind(), ErrorKind::Database);

        server.start_again().await.unwrap();
        assert_eq!(server.port(), port);
        assert_eq!(ask::<i64>(database.url(), "SELECT count(*) FROM shelf").await, round);
    }
}

#[tokio::test]
async fn a_dropped_server_is_gone() {
    let start = Instant::now();
    let server = ScratchServer::start().await.unwrap();
    eprintln!("server of one's own: {} ms", start.elapsed().as_millis());
    let data: String = ask(server.url(), "SHOW data_directory").await;
    let port = server.port();
    assert!(std::path::Path::new(&data).exists());
    drop(server);
    assert!(!std::path::Path::new(&data).exists());
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[tokio::test]
async fn a_server_that_was_killed_and_dropped_is_gone() {
    let mut server = ScratchServer::start().await.unwrap();
    let data: String = ask(server.url(), "SHOW data_directory").await;
    server.kill().await;
    drop(server);
    assert!(!std::path::Path::new(&data).exists());
}

#[tokio::test]
async fn a_standby_follows_its_server_and_goes_with_its_owner() {
    let server = ScratchServer::start().await.unwrap();
    let database = server.database("shop").await.unwrap();
    let standby = server.standby().await.unwrap();
    run(database.url(), "CREATE TABLE shelf (id int)").await;
    let here = standby.url_of(&database);
    let is_there = "SELECT to_regclass('shelf') IS NOT NULL AND pg_is_in_recovery()";
    let begun = Instant::now();
    while !ask::<bool>(&here, is_there).await {
        assert!(begun.elapsed().as_secs() < 10, "it does not follow");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let data: String = ask(standby.url(), "SHOW data_directory").await;
    drop(standby);
    assert!(!std::path::Path::new(&data).exists());
    assert_eq!(ask::<i64>(database.url(), "SELECT count(*) FROM shelf").await, 0);
}

#[tokio::test]
async fn servers_of_ones_own_are_apart() {
    let (one, other) = tokio::try_join!(ScratchServer::start(), ScratchServer::start()).unwrap();
    assert_ne!(one.port(), other.port());
    one.database("shop").await.unwrap();
    let names = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'shop')";
    assert!(!ask::<bool>(other.url(), names).await);
}

#[tokio::test]
async fn a_name_the_server_keeps_for_itself_is_refused() {
    let server = ScratchServer::start().await.unwrap();
    for name in ["postgres", "", "pg_shop"] {
        let error = server.database(name).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidName);
        assert!(error.to_string().contains(&format!("`{name}`")), "{error}");
    }
    let odd = server.database("it's \"odd\"/ä").await.unwrap();
    assert_eq!(ask::<String>(odd.url(), "SELECT current_database()::text").await, odd.name());
    assert_eq!(ask::<String>(odd.url(), "SHOW is_superuser").await, "off");
}

#[tokio::test]
async fn public_is_the_owners_and_closed_to_others_on_every_version() {
    let server = ScratchServer::start().await.unwrap();
    let database = server.database("shop").await.unwrap();
    run(database.url(), "CREATE TABLE public.shelf (id int)").await;
    let superuser = format!("{}/shop", server.url().rsplit_once('/').unwrap().0);
    run(&superuser, "CREATE ROLE somebody").await;
    let may_create = "SELECT has_schema_privilege('somebody', 'public', 'CREATE')";
    assert!(!ask::<bool>(&superuser, may_create).await);
    assert!(ask::<bool>(&superuser, "SELECT has_schema_privilege('somebody', 'public', 'USAGE')").await);
}

use std::{
    collections::BTreeSet,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use tenantry_embedded::{CopiedDatabase, Error, ScratchDatabase, ScratchServer};

use crate::{
    bench::{ask, connect, run},
    helper::Helper,
};

/// The error of a maker, or of the server.
#[derive(Debug)]
enum Failure {
    Made(&'static str),
    Server(#[expect(dead_code, reason = "a failed assertion shows it")] Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Server(error)
    }
}

fn name(url: &str) -> String {
    url.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned()
}

async fn is_there(superuser_url: &str, name: &str) -> bool {
    let query = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)");
    query.bind(name).fetch_one(&mut connect(superuser_url).await).await.unwrap()
}

#[tokio::test]
async fn a_template_is_made_once_and_each_gets_a_copy() {
    let made = AtomicUsize::new(0);
    let create = async || {
        let create = CopiedDatabase::create::<Error>("made once", async |url| {
            made.fetch_add(1, Ordering::Relaxed);
            run(url, "CREATE TABLE item (id int)").await;
            Ok("it\'s a \\ note\nof two lines".to_owned())
        });
        create.await.unwrap()
    };
    let (one, other) = tokio::join!(create(), create());
    assert_eq!(made.into_inner(), 1);
    assert_eq!((one.note(), other.note()), ("it\'s a \\ note\nof two lines", one.note()));
    run(one.url(), "INSERT INTO item VALUES (1)").await;
    let items = "SELECT count(*) FROM item";
    assert_eq!((ask::<i64>(one.url(), items).await, ask::<i64>(other.url(), items).await), (1, 0));
    let plain =
        "SELECT NOT (rolsuper OR rolcreatedb OR rolcreaterole) FROM pg_roles WHERE rolname = current_user";
    assert!(ask::<bool>(one.url(), plain).await);
    let scratch = ScratchDatabase::create().await.unwrap();
    let name = one.name().to_owned();
    one.remove().await;
    assert!(!is_there(scratch.superuser_url(), &name).await);
}

#[tokio::test]
async fn what_was_made_ahead_is_nobody_elses_and_as_new_as_any() {
    let made = AtomicUsize::new(0);
    let mut names = Vec::new();
    for _ in 0..4 {
        let create = async || {
            let create = CopiedDatabase::create::<Error>("asked for often", async |url| {
                made.fetch_add(1, Ordering::Relaxed);
                run(url, "CREATE TABLE item (id int)").await;
                Ok(String::new())
            });
            create.await.unwrap()
        };
        for copy in <[_; 3]>::from(tokio::join!(create(), create(), create())) {
            assert_eq!(ask::<i64>(copy.url(), "SELECT count(*) FROM item").await, 0);
            run(copy.url(), "INSERT INTO item VALUES (1)").await;
            names.push(copy.name().to_owned());
            copy.remove().await;
        }
    }
    let distinct: BTreeSet<_> = names.iter().collect();
    assert_eq!((distinct.len(), made.into_inner()), (12, 1));
}

#[tokio::test]
async fn a_template_that_cannot_be_made_is_made_by_the_next() {
    let failed = CopiedDatabase::create("fails", async |_| Err(Failure::Made("no"))).await;
    assert!(matches!(failed, Err(Failure::Made("no"))), "{failed:?}");
    let made = CopiedDatabase::create("fails", async |_| Ok::<_, Failure>("yes".to_owned())).await.unwrap();
    assert_eq!(made.note(), "yes");
}

#[tokio::test]
async fn a_template_whose_maker_is_killed_is_made_again() {
    // Keeps the server of both processes.
    let scratch = ScratchDatabase::create().await.unwrap();
    let mut maker = Helper::start("draft", Path::new("killed"));
    let draft = name(&maker.says());
    maker.kill_9();
    assert!(is_there(scratch.superuser_url(), &draft).await);
    let made = CopiedDatabase::create::<Error>("killed", async |url| {
        assert_eq!(name(url), draft);
        let is_empty = "SELECT to_regclass(\'half\') IS NULL";
        assert!(ask::<bool>(url, is_empty).await);
        Ok("whole".to_owned())
    });
    assert_eq!(made.await.unwrap().note(), "whole");
    assert!(!is_there(scratch.superuser_url(), &draft).await);
}

#[tokio::test]
async fn the_copies_of_a_process_that_was_killed_go_with_the_next() {
    let scratch = ScratchDatabase::create().await.unwrap();
    let mut killed = Helper::start("copy", Path::new(""));
    let left = name(&killed.says());
    let mut lives = Helper::start("copy", Path::new(""));
    let used = name(&lives.says());
    assert!(is_there(scratch.superuser_url(), &left).await, "its process lives");
    killed.kill_9();
    let mut next = Helper::start("copy", Path::new(""));
    next.says();
    while is_there(scratch.superuser_url(), &left).await {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(is_there(scratch.superuser_url(), &used).await, "its process lives");
}

#[tokio::test]
async fn the_server_may_be_the_users() {
    let server = ScratchServer::start().await.unwrap();
    let mut helper = Helper::start("copy", Path::new(server.url()));
    let url = helper.says();
    assert!(url.contains(&format!(":{}/", server.port())), "{url}");
    let plain =
        "SELECT NOT (rolsuper OR rolcreatedb OR rolcreaterole) FROM pg_roles WHERE rolname = current_user";
    assert!(ask::<bool>(&url, plain).await, "a superuser passes every check of privileges");

    let database = server.database("app").await.unwrap();
    let mut helper = Helper::start("copy", Path::new(database.url()));
    let refusal = helper.says();
    assert!(refusal.contains("ALTER ROLE app CREATEDB"), "{refusal}");

    run(server.url(), "ALTER ROLE app CREATEDB").await;
    let mut helper = Helper::start("copy", Path::new(database.url()));
    let url = helper.says();
    assert_eq!(ask::<String>(&url, "SELECT current_user::text").await, "app");
}

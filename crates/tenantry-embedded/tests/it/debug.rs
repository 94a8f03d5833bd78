use std::fmt::Debug;

use tenantry_embedded::{KeptServer, ScratchDatabase, ScratchServer};

use crate::bench::Project;

#[track_caller]
fn check(value: &dyn Debug, urls: &[&str]) {
    let shown = format!("{value:?} {value:#?}");
    for url in urls {
        let password = url.split(['@', ':']).nth(2).unwrap();
        assert!(password.len() >= 32, "{url} has a password");
        assert!(!shown.contains(password), "{shown}");
    }
}

#[tokio::test]
async fn no_password_shows() {
    let database = ScratchDatabase::create().await.unwrap();
    check(&database, &[database.url(), database.superuser_url()]);

    let server = ScratchServer::start().await.unwrap();
    let own = server.database("shop").await.unwrap();
    check(&server, &[server.url(), own.url()]);
    check(&own, &[server.url(), own.url()]);

    let project = Project::new();
    let kept = KeptServer::start(project.path()).await.unwrap();
    let url = kept.database("shop").await.unwrap();
    check(&kept, &[&url, &kept.superuser_url()]);
}

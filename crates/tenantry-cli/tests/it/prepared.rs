use std::fs;
use std::path::Path;

use docs::root;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqlSafeStr as _};

use crate::bench::Project;

/// Asks what the macros ask, through the URL that `--with-master` prints, and compares with what is prepared.
async fn assert_prepared(package: &str) {
    let project = Project::new().await;
    let package = root().join(package);
    copy(&package.join("migrations"), &project.folder.path().join("migrations"));
    project.ok(&["init"]);
    project.ok(&["migrate"]);
    project.ok(&["create", "acme"]);
    let url = project.ok(&["dev", "url", "--tenant", "acme", "--with-master"]);
    let mut connection = PgConnection::connect(url.trim()).await.unwrap();
    sqlx::raw_sql("SET plan_cache_mode TO force_generic_plan").execute(&mut connection).await.unwrap();
    let mut queries = 0;
    for file in fs::read_dir(package.join(".sqlx")).unwrap() {
        let file: Value = serde_json::from_str(&fs::read_to_string(file.unwrap().path()).unwrap()).unwrap();
        let query = file["query"].as_str().unwrap().to_owned();
        let now = connection.describe(AssertSqlSafe(query).into_sql_str()).await;
        let now = now.unwrap_or_else(|error| panic!("{}: {error}", file["query"]));
        assert_eq!(
            serde_json::to_value(now).unwrap(),
            file["describe"],
            "prepare it again: {}",
            file["query"]
        );
        queries += 1;
    }
    assert!(queries > 0);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(path, to).unwrap();
        }
    }
}

#[tokio::test]
async fn the_queries_of_the_example_and_of_the_page_are_prepared_as_the_url_shows_them() {
    for package in ["examples/checked", "docs"] {
        assert_prepared(package).await;
    }
}

use std::process::Command;

use crate::bench::Project;

#[tokio::test]
async fn the_embedded_server_serves_until_it_is_stopped() {
    let project = Project::without_database();
    assert_eq!(project.ok(&["dev", "status"]), "not running\n");
    assert_eq!(project.json(&["dev", "stop"])["running"], false);

    let init = project.run(&["init"]);
    assert_eq!(init.code, 0, "{}", init.stderr);
    assert!(init.stderr.starts_with("starting PostgreSQL in "), "{}", init.stderr);
    let started = project.json(&["dev", "start"]);
    assert_eq!(started["running"], true);
    let pid = started["pid"].as_u64().unwrap().to_string();
    assert_eq!(project.json(&["dev", "status"])["pid"], started["pid"]);

    project.write("migrations/tenant/0001_note.sql", "CREATE TABLE note (id int);");
    project.ok(&["create", "acme"]);
    let url = project.ok(&["dev", "url", "--tenant", "acme"]);
    // Where `notes` keeps its tables too, so that this program sees the same tenants.
    assert!(url.contains("/tenantry?"), "{url}");
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(url.trim()).await.unwrap();
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&mut connection).await.unwrap();
    assert_eq!(count, 0);

    assert_eq!(project.ok(&["dev", "stop"]), "not running\n");
    assert!(!is_alive(&pid));

    // Whoever needs it next starts it again.
    let listed = project.run(&["list"]);
    assert!(listed.stdout.contains("acme"), "{}", listed.stderr);
    assert!(listed.stderr.starts_with("starting PostgreSQL in "), "{}", listed.stderr);
    project.ok(&["dev", "stop"]);
}

/// A process that has ended may stay in the list until its parent has asked for it.
fn is_alive(pid: &str) -> bool {
    let output = Command::new("ps").args(["-o", "stat=", "-p", pid]).output().unwrap();
    let state = String::from_utf8(output.stdout).unwrap();
    !state.trim().is_empty() && !state.starts_with('Z')
}

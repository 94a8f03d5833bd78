use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::bench::{Project, signal};

/// Sends a signal to a command once the server waits in this way, and answers with what it says.
async fn interrupted(project: &Project, name: &str, arguments: &[&str], waits: &str) -> Value {
    let mut client = PgConnection::connect(project.database.as_ref().unwrap().url()).await.unwrap();
    // The server may not have noticed that the command before is gone.
    let end = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event = $1";
    sqlx::query(end).bind(waits).execute(&mut client).await.unwrap();
    let mut command = project.interruptible(&[arguments, &["--format", "json"]].concat());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until_waiting(&mut client, waits).await;
    let sent = Instant::now();
    assert!(signal(name, &child));
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(sent.elapsed() < Duration::from_secs(3), "it ended by itself");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
    serde_json::from_str(&stderr).unwrap()
}

async fn until_waiting(client: &mut PgConnection, waits: &str) {
    let sql =
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = $1";
    let deadline = Instant::now() + Duration::from_secs(20);
    while !sqlx::query_scalar::<_, bool>(sql).bind(waits).fetch_one(&mut *client).await.unwrap() {
        assert!(Instant::now() < deadline, "nobody waits: {waits}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_tenant_that_is_given_up_is_not_there_and_can_be_made() {
    let project = Project::ready().await;
    let slow = "migrations/tenant/0002_slow.sql";
    for name in ["INT", "TERM"] {
        project.write(slow, "CREATE TABLE slow (); SELECT pg_sleep(60);");
        let told = interrupted(&project, name, &["create", "acme"], "PgSleep").await;
        assert_eq!((&told["error"], &told["kind"]), (&json!("it was interrupted"), &json!("interrupted")));
        assert_eq!(told["hint"], "repeat the command: it goes on where it stopped");
        assert_eq!(project.json(&["list"]), json!([]));
    }
    project.write(slow, "CREATE TABLE slow ();");
    let again = Instant::now();
    assert_eq!(project.json(&["create", "acme"])["status"], "active");
    if cfg!(target_os = "linux") {
        assert!(
            again.elapsed() < Duration::from_secs(30),
            "the server has not noticed that the other one is gone"
        );
    }
}

#[tokio::test]
async fn looking_for_trouble_ends_when_it_is_told_to() {
    let project = Project::with_tenants().await;
    let mut client = PgConnection::connect(project.database.as_ref().unwrap().url()).await.unwrap();
    let mut lock = client.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE tenantry.applied").execute(&mut *lock).await.unwrap();
    for name in ["INT", "TERM"] {
        let told = interrupted(&project, name, &["doctor"], "relation").await;
        assert_eq!((&told["error"], &told["kind"]), (&json!("it was interrupted"), &json!("interrupted")));
    }
}

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
    until(&mut client, waits, |waiting| waiting > 0).await;
    let sent = Instant::now();
    assert!(signal(name, &child));
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(sent.elapsed() < Duration::from_secs(3), "it ended by itself");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
    serde_json::from_str(&stderr).unwrap()
}

/// Waits until so many sessions wait in this way.
async fn until(client: &mut PgConnection, waits: &str, is_so: impl Fn(usize) -> bool) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = $1";
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let waiting: i64 = sqlx::query_scalar(sql).bind(waits).fetch_one(&mut *client).await.unwrap();
        if is_so(usize::try_from(waiting).unwrap()) {
            return;
        }
        assert!(Instant::now() < deadline, "{waiting} wait: {waits}");
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
        if cfg!(target_os = "linux") {
            let mut other = PgConnection::connect(project.database.as_ref().unwrap().url()).await.unwrap();
            until(&mut other, "relation", |waiting| waiting == 0).await;
        }
    }
}

/// Commands that look at the fleet while nobody can read what it has applied, and one that changes a ledger.
#[tokio::test]
async fn who_only_looks_ends_when_told_to_and_leaves_no_statement() {
    let project = Project::with_tenants().await;
    let mut client = PgConnection::connect(project.database.as_ref().unwrap().url()).await.unwrap();
    let mut other = PgConnection::connect(project.database.as_ref().unwrap().url()).await.unwrap();
    let mut lock = client.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE tenantry.applied").execute(&mut *lock).await.unwrap();
    let commands: [&[&str]; 6] = [
        &["status"],
        &["list"],
        &["show", "acme"],
        &["migrate", "--dry-run"],
        &["migrate", "--sql"],
        &["migrate", "--mark-applied", "1"],
    ];
    let children: Vec<_> = commands
        .iter()
        .map(|arguments| {
            let mut command = project.interruptible(&[*arguments, &["--format", "json"]].concat());
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    until(&mut other, "relation", |waiting| waiting == commands.len()).await;
    let sent = Instant::now();
    for (index, child) in children.iter().enumerate() {
        assert!(signal(["INT", "TERM"][index % 2], child));
    }
    for (arguments, child) in commands.iter().zip(children) {
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "", "{arguments:?}");
        let told: Value = serde_json::from_str(&stderr).unwrap();
        assert_eq!((&told["error"], &told["kind"]), (&json!("it was interrupted"), &json!("interrupted")));
        let goes_on = json!("repeat the command: it goes on where it stopped");
        assert_eq!(told["hint"] == goes_on, arguments.len() == 3 && arguments[0] == "migrate", "{told}");
    }
    assert!(sent.elapsed() < Duration::from_secs(3), "they ended by themselves");
    if cfg!(target_os = "linux") {
        until(&mut other, "relation", |waiting| waiting == 0).await;
    }
}

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::bench::Project;

#[tokio::test]
async fn tenants_are_suspended_and_resumed_by_slug_or_domain() {
    let project = Project::new().await;
    project.ok(&["init"]);
    project.ok(&["create", "acme", "--domain", "notes.acme.com"]);
    project.ok(&["create", "globex"]);

    let terms =
        ["--reason", "invoice 4711", "--message", "Please pay", "--until", "2999-12-24T18:00:00+01:00"];
    let told = project.ok(&[&["suspend", "notes.acme.com", "globex"], &terms[..]].concat());
    assert_eq!(
        told,
        "acme is suspended until 2999-12-24T18:00:00+01:00\nglobex is suspended until 2999-12-24T18:00:00+01:00\n"
    );
    let shown = project.ok(&["show", "acme"]);
    for line in ["status      suspended", "reason      invoice 4711", "message     Please pay"] {
        assert!(shown.contains(line), "{shown}");
    }
    let listed = project.json(&["list", "--status", "suspended"]);
    assert_eq!((listed[0]["slug"].as_str(), listed[1]["slug"].as_str()), (Some("acme"), Some("globex")));
    let suspension = &listed[0]["suspension"];
    assert_eq!((&suspension["reason"], &suspension["read_only"]), (&json!("invoice 4711"), &json!(false)));
    let refused = project.run(&["exec", "--tenant", "acme", "SELECT 1", "--format", "json"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("\"kind\":\"suspended\""), "{}", refused.stderr);
    assert!(refused.stderr.contains("tenantry resume"), "{}", refused.stderr);

    assert_eq!(project.ok(&["suspend", "acme", "--read-only"]), "acme may only be read\n");
    assert_eq!(project.json(&["resume", "acme", "globex"])[1]["status"], "active");
    assert_eq!(project.ok(&["resume", "acme"]), "acme is served\n");
    assert_eq!(project.json(&["show", "acme"])["suspension"], json!(null));
}

#[tokio::test]
async fn a_tenant_is_shown_with_its_size_and_what_was_done_to_it() {
    let project = Project::new().await;
    project.ok(&["init"]);
    project.write("migrations/tenant/0001_note.sql", "CREATE TABLE note (id int PRIMARY KEY, title text);");
    project.ok(&["create", "acme"]);
    project.ok(&["suspend", "acme", "--reason", "unpaid"]);
    let shown = project.ok(&["show", "acme"]);
    // The table and the ledger.
    assert!(shown.contains("\ntables      2\n") && shown.contains("\nsize        "), "{shown}");
    let verbs: Vec<_> = shown.lines().rev().take(2).map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(verbs, [Some("create"), Some("suspend")], "{shown}");
    let json = project.json(&["show", "acme"]);
    assert_eq!(json["footprint"]["tables"], 2);
    let pages = json["footprint"]["size_bytes"].as_i64().unwrap() / 8_192;
    assert!((4..20).contains(&pages), "two tables, their indexes and what is too long for them: {pages}");
    let entry = &json["audit"][0];
    assert_eq!(
        (entry["verb"].as_str(), entry["options"]["reason"].as_str()),
        (Some("suspend"), Some("unpaid"))
    );
}

#[tokio::test]
async fn draining_waits_for_who_holds_locks() {
    let project = Project::new().await;
    project.ok(&["init"]);
    project.write("migrations/tenant/0001_note.sql", "CREATE TABLE note (id int);");
    let schema = project.json(&["create", "acme"])["schema"].as_str().unwrap().to_owned();
    let mut session = PgConnection::connect(project.database.as_ref().unwrap().url()).await.unwrap();
    let hold = format!("BEGIN; SELECT count(*) FROM {schema}.note");
    sqlx::raw_sql(AssertSqlSafe(hold)).execute(&mut session).await.unwrap();
    let refused = project.refused(1, &["suspend", "acme", "--drain=300ms"]);
    assert!(refused.contains("`acme` is still at work") && refused.contains("holds locks"), "{refused}");
    assert_eq!(project.json(&["show", "acme"])["status"], "suspended");
    sqlx::raw_sql("COMMIT").execute(&mut session).await.unwrap();
    let told = project.ok(&["suspend", "acme", "--drain"]);
    assert_eq!(told, "acme is suspended, and nothing is under way\n");
}

#[tokio::test]
async fn a_bypass_is_signed_with_a_key_that_is_not_an_argument() {
    let mut project = Project::new().await;
    project.ok(&["init"]);
    project.ok(&["create", "acme"]);
    let refused = project.refused(2, &["bypass", "acme"]);
    assert!(refused.contains("`TENANTRY_BYPASS_KEY` is not set"), "{refused}");
    project.variables.push(("TENANTRY_BYPASS_KEY", "k".repeat(32)));
    let id = project.json(&["show", "acme"])["id"].as_str().unwrap().replace('-', "");
    let bypass = project.ok(&["bypass", "acme", "--for", "10min"]);
    let parts: Vec<_> = bypass.trim_end().split('.').collect();
    assert_eq!((parts.len(), parts[0], parts[2].len()), (3, id.as_str(), 64), "{bypass}");
    let newest = &project.json(&["show", "acme"])["audit"][0];
    assert_eq!(
        (&newest["verb"], newest["options"]["until"].is_string()),
        (&"bypass".into(), true),
        "{newest}"
    );
    project.variables.push(("TENANTRY_BYPASS_KEY", "short".to_owned()));
    assert!(project.refused(1, &["bypass", "acme"]).contains("too short"));
}

#[tokio::test]
async fn one_that_fails_is_reported_and_stops_nobody() {
    let project = Project::new().await;
    project.ok(&["init"]);
    project.ok(&["create", "acme"]);
    let done = project.run(&["suspend", "nobody", "acme"]);
    assert_eq!((done.code, done.stdout.as_str()), (3, "acme is suspended\n"));
    assert!(done.stderr.contains("nobody"), "{}", done.stderr);
    let done = project.run(&["resume", "nobody"]);
    assert_eq!((done.code, done.stdout.as_str()), (1, ""));
    for wrong in [
        &["suspend"][..],
        &["suspend", "acme", "--for", "1fortnight"],
        &["suspend", "acme", "--until", "tomorrow"],
        &["suspend", "acme", "--for", "1h", "--until", "2999-12-24T18:00:00Z"],
    ] {
        assert_eq!(project.run(wrong).code, 2, "{wrong:?}");
    }
    let over = project.run(&["suspend", "acme", "--until", "2001-01-01T00:00:00Z"]);
    assert_eq!(over.code, 1);
    assert!(over.stderr.contains("not in the future"), "{}", over.stderr);
}

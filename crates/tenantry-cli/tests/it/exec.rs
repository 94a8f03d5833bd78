use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::bench::Project;

#[tokio::test]
async fn each_tenant_sees_its_own_rows() {
    let project = Project::with_tenants().await;
    let done = project.run(&["exec", "--tenant", "acme", "SELECT * FROM note ORDER BY id"]);
    assert_eq!(done.stdout, "id  title\n1   of acme\n2   NULL\n");
    assert_eq!(done.stderr, "2 rows\n");
    let globex = project.json(&["exec", "--tenant", "globex", "SELECT * FROM note ORDER BY id"]);
    let rows = json!([{ "id": "1", "title": "of globex" }, { "id": "2", "title": null }]);
    assert_eq!(globex, json!([{ "tenant": "globex", "rows": rows, "affected": 2 }]));
}

#[tokio::test]
async fn several_statements_give_several_results() {
    let project = Project::with_tenants().await;
    let sql = "UPDATE note SET title = 'x'; SELECT 1 AS a, 2 AS a; SELECT '{1,2}'::int[] AS list, 'a'::bytea";
    let done = project.run(&["exec", "--tenant", "acme", sql]);
    assert_eq!(done.stdout, "a  a\n1  2\n\nlist   bytea\n{1,2}  \\x61\n");
    assert_eq!(done.stderr, "2 rows changed\n1 row\n1 row\n");
    let json = project.json(&["exec", "--tenant", "acme", sql]);
    assert_eq!(json[0], json!({ "tenant": "acme", "rows": [], "affected": 2 }));
    assert_eq!(json[1]["rows"], json!([{ "a": "1", "a_2": "2" }]));
}

#[tokio::test]
async fn all_tenants_share_a_table_and_failures_are_listed() {
    let project = Project::with_tenants().await;
    let done = project.run(&["exec", "--all", "SELECT title FROM note WHERE id = 1"]);
    assert_eq!(done.stdout, "tenant  title\nacme    of acme\nglobex  of globex\n");
    assert_eq!(done.stderr, "2 tenants, 0 failed, 2 rows\n");

    project.ok(&["exec", "--tenant", "acme", "DROP TABLE note"]);
    let done = project.run(&["exec", "--all", "SELECT title FROM note WHERE id = 1"]);
    assert_eq!(done.code, 3);
    assert_eq!(done.stdout, "tenant  title\nglobex  of globex\n");
    let error = "error: tenant `acme`: relation \"note\" does not exist (line 1, column 19)\n";
    assert_eq!(done.stderr, format!("{error}2 tenants, 1 failed, 1 rows\n"));

    let done = project.run(&["exec", "--all", "--format", "json", "SELECT 7 AS n; SELECT title FROM note"]);
    assert_eq!(done.code, 3);
    let json: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    // PostgreSQL reads all of the text before it runs any of it, and looks names up one by one.
    let acme = json.as_array().unwrap().iter().rfind(|result| result["tenant"] == "acme").unwrap();
    assert_eq!(acme["error"]["tenant"], "acme");
    assert_eq!(json.as_array().unwrap().last().unwrap()["rows"][0]["title"], "of globex");
}

#[tokio::test]
async fn sql_comes_from_a_file_or_from_stdin_too() {
    let project = Project::with_tenants().await;
    project.write("count.sql", "SELECT count(*) FROM note -- all\n");
    assert_eq!(project.ok(&["exec", "--tenant", "acme", "--file", "count.sql"]), "count\n2\n");
    let done = project.run_with_input(&["exec", "--tenant", "acme", "-"], "SELECT 5 AS five;");
    assert_eq!(done.stdout, "five\n5\n");
    assert!(
        project.refused(1, &["exec", "--master", "--file", "none.sql"]).contains("`none.sql` cannot be read")
    );
}

#[tokio::test]
async fn a_mistake_is_shown_with_its_line() {
    let project = Project::with_tenants().await;
    let error = project.refused(1, &["exec", "--tenant", "acme", "SELECT 1;\nSELECT titel FROM note"]);
    assert!(
        error.contains("error: tenant `acme`: column \"titel\" does not exist (line 2, column 8)"),
        "{error}"
    );
    assert!(error.contains("\nhint: Perhaps you meant"), "{error}");
}

#[tokio::test]
async fn neither_tenant_nor_master_is_a_default() {
    let project = Project::with_tenants().await;
    project.refused(2, &["exec", "SELECT 1"]);
    project.refused(2, &["exec", "--tenant", "acme", "--all", "SELECT 1"]);
    project.refused(2, &["exec", "--tenant", "acme"]);
    project.refused(2, &["psql"]);
}

#[tokio::test]
async fn a_transaction_left_open_is_no_success() {
    let project = Project::with_tenants().await;
    let error = project.refused(1, &["exec", "--tenant", "acme", "BEGIN; DELETE FROM note"]);
    assert!(error.contains("error: the transaction was not ended, so it was rolled back"), "{error}");
    let count = ["exec", "--tenant", "acme", "SELECT count(*) FROM note"];
    assert_eq!(project.ok(&count), "count\n2\n");
    project.ok(&["exec", "--tenant", "acme", "BEGIN; DELETE FROM note; COMMIT"]);
    assert_eq!(project.ok(&count), "count\n0\n");
}

#[tokio::test]
async fn copy_is_refused_with_a_way_out() {
    let project = Project::with_tenants().await;
    for sql in ["COPY note FROM STDIN", "COPY note TO STDOUT"] {
        let error = project.refused(1, &["exec", "--tenant", "acme", sql]);
        assert!(error.contains("hint: use `tenantry psql`"), "{error}");
    }
}

#[tokio::test]
async fn values_cannot_steer_the_terminal() {
    let project = Project::with_tenants().await;
    let text = project.ok(&["exec", "--tenant", "acme", r"SELECT E'\x1b[2J' AS it"]);
    assert_eq!(text, "it\n\\u{1b}[2J\n");
}

#[tokio::test]
async fn an_interrupt_ends_it_here_and_on_the_server() {
    let project = Project::with_tenants().await;
    let mut command = project.interruptible(&["exec", "--tenant", "acme", "SELECT pg_sleep(60)"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let sleepers = || {
        let sql = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()
                   AND query LIKE 'SELECT pg_sleep%'";
        project.json(&["exec", "--master", sql])[0]["rows"][0]["n"].clone()
    };
    wait_until("it sleeps", || sleepers() == "1");
    let start = Instant::now();
    let mut kill = std::process::Command::new("kill");
    assert!(kill.args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert!(!child.wait().unwrap().success());
    assert!(start.elapsed() < Duration::from_secs(2));
    if cfg!(target_os = "linux") {
        wait_until("the server has noticed", || sleepers() == "0");
    }
}

#[track_caller]
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Schemas without tables, in a fraction of the time that `create` takes.
async fn with_schemas(number: usize) -> Project {
    let project = Project::new().await;
    project.ok(&["init"]);
    let sql = format!(
        "INSERT INTO tenantry.tenant (id, slug, schema_name, status)
         SELECT gen_random_uuid(), 't' || n, 's' || n, 'active' FROM generate_series(1000, 999 + {number}) n;
         DO $$ DECLARE name text; BEGIN
             FOR name IN SELECT schema_name FROM tenantry.tenant LOOP
                 EXECUTE format('CREATE SCHEMA %I', name);
             END LOOP;
         END $$"
    );
    project.ok(&["exec", "--master", &sql]);
    project
}

#[tokio::test]
async fn several_tenants_are_worked_on_at_a_time() {
    let project = with_schemas(9).await;
    // Each waits until it meets two others, and long enough for these to meet it.
    let sql = "DO $$ BEGIN
                   PERFORM pg_advisory_xact_lock_shared(7);
                   FOR n IN 1..500 LOOP
                       EXIT WHEN 3 <= (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7
                           AND database = (SELECT oid FROM pg_database WHERE datname = current_database()));
                       IF n = 500 THEN RAISE 'it was alone'; END IF;
                       PERFORM pg_sleep(0.02);
                   END LOOP;
                   PERFORM pg_sleep(0.3);
               END $$";
    let done = project.run(&["exec", "--all", "--jobs", "3", sql]);
    assert_eq!((done.code, &*done.stderr), (0, "9 tenants, 0 failed, 0 rows\n"));
}

#[tokio::test]
async fn tenants_are_printed_in_order_whoever_is_done_first() {
    let project = with_schemas(150).await;
    let sql = "SELECT pg_sleep(CASE current_schema() WHEN 's1000' THEN 1 ELSE 0 END);
               SELECT 1 / (current_schema() <> 's1070')::int AS one, current_schema() AS schema";
    let results = project.run(&["exec", "--all", "--format", "json", sql]);
    assert_eq!(results.code, 3);
    let results: serde_json::Value = serde_json::from_str(&results.stdout).unwrap();
    let tenants =
        results.as_array().unwrap().iter().map(|result| result["tenant"].as_str().unwrap().to_owned());
    let tenants: Vec<_> = tenants.collect();
    assert_eq!(tenants.len(), 300);
    assert!(tenants.is_sorted(), "{tenants:?}");
    let failed = &results[2 * 70 + 1];
    assert_eq!((&failed["tenant"], &failed["error"]["tenant"]), (&json!("t1070"), &json!("t1070")));
    assert_eq!(results[299]["rows"], json!([{ "one": "1", "schema": "s1149" }]));
}

/// Nobody reads yet, so the first tenant cannot go on, and the others may not be kept in memory.
#[tokio::test]
async fn answers_that_cannot_be_printed_yet_do_not_fill_the_memory() {
    let project = with_schemas(8).await;
    let sql = "SELECT repeat('x', 1000) AS text FROM generate_series(1, 50000)";
    let mut command = project.command(&["exec", "--all", "--format", "json", sql]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    if cfg!(target_os = "linux") {
        std::thread::sleep(Duration::from_secs(2));
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: u32 = peak.split_whitespace().next().unwrap().parse().unwrap();
        assert!(peak < 60_000, "{peak} kB, where each of four tenants answers with 50 MB");
    }
    let mut text = String::new();
    std::io::Read::read_to_string(child.stdout.as_mut().unwrap(), &mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(text.matches("\"text\"").count(), 8 * 50_000);
}

#[tokio::test]
async fn some_tenants_are_named_or_chosen() {
    let project = Project::with_tenants().await;
    project.ok(&["create", "initech"]);
    let done = project.run(&[
        "exec",
        "--tenant",
        "globex",
        "--tenant",
        "acme",
        "SELECT title FROM note WHERE id = 1",
    ]);
    assert_eq!(done.stdout, "tenant  title\nacme    of acme\nglobex  of globex\n");
    let sql = "SELECT count(*) FROM note";
    let done = project.run(&["exec", "--where", "slug <> 'acme'", "--exclude", "initech", sql]);
    assert_eq!(done.stdout, "tenant  count\nglobex  2\n");
    project.refused(2, &["exec", "--tenant", "acme", "--exclude", "acme", sql]);
    let error = project.refused(1, &["exec", "--where", "slug <>", sql]);
    assert!(error.contains("error: tenants cannot be chosen by `slug <>`"), "{error}");
    let error = project.refused(1, &["exec", "--tenant", "acme", "--tenant", "nobody", "DELETE FROM note"]);
    assert!(error.contains("`nobody`"), "{error}");
    assert_eq!(project.ok(&["exec", "--tenant", "acme", "SELECT count(*) FROM note"]), "count\n2\n");
}

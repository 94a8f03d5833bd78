use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use crate::bench::{Project, signal};

#[tokio::test]
async fn each_tenant_sees_its_own_rows() {
    let project = Project::with_tenants().await;
    let done = project.run(&["exec", "--tenant", "acme", "SELECT * FROM note ORDER BY id"]);
    assert_eq!(done.stdout, "id  title\n1   of acme\n2   NULL\n");
    assert_eq!(done.stderr, "2 rows\n");
    let globex = project.json(&["exec", "--tenant", "globex", "SELECT * FROM note ORDER BY id"]);
    let rows = json!([{ "id": 1, "title": "of globex" }, { "id": 2, "title": null }]);
    assert_eq!(globex, json!([{ "slug": "globex", "rows": rows, "affected": 2 }]));
}

#[tokio::test]
async fn several_statements_give_several_results() {
    let project = Project::with_tenants().await;
    let sql = "UPDATE note SET title = 'x'; SELECT 1 AS a, 2 AS a; SELECT '{1,2}'::int[] AS list, 'a'::bytea";
    let done = project.run(&["exec", "--tenant", "acme", sql]);
    assert_eq!(done.stdout, "a  a\n1  2\n\nlist   bytea\n{1,2}  \\x61\n");
    assert_eq!(done.stderr, "2 rows changed\n1 row\n1 row\n");
    let json = project.json(&["exec", "--tenant", "acme", sql]);
    assert_eq!(json[0], json!({ "slug": "acme", "rows": [], "affected": 2 }));
    assert_eq!(json[1]["rows"], json!([{ "a": 1, "a_2": 2 }]));
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
    assert_eq!(done.stderr, format!("{error}2 tenants, 1 failed, 1 row\n"));

    let done = project.run(&["exec", "--all", "--format", "json", "SELECT 7 AS n; SELECT title FROM note"]);
    assert_eq!(done.code, 3);
    let json: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    // PostgreSQL reads all of the text before it runs any of it, and looks names up one by one.
    let acme = json.as_array().unwrap().iter().rfind(|result| result["slug"] == "acme").unwrap();
    assert_eq!(acme["error"]["slug"], "acme");
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
    check_signal(&project, "INT", &["--tenant", "acme"]);
    check_signal(&project, "TERM", &["--all"]);
}

/// Sends a signal to a command that sleeps in the last tenant that it is in.
fn check_signal(project: &Project, name: &str, target: &[&str]) {
    let sql = "SELECT 1 AS one; SELECT pg_sleep(60) WHERE current_schema() LIKE 't\\_acme%'";
    let arguments = [&["exec", "--format", "json"], target, &[sql]].concat();
    let mut command = project.interruptible(&arguments);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let sleepers = || {
        let sql = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()
                   AND wait_event = 'PgSleep'";
        project.json(&["exec", "--master", sql])[0]["rows"][0]["n"].clone()
    };
    wait_until("it sleeps", || sleepers() == 1);
    let start = Instant::now();
    assert!(signal(name, &child));
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(start.elapsed() < Duration::from_secs(2));
    // What was printed until then is whole, and the error is the last line.
    let results: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let cut_off = results.as_array().unwrap().iter().find(|result| result["slug"] == "acme");
    assert!(cut_off.is_none_or(|acme| acme["error"]["kind"] == "interrupted"), "{results}");
    let error: serde_json::Value = serde_json::from_str(stderr.lines().last().unwrap()).unwrap();
    assert_eq!((&error["error"], &error["kind"]), (&json!("it was interrupted"), &json!("interrupted")));
    if cfg!(target_os = "linux") {
        wait_until("the server has noticed", || sleepers() == 0);
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
        results.as_array().unwrap().iter().map(|result| result["slug"].as_str().unwrap().to_owned());
    let tenants: Vec<_> = tenants.collect();
    assert_eq!(tenants.len(), 300);
    assert!(tenants.is_sorted(), "{tenants:?}");
    let failed = &results[2 * 70 + 1];
    assert_eq!((&failed["slug"], &failed["error"]["slug"]), (&json!("t1070"), &json!("t1070")));
    assert_eq!(results[299]["rows"], json!([{ "one": 1, "schema": "s1149" }]));
}

/// Nobody reads yet, so the first tenant cannot go on, and the others may not be kept in memory.
#[tokio::test]
async fn answers_that_cannot_be_printed_yet_do_not_fill_the_memory() {
    let project = with_schemas(8).await;
    let start = |rows: usize| {
        let sql = format!("SELECT repeat('x', 1000) AS text FROM generate_series(1, {rows})");
        let mut command = project.command(&["exec", "--all", "--format", "json", &sql]);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut late = start(3_000);
    if cfg!(target_os = "linux") {
        let mut never = start(50_000);
        std::thread::sleep(Duration::from_secs(2));
        let status = std::fs::read_to_string(format!("/proc/{}/status", never.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: u32 = peak.split_whitespace().next().unwrap().parse().unwrap();
        assert!(peak < 60_000, "{peak} kB, where each of four tenants answers with 50 MB");
        never.kill().unwrap();
        never.wait().unwrap();
    }
    let mut text = String::new();
    std::io::Read::read_to_string(late.stdout.as_mut().unwrap(), &mut text).unwrap();
    assert_eq!(late.wait().unwrap().code(), Some(0));
    assert_eq!(text.matches("\"text\"").count(), 8 * 3_000);
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

#[tokio::test]
async fn values_keep_their_types_in_json() {
    let project = Project::with_tenants().await;
    let sql = "SELECT 1 AS int, 9007199254740993 AS big, 1.50 AS exact, 2.5::float8 AS float, 'NaN'::float8 AS nan,
                   true AS yes, NULL::int AS none, '' AS empty, 'null' AS word, '{\"a\": [1, null]}'::jsonb AS object,
                   '[1]'::json AS list, ARRAY[1, NULL] AS ints, ARRAY['a', '', NULL] AS texts,
                   now() > '2000-1-1' AS now, '\\x00'::bytea AS bytes, date '2026-01-02' AS day, 5::oid AS oid,
                   'x'::name AS name, '12:00'::time AS at";
    let rows = project.json(&["exec", "--tenant", "acme", sql])[0]["rows"].clone();
    let expect = json!([{
        "int": 1, "big": 9_007_199_254_740_993_i64, "exact": 1.5, "float": 2.5, "nan": "NaN", "yes": true,
        "none": null, "empty": "", "word": "null", "object": { "a": [1, null] }, "list": [1], "ints": [1, null],
        "texts": ["a", "", null], "now": true, "bytes": "\\x00", "day": "2026-01-02", "oid": 5, "name": "x",
        "at": "12:00:00",
    }]);
    assert_eq!(rows, expect);
    // Types of the tenant's own are texts, and those that are made of others are what these are.
    project.ok(&["exec", "--tenant", "acme", "CREATE TYPE mood AS ENUM ('happy'); CREATE DOMAIN age AS int"]);
    let own = project.json(&["exec", "--tenant", "acme", "SELECT 'happy'::mood AS mood, 7::age AS age"]);
    assert_eq!(own[0]["rows"], json!([{ "mood": "happy", "age": 7 }]));
    // In a table, nothing and null are told apart as well.
    assert_eq!(project.ok(&["exec", "--tenant", "acme", "SELECT '' AS a, NULL AS b"]), "a  b\n   NULL\n");
}

#[tokio::test]
async fn rows_that_were_changed_are_counted_over_all_tenants() {
    let project = Project::with_tenants().await;
    let summary = |sql: &str| project.run(&["exec", "--all", sql]).stderr;
    assert_eq!(summary("UPDATE note SET title = 'x'"), "2 tenants, 0 failed, 4 rows changed\n");
    let returning = "UPDATE note SET title = 'y' WHERE id = 1 RETURNING id";
    assert_eq!(summary(returning), "2 tenants, 0 failed, 2 rows, 2 changed\n");
    assert_eq!(
        summary("SELECT 1; DELETE FROM note WHERE id = 2"),
        "2 tenants, 0 failed, 2 rows, 2 changed\n"
    );
    assert_eq!(
        summary("SELECT 1; UPDATE note SET title = 'z;' RETURNING id"),
        "2 tenants, 0 failed, 4 rows, 2 changed\n"
    );
    assert_eq!(summary("SELECT 1"), "2 tenants, 0 failed, 2 rows\n");
}

#[tokio::test]
async fn statements_have_the_time_that_they_are_given() {
    let project = Project::with_tenants().await;
    let sql = "SET LOCAL statement_timeout = '1min'; SELECT current_setting('statement_timeout') AS it";
    assert_eq!(project.json(&["exec", "--tenant", "acme", sql])[1]["rows"][0]["it"], "1min");
    let limits = ["exec", "--statement-timeout", "200ms", "--lock-timeout", "2s"];
    let show = "SELECT current_setting('statement_timeout') || ' ' || current_setting('lock_timeout') AS it";
    for target in [&["--tenant", "acme"][..], &["--all"], &["--master"], &["--master", "--owner"]] {
        let rows = project.json(&[&limits, target, &[show]].concat());
        assert_eq!(rows[0]["rows"][0]["it"], "200ms 2s", "{target:?}");
    }
    let late = project.refused(1, &[&limits[..], &["--tenant", "acme", "SELECT pg_sleep(60)"]].concat());
    assert!(late.contains("canceling statement due to statement timeout"), "{late}");
    project.refused(2, &["exec", "--master", "--lock-timeout", "soon", "SELECT 1"]);
}

const NOTICE: &str = "DO $$ BEGIN RAISE NOTICE 'from %', current_schema(); RAISE WARNING 'to all'; END $$";

#[tokio::test]
async fn notices_are_shown_with_their_tenant() {
    let project = Project::with_tenants().await;
    project.ok(&["create", "initech"]);
    let schema = project.json(&["show", "acme"])["schema"].as_str().unwrap().to_owned();
    let done = project.run(&["exec", "--tenant", "acme", NOTICE]);
    assert_eq!(done.stderr, format!("notice: from {schema}\nwarning: to all\n0 rows\n"));

    let done = project.run(&["exec", "--all", "DO $$ BEGIN RAISE WARNING 'to all'; END $$"]);
    let expect = "warning: to all (tenant `acme`)\n2 more tenants were told the same as `acme`: globex, initech\n\
                  3 tenants, 0 failed, 0 rows\n";
    assert_eq!(done.stderr, expect);

    let json = project.json(&["exec", "--all", &format!("SELECT 1 AS one; {NOTICE}")]);
    assert_eq!(json[0], json!({ "slug": "acme", "rows": [{ "one": 1 }], "affected": 1 }));
    let notices = [("notice", format!("from {schema}")), ("warning", "to all".to_owned())]
        .map(|(severity, message)| json!({ "severity": severity, "message": message }));
    assert_eq!(json[1], json!({ "slug": "acme", "rows": [], "affected": 0, "notices": notices }));
}

#[tokio::test]
async fn the_owner_of_the_schemas_may_do_what_the_application_may_not() {
    let (project, application) = with_two_logins().await;
    let alter = ["exec", "--tenant", "acme", "ALTER TABLE note ADD COLUMN more int"];
    let refused = project.refused(1, &alter);
    assert!(refused.contains("must be owner of table note"), "{refused}");
    project.ok(&[&alter[..], &["--owner"]].concat());
    let place = "SELECT current_user::text AS owner, current_schema() AS schema";
    for (target, schema) in
        [(&["--tenant", "acme"][..], "t_acme_"), (&["--all"], "t_acme_"), (&["--master"], "public")]
    {
        let rows = project.json(&[&["exec", "--owner"], target, &[place]].concat())[0]["rows"].clone();
        assert!(rows[0]["schema"].as_str().unwrap().starts_with(schema), "{rows}");
        assert_ne!(rows[0]["owner"], application, "{rows}");
    }
    let error = project.refused(1, &["exec", "--owner", "--tenant", "acme", "SELECT * FROM plan"]);
    assert!(error.contains("relation \"plan\" does not exist"), "nobody falls through: {error}");
}

/// A project whose application may not change tables, and the name of its role.
async fn with_two_logins() -> (Project, String) {
    let mut project = Project::new().await;
    let database = project.database.as_ref().unwrap();
    let application = format!("{}_app", database.name());
    let mut superuser = PgConnection::connect(database.superuser_url()).await.unwrap();
    let create = format!("CREATE ROLE {application} LOGIN PASSWORD 'app'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&mut superuser).await.unwrap();
    let owner = database.url().to_owned();
    let url = format!("postgres://{application}:app@{}", owner.split_once('@').unwrap().1);
    project.variables = vec![("DATABASE_URL", url), ("TENANTRY_DATABASES_DEFAULT_OWNER_URL", owner)];
    project.write("migrations/master/0001_plan.sql", "CREATE TABLE plan (name text);");
    project.write("migrations/tenant/0001_note.sql", "CREATE TABLE note (id int, title text);");
    project.ok(&["init"]);
    project.ok(&["migrate"]);
    project.ok(&["create", "acme"]);
    (project, application)
}

#[tokio::test]
async fn long_work_says_now_and_then_how_far_it_is_to_people_who_want_to_know() {
    let project = with_schemas(4).await;
    let start = |more: &[&str]| {
        let sql = "SELECT pg_sleep(2)";
        let mut command = project.command(&[&["exec", "--all", "--jobs", "1"], more, &[sql]].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children = [&[][..], &["--quiet"], &["--format", "json"]].map(start);
    let outputs = children.map(|child| child.wait_with_output().unwrap());
    let [plain, quiet, json] = outputs.map(|output| String::from_utf8(output.stderr).unwrap());
    assert!(plain.starts_with("tenants done: "), "{plain}");
    assert!(plain.ends_with("\n4 tenants, 0 failed, 4 rows\n"), "{plain}");
    assert_eq!((&*quiet, &*json), ("", ""));
}

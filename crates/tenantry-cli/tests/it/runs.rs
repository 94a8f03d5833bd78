use std::io::Read as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::bench::{Project, signal};

const FAILS: &str = "ALTER TABLE note ADD COLUMN more int NOT NULL;";

#[tokio::test]
async fn a_canary_that_fails_stops_the_run_which_goes_on_later() {
    let project = Project::with_tenants().await;
    project.ok(&["exec", "--tenant", "globex", "DELETE FROM note"]);
    project.write("migrations/tenant/0002_more.sql", FAILS);
    let stopped = project.run(&["migrate", "--canary", "1"]);
    assert_eq!(stopped.code, 1, "{}", stopped.stderr);
    // The master schema comes before the canaries.
    assert_eq!(stopped.stdout, "schemas: 1 migrated, 0 up to date, 1 failed\n");
    let says = "error: run 1 stopped: a canary failed\nhint: `tenantry migrate --resume` continues it; ";
    assert!(stopped.stderr.contains(says), "{}", stopped.stderr);
    assert_eq!(project.json(&["show", "globex"])["migrations"], "behind");

    let runs = project.json(&["runs"]);
    assert_eq!(runs[0]["state"], "stopped");
    assert_eq!((&runs[0]["version"], &runs[0]["failed"]), (&json!(2), &json!(1)));
    assert!(runs[0]["operator"].as_str().unwrap().contains("(process "), "{runs}");

    project.ok(&["exec", "--tenant", "acme", "DELETE FROM note"]);
    assert_eq!(project.ok(&["migrate", "--resume"]), "schemas: 2 migrated, 1 up to date, 0 failed\n");
    let refused = project.refused(1, &["migrate", "--resume"]);
    assert!(refused.starts_with("error: there is no unfinished run to go on with\nhint: "), "{refused}");
    let refused = project.refused(1, &["migrate", "--resume", "1"]);
    assert!(refused.starts_with("error: run 1 is done\nhint: "), "{refused}");
    let shown = project.json(&["runs", "show", "1"]);
    assert_eq!((&shown["state"], &shown["migrated"]), (&json!("done"), &json!(3)));
    let schemas = shown["schemas"].as_array().unwrap();
    let waves: Vec<_> = schemas.iter().map(|schema| (&schema["slug"], &schema["wave"])).collect();
    let expect = [(Value::Null, json!(1)), (json!("acme"), json!(1)), (json!("globex"), json!(2))];
    assert_eq!(waves, expect.each_ref().map(|(slug, wave)| (slug, wave)));

    let table = project.ok(&["runs", "show", "1"]);
    assert!(table.contains("\nschemas     3 migrated, 1 up to date, 0 failed\n"), "{table}");
    let acme = table.lines().find(|line| line.starts_with("acme")).unwrap();
    assert_eq!(acme.split_whitespace().take(3).collect::<Vec<_>>(), ["acme", "1", "2"]);
    let list = project.ok(&["runs"]);
    assert!(list.starts_with("RUN  STATE  BEGUN "), "{list}");
    assert!(project.refused(1, &["runs", "show", "7"]).starts_with("error: there is no run 7\nhint: "));
}

#[tokio::test]
async fn tenants_go_back_once_somebody_is_sure() {
    let project = Project::with_tenants().await;
    project.write("migrations/tenant/0002_done.up.sql", "ALTER TABLE note ADD COLUMN done bool;");
    project.write("migrations/tenant/0002_done.down.sql", "ALTER TABLE note DROP COLUMN done;");
    assert_eq!(project.json(&["migrate"])["migrated"], 3);

    let back = ["migrate", "--to", "1", "--exclude", "globex"];
    let plan = project.ok(&[&back[..], &["--dry-run"]].concat());
    assert!(plan.starts_with("acme: ") && plan.contains("0002_done.down.sql\n"), "{plan}");
    let refused = project.refused(2, &back);
    assert!(refused.contains("undo migrations of 1 tenants") && refused.contains("`--yes`"), "{refused}");
    let done = project.run(&[&back[..], &["--yes"]].concat());
    assert_eq!(done.stdout, "schemas: 1 migrated, 0 up to date, 0 failed\n");
    assert!(done.stderr.starts_with("migrated acme: 2 undone in "), "{}", done.stderr);
    assert_eq!(project.json(&["show", "acme"])["migrations"], "behind");
    assert_eq!(project.json(&["show", "globex"])["migrations"], "up_to_date");

    // Forwards, nothing is lost.
    let forwards = project.json(&["migrate", "--to", "2", "--where", "slug LIKE 'ac%'"]);
    assert_eq!((&forwards["migrated"], &forwards["up_to_date"]), (&json!(1), &json!(0)));
    let error = project.refused(1, &["migrate", "--where", "plan = 'pro'"]);
    assert!(error.contains("column \"plan\" does not exist"), "{error}");
    project.refused(2, &["migrate", "--where", "true", "--tenant", "acme"]);
    project.refused(2, &["migrate", "--resume", "--canary", "1"]);
    let wrong = project.refused(2, &["migrate", "--max-failures", "200%"]);
    assert!(wrong.contains("neither a number nor a percentage"), "{wrong}");
}

#[tokio::test]
async fn an_interrupt_lets_the_tenants_under_way_finish() {
    check_signal("INT").await;
}

/// It is what `kill` sends, and what sends a container to its end.
#[tokio::test]
async fn a_termination_lets_the_tenants_under_way_finish() {
    check_signal("TERM").await;
}

async fn check_signal(name: &str) {
    let project = Project::with_tenants().await;
    project.write("migrations/tenant/0002_slow.sql", "CREATE TABLE slow (); SELECT pg_sleep(2);");
    let mut command = project.interruptible(&["migrate", "--jobs", "1"]);
    let mut migrate = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until_a_tenant_is_under_way(&project).await;
    assert!(signal(name, &migrate));
    let status = migrate.wait().unwrap();
    let mut stderr = String::new();
    migrate.stderr.unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("error: run 1 stopped: it was cancelled\n"), "{stderr}");
    assert_eq!(project.json(&["show", "acme"])["migrations"], "up_to_date");
    assert_eq!(project.json(&["show", "globex"])["migrations"], "behind");
    assert_eq!(project.json(&["runs", "show", "1"])["schemas"][1]["slug"], "acme", "the diary is written");
    assert_eq!(project.json(&["migrate", "--resume"])["migrated"], 1);
}

#[tokio::test]
async fn a_second_operator_is_told_who_runs_and_may_wait() {
    let project = Project::with_tenants().await;
    project.write("migrations/tenant/0002_slow.sql", "CREATE TABLE slow (); SELECT pg_sleep(2);");
    let mut migrate = project.command(&["migrate"]).stdout(Stdio::null()).spawn().unwrap();
    until_running(&project).await;
    let refused = project.refused(1, &["migrate"]);
    assert!(refused.starts_with("error: the fleet is being migrated: run 1, since 20"), "{refused}");
    assert!(refused.contains(&format!("(process {})\nhint: ", migrate.id())), "{refused}");
    let waited = project.json(&["migrate", "--wait"]);
    assert_eq!((&waited["migrated"], &waited["up_to_date"]), (&json!(0), &json!(3)));
    assert!(migrate.wait().unwrap().success());
}

/// A schema that is begun is finished, and no other is begun.
#[tokio::test]
async fn a_termination_lets_the_schema_under_way_finish() {
    let project = Project::ready().await;
    project.write("migrations/tenant/0002_slow.sql", "CREATE TABLE slow (); SELECT pg_sleep(1);");
    project.write("tenants", "acme\nglobex\ninitech\n");
    let fill = ["spare", "fill", "--count", "3"];
    let create = ["create", "--from", "tenants", "--jobs", "1"];
    for (arguments, told, error) in [
        (&fill[..], "spares: 1 made, 0 stale ones removed\n", "error: it was interrupted\n"),
        (
            &create,
            "created acme\n",
            "error: it was interrupted before 2 of 3 tenants\nhint: repeat the command",
        ),
    ] {
        let mut command = project.interruptible(arguments);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        until_a_tenant_is_under_way(&project).await;
        assert!(signal("TERM", &child));
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), told);
        assert!(stderr.contains("interrupt again to stop at once\n") && stderr.contains(error), "{stderr}");
        // Of it, nobody is made in the next round.
        project.ok(&["exec", "--master", "DELETE FROM tenantry.spare"]);
    }
}

async fn until_running(project: &Project) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while project.json(&["runs"])[0]["state"] != "running" {
        assert!(Instant::now() < deadline, "no run began");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A run that is recorded as running need not have begun with a tenant.
async fn until_a_tenant_is_under_way(project: &Project) {
    let sleepers = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() \
                    AND wait_event = 'PgSleep'";
    let deadline = Instant::now() + Duration::from_secs(20);
    while project.json(&["exec", "--master", sleepers])[0]["rows"][0]["n"] != 1 {
        assert!(Instant::now() < deadline, "no tenant is migrated");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The number of processes that are killed while they migrate.
const KILLS: u32 = 50;
const TENANTS: usize = 100;

/// Each kill is of a release of its own, and at another moment. The last word has a run that goes on.
#[tokio::test]
#[allow(clippy::print_stdout, reason = "the count says how much the test has seen")]
async fn wherever_a_run_is_killed_it_goes_on_and_applies_each_file_once() {
    let project = Project::ready().await;
    project.write(
        "migrations/tenant/0002_log.sql",
        "CREATE TABLE log (version bigint NOT NULL, at timestamptz NOT NULL DEFAULT now());",
    );
    let mut client = PgConnection::connect(project.database.as_ref().unwrap().url()).await.unwrap();
    make_tenants(&mut client).await;
    project.ok(&["migrate", "--jobs", "2"]);

    let (mut killed_in_the_middle, mut took) = (0, Duration::ZERO);
    for kill in 0..=KILLS {
        let version = i64::from(kill) + 3;
        let file = format!("migrations/tenant/{version:04}_entry.sql");
        project.write(&file, &format!("INSERT INTO log (version) VALUES ({version});"));
        let began = Instant::now();
        let mut migrate =
            project.command(&["migrate"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        if kill == 0 {
            assert!(migrate.wait().unwrap().success());
            took = began.elapsed();
            continue;
        }
        // Spread evenly over the time that a whole run takes.
        tokio::time::sleep(took * kill / KILLS).await;
        migrate.kill().unwrap();
        migrate.wait().unwrap();
        let done = at_version(&mut client, version).await;
        killed_in_the_middle += u32::from(0 < done && done < TENANTS);
        go_on(&project, done);
        assert_eq!(newest_state(&mut client).await, "done");
        assert_eq!(at_version(&mut client, version).await, TENANTS, "kill {kill}");
    }
    check_once(&mut client).await;
    println!("{killed_in_the_middle} of {KILLS} kills hit a run in the middle");
    assert!(killed_in_the_middle > 0, "no kill hit anything");
}

/// Goes on with the run, unless it was killed before it began.
fn go_on(project: &Project, done: usize) {
    let newest = &project.json(&["runs", "--limit", "1"])[0];
    let summary = match newest["state"].as_str().unwrap() {
        "interrupted" => project.json(&["migrate", "--resume"]),
        _ => project.json(&["migrate"]),
    };
    let count = |key: &str| usize::try_from(summary[key].as_u64().unwrap()).unwrap();
    assert_eq!(count("failed"), 0, "{summary}");
    // A backend may have been at work for the process that was killed.
    assert!(count("migrated") <= TENANTS - done, "{summary}");
}

async fn newest_state(client: &mut PgConnection) -> String {
    let newest = "SELECT state FROM tenantry.run ORDER BY id DESC LIMIT 1";
    sqlx::query_scalar(newest).fetch_one(client).await.unwrap()
}

/// Faster than one by one: schemas of which the registry knows, and which have applied nothing.
async fn make_tenants(client: &mut PgConnection) {
    let make = format!(
        "DO $$ BEGIN FOR n IN 1..{TENANTS} LOOP
             EXECUTE format('CREATE SCHEMA s%s', n);
             INSERT INTO tenantry.tenant (id, slug, schema_name, status)
             VALUES (gen_random_uuid(), 'tenant-' || n, 's' || n, 'active');
         END LOOP; END $$"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(make)).execute(client).await.unwrap();
}

async fn at_version(client: &mut PgConnection, version: i64) -> usize {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM tenantry.applied WHERE version = $1")
        .bind(version)
        .fetch_one(client)
        .await
        .unwrap();
    usize::try_from(count).unwrap()
}

/// In each schema, each file has left one row, and nobody holds a lock.
async fn check_once(client: &mut PgConnection) {
    let tables: Vec<_> =
        (1..=TENANTS).map(|n| format!("SELECT {n} AS tenant, version FROM s{n}.log")).collect();
    let count = format!(
        "SELECT count(*), count(DISTINCT (tenant, version)) FROM ({}) AS entry",
        tables.join(" UNION ALL ")
    );
    let (rows, distinct): (i64, i64) =
        sqlx::query_as(sqlx::AssertSqlSafe(count)).fetch_one(&mut *client).await.unwrap();
    let expect = i64::try_from(TENANTS).unwrap() * i64::from(KILLS + 1);
    assert_eq!((rows, distinct), (expect, expect));
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let locks: i64 = sqlx::query_scalar(locks).fetch_one(client).await.unwrap();
    assert_eq!(locks, 0);
}

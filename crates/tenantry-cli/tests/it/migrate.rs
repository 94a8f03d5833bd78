use serde_json::json;

use crate::bench::Project;

#[tokio::test]
async fn a_failing_tenant_stops_nobody_else_and_is_named() {
    let project = Project::with_tenants().await;
    project.ok(&["exec", "--tenant", "acme", "UPDATE note SET title = 'same'"]);
    project
        .write("migrations/tenant/0002_unique.sql", "SELECT 1;\n\nALTER TABLE note\n  ADD UNIQUE (title);\n");
    let done = project.run(&["migrate"]);
    assert_eq!(done.code, 3, "{}", done.stderr);
    assert_eq!(done.stdout, "schemas: 2 migrated, 0 up to date, 1 failed\n");
    for part in ["error: ", "0002_unique.sql:3", "could not create unique index", "tenant `acme`", "\nhint: "]
    {
        assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
    }
    assert!(done.stderr.contains("\nmigrated globex: 2 in "), "{}", done.stderr);

    let status = project.json(&["status"]);
    let counts = json!({ "total": 2, "up_to_date": 1, "behind": 0, "failed": 1 });
    assert_eq!(status["tenants"]["active"], counts);
    assert!(project.ok(&["show", "acme"]).contains("\nlast error  "));

    let again = project.run(&["migrate", "--format", "json"]);
    assert_eq!(again.code, 3);
    let json: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(json["failures"][0]["slug"], "acme");
    assert_eq!(json["failures"][0]["kind"], "migration");
    let error: serde_json::Value = serde_json::from_str(&again.stderr).unwrap();
    assert_eq!(error, json["failures"][0]);

    project.ok(&["exec", "--tenant", "acme", "DELETE FROM note WHERE id = 2"]);
    assert_eq!(project.ok(&["migrate", "--tenant", "acme"]), "schemas: 1 migrated, 0 up to date, 0 failed\n");
    assert_eq!(project.json(&["show", "acme"])["last_error"], json!(null));
}

#[tokio::test]
async fn a_failing_master_schema_stops_everything() {
    let project = Project::with_tenants().await;
    project.write("migrations/master/0002_broken.sql", "SELECT 1;\nSELEC 2;\n");
    project.write("migrations/tenant/0002_done.sql", "ALTER TABLE note ADD done bool;");
    let error = project.refused(1, &["migrate"]);
    assert!(error.contains("0002_broken.sql:2"), "{error}");
    assert!(error.contains("syntax error"), "{error}");
    assert_eq!(error.matches("0002_broken").count(), 1, "said once: {error}");
    assert_eq!(project.json(&["status"])["tenants"]["active"]["behind"], 2);
}

#[tokio::test]
async fn a_file_no_migration_may_hold_is_refused_before_anything_runs() {
    let project = Project::with_tenants().await;
    project.write("migrations/tenant/0002_commit.sql", "SELECT 1;\nCOMMIT;\n");
    let error = project.refused(1, &["migrate"]);
    assert!(error.contains("0002_commit.sql:2"), "{error}");
    assert!(error.contains("\nhint: "), "{error}");
}

#[tokio::test]
async fn only_the_tenants_that_were_named_are_migrated() {
    let project = Project::with_tenants().await;
    project.write("migrations/tenant/0002_done.sql", "ALTER TABLE note ADD done bool;");
    assert_eq!(project.json(&["migrate", "--tenant", "globex"])["migrated"], 1);
    assert_eq!(project.json(&["show", "acme"])["migrations"], "behind");
    let error = project.refused(1, &["migrate", "--tenant", "globex", "--tenant", "nobody"]);
    assert!(error.starts_with("error: no tenant goes by `nobody`\nhint: "), "{error}");
}

#[tokio::test]
async fn a_dry_run_tells_what_would_be_applied_where_and_changes_nothing() {
    let project = Project::with_tenants().await;
    project.write("migrations/tenant/0002_done.sql", "ALTER TABLE note ADD done bool;");
    project.ok(&["migrate", "--tenant", "globex"]);
    project.write("migrations/master/0002_price.sql", "CREATE TABLE price (id int);");
    let index = "-- no-transaction\nCREATE INDEX CONCURRENTLY note_done ON note (done);\n";
    project.write("migrations/tenant/0003_index.sql", index);
    let plan = project.ok(&["migrate", "--dry-run"]);
    let lines: Vec<_> = plan.lines().collect();
    assert_eq!(lines.len(), 4, "{plan}");
    assert!(lines[0].starts_with("the master schema: ") && lines[0].ends_with("0002_price.sql"), "{plan}");
    assert!(lines[1].starts_with("acme: ") && lines[1].contains("0002_done.sql, "), "{plan}");
    assert!(lines[1].ends_with("0003_index.sql (not in a transaction)"), "{plan}");
    assert!(lines[2].starts_with("globex: ") && !lines[2].contains("0002"), "{plan}");
    assert_eq!(lines[3], "schemas: 3 behind, 0 up to date, 0 refused");

    let json = project.json(&["migrate", "--dry-run"]);
    assert_eq!(json["behind"][0]["slug"], json!(null));
    assert_eq!(json["behind"][1]["pending"][0]["version"], 2);
    assert_eq!(json["behind"][1]["pending"][1]["transaction"], false);
    assert_eq!(project.json(&["migrate"])["migrated"], 3);
    assert_eq!(project.ok(&["migrate", "--dry-run"]), "schemas: 0 behind, 3 up to date, 0 refused\n");

    project.write("migrations/tenant/0002_done.sql", "ALTER TABLE note ADD done int;");
    let refused = project.refused(1, &["migrate", "--dry-run"]);
    assert_eq!(
        refused.matches("0002_done.sql` was changed after it had been applied").count(),
        1,
        "{refused}"
    );
    assert!(refused.contains("2 tenants, the first is `acme`"), "{refused}");
}

#[tokio::test]
async fn tenants_that_fail_alike_are_told_once() {
    let project = Project::ready().await;
    let slugs: Vec<_> = (10..22).map(|number| format!("t{number}")).collect();
    project.write("tenants", &slugs.join("\n"));
    project.ok(&["create", "--from", "tenants"]);
    project.ok(&["exec", "--all", "INSERT INTO note VALUES (1, 'x'), (2, 'x')"]);
    project.ok(&["exec", "--tenant", "t15", "DROP TABLE note"]);
    let file = "ALTER TABLE note ADD CONSTRAINT one_of_each UNIQUE (title);";
    project.write("migrations/tenant/0002_unique.sql", file);

    let done = project.run(&["migrate", "--jobs", "1"]);
    assert_eq!((done.code, &*done.stdout), (3, "schemas: 1 migrated, 0 up to date, 12 failed\n"));
    assert_eq!(done.stderr.matches("could not create unique index").count(), 1, "{}", done.stderr);
    assert_eq!(done.stderr.matches("relation \"note\" does not exist").count(), 1, "{}", done.stderr);
    let rest = "\n10 more tenants failed like `t10`: t11, t12, t13, t14, …\n";
    assert!(done.stderr.ends_with(rest), "{}", done.stderr);

    // Programs are told of each.
    let again = project.run(&["migrate", "--jobs", "1", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(json["failures"].as_array().unwrap().len(), 12);
    assert_eq!(again.stderr.lines().count(), 12, "{}", again.stderr);
    let groups = json["groups"].as_array().unwrap();
    assert_eq!((groups.len(), &groups[0]["tenants"], &groups[1]["tenants"]), (2, &json!(11), &json!(1)));
    assert_eq!(groups[0]["slugs"], json!(["t10", "t11", "t12", "t13", "t14"]));
    assert!(groups[1]["error"].as_str().unwrap().contains("does not exist"), "{groups:?}");

    // So do those who look later.
    let run = json["run"].to_string();
    let shown = project.ok(&["runs", "show", &run]);
    let failures: Vec<_> = shown.lines().skip_while(|line| !line.starts_with("FAILED")).collect();
    assert_eq!(failures.len(), 3, "{shown}");
    assert!(failures[1].starts_with("    11  t10, t11, t12, t13, t14, …  "), "{shown}");
    assert!(failures[2].starts_with("     1  t15 "), "{shown}");
    assert_eq!(project.ok(&["runs", "show", &run, "--failed"]).matches("0002_unique.sql").count(), 12);
    assert_eq!(project.json(&["runs", "show", &run])["groups"][0]["tenants"], 11);
    let status = project.json(&["status"]);
    assert_eq!(
        (&status["groups"][0]["tenants"], &status["groups"][1]["slugs"]),
        (&json!(11), &json!(["t15"]))
    );
    let screen = project.ok(&["status"]);
    assert_eq!(screen.matches("0002_unique.sql").count(), 2, "{screen}");

    let exec = project.run(&["exec", "--all", "SELECT 1 / 0"]);
    assert_eq!(exec.stderr.matches("division by zero").count(), 1, "{}", exec.stderr);
    let rest = "\n11 more tenants failed like `t10`: t11, t12, t13, t14, …\n12 tenants, 12 failed, 0 rows\n";
    assert!(exec.stderr.ends_with(rest), "{}", exec.stderr);

    project.write("tenants", "admin\nwww\nmail\n");
    let create = project.run(&["create", "--from", "tenants", "--jobs", "1"]);
    let rest = "\n2 more tenants failed like `admin`: www, mail\n0 created, 0 there already, 3 failed\n";
    assert!(create.stderr.ends_with(rest), "{}", create.stderr);
    assert_eq!(create.stderr.matches("is reserved").count(), 1, "{}", create.stderr);
}

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
    assert_eq!(json["failures"][0]["tenant"], "acme");
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
    assert_eq!(json["behind"][0]["tenant"], json!(null));
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

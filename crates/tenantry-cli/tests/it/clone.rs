use std::os::unix::fs::PermissionsExt as _;

use crate::bench::Project;

#[tokio::test]
async fn a_tenant_is_cloned_with_what_was_asked_for() {
    let project = Project::ready().await;
    project.close_public().await;
    project.ok(&["create", "acme", "--name", "Acme", "--setting", "plan=gold"]);
    project.ok(&[
        "exec",
        "--tenant",
        "acme",
        "INSERT INTO note (id, title) VALUES (1, 'secret'), (2, 'secret')",
    ]);
    let done = project.run(&["clone", "acme", "trial", "--name", "Demo", "--domain", "demo.org"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stderr.contains("cloned tenant acme as trial, 2 rows"), "{}", done.stderr);
    for part in ["demo.org", "plan=gold", "Demo"] {
        assert!(done.stdout.contains(part), "{part}: {}", done.stdout);
    }
    project.write("hide.sql", "UPDATE note SET title = 'hidden';");
    let json = project.json(&["clone", "acme", "hidden", "--anonymize", "hide.sql"]);
    assert_eq!(
        (&json["slug"], &json["copied"], &json["notes"]),
        (&"hidden".into(), &2.into(), &serde_json::json!([]))
    );
    let titles = project.ok(&["exec", "--tenant", "hidden", "SELECT DISTINCT title FROM note"]);
    assert!(titles.contains("hidden") && !titles.contains("secret"), "{titles}");
    assert_eq!(project.json(&["clone", "acme", "empty", "--no-rows"])["copied"], 0);
    assert_eq!(project.json(&["clone", "acme", "some", "--except-tables", "note"])["copied"], 0);
    project.refused(2, &["clone", "acme", "other", "--no-rows", "--only-tables", "note"]);
    assert!(project.refused(1, &["clone", "acme", "trial"]).contains("already exists"));
    assert!(project.refused(1, &["clone", "nobody", "other"]).contains("`nobody`"));
    let nowhere = ["clone", "acme", "other", "--database", "nowhere"];
    assert!(project.refused(1, &nowhere).contains("no database is named `nowhere`"));
    project.refused(2, &["clone", "acme", "other", "--database", "No where"]);
    assert_eq!(project.json(&["doctor"]), serde_json::json!([]));
}

#[tokio::test]
async fn a_machine_without_pg_dump_clones_what_is_known() {
    let mut project = Project::ready().await;
    project.ok(&["create", "acme"]);
    // One that cannot say which version it is stands for none.
    let folder = project.folder.path().join("bin");
    std::fs::create_dir(&folder).unwrap();
    let program = folder.join("pg_dump");
    std::fs::write(&program, "#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6'\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    project.ok(&["clone", "acme", "first"]);
    project.variables.push(("PATH", folder.display().to_string()));
    project.variables.push(("TENANTRY_PG_BIN", folder.display().to_string()));
    project.ok(&["clone", "acme", "second"]);
    project.ok(&["exec", "--tenant", "acme", "CREATE TABLE other ()"]);
    let refused = project.refused(1, &["clone", "acme", "third"]);
    assert!(refused.contains("pg_dump") && refused.contains("hint: install"), "{refused}");
}

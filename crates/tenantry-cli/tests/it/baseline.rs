use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::bench::Project;

const FILE: &str = "migrations/tenant/baseline.sql";

#[tokio::test]
async fn a_baseline_is_written_proved_and_started_from() {
    let project = Project::ready().await;
    assert!(project.refused(1, &["baseline", "--check"]).contains("there is no baseline"));
    let done = project.run(&["baseline"]);
    assert_eq!((done.code, done.stdout.lines().count()), (0, 1), "{}", done.stderr);
    assert!(done.stdout.contains(FILE) && done.stderr.contains("baseline --check"), "{done:?}");

    let file = project.folder.path().join(FILE);
    let text = fs::read_to_string(&file).unwrap();
    for part in ["-- version: 1\n", "-- digest: ", "-- pg_dump: ", "\nCREATE TABLE __tenant__.note (\n"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    project.write("migrations/tenant/0002_later.sql", "ALTER TABLE note ADD COLUMN later int;");
    assert_eq!(project.json(&["baseline", "--check"]), serde_json::json!({ "version": 1 }));
    project.ok(&["create", "acme"]);
    project.ok(&["exec", "--tenant", "acme", "INSERT INTO note (id, later) VALUES (1, 2)"]);

    fs::write(&file, text.replace("title text", "title varchar")).unwrap();
    let refused = project.refused(1, &["baseline", "--check"]);
    assert!(refused.contains("is not what the migrations make"), "{refused}");

    // A changed file makes the baseline useless until it is written again, which is possible.
    project.write("migrations/tenant/0001_note.sql", "CREATE TABLE note (id bigint);");
    assert!(project.refused(1, &["create", "globex"]).contains("hint: "));
    project.ok(&["baseline", "--at", "1"]);
    project.ok(&["create", "globex"]);
    project.refused(2, &["baseline", "--check", "--at", "1"]);
}

#[tokio::test]
async fn a_pg_dump_that_is_missing_or_too_old_is_named() {
    let mut project = Project::ready().await;
    let programs = project.folder.path().join("programs");
    fs::create_dir(&programs).unwrap();
    project.variables.push(("PATH", programs.display().to_string()));
    // Where nothing is beside it, either.
    project.variables.push(("TENANTRY_PG_BIN", programs.display().to_string()));
    let refused = project.refused(1, &["baseline"]);
    assert!(
        refused.contains("there is no pg_dump on this machine") && refused.contains("hint: "),
        "{refused}"
    );

    let old = programs.join("pg_dump");
    fs::write(&old, "#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24 (Debian 9.6.24-1)'\n").unwrap();
    fs::set_permissions(&old, fs::Permissions::from_mode(0o755)).unwrap();
    let refused = project.refused(1, &["baseline"]);
    assert!(refused.contains("pg_dump 9 is older than the server"), "{refused}");
    assert!(!project.folder.path().join(FILE).exists());
}

use std::fs;

use crate::bench::Project;

/// Commands that need no migration file.
const OTHERS: [&[&str]; 9] = [
    &["list"],
    &["show", "acme"],
    &["status"],
    &["runs"],
    &["domain", "list", "acme"],
    &["spare", "list"],
    &["exec", "--tenant", "acme", "SELECT 1"],
    &["dev", "url", "--tenant", "acme"],
    &["doctor"],
];

/// Checks that what is wrong is said once by those who need no files, and is the error of those who do.
fn check_stops_only(project: &Project, problem: &str, stopped: &[&[&str]]) {
    for command in OTHERS {
        let done = project.run(command);
        assert_eq!(done.code, 0, "{command:?}: {}", done.stderr);
        assert_eq!(done.stderr.matches(problem).count(), 1, "{command:?}: {}", done.stderr);
        assert!(done.stderr.starts_with("warning: "), "{command:?}: {}", done.stderr);
        assert!(done.stderr.contains("`tenantry lint` shows this"), "{command:?}: {}", done.stderr);
    }
    for command in stopped {
        let error = project.refused(1, command);
        assert_eq!(error.matches(problem).count(), 1, "{command:?}: {error}");
        assert!(error.starts_with("error: ") && error.contains("\nhint: "), "{command:?}: {error}");
    }
}

const NEW: [&[&str]; 2] = [&["create", "late"], &["spare", "fill"]];
const ALL: [&[&str]; 3] = [NEW[0], NEW[1], &["migrate"]];

#[tokio::test]
async fn a_file_that_cannot_be_used_stops_only_what_needs_it() {
    let project = Project::with_tenants().await;
    let remove = |file: &str| fs::remove_file(project.folder.path().join(file)).unwrap();
    let name = "migrations/tenant/0002-more.sql";
    project.write(name, "SELECT 1;");
    check_stops_only(&project, "0002-more.sql: the version is not followed by `_`", &ALL);
    remove(name);

    let refused = "migrations/tenant/0002_vacuum.sql";
    project.write(refused, "VACUUM;");
    check_stops_only(&project, "0002_vacuum.sql:1: `VACUUM` cannot run in a transaction", &ALL);
    remove(refused);

    let folder = "migrations/tenant/20240101_init/migration.sql";
    project.write(folder, "SELECT 1;");
    check_stops_only(&project, "migration.sql: it is in a folder, and folders are not read", &ALL);
    remove(folder);

    let baseline = "migrations/tenant/baseline.sql";
    project.write(baseline, "-- nothing");
    check_stops_only(&project, "baseline.sql: the comments at its beginning name no version", &NEW);
    project.write("migrations/tenant/0002_more.sql", "CREATE TABLE more ();");
    let done = project.run(&["migrate"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(done.stderr.matches("baseline.sql").count(), 1, "{}", done.stderr);
    remove(baseline);
    project.ok(&["create", "late"]);
    assert_eq!(project.run(&["list"]).stderr, "");
}

#[tokio::test]
async fn without_the_directories_no_tenant_is_made() {
    let project = Project::with_tenants().await;
    let migrations = project.folder.path().join("migrations");
    fs::rename(migrations.join("master"), project.folder.path().join("kept")).unwrap();
    check_stops_only(&project, "migrations/master: there is no such directory", &ALL);

    // There may never have been any, so nobody else has to hear of it.
    fs::remove_dir_all(&migrations).unwrap();
    for command in NEW {
        let error = project.refused(1, command);
        assert!(error.contains("tenant: there are no migrations: this directory does not exist"), "{error}");
    }
    assert_eq!(project.run(&["list"]).stderr, "");
    assert_eq!(project.json(&["list"]).as_array().unwrap().len(), 2);
    project.write("migrations/tenant/README", "What another program makes.");
    project.write("migrations/master/README", "Nothing.");
    let error = project.refused(1, &["create", "late"]);
    assert!(error.contains("version 1 was applied, but there is no file for it"), "{error}");
}

#[tokio::test]
async fn a_changed_file_is_told_once_and_marked() {
    let project = Project::with_tenants().await;
    project.write("migrations/tenant/0001_note.sql", "CREATE TABLE note (id int, title text); -- notes");
    for command in [&["migrate"][..], &["migrate", "--dry-run"], &["migrate", "--tenant", "acme"]] {
        let error = project.refused(1, command);
        assert_eq!(error.matches("was changed after").count(), 1, "{command:?}: {error}");
        assert!(error.contains("--mark-applied 1"), "{error}");
    }
    project.refused(1, &["create", "late"]);
    assert_eq!(
        project.ok(&["migrate", "--mark-applied", "1", "--tenant", "acme"]),
        "schemas: 1 marked, 0 untouched\n"
    );
    assert_eq!(project.json(&["migrate", "--mark-applied", "1"])["marked"], 1);
    assert_eq!(project.json(&["status"])["tenants"]["active"]["up_to_date"], 2);
    project.ok(&["create", "late"]);

    for command in [
        &["migrate", "--mark-applied", "1", "--to", "1"][..],
        &["migrate", "--mark-applied", "1", "--mark-pending", "1"],
        &["migrate", "--mark-applied", "1", "--dry-run"],
        &["migrate", "--master"],
        &["migrate", "--mark-applied", "1", "--master", "--tenant", "acme"],
    ] {
        project.refused(2, command);
    }
    assert!(project.refused(1, &["migrate", "--mark-applied", "7"]).contains("no migration with version 7"));
}

#[tokio::test]
async fn a_file_that_comes_late_needs_a_word() {
    let project = Project::with_tenants().await;
    project.write("migrations/tenant/0003_more.sql", "ALTER TABLE note ADD more int;");
    project.ok(&["migrate"]);
    project.write("migrations/tenant/0002_late.sql", "ALTER TABLE note ADD late int;");
    for command in [&["migrate"][..], &["migrate", "--dry-run"]] {
        let error = project.refused(1, command);
        assert!(error.contains("0002_late.sql` comes too late: version 3 is applied already"), "{error}");
        assert!(error.contains("--allow-out-of-order"), "{error}");
    }
    assert!(project.ok(&["migrate", "--dry-run", "--allow-out-of-order"]).contains("0002_late.sql"));
    project.ok(&["migrate", "--allow-out-of-order"]);
}

#[tokio::test]
async fn the_encoding_of_what_is_executed_is_named() {
    let project = Project::with_tenants().await;
    let file = project.folder.path().join("seed.sql");
    for (bytes, problem) in [
        (&b"\xef\xbb\xbfSELECT 1"[..], "seed.sql:1: the file begins with a byte order mark"),
        (b"\xff\xfeS\0", "seed.sql:1: the file is UTF-16"),
        (b"S\0E\0", "seed.sql:1: the file is UTF-16"),
        (b"SELECT 1;\r-- \xe9", "seed.sql:2: the file is not UTF-8"),
    ] {
        fs::write(&file, bytes).unwrap();
        let error = project.refused(1, &["exec", "--tenant", "acme", "--file", "seed.sql"]);
        assert!(error.starts_with(&format!("error: {problem}\nhint: save it as UTF-8")), "{error}");
    }
    fs::write(&file, b"\xef\xbb\xbfinitech\n").unwrap();
    let error = project.refused(1, &["create", "--from", "seed.sql"]);
    assert!(
        error.starts_with("error: seed.sql:1: the file begins with a byte order mark\nhint: "),
        "{error}"
    );
    let missing = project.refused(1, &["exec", "--tenant", "acme", "--file", "none.sql"]);
    assert!(missing.contains("`none.sql` cannot be read"), "{missing}");
}

#[tokio::test]
async fn a_line_is_the_one_that_an_editor_shows() {
    let project = Project::ready().await;
    project.write("migrations/tenant/0002_old.sql", "-- of an old Mac\r\rSELEC 1;\r");
    let error = project.refused(1, &["create", "acme"]);
    assert!(error.contains("0002_old.sql:3:1: syntax error"), "{error}");
}

#[tokio::test]
async fn a_tenant_from_which_everything_was_undone_is_at_nothing() {
    let project = Project::ready().await;
    project.write("migrations/tenant/0000_setup.up.sql", "CREATE TABLE setup (id int);");
    project.write("migrations/tenant/0000_setup.down.sql", "DROP TABLE setup;");
    project.write("migrations/tenant/0001_note.down.sql", "DROP TABLE note;");
    project.ok(&["create", "acme"]);
    project.ok(&["migrate", "--to", "0", "--yes"]);
    let versions = project.json(&["status"])["versions"].take();
    assert_eq!(versions[0]["files"], "nothing", "{versions}");
    project.refused(1, &["exec", "--tenant", "acme", "SELECT FROM setup"]);
    project.ok(&["migrate"]);
    project.ok(&["exec", "--tenant", "acme", "SELECT FROM note, setup"]);
}

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
    // Now it is the fleet that has applied something else, until somebody says that it does not matter.
    let refused = project.refused(1, &["create", "globex"]);
    assert!(refused.contains("a new tenant would not be like tenant `acme`"), "{refused}");
    project.ok(&["migrate", "--mark-applied", "1"]);
    project.ok(&["create", "globex"]);
    project.refused(2, &["baseline", "--check", "--at", "1"]);
}

#[tokio::test]
async fn a_partial_baseline_says_where_it_ends_and_what_would_carry_the_rest() {
    let project = Project::ready().await;
    project.write("migrations/tenant/0002_seed.sql", "INSERT INTO note VALUES (1, 'seed');");
    let done = project.run(&["baseline"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    for part in
        ["it ends at version 1", "0002_seed.sql` on", "rows in `note`", "`--with-rows note` carries them"]
    {
        assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
    }
    project.ok(&["baseline", "--check"]);
    project.ok(&["create", "acme"]);

    let json = project.json(&["baseline"]);
    assert_eq!((&json["version"], &json["first_rows"]["tables"][0]), (&1.into(), &"note".into()));
    let refused = project.refused(1, &["baseline", "--at", "2"]);
    assert!(refused.contains("--with-rows note"), "{refused}");
    let done = project.run(&["baseline", "--with-rows", "note"]);
    assert_eq!((done.code, done.stderr.contains("it ends at")), (0, false), "{}", done.stderr);
    project.ok(&["baseline", "--check"]);
    project.ok(&["create", "globex"]);
    for slug in ["acme", "globex"] {
        assert!(project.ok(&["exec", "--tenant", slug, "SELECT title FROM note"]).contains("seed"));
    }
}

#[tokio::test]
async fn variables_of_the_shell_do_not_reach_pg_dump() {
    let mut project = Project::ready().await;
    let file = project.folder.path().join(FILE);
    project.ok(&["baseline"]);
    let without = fs::read_to_string(&file).unwrap();
    for (name, value) in [
        ("PGOPTIONS", "-c quote_all_identifiers=on"),
        ("PGSERVICE", "nosuch"),
        ("PGSERVICEFILE", "/nowhere"),
        ("PGTZ", "x"),
        ("PGCLIENTENCODING", "LATIN1"),
        ("PGDATESTYLE", "x"),
        ("PGHOSTADDR", "192.0.2.1"),
        ("PGPASSWORD", "another"),
    ] {
        project.variables.push((name, value.to_owned()));
    }
    project.ok(&["baseline"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), without);
    project.ok(&["baseline", "--check"]);
}

#[tokio::test]
async fn a_dump_that_is_cut_off_is_refused() {
    let mut project = Project::ready().await;
    let real = tenantry_embedded::Binaries::find().unwrap().directory().join("pg_dump");
    let programs = project.folder.path().join("programs");
    fs::create_dir(&programs).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    project.variables.push(("PATH", path));
    for (cut, says) in [("head -c 700", "the dump was cut off"), ("sed /complete/d", "the dump was cut off")]
    {
        let script = format!(
            "#!/bin/sh\ncase $1 in --version) exec {0} --version;; esac\n{0} \"$@\" | {cut}\n",
            real.display()
        );
        write_program(&programs.join("pg_dump"), &script);
        let refused = project.refused(1, &["baseline"]);
        assert!(refused.contains(says) && refused.contains("hint: "), "{refused}");
    }
    // One that dies says nothing itself.
    let script =
        format!("#!/bin/sh\ncase $1 in --version) exec {} --version;; esac\nkill -BUS $$\n", real.display());
    write_program(&programs.join("pg_dump"), &script);
    let refused = project.refused(1, &["baseline"]);
    assert!(refused.contains("pg_dump failed: signal: 7"), "{refused}");
    assert!(!project.folder.path().join(FILE).exists());
}

fn write_program(file: &std::path::Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
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
    write_program(&old, "#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24 (Debian 9.6.24-1)'\n");
    let refused = project.refused(1, &["baseline"]);
    assert!(refused.contains("pg_dump 9 is older than the server"), "{refused}");
    assert!(!project.folder.path().join(FILE).exists());
}

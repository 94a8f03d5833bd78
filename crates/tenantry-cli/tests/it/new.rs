use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;

use crate::bench::Project;

/// The names in a folder of the project, in alphabetical order.
fn names(project: &Project, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(project.folder.path().join(folder)).unwrap();
    let names: BTreeSet<_> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.into_iter().collect()
}

fn with_directories() -> Project {
    let project = Project::without_database();
    for folder in ["migrations/master", "migrations/tenant"] {
        fs::create_dir_all(project.folder.path().join(folder)).unwrap();
    }
    project
}

#[test]
fn the_next_file_goes_on_with_the_numbers_of_its_directory() {
    let project = with_directories();
    let made = project.run(&["new", "note"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    assert!(made.stdout.ends_with("/migrations/tenant/0001_note.sql\n"), "{}", made.stdout);
    assert!(made.stderr.contains("`tenantry lint`"), "{}", made.stderr);
    project.ok(&["new", "add_title"]);
    assert_eq!(names(&project, "migrations/tenant"), ["0001_note.sql", "0002_add_title.sql"]);

    // The master's have numbers of their own, and a file that undoes a migration makes pairs of the next ones.
    project.ok(&["new", "plan", "--master", "--down"]);
    let json = project.json(&["new", "Price-List", "--master"]);
    assert_eq!(json["version"], 2);
    assert_eq!(json["files"].as_array().unwrap().len(), 2, "{json}");
    project.ok(&["new", "seed", "--master", "--no-down"]);
    assert_eq!(
        names(&project, "migrations/master"),
        [
            "0001_plan.down.sql",
            "0001_plan.up.sql",
            "0002_Price-List.down.sql",
            "0002_Price-List.up.sql",
            "0003_seed.sql",
        ]
    );
    // What it made is fit to run, but for ways back that nobody has written yet.
    assert_eq!(project.ok(&["lint"]).matches(": empty-down: ").count(), 2);
}

#[test]
fn a_time_follows_times() {
    let project = with_directories();
    project.write("migrations/tenant/20240131120000_note.sql", "CREATE TABLE note (id int);");
    let version = project.json(&["new", "first"])["version"].as_i64().unwrap();
    assert!(version > 20_260_000_000_000 && version < 99_991_231_235_959, "{version}");
    // Within the same second there is a next number all the same.
    assert!(project.json(&["new", "second"])["version"].as_i64().unwrap() > version);
}

#[tokio::test]
async fn each_kind_of_file_begins_as_it_must_and_can_be_filled() {
    let project = Project::with_tenants().await;
    project.ok(&["new", "index", "--no-transaction", "--down"]);
    project.ok(&["new", "initials", "--code", "--no-down"]);
    let read =
        |name: &str| fs::read_to_string(project.folder.path().join("migrations/tenant").join(name)).unwrap();
    assert!(read("0003_initials.sql").starts_with("-- code\n"), "{}", read("0003_initials.sql"));
    fs::remove_file(project.folder.path().join("migrations/tenant/0003_initials.sql")).unwrap();
    for (name, statement) in [
        ("0002_index.up.sql", "CREATE INDEX CONCURRENTLY note_title ON note (title);"),
        ("0002_index.down.sql", "DROP INDEX CONCURRENTLY note_title;"),
    ] {
        assert!(read(name).starts_with("-- no-transaction\n"), "{}", read(name));
        project.write(&format!("migrations/tenant/{name}"), &format!("{}{statement}\n", read(name)));
    }
    project.ok(&["migrate"]);
    // Until it is written, nobody can go back by it.
    project.ok(&["new", "more"]);
    project.ok(&["migrate"]);
    let error = project.refused(3, &["migrate", "--to", "2", "--yes"]);
    assert!(error.contains("0003_more.down.sql"), "{error}");
    project.write("migrations/tenant/0003_more.down.sql", "-- lint: allow empty-down\n");
    project.ok(&["migrate", "--to", "1", "--yes"]);
}

#[test]
fn a_bad_name_is_refused_with_a_better_one() {
    let project = with_directories();
    for (name, better) in [("0002_x.sql", "`x`"), ("add title", "`add_title`"), ("", "`add_title`")] {
        let error = project.refused(2, &["new", name]);
        assert!(error.starts_with(&format!("error: `{name}` is no name for a migration: ")), "{error}");
        assert!(error.contains(&format!("\nhint: call it {better}; ")), "{error}");
    }
    assert_eq!(names(&project, "migrations/tenant"), [""; 0]);
    project.refused(2, &["new", "x", "--code", "--master"]);
    project.refused(2, &["new", "x", "--down", "--no-down"]);
}

#[test]
fn nothing_is_made_where_the_versions_are_not_known() {
    let project = Project::without_database();
    let error = project.refused(1, &["new", "note"]);
    assert!(
        error.contains("/migrations/tenant` cannot be opened") && error.contains("tenantry init"),
        "{error}"
    );
    let project = with_directories();
    project.write("migrations/tenant/7-odd.sql", "SELECT 1;");
    let error = project.refused(1, &["new", "note"]);
    assert!(error.contains("7-odd.sql: the version is not followed by `_`"), "{error}");
    assert!(error.contains("hint: name it like `7_odd.sql`"), "{error}");
    // Neither a text that is refused nor a stale baseline hides a version.
    let project = with_directories();
    project.write("migrations/tenant/0001_note.sql", "COMMIT;");
    project.write("migrations/tenant/baseline.sql", "-- nothing");
    project.ok(&["new", "more"]);
    assert_eq!(names(&project, "migrations/tenant")[1], "0002_more.sql");
    project.write("migrations/tenant/9223372036854775807_last.sql", "SELECT 1;");
    assert!(project.refused(1, &["new", "more"]).contains("the largest that there can be"));
}

#[test]
fn many_at_once_get_a_version_each() {
    let project = with_directories();
    let children: Vec<_> = (0..8)
        .map(|index| {
            let mut command = project.command(&["new", &format!("by_{index}")]);
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let versions: BTreeSet<_> =
        names(&project, "migrations/tenant").into_iter().map(|name| name[..4].to_owned()).collect();
    assert_eq!(versions.len(), 8, "{versions:?}");
    assert_eq!(project.ok(&["lint"]), "");
}

use std::fs;

use serde_json::Value;

use crate::bench::Project;

/// A text that changes when anything in the catalogs or in the registry does.
fn state(project: &Project) -> String {
    let catalogs = ["pg_class", "pg_namespace", "pg_attribute", "pg_proc", "pg_constraint", "pg_index"];
    let tables = ["tenant", "domain", "applied", "run", "run_schema"];
    let hash = |table: String| {
        format!("(SELECT coalesce(md5(string_agg(it::text, ',' ORDER BY it::text)), '') FROM {table} AS it)")
    };
    let parts: Vec<_> = catalogs
        .iter()
        .map(|name| hash(format!("pg_catalog.{name}")))
        .chain(tables.iter().map(|name| hash(format!("tenantry.{name}"))))
        .collect();
    project.ok(&["exec", "--master", &format!("SELECT {}", parts.join(", "))])
}

/// The texts that are printed, without the names of schemas.
fn sql_of(project: &Project, arguments: &[&str]) -> String {
    let done = project.run(&[&["migrate", "--sql"], arguments].concat());
    assert_eq!(done.code, 0, "{}", done.stderr);
    let folder = project.folder.path().canonicalize().unwrap();
    let text = done.stdout.replace(&format!("{}/", folder.display()), "");
    text.replace(&format!("{}/", project.folder.path().display()), "")
}

fn without_schema(text: &str, slug: &str) -> String {
    let prefix = format!("t_{slug}_");
    let Some((before, rest)) = text.split_once(&prefix) else { return text.to_owned() };
    format!("{before}T{}", without_schema(&rest[10..], slug))
}

const LIMITS: &str = "SET LOCAL synchronous_commit TO off;\nSET LOCAL lock_timeout TO '3000';\n\
                      SET LOCAL statement_timeout TO '600000';\n";

#[tokio::test]
async fn the_sql_is_printed_once_for_all_for_whom_it_is_the_same() {
    let project = Project::with_tenants().await;
    project.ok(&["create", "initech"]);
    project.ok(&["migrate"]);
    project.write("migrations/tenant/0002_title.sql", "ALTER TABLE note ADD more int -- for all");
    project.ok(&["migrate", "--tenant", "initech"]);
    project.write(
        "migrations/tenant/0003_index.sql",
        "-- no-transaction\nCREATE INDEX CONCURRENTLY i ON note (id);\n",
    );
    project.write("migrations/tenant/0004_size.sql", "BEGIN;\nALTER TABLE note ADD size int;\nCOMMIT;\n");
    project.write("migrations/tenant/0005_kind.sql", "ALTER TABLE note ADD kind int;\n");
    project.write("migrations/master/0002_price.sql", "ALTER TABLE plan ADD price int;\n");
    let before = state(&project);
    let printed = sql_of(&project, &[]);
    assert_eq!(state(&project), before);

    let path =
        |schema: &str| format!("search_path TO \"{schema}\", tenantry_void, \"extensions\", pg_temp;\n");
    let rest = |schema: &str| {
        format!(
            "SET {}-- apply 3: migrations/tenant/0003_index.sql\n-- no-transaction\n\
             CREATE INDEX CONCURRENTLY i ON note (id);\nRESET ALL;\n\n\
             BEGIN;\n{LIMITS}SET LOCAL {}-- apply 4: migrations/tenant/0004_size.sql\n\
             ALTER TABLE note ADD size int;\nRESET ALL;\n{LIMITS}SET LOCAL {}\
             -- apply 5: migrations/tenant/0005_kind.sql\nALTER TABLE note ADD kind int;\nCOMMIT;\n",
            path(schema),
            path(schema),
            path(schema)
        )
    };
    let expected = format!(
        "-- the master schema\nBEGIN;\n{LIMITS}SET LOCAL {}-- apply 2: migrations/master/0002_price.sql\n\
         ALTER TABLE plan ADD price int;\nCOMMIT;\n\n\
         -- 2 tenants: acme, globex; the path is that of the first\n\
         BEGIN;\n{LIMITS}SET LOCAL {}-- apply 2: migrations/tenant/0002_title.sql\n\
         ALTER TABLE note ADD more int -- for all\n;\nCOMMIT;\n\n{}\n\
         -- tenant initech\n{}",
        path("public"),
        path("T"),
        rest("T"),
        rest("T")
    );
    let printed = without_schema(&without_schema(&printed, "acme"), "initech");
    assert_eq!(printed, expected);

    // It says the same as what is done then.
    project.ok(&["migrate"]);
    assert_eq!(sql_of(&project, &[]), "-- nothing is pending\n");
}

#[tokio::test]
async fn what_is_chosen_is_printed_forwards_and_back() {
    let project = Project::with_tenants().await;
    project.write("migrations/tenant/0001_note.down.sql", "DROP TABLE note;\n");
    project.write("migrations/tenant/0002_title.sql", "ALTER TABLE note ADD more int;\n");
    let before = state(&project);
    let json: Value = project.json(&["migrate", "--sql", "--tenant", "globex"]);
    assert_eq!(json["schemas"].as_array().unwrap().len(), 1, "{json}");
    let group = &json["schemas"][0];
    assert_eq!((&group["slugs"][0], group["slugs"].as_array().unwrap().len()), (&"globex".into(), 1));
    assert_eq!(group["pending"][0]["version"], 2);
    assert!(group["sql"].as_str().unwrap().contains("\nALTER TABLE note ADD more int;\n"), "{json}");
    let back = sql_of(&project, &["--to", "0"]);
    assert!(back.starts_with("-- 2 tenants: acme, globex; "), "{back}");
    assert!(
        back.contains("\n-- undo 1: migrations/tenant/0001_note.down.sql\nDROP TABLE note;\nCOMMIT;\n"),
        "{back}"
    );
    assert!(!sql_of(&project, &["--to", "1"]).contains("ALTER"));
    assert_eq!(state(&project), before);

    // What would be refused is told, and the exit code says so.
    fs::remove_file(project.folder.path().join("migrations/tenant/0001_note.down.sql")).unwrap();
    let done = project.run(&["migrate", "--sql", "--to", "0"]);
    assert_ne!(done.code, 0, "{}{}", done.stdout, done.stderr);
    assert!(done.stderr.contains("0001_note.sql"), "{}", done.stderr);
    project.refused(2, &["migrate", "--sql", "--dry-run"]);
    project.refused(2, &["migrate", "--sql", "--mark-applied", "1"]);
}

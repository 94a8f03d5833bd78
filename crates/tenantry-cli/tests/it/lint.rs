use serde_json::{Value, json};

use crate::bench::Project;

const FOREIGN_KEY: &str = "CREATE TABLE subscription (\n  plan text REFERENCES public.plan\n);";

#[test]
fn files_are_judged_without_a_database() {
    let project = Project::without_database();
    let nothing = project.run(&["lint"]);
    assert_eq!((nothing.code, nothing.stdout.as_str(), nothing.stderr.as_str()), (0, "", "no warnings\n"));

    project.write("migrations/master/0001_citext.sql", "CREATE EXTENSION citext;");
    project.write("migrations/tenant/0001_subscription.sql", FOREIGN_KEY);
    project.write("migrations/tenant/0002_note.sql", "CREATE TABLE note (title text, UNIQUE (title));");
    let done = project.run(&["lint"]);
    assert_eq!((done.code, done.stderr.as_str()), (0, "3 warnings\n"));
    let lines: Vec<_> = done.stdout.lines().collect();
    for (index, part) in [
        "migrations/master/0001_citext.sql:1: extension-schema: ",
        "  hint: ",
        "migrations/tenant/0001_subscription.sql:2: shared-foreign-key: a foreign key to `public.plan` ",
        "  hint: ",
        "migrations/tenant/0002_note.sql:1: unnamed-constraint: ",
        "  hint: ",
    ]
    .iter()
    .enumerate()
    {
        assert!(lines[index].contains(part), "{part}: {}", done.stdout);
    }
    assert_eq!(lines.len(), 6);

    assert_eq!(project.refused(1, &["lint", "--deny-warnings"]), "error: 3 warnings\n");
    let later = project.run(&["lint", "--since", "2"]);
    assert_eq!((later.code, later.stderr.as_str()), (0, "1 warning\n"));
    assert!(project.refused(1, &["lint", "--deny-warnings", "--since", "2"]).contains("1 warning"));
    project.ok(&["lint", "--deny-warnings", "--since", "3"]);
    project.refused(2, &["lint", "--since", "yesterday"]);
}

#[test]
fn files_are_judged_for_citus_where_that_is_named() {
    let project = Project::without_database();
    let rename = "ALTER TABLE note RENAME CONSTRAINT a TO b;";
    project.write("migrations/master/0001_nothing.sql", "SELECT 1;");
    project.write("migrations/tenant/0001_note.sql", rename);
    assert_eq!(project.ok(&["lint"]), "");
    let done = project.run(&["lint", "--engine", "citus"]);
    assert!(done.code == 0 && done.stdout.contains(":1: citus-rename-constraint: "), "{}", done.stdout);
    project.write(
        "tenantry.toml",
        "[databases.default]\nurl = 'postgres://a@127.0.0.1:1/a'\nengine = 'citus'\n",
    );
    assert!(project.ok(&["lint"]).contains("citus-rename-constraint"));
    assert_eq!(project.ok(&["lint", "--engine", "postgres"]), "");

    let into = "ALTER TABLE public.plan ADD CONSTRAINT a FOREIGN KEY (b) REFERENCES note;";
    project.write("migrations/tenant/0002_plan.sql", &format!("{into} -- lint: allow outside-name"));
    assert!(project.refused(1, &["lint"]).contains("1 error"));
}

#[test]
fn everything_that_is_refused_is_shown_at_once() {
    let project = Project::without_database();
    project.write("migrations/master/0001_fine.sql", "SELECT 1;");
    project.write("migrations/tenant/0001_begin.sql", "BEGIN;\nSELECT 1;\nCOMMIT;\nSELECT 2;\n");
    project.write("migrations/tenant/0002_path.sql", "SET search_path = public;");
    project.write("migrations/tenant/nameless_1.sql", "SELECT 1;");
    let done = project.run(&["lint"]);
    assert_eq!((done.code, done.stderr.as_str()), (1, "error: 4 errors\n"));
    for part in
        ["0001_begin.sql:1: `BEGIN`", "0001_begin.sql:3: `COMMIT`", "0002_path.sql:1: `SET search_path`"]
    {
        assert!(done.stdout.contains(part), "{part}: {}", done.stdout);
    }
    assert!(
        done.stdout.contains("nameless_1.sql: the name does not begin with a version"),
        "{}",
        done.stdout
    );
    assert_eq!(done.stdout.matches("\n  hint: ").count(), 4);

    let done = project.run(&["lint", "--format", "json"]);
    let json: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(json["errors"][1]["line"], 3);
    assert_eq!(json["errors"][1]["kind"], "migration");
    assert_eq!(json["errors"][3]["line"], json!(null));
    let error: Value = serde_json::from_str(&done.stderr).unwrap();
    assert_eq!(error, json!({ "error": "4 errors", "kind": "lint" }));
}

#[test]
fn an_applied_file_is_not_judged_again_and_what_follows_is() {
    let project = Project::without_database();
    project.write("migrations/master/0001_fine.sql", "SELECT 1;");
    project.write("migrations/tenant/0001_old.sql", "VACUUM;");
    project.write("migrations/tenant/0002_subscription.sql", FOREIGN_KEY);
    project.write("migrations/tenant/0003_new.sql", "SET ROLE x;");
    let json = project.run(&["lint", "--format", "json"]);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["errors"].as_array().unwrap().len(), 2);
    assert_eq!(json["warnings"][0]["rule"], "shared-foreign-key", "an error hides no warning");
    assert_eq!(project.run(&["lint", "--since", "2"]).stderr, "error: 1 error\n");
    project.ok(&["lint", "--since", "4"]);
}

#[test]
fn a_way_back_that_is_empty_is_told_unless_it_says_so() {
    let project = Project::without_database();
    project.write("migrations/master/0001_fine.sql", "SELECT 1;");
    project.write("migrations/tenant/0001_note.up.sql", "CREATE TABLE note (id int);");
    project.write("migrations/tenant/0001_note.down.sql", "-- Add down migration script here\n");
    let warned = project.run(&["lint"]);
    assert!(
        warned.stdout.contains("0001_note.down.sql:1: empty-down: the file holds no statement"),
        "{warned:?}"
    );
    project.write("migrations/tenant/0001_note.down.sql", "-- lint: allow empty-down\n");
    project.ok(&["lint", "--deny-warnings"]);
}

#[test]
fn programs_get_warnings_with_their_places() {
    let project = Project::without_database();
    project.write("tenantry.toml", "extension_schemas = [\"geo\"]");
    project.write("migrations/master/0001_fine.sql", "SELECT 1;");
    project.write("migrations/tenant/0001_geo.sql", "SELECT geo.f(1), extensions.f(1);");
    let json = project.json(&["lint"]);
    assert_eq!(json["errors"], json!([]));
    assert_eq!(json["warnings"].as_array().unwrap().len(), 1);
    let warning = &json["warnings"][0];
    assert_eq!((&warning["line"], &warning["column"]), (&json!(1), &json!(18)));
    assert_eq!(warning["rule"], "outside-name");
    assert!(warning["file"].as_str().unwrap().ends_with("migrations/tenant/0001_geo.sql"), "{warning}");
    assert_eq!(warning["message"], "`extensions.f` is outside of the tenant's schema");
    assert!(warning["hint"].is_string());
}

#[test]
fn the_help_names_every_rule() {
    let help = Project::without_database().ok(&["lint", "--help"]);
    for rule in tenantry::migrate::Rule::ALL {
        assert!(help.contains(rule.as_str()), "{rule}: {help}");
    }
}

#[tokio::test]
async fn migrate_warns_once_of_what_is_pending() {
    let project = Project::with_tenants().await;
    project.write("migrations/tenant/0002_subscription.sql", FOREIGN_KEY);
    project.write("migrations/master/0002_plan.sql", "ALTER TABLE plan ADD PRIMARY KEY (name);");
    let denied = project.refused(1, &["migrate", "--deny-warnings"]);
    assert!(denied.contains("\nerror: nothing was migrated: 1 warning\nhint: "), "{denied}");
    assert_eq!(project.json(&["status"])["migrations"]["master"]["state"], "behind");

    let done = project.run(&["migrate"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(done.stderr.matches("0002_subscription.sql:2: shared-foreign-key: ").count(), 1);
    assert!(done.stderr.starts_with("warning: "), "{}", done.stderr);
    let again = project.run(&["migrate", "--deny-warnings"]);
    assert_eq!((again.code, again.stderr.as_str()), (0, ""));

    project.write("migrations/tenant/0003_tag.sql", "CREATE TABLE tag (name text CHECK (name <> ''));");
    let denied = project.refused(1, &["migrate", "--deny-warnings", "--format", "json"]);
    let error: Value = serde_json::from_str(&denied).unwrap();
    assert_eq!(error["kind"], "lint");
    assert_eq!(project.json(&["show", "acme"])["migrations"], "behind");
    let json = project.json(&["migrate"]);
    assert_eq!(json["warnings"][0]["rule"], "unnamed-constraint");
    assert_eq!(project.json(&["migrate"])["warnings"], json!([]));
}

#[tokio::test]
async fn what_the_server_says_of_a_migration_is_shown_once() {
    let project = Project::ready().await;
    project.write("migrations/tenant/0002_more.sql", "CREATE TABLE IF NOT EXISTS note (id int);");
    let created = project.run(&["create", "acme"]);
    assert_eq!(created.code, 0, "{}", created.stderr);
    let said = "notice: relation \"note\" already exists, skipping\n";
    assert_eq!(created.stderr.matches(said).count(), 1, "{}", created.stderr);

    project.ok(&["create", "globex"]);
    project.write("migrations/tenant/0003_again.sql", "DO $$ BEGIN RAISE NOTICE 'done'; END $$;");
    let migrated = project.run(&["migrate"]);
    assert_eq!(migrated.stderr.matches("notice: ").count(), 1, "{}", migrated.stderr);
    assert!(migrated.stderr.contains("notice: done\n"), "{}", migrated.stderr);
}

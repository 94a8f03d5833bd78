use serde_json::json;

use crate::bench::{Project, assert_rows};

/// The schemas that an application of another framework has left.
const OLD: &str = "
    CREATE TABLE customer (name text, schema_name text, subdomain text, domain text);
    INSERT INTO customer VALUES ('Acme', 'tenant_acme', 'acme', 'acme.org');
    INSERT INTO customer VALUES ('Globex', 'tenant_globex', 'globex', NULL);
    CREATE SCHEMA tenant_acme; CREATE TABLE tenant_acme.note (id int, title text);
    CREATE SCHEMA tenant_globex; CREATE TABLE tenant_globex.note (id int, title text);
    CREATE SCHEMA \"tenant_\u{e9}\"";

#[tokio::test]
async fn schemas_are_shown_first_then_adopted_several_at_once() {
    let project = Project::ready().await;
    project.close_public().await;
    project.ok(&["exec", "--master", "--owner", OLD]);
    let shown = project.ok(&["adopt", "--like", "tenant_%", "--dry-run"]);
    assert_rows(
        &shown,
        &[
            "SCHEMA SLUG DOMAIN TABLES NOTED VERSION DIFFERENCES REFUSED",
            "tenant_acme acme - 1 - 1 -",
            "tenant_globex globex - 1 - 1 -",
            "tenant_\u{e9} - - 0 - - - its name suggests no slug",
        ],
    );
    assert_eq!(project.json(&["list"]), json!([]));
    let refused = project.refused(2, &["adopt", "--like", "tenant_%"]);
    assert!(refused.contains("nobody is there to confirm: make tenants of 2 schemas"), "{refused}");

    let number = "SELECT schema_name, subdomain AS slug, 7 AS domain FROM customer";
    let refused = project.refused(2, &["adopt", "--query", number, "--yes"]);
    assert!(refused.contains("the column `domain` of the query is no text"), "{refused}");
    let unnamed =
        project.refused(2, &["adopt", "--query", "SELECT subdomain AS slug FROM customer", "--yes"]);
    assert!(unnamed.contains("answers with no `schema_name`"), "{unnamed}");
    assert_eq!(project.json(&["list"]), json!([]));

    let query = "SELECT schema_name, subdomain AS slug, domain FROM customer ORDER BY 1";
    project.ok(&["adopt", "--query", query, "--yes"]);
    let acme = project.json(&["show", "acme.org"]);
    assert_eq!((&acme["schema"], &acme["migrations"]), (&json!("tenant_acme"), &json!("up_to_date")));
    project.write("migrations/tenant/0002_done.sql", "ALTER TABLE note ADD COLUMN done boolean;");
    project.ok(&["migrate"]);
    assert_eq!(project.run(&["adopt", "--like", "tenant_%", "--yes"]).code, 3, "one has no slug");

    let released = project.ok(&["release", "globex", "--yes"]);
    assert_eq!(released, "released globex\n");
    assert_eq!(project.json(&["list"]).as_array().unwrap().len(), 1);
    let again = "SELECT 'tenant_globex' AS schema_name, 'globex' AS slug";
    project.ok(&["adopt", "--query", again, "--yes"]);
    assert_eq!(project.json(&["doctor"]), json!([]));
}

#[tokio::test]
async fn a_schema_that_differs_is_shown_and_stops_no_other() {
    let project = Project::ready().await;
    project.close_public().await;
    let other = "
        CREATE SCHEMA tenant_good; CREATE TABLE tenant_good.note (id int, title text);
        CREATE SCHEMA tenant_odd; CREATE TABLE tenant_odd.note (id int, title text, done bool);
        CREATE SCHEMA tenant_poor; CREATE TABLE tenant_poor.note (id int)";
    project.ok(&["exec", "--master", "--owner", other]);
    let shown = project.ok(&["adopt", "--like", "tenant_%", "--dry-run"]);
    assert_rows(
        &shown,
        &[
            "SCHEMA SLUG DOMAIN TABLES NOTED VERSION DIFFERENCES REFUSED",
            "tenant_good good - 1 - 1 -",
            "tenant_odd odd - 1 - - from 1: column `note.done` is extra it is not what the files make",
            "tenant_poor poor - 1 - - from 1: column `note.title` is missing it is not what the files make",
        ],
    );
    let query = "SELECT schema_name, NULL::text AS slug FROM
                 (VALUES ('tenant_good'), ('tenant_none'), ('tenant_odd'), ('tenant_poor')) AS t (schema_name)";
    let done = project.run(&["adopt", "--query", query, "--yes"]);
    assert_eq!(done.code, 3, "{}", done.stderr);
    for told in [
        "schema `tenant_none` is not there",
        "column `note.done` is extra",
        "1 adopted, 0 there already, 3 failed",
    ] {
        assert!(done.stderr.contains(told), "{}", done.stderr);
    }
    let done = project.run(&["adopt", "--query", query, "--allow-differences", "--yes", "--jobs", "1"]);
    assert_eq!(done.code, 3, "{}", done.stderr);
    assert!(done.stderr.contains("1 belong to a tenant already"), "{}", done.stderr);
    assert_eq!(project.json(&["list"]).as_array().unwrap().len(), 3);
    let odd = project.json(&["show", "tenant-odd"]);
    assert_eq!(odd["migrations"], json!("up_to_date"));
}

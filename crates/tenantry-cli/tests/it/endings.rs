use serde_json::json;

use crate::bench::Project;

#[tokio::test]
async fn a_tenant_is_deleted_comes_back_and_goes_for_good() {
    let project = Project::with_tenants().await;
    project.close_public().await;
    let refused = project.refused(2, &["delete", "acme"]);
    assert!(refused.contains("nobody is there to confirm: delete tenant acme"), "{refused}");
    let deleted = project.run(&["delete", "acme", "--yes", "--keep", "7d"]);
    assert_eq!(deleted.code, 0, "{}", deleted.stderr);
    assert!(deleted.stderr.contains("`tenantry undelete acme` brings it back"), "{}", deleted.stderr);
    assert!(deleted.stdout.contains("purge after"), "{}", deleted.stdout);
    assert_eq!(project.json(&["show", "acme"])["status"], "deleted");
    project.refused(1, &["exec", "--tenant", "acme", "SELECT 1"]);
    let too_early = project.refused(1, &["purge", "acme", "--yes"]);
    assert!(too_early.contains("hint: `--now` purges it before that"), "{too_early}");

    project.write("migrations/tenant/0002_more.sql", "CREATE TABLE more (id int);");
    project.ok(&["migrate"]);
    let back = project.run(&["undelete", "acme"]);
    assert!(back.stderr.contains("run `tenantry migrate --tenant acme`"), "{}", back.stderr);
    assert_eq!(project.json(&["show", "acme"])["purge_after"], json!(null));
    let refused = project.refused(1, &["purge", "acme", "--yes"]);
    assert!(refused.contains("hint: delete it first: `tenantry delete acme`"), "{refused}");

    project.ok(&["delete", "acme", "--yes"]);
    let refused = project.refused(2, &["purge", "acme", "--now"]);
    assert!(refused.contains("nobody is there to confirm"), "{refused}");
    assert_eq!(project.ok(&["purge", "acme", "--now", "--yes"]), "purged acme\n");
    project.refused(1, &["show", "acme"]);
    assert_eq!(project.json(&["doctor"]), json!([]));
}

#[tokio::test]
async fn those_whose_time_has_come_are_purged_whatever_one_of_them_does() {
    let project = Project::with_tenants().await;
    project.ok(&["create", "initech"]);
    project.ok(&["create", "stays"]);
    for slug in ["acme", "globex", "initech"] {
        project.ok(&["delete", slug, "--yes", "--keep", "0d"]);
    }
    let schema = project.json(&["show", "globex"])["schema"].as_str().unwrap().to_owned();
    let view = format!("CREATE VIEW all_notes AS SELECT * FROM \"{schema}\".note");
    project.ok(&["exec", "--master", &view]);
    let purged = project.run(&["purge", "--due", "--yes", "--format", "json"]);
    assert_eq!(purged.code, 3, "{}", purged.stderr);
    let json: serde_json::Value = serde_json::from_str(&purged.stdout).unwrap();
    assert_eq!(json, json!({ "purged": ["acme", "initech"], "failed": 1 }));
    assert!(purged.stderr.contains("view public.all_notes"), "{}", purged.stderr);
    assert_eq!(project.json(&["show", "globex"])["status"], "deleted");

    assert_eq!(project.ok(&["purge", "--due", "--yes", "--drop-dependents"]), "purged globex\n");
    let none = project.run(&["purge", "--due", "--yes"]);
    assert_eq!((none.code, none.stdout.as_str(), none.stderr.as_str()), (0, "", "no tenant is due\n"));
    assert_eq!(project.json(&["list"]).as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_renamed_tenant_keeps_the_slug_it_had() {
    let project = Project::with_tenants().await;
    project.close_public().await;
    let renamed = project.run(&["rename", "acme", "apex"]);
    assert_eq!((renamed.code, renamed.stderr.as_str()), (0, "renamed acme to apex\n"));
    assert!(renamed.stdout.contains("former slugs  acme"), "{}", renamed.stdout);
    assert_eq!(project.json(&["show", "apex"])["former_slugs"][0]["slug"], "acme");
    let gone = project.refused(1, &["show", "acme"]);
    assert!(gone.contains("hint: it is called `apex` now"), "{gone}");
    let taken = project.refused(1, &["create", "acme"]);
    assert!(taken.contains("tenant `acme` already exists"), "{taken}");
    project.refused(1, &["rename", "globex", "www"]);
    project.ok(&["rename", "apex", "acme", "--redirect-for", "0d"]);
    project.ok(&["create", "apex"]);
    assert_eq!(project.json(&["doctor"]), json!([]));
}

use tenantry_embedded::ScratchDatabase;

use crate::bench::Project;

#[tokio::test]
async fn a_tenant_goes_to_another_database_and_its_copy_goes_in_time() {
    let project = Project::with_tenants().await;
    let eu = ScratchDatabase::create().await.unwrap();
    project.close_public().await;
    project.write("tenantry.toml", &format!("[databases.eu]\nurl = '{}'\n", eu.url()));
    project.ok(&["init"]);
    // First it says what that would cost, and nothing is done.
    let plan = project.ok(&["move", "acme", "--to", "eu"]);
    let [online, offline] = ["--online", "--offline"]
        .map(|way| plan.lines().find(|line| line.trim_start().starts_with(way)).unwrap_or_default());
    assert!(offline.contains(" possible: its checkouts would wait for about"), "{plan}");
    assert!(online.contains("not possible") && plan.contains("`wal_level` of its server is"), "{plan}");
    let refused = project.refused(1, &["move", "acme", "--to", "eu", "--online"]);
    assert!(refused.contains("`wal_level` of its server is"), "{refused}");
    project.refused(2, &["move", "acme", "--to", "eu", "--online", "--offline"]);
    assert_eq!(project.json(&["show", "acme"])["database"], "default");
    assert!(project.refused(1, &["move", "acme"]).contains("is not being moved"));
    project.refused(2, &["move", "acme", "--offline"]);
    assert!(project.refused(1, &["move", "acme", "--to", "mars", "--offline"]).contains("`mars`"));

    let done = project.run(&["move", "acme", "--to", "eu", "--offline", "--keep", "0s"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stderr.contains("moved tenant acme from default to eu, 2 rows"), "{}", done.stderr);
    let notes = project.ok(&["exec", "--tenant", "acme", "SELECT title FROM note WHERE id = 1"]);
    assert!(notes.contains("of acme"), "{notes}");
    let again = project.json(&["move", "acme", "--to", "eu", "--offline"]);
    assert_eq!((&again["database"], &again["copied"]), (&"eu".into(), &0.into()));
    let audit = project.ok(&["show", "acme"]);
    assert!(audit.contains("move"), "{audit}");
    let purged = project.run(&["purge", "--due", "--yes"]);
    assert!(purged.stderr.contains("dropped the copy of acme in database default"), "{}", purged.stderr);
    project.ok(&["doctor"]);
}

use crate::bench::Project;

#[tokio::test]
async fn a_tenant_goes_into_a_file_and_comes_back() {
    let project = Project::ready().await;
    project.close_public().await;
    project.ok(&["create", "acme", "--name", "Acme", "--setting", "plan=gold", "--domain", "acme.org"]);
    project.ok(&["exec", "--tenant", "acme", "INSERT INTO note (id, title) VALUES (1, 'one'), (2, 'two')"]);
    let done = project.run(&["export", "acme", "--to", "acme.tar.zst"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let verified = project.ok(&["verify", "acme.tar.zst"]);
    let sha256 =
        |text: &str| text.lines().find_map(|line| line.strip_prefix("sha256")).unwrap().trim().to_owned();
    assert_eq!(sha256(&done.stdout), sha256(&verified));
    for part in ["acme", "rows", "2", "PostgreSQL"] {
        assert!(verified.contains(part), "{part}: {verified}");
    }
    let json = project.json(&["verify", "acme.tar.zst"]);
    assert_eq!((&json["slug"], &json["rows"]), (&"acme".into(), &2.into()));

    // Nothing is replaced that nobody said may be.
    assert!(project.refused(1, &["export", "acme", "--to", "acme.tar.zst"]).contains("is there already"));
    project.ok(&["export", "acme", "--to", "acme.tar.zst", "--replace"]);
    let path = project.folder.path().join("acme.tar.zst");
    assert!(!path.with_extension("zst.part").exists());
    let mut damaged = std::fs::read(&path).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(project.folder.path().join("damaged.tar.zst"), damaged).unwrap();
    for command in ["verify", "import"] {
        assert!(project.refused(1, &[command, "damaged.tar.zst"]).contains("cannot be used"), "{command}");
        assert!(project.refused(1, &[command, "nowhere.tar.zst"]).contains("cannot be read"), "{command}");
    }

    assert!(project.refused(1, &["import", "acme.tar.zst"]).contains("already exists"));
    let copy = project.json(&["import", "acme.tar.zst", "--slug", "copy", "--name", "Copy"]);
    assert_eq!(
        (&copy["copied"], &copy["name"], &copy["domains"]),
        (&2.into(), &"Copy".into(), &serde_json::json!([]))
    );
    assert_eq!(copy["settings"]["plan"], "gold");

    // There, gone, and there again.
    project.ok(&["delete", "acme", "--yes"]);
    project.ok(&["export", "acme", "--to", "deleted.tar.zst"]);
    project.ok(&["purge", "acme", "--yes", "--now"]);
    let back = project.run(&["import", "deleted.tar.zst"]);
    assert!(back.stderr.contains("imported tenant acme, 2 rows"), "{}", back.stderr);
    for part in ["acme.org", "plan=gold", "Acme"] {
        assert!(back.stdout.contains(part), "{part}: {}", back.stdout);
    }
    assert!(project.ok(&["exec", "--tenant", "acme", "SELECT title FROM note"]).contains("two"));
    assert_eq!(project.json(&["doctor"]), serde_json::json!([]));
}

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use axum::http::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::bench::{Done, Project, signal};
use crate::s3::S3;

/// The files below a folder, by their names, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn json_of(done: &Done) -> Value {
    serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{done:?}"))
}

/// Makes the files of an export look as if they were from another day.
fn backdate(folder: &Path, day: &str) {
    for file in files(folder) {
        let name = file.file_name().unwrap().to_str().unwrap();
        fs::rename(&file, file.with_file_name(format!("{day}T013000Z{}", &name[16..]))).unwrap();
    }
}

#[tokio::test]
async fn a_night_leaves_an_archive_of_each_and_removes_what_is_old() {
    let project = Project::with_tenants().await;
    project.ok(&["create", "initech"]);
    project.ok(&["suspend", "initech"]);
    let folder = project.folder.path().join("backup");
    let night = ["export", "--all", "--to", "backup", "--keep", "7d", "--verify", "--jobs", "2"];

    let dry = project.json(&[&night[..], &["--dry-run"]].concat());
    assert_eq!(dry["exported"], json!([{ "slug": "acme" }, { "slug": "globex" }, { "slug": "initech" }]));
    assert!(!folder.exists(), "nothing was made");

    let first = project.json(&night);
    assert_eq!((&first["failed"], &first["removed"]), (&json!(0), &json!([])));
    assert_eq!(first["exported"].as_array().unwrap().len(), 3);
    assert_eq!(files(&folder).len(), 6, "an archive and an entry of each");
    backdate(&folder, "20250102");
    // Nobody's files are left alone, however old they are.
    let acme = files(&folder).iter().find(|file| file.to_str().unwrap().contains("-acme-")).unwrap().clone();
    let stranger = acme.with_file_name("20250101T013000Z-acme-00000000.tar.zst");
    fs::write(&stranger, "?").unwrap();
    fs::write(folder.join("README"), "?").unwrap();

    let second = project.json(&night);
    assert_eq!(second["failed"], 0, "{second}");
    let removed = second["removed"].as_array().unwrap();
    assert_eq!(removed.len(), 6, "{second}");
    assert!(removed.iter().all(|file| file.as_str().unwrap().starts_with("backup/")), "{second}");
    assert!(stranger.exists() && folder.join("README").exists());

    let listed = project.json(&["archives", "--in", "backup"]);
    assert_eq!(listed["unknown"].as_array().unwrap().len(), 2, "{listed}");
    let archives = listed["archives"].as_array().unwrap();
    assert_eq!(archives.len(), 3);
    for archive in archives {
        assert_eq!((&archive["outcome"], &archive["verified"]), (&json!("done"), &json!(true)));
        let verified = project.json(&["verify", archive["file"].as_str().unwrap()]);
        assert_eq!((&verified["sha256"], &verified["rows"]), (&archive["sha256"], &archive["rows"]));
    }
    let audit = &project.json(&["show", "acme"])["audit"][0];
    let of_acme = project.json(&["archives", "acme", "--in", "backup"]);
    assert_eq!(audit["digest"], of_acme["archives"][0]["sha256"], "{audit}");
    assert_eq!(of_acme["archives"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn one_that_fails_stops_nobody_and_loses_nothing() {
    let project = Project::with_tenants().await;
    let folder = project.folder.path().join("backup");
    project.ok(&["export", "--all", "--to", "backup"]);
    backdate(&folder, "20250102");
    let schema = project.json(&["show", "acme"])["schema"].as_str().unwrap().to_owned();
    project.ok(&["exec", "--master", &format!("ALTER SCHEMA \"{schema}\" RENAME TO elsewhere")]);

    let night = ["export", "--all", "--to", "backup", "--keep", "1d", "--format", "json"];
    let done = project.run(&night);
    assert_eq!(done.code, 3, "{}", done.stderr);
    let json = json_of(&done);
    assert_eq!((&json["failed"], &json["groups"][0]["slugs"]), (&json!(1), &json!(["acme"])));
    assert_eq!(json["exported"][0]["slug"], "globex");
    assert_eq!(json["removed"].as_array().unwrap().len(), 2, "{json}");

    let listed = project.json(&["archives", "acme", "--in", "backup"]);
    let outcomes: Vec<_> = listed["archives"].as_array().unwrap().iter().map(|it| &it["outcome"]).collect();
    assert_eq!(outcomes, ["done", "failed"], "the old one is still there");
    let table = project.ok(&["archives", "--in", "backup"]);
    assert!(table.contains("failed") && table.contains("-globex-"), "{table}");

    project.ok(&["exec", "--master", &format!("ALTER SCHEMA elsewhere RENAME TO \"{schema}\"")]);
    let named = project.json(&["export", "acme", "--to", "backup/", "--keep", "1d"]);
    assert_eq!(named["removed"].as_array().unwrap().len(), 2, "{named}");
    for refused in [
        &["export", "--all", "--to", "ftp://x"][..],
        &["export", "--all", "--to", "s3://"],
        &["export", "--to", "backup"],
        &["export", "acme", "--all", "--to", "backup"],
        &["export", "--all", "--to", "backup", "--keep", "7"],
        &["purge", "acme", "--export-first"],
    ] {
        project.refused(2, refused);
    }
    project.refused(1, &["archives", "--in", "nowhere"]);
    project.refused(1, &["export", "--all", "--exclude", "nobody", "--to", "backup"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_holds_archives_like_a_folder() {
    let mut project = Project::with_tenants().await;
    let s3 = S3::start().await;
    project.variables.extend(s3.variables());
    // More than a part, which does not get smaller.
    let sql = "INSERT INTO note SELECT 3, string_agg(md5(a::text || random()), '') FROM generate_series(1, 550000) a";
    project.ok(&["exec", "--tenant", "acme", sql]);

    let place = "s3://backup/of shop/nightly";
    let night = ["export", "--all", "--to", place, "--verify", "--keep", "7d"];
    let first = project.json(&night);
    assert_eq!((&first["failed"], &first["groups"]), (&json!(0), &json!([])));
    let largest = first["exported"].as_array().unwrap().iter().max_by_key(|it| it["bytes"].as_u64()).unwrap();
    assert!(largest["bytes"].as_u64().unwrap() > 8 << 20, "it is of several parts: {largest}");
    project.ok(&["exec", "--tenant", "acme", "DELETE FROM note WHERE id = 3"]);
    let second = project.json(&night);
    let listed = project.json(&["archives", "--in", place]);
    assert_eq!(
        (listed["archives"].as_array().unwrap().len(), &listed["unknown"]),
        (4, &json!([])),
        "{listed}"
    );
    let archive = &second["exported"][0];
    let verified = project.json(&["verify", archive["file"].as_str().unwrap()]);
    assert_eq!(verified["sha256"], archive["sha256"]);
    let imported = project.json(&["import", archive["file"].as_str().unwrap(), "--slug", "again"]);
    assert_eq!((&imported["slug"], &imported["copied"]), (&json!("again"), &json!(2)));
    if std::env::var_os("TENANTRY_TEST_S3").is_some() {
        return;
    }

    assert!(s3.bucket().uploads.is_empty());
    assert!(s3.bucket().objects.keys().all(|key| key.starts_with("of shop/nightly/")));
    // It fails when it begins, on the way, and at the last moment.
    for refused in [(Method::POST, false), (Method::PUT, true), (Method::POST, true)] {
        s3.bucket().refused = Some(refused);
        let failed = project.run(&night);
        assert_eq!(failed.code, 3, "{}", failed.stderr);
        assert!(failed.stderr.contains("AccessDenied"), "{}", failed.stderr);
        s3.bucket().refused = None;
        assert!(s3.bucket().uploads.is_empty(), "nothing is half there");
        assert_eq!(s3.bucket().objects.keys().filter(|key| key.ends_with(".tar.zst")).count(), 4);
    }
    project.variables.push(("AWS_SECRET_ACCESS_KEY", "another".to_owned()));
    let refused = project.refused(1, &["archives", "--in", place]);
    assert!(refused.contains("SignatureDoesNotMatch"), "{refused}");
    project.variables.push(("AWS_ENDPOINT_URL", "http://s3.example.com".to_owned()));
    let refused = project.refused(2, &["archives", "--in", place]);
    assert!(refused.contains("is not encrypted"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_night_leaves_no_half_archive() {
    let project = Project::with_tenants().await;
    let folder = project.folder.path().join("backup");
    let mut holder = PgConnection::connect(project.database.as_ref().unwrap().url()).await.unwrap();
    for name in ["TERM", "INT", "KILL"] {
        // The export waits for a table that somebody rewrites.
        let schema = project.json(&["show", "globex"])["schema"].as_str().unwrap().to_owned();
        let hold = format!("BEGIN; LOCK TABLE \"{schema}\".note IN ACCESS EXCLUSIVE MODE");
        sqlx::raw_sql(sqlx::AssertSqlSafe(hold)).execute(&mut holder).await.unwrap();
        let mut command = project.interruptible(&["export", "--all", "--jobs", "1", "--to", "backup"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let waits = "SELECT count(*) > 0 FROM pg_locks JOIN pg_stat_activity USING (pid)
                     WHERE NOT granted AND datname = current_database()";
        let deadline = Instant::now() + Duration::from_secs(20);
        while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut holder).await.unwrap() {
            assert!(Instant::now() < deadline, "it does not wait");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(signal(name, &child));
        tokio::time::sleep(Duration::from_millis(50)).await;
        sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        if name != "KILL" {
            assert_eq!(output.status.code(), Some(1), "{stderr}");
            assert!(stderr.contains("hint: run it again"), "{stderr}");
            assert!(
                files(&folder).iter().all(|file| !file.to_str().unwrap().contains("-globex-")),
                "{stderr}"
            );
        }
    }
    let listed = project.json(&["archives", "--in", "backup"]);
    assert!(listed["archives"].as_array().unwrap().iter().all(|it| it["slug"] == "acme"), "{listed}");
    assert_eq!(listed["unknown"], json!([]));
    let again = project.json(&["export", "--all", "--to", "backup", "--keep", "7d"]);
    assert_eq!((&again["failed"], again["exported"].as_array().unwrap().len()), (&json!(0), 2));
}

#[tokio::test]
async fn a_tenant_is_exported_before_it_is_purged() {
    let project = Project::with_tenants().await;
    for slug in ["acme", "globex"] {
        project.ok(&["delete", slug, "--yes", "--keep", "0d"]);
    }
    let schema = project.json(&["show", "globex"])["schema"].as_str().unwrap().to_owned();
    // Of this one there can be no archive.
    project.ok(&["exec", "--master", &format!("ALTER SCHEMA \"{schema}\" RENAME TO elsewhere")]);
    let id = project.json(&["show", "acme"])["id"].clone();
    let purge = ["purge", "--due", "--yes", "--export-first", "--to", "gone"];
    let done = project.run(&[&purge[..], &["--format", "json"]].concat());
    assert_eq!(
        (done.code, json_of(&done)),
        (3, json!({ "purged": ["acme"], "failed": 1 })),
        "{}",
        done.stderr
    );
    assert_eq!(project.json(&["show", "globex"])["status"], "deleted");
    let listed = project.json(&["archives", "acme", "--in", "gone"]);
    let archive = &listed["archives"][0];
    assert_eq!((&archive["id"], &archive["verified"], &archive["rows"]), (&id, &json!(true), &json!(2)));
    let audit = "SELECT verb, encode(digest, 'hex') FROM tenantry.audit WHERE slug = 'acme' ORDER BY id";
    let audit = project.ok(&["exec", "--master", audit]);
    let digest = archive["sha256"].as_str().unwrap();
    let (export, purge_line) = (audit.find(digest).expect(&audit), audit.find("purge").expect(&audit));
    assert!(export < purge_line, "{audit}");

    project.ok(&["exec", "--master", &format!("ALTER SCHEMA elsewhere RENAME TO \"{schema}\"")]);
    assert_eq!(project.ok(&purge), "purged globex\n");
    assert_eq!(
        files(&project.folder.path().join("gone"))
            .iter()
            .filter(|it| it.extension().unwrap() == "zst")
            .count(),
        2
    );
}

#[tokio::test]
async fn who_is_half_gone_needs_an_archive_that_the_catalogue_has() {
    let project = Project::with_tenants().await;
    let folder = project.folder.path().join("gone");
    project.ok(&["export", "acme", "--to", "gone/"]);
    for slug in ["acme", "globex"] {
        project.ok(&["delete", slug, "--yes", "--keep", "0d"]);
    }
    // As an interrupted purge leaves them.
    project.ok(&["exec", "--master", "UPDATE tenantry.tenant SET status = 'purging'"]);
    let purge = |slug: &'static str| ["purge", slug, "--yes", "--export-first", "--to", "gone"];
    let refused = project.refused(1, &purge("globex"));
    assert!(refused.contains("its purge has begun") && refused.contains("there is no archive"), "{refused}");
    // As whoever is killed between an archive and its entry leaves it: a good file, and nobody's.
    let entry = files(&folder).into_iter().find(|file| file.extension().unwrap() == "json").unwrap();
    let text = fs::read(&entry).unwrap();
    fs::remove_file(&entry).unwrap();
    project.refused(1, &purge("acme"));
    let listed = project.json(&["archives", "--in", "gone"]);
    assert_eq!((&listed["archives"], listed["unknown"].as_array().unwrap().len()), (&json!([]), 1));
    assert_eq!(project.json(&["verify", files(&folder)[0].to_str().unwrap()])["slug"], "acme");
    fs::write(&entry, text).unwrap();
    assert_eq!(project.ok(&purge("acme")), "purged acme\n");
    assert_eq!(files(&folder).len(), 2);
    project.ok(&["purge", "globex", "--yes"]);
}

#[tokio::test]
async fn whoever_is_killed_between_an_archive_and_its_entry_leaves_a_file_of_nobody() {
    let project = Project::with_tenants().await;
    let folder = project.folder.path().join("gone");
    let export = ["export", "acme", "--to", "gone/"];
    let dies = project.command(&export).env("TENANTRY_DIE_AT", "before-entry").output().unwrap();
    assert_eq!(dies.status.code(), None, "it was to be killed: {dies:?}");
    let listed = project.json(&["archives", "--in", "gone"]);
    assert_eq!((&listed["archives"], listed["unknown"].as_array().unwrap().len()), (&json!([]), 1));
    // It is whole, and no backup that anything counts on.
    let [file] = &files(&folder)[..] else { panic!("{:?}", files(&folder)) };
    assert_eq!(project.json(&["verify", file.to_str().unwrap()])["slug"], "acme");
    project.ok(&export);
    let listed = project.json(&["archives", "--in", "gone"]);
    let count = |key: &str| listed[key].as_array().unwrap().len();
    assert_eq!((count("archives"), count("unknown")), (1, 1));
}

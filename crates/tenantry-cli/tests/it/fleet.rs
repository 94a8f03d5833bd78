use serde_json::json;
use tenantry_embedded::ScratchDatabase;

use crate::bench::{Project, assert_rows};

#[tokio::test]
async fn a_fleet_lives_from_init_to_status() {
    let project = Project::new().await;
    let first = project.ok(&["init"]);
    assert!(first.lines().all(|line| line.contains("created")), "{first}");
    assert_eq!(first.lines().count(), 4, "{first}");
    let second = project.run(&["init"]);
    assert!(second.stdout.lines().all(|line| line.contains(" there ")), "{}", second.stdout);
    assert_eq!(second.stderr, "everything was there already\n");

    project.write("migrations/tenant/0001_note.sql", "CREATE TABLE note (id int, title text);");
    let acme = project.json(&["create", "acme", "--name", "Acme Ltd", "--setting", "seats:=7"]);
    assert_eq!(acme["slug"], "acme");
    assert_eq!(acme["settings"], json!({ "name": "Acme Ltd", "seats": 7 }));
    assert_eq!(acme["migrations"], "up_to_date");
    let globex = project.ok(&["create", "globex", "--domain", "Notes.Globex.com", "--setting", "plan=gold"]);
    assert!(globex.contains("\ndomains     notes.globex.com\nsettings    plan=gold\n"), "{globex}");

    let schema = |slug| project.json(&["show", slug])["schema"].as_str().unwrap().to_owned();
    assert_rows(
        &project.ok(&["list"]),
        &[
            "SLUG NAME STATUS MIGRATIONS DATABASE SCHEMA",
            &format!("acme Acme Ltd active up to date default {}", schema("acme")),
            &format!("globex globex active up to date default {}", schema("globex")),
        ],
    );
    let list = project.json(&["list"]);
    assert_eq!(list[1]["slug"], "globex");
    assert_eq!(list.as_array().unwrap().len(), 2);
    assert_eq!(project.json(&["list", "--status", "suspended"]), json!([]));

    assert_eq!(project.json(&["show", "notes.globex.com"])["slug"], "globex");
    let domains = project.json(&["domain", "add", "acme", "acme.org"]);
    assert_eq!(domains, json!({ "slug": "acme", "domains": ["acme.org"] }));
    assert_eq!(project.ok(&["domain", "list", "acme"]), "acme.org\n");
    assert_eq!(project.ok(&["domain", "remove", "acme", "acme.org"]), "");

    project.write("migrations/tenant/0002_done.sql", "ALTER TABLE note ADD done bool;");
    assert_eq!(project.json(&["status"])["tenants"]["active"]["behind"], 2);
    assert_eq!(project.ok(&["migrate"]), "schemas: 2 migrated, 1 up to date, 0 failed\n");

    let status = project.json(&["status"]);
    let counts = json!({ "total": 2, "up_to_date": 2, "behind": 0, "failed": 0 });
    assert_eq!(status["tenants"]["active"], counts);
    assert_eq!(status["databases"][0]["registry"], true);
    assert_eq!(status["migrations"]["tenant"]["latest"], 2);
    let screen = project.ok(&["status"]);
    assert!(screen.contains("\nactive       2           2       0       0\n"), "{screen}");
}

#[tokio::test]
async fn the_file_is_never_overwritten_and_found_from_below() {
    let project = Project::new().await;
    project.write("tenantry.toml", "master_schema = 'shared'\n");
    let below = project.folder.path().join("src/deep");
    std::fs::create_dir_all(&below).unwrap();
    assert!(project.command(&["init"]).current_dir(&below).output().unwrap().status.success());
    let file = project.folder.path().join("tenantry.toml");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "master_schema = 'shared'\n");
    assert!(project.folder.path().join("migrations/tenant").is_dir());
    let schema = project.json(&["exec", "--master", "SELECT current_schema() AS it"]);
    assert_eq!(schema[0]["rows"][0]["it"], "shared");
}

#[tokio::test]
async fn a_file_of_another_name_is_created_and_read() {
    let project = Project::new().await;
    let done = project.ok(&["init", "--config", "other.toml"]);
    assert!(project.folder.path().join("other.toml").is_file(), "{done}");
    assert!(project.folder.path().join("migrations/tenant").is_dir(), "{done}");
    assert_eq!(project.ok(&["--config", "other.toml", "dev", "status"]), "not running\n");
    assert_eq!(project.json(&["list", "--config", "other.toml"]), json!([]));
}

#[tokio::test]
async fn a_flag_beats_the_environment_beats_the_file() {
    let project = Project::ready().await;
    let other = ScratchDatabase::create().await.unwrap();
    project.write("tenantry.toml", "[databases.default]\nurl = 'postgres://nobody@127.0.0.1:1/none'\n");
    let name = |arguments: &[&str]| {
        let status = project.run(&[arguments, &["status", "--format", "json"]].concat());
        let json: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
        json["databases"][0]["address"].as_str().unwrap().rsplit_once('/').unwrap().1.to_owned()
    };
    assert_eq!(name(&[]), project.database.as_ref().unwrap().name());
    assert_eq!(name(&["--database-url", other.url()]), other.name());
}

#[tokio::test]
async fn tenants_of_another_database_are_created_migrated_and_counted() {
    let project = Project::new().await;
    let eu = ScratchDatabase::create().await.unwrap();
    project.write("tenantry.toml", &format!("[databases.eu]\nurl = '{}'\n", eu.url()));
    project.write("migrations/tenant/0001_note.sql", "CREATE TABLE note (id int);");
    project.ok(&["init"]);
    project.ok(&["create", "here"]);
    let there = project.json(&["create", "there", "--database", "eu"]);
    assert_eq!((&there["database"], &there["migrations"]), (&json!("eu"), &json!("up_to_date")));
    assert_eq!(project.json(&["list"])[1]["migrations"], "up_to_date");

    project.write("migrations/tenant/0002_done.sql", "ALTER TABLE note ADD done bool;");
    assert_eq!(project.json(&["list"])[1]["migrations"], "behind");
    assert_eq!(project.json(&["migrate"])["migrated"], 2);
    assert_eq!(project.json(&["status"])["tenants"]["active"]["up_to_date"], 2);
    let databases = project.json(&["exec", "--all", "SELECT current_database() AS name"]);
    assert_eq!(databases[1]["rows"][0]["name"], eu.name());
    let url = project.ok(&["dev", "url", "--tenant", "there"]);
    assert!(url.contains(eu.name()));
}

#[tokio::test]
async fn a_schema_that_is_there_can_be_registered() {
    let project = Project::ready().await;
    project.ok(&["exec", "--master", "CREATE SCHEMA old_shop"]);
    let initech = project.json(&["create", "initech", "--schema", "old_shop"]);
    assert_eq!((&initech["schema"], &initech["migrations"]), (&json!("old_shop"), &json!("behind")));
    assert_eq!(project.json(&["migrate", "--tenant", "initech"])["migrated"], 1);
    assert_eq!(project.json(&["show", "initech"])["migrations"], "up_to_date");
}

#[tokio::test]
async fn more_tenants_than_a_page_are_listed_once_each() {
    let project = Project::ready().await;
    let sql = "INSERT INTO tenantry.tenant (id, slug, schema_name, status)
               SELECT gen_random_uuid(), 't' || n, 's' || n, 'suspended' FROM generate_series(1, 1100) n";
    project.ok(&["exec", "--master", sql]);
    let list = project.json(&["list"]);
    let mut slugs: Vec<_> = list.as_array().unwrap().iter().map(|it| it["slug"].as_str().unwrap()).collect();
    assert!(slugs.is_sorted());
    slugs.dedup();
    assert_eq!(slugs.len(), 1100);
    assert_eq!(project.ok(&["list"]).lines().count(), 1101);
    assert_eq!(project.json(&["status"])["tenants"]["suspended"]["total"], 1100);
}

#[tokio::test]
async fn one_screen_tells_who_is_at_which_version() {
    let project = Project::with_tenants().await;
    project.ok(&["create", "initech"]);
    project.ok(&["migrate"]);
    project.ok(&["spare", "fill", "--count", "2"]);
    project.write("migrations/tenant/0002_more.sql", "ALTER TABLE note ADD COLUMN more int NOT NULL;");
    project.ok(&["exec", "--tenant", "globex", "DELETE FROM note"]);
    assert_eq!(project.run(&["migrate", "--exclude", "initech"]).code, 3);
    project.ok(&["spare", "fill", "--count", "1"]);
    project.write("migrations/tenant/0003_last.sql", "CREATE TABLE last ();");
    project.ok(&["migrate", "--tenant", "initech"]);

    let status = project.json(&["status"]);
    let at = |version: i64, example: &str| {
        let files = "up_to_version";
        json!({ "files": files, "version": version, "type": null, "tenants": 1, "slug": example })
    };
    assert_eq!(status["versions"], json!([at(1, "acme"), at(2, "globex"), at(3, "initech")]));
    assert_eq!(status["spares"], json!({ "up_to_date": 0, "behind": 1, "types": {} }));
    assert_eq!(status["last_run"]["state"], "done");
    let screen = project.ok(&["status"]);
    let versions = "\nAT VERSION  TENANTS  FIRST\n1                 1  acme\n2                 1  globex\n";
    assert!(screen.contains(versions), "{screen}");
    assert!(
        screen.contains("\nspares    0 up to date, 1 behind\nlast run  3, done: 1 migrated, 0 failed, by "),
        "{screen}"
    );

    // A change by hand is no version.
    let change = format!(
        "UPDATE tenantry.applied SET digest = sha256('other') WHERE schema_name = '{}'",
        project.json(&["show", "acme"])["schema"].as_str().unwrap()
    );
    project.ok(&["exec", "--master", &change]);
    assert!(project.ok(&["status"]).contains("\nother files        1  acme\n"));

    // As many of a type as the configuration says.
    project.write("tenantry.toml", "[types.pro]\nspares = 2\n[types.gold]\n");
    for name in ["pro", "gold"] {
        project.write(&format!("migrations/{name}/0004_{name}.sql"), &format!("CREATE TABLE {name} ();"));
    }
    project.ok(&["spare", "fill", "--count", "1"]);
    let of_pro = json!({ "pro": { "up_to_date": 2, "wanted": 2 } });
    assert_eq!(project.json(&["status"])["spares"], json!({ "up_to_date": 3, "behind": 0, "types": of_pro }));
    assert!(project.ok(&["status"]).contains("\nspares    3 up to date, 0 behind; of type pro 2 of 2\n"));
}

//! Several databases, of which one does not answer: it is named, and the others go on.

use std::time::{Duration, Instant};

use docs::{blocks, blocks_of, read};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tenantry_embedded::{ScratchDatabase, ScratchServer};

use crate::bench::{Project, assert_rows};

const PAGE: &str = "docs/placement.md";

/// A command that is typed while the database `eu` is away, and its end.
struct Typed<'a> {
    command: &'a [&'a str],
    code: i32,
    /// A part of what is printed.
    out: &'a str,
    /// True if the error names the database.
    names_eu: bool,
}

const fn typed<'a>(code: i32, command: &'a [&'a str], out: &'a str, names_eu: bool) -> Typed<'a> {
    Typed { command, code, out, names_eu }
}

/// Each command that looks at several databases, or at a tenant of the one that is away.
const WHILE_AWAY: &[Typed<'_>] = &[
    typed(3, &["init"], "default", true),
    typed(3, &["list"], "unknown", true),
    typed(0, &["list", "--where", "database = 'default'"], "here", false),
    typed(3, &["show", "there"], "unknown", true),
    typed(0, &["show", "here"], "up to date", false),
    typed(3, &["status"], "unreachable", true),
    typed(3, &["database", "list"], "does not answer", true),
    typed(3, &["exec", "--all", "SELECT current_database() IS NOT NULL AS it"], "here", true),
    typed(0, &["exec", "--tenant", "here", "SELECT 1"], "1", false),
    typed(1, &["exec", "--tenant", "there", "SELECT 1"], "", true),
    typed(3, &["migrate", "--dry-run"], "1 behind", true),
    typed(3, &["migrate"], "1 migrated", true),
    typed(3, &["migrate", "--resume"], "0 migrated", true),
    typed(0, &["runs"], "failed", false),
    typed(3, &["spare", "fill", "--count", "1"], "1 made", true),
    typed(3, &["spare", "list"], "up to date", true),
    typed(3, &["doctor"], "eu", false),
    typed(1, &["doctor", "--deny", "drift"], "eu", false),
    typed(3, &["export", "--all", "--to", "kept"], "here", true),
    typed(3, &["purge", "--due", "--yes"], "purged gone-here", true),
    typed(0, &["suspend", "there"], "suspended", false),
    typed(0, &["resume", "there"], "served", false),
    typed(0, &["set", "there", "--setting", "plan=gold"], "gold", false),
    typed(0, &["domain", "add", "there", "there.test"], "", false),
    typed(0, &["rename", "there", "over-there"], "", false),
    typed(0, &["rename", "over-there", "there"], "", false),
    typed(0, &["delete", "there", "--yes"], "deleted", false),
    typed(0, &["undelete", "there"], "active", false),
    typed(1, &["release", "there", "--yes"], "", true),
    typed(1, &["create", "fourth", "--database", "eu"], "", true),
    typed(0, &["create", "named", "--database", "default"], "named", false),
    typed(3, &["create", "--from", "tenants.txt"], "created third", true),
    typed(0, &["database", "close", "eu"], "closed to new tenants", false),
    typed(0, &["database", "open", "eu"], "open to new tenants", false),
    typed(3, &["drain", "eu", "--dry-run"], "tenantry move there --to default --offline", true),
    typed(1, &["move", "there", "--to", "default", "--offline"], "", true),
    typed(1, &["move", "here", "--to", "eu", "--offline"], "", true),
    typed(1, &["clone", "there", "copied", "--database", "default"], "", true),
    typed(1, &["clone", "here", "copied", "--database", "eu"], "", true),
    typed(0, &["clone", "here", "copied"], "copied", false),
    typed(1, &["export", "there", "--to", "there.tar.zst"], "", true),
    typed(0, &["export", "here", "--to", "of-here.tar.zst"], "", false),
    typed(1, &["import", "here.tar.zst", "--slug", "read", "--database", "eu"], "", true),
    typed(0, &["import", "here.tar.zst", "--slug", "read", "--database", "default"], "read", false),
    typed(3, &["import", "--from-file", "customers.csv"], "imported moves-in", true),
    typed(1, &["adopt", "--like", "left_%", "--database", "eu", "--dry-run"], "", true),
    typed(0, &["adopt", "--like", "left_%", "--dry-run"], "", false),
    typed(0, &["psql", "--tenant", "here", "--", "-c", "SELECT 1 AS it"], "it", false),
    typed(1, &["psql", "--tenant", "there", "--", "-c", "SELECT 1 AS it"], "", true),
    typed(0, &["baseline"], "", false),
];

#[tokio::test]
async fn one_database_that_does_not_answer_is_named_and_stops_no_command() {
    let project = Project::new().await;
    let mut server = ScratchServer::start().await.unwrap();
    let eu = server.database("eu").await.unwrap();
    let file = format!("[databases.eu]\nurl = '{}'\n[placement]\npolicy = 'fewest-tenants'\n", eu.url());
    project.write("tenantry.toml", &file);
    project.write("migrations/tenant/0001_note.sql", "CREATE TABLE note (id int);");
    project.write("tenants.txt", "second\n{\"slug\": \"nowhere\", \"database\": \"eu\"}\nthird\n");
    project.ok(&["init"]);
    for (slug, database) in [("here", "default"), ("gone-here", "default"), ("there", "eu"), ("gone", "eu")] {
        project.ok(&["create", slug, "--database", database]);
    }
    project.ok(&["export", "here", "--to", "here.tar.zst"]);
    let customer = ScratchDatabase::create().await.unwrap();
    let customers = ["moves-in,default", "stays-out,eu"].map(|to| format!("{},{to}\n", customer.url()));
    project.write("customers.csv", &format!("url,slug,database\n{}", customers.concat()));
    for slug in ["gone", "gone-here"] {
        project.ok(&["delete", slug, "--yes", "--keep", "0d"]);
    }
    server.kill().await;
    let mut wrong = Vec::new();
    for Typed { command, code, out, names_eu } in WHILE_AWAY {
        if command[0] == "migrate" {
            project.write("migrations/tenant/0002_done.sql", "ALTER TABLE note ADD done bool;");
        }
        let done = project.run(command);
        let is_right = done.code == *code && done.stdout.contains(out);
        if !is_right || done.stderr.contains("`eu`") != *names_eu {
            wrong.push(format!("{command:?} ends with {}\n{}{}", done.code, done.stdout, done.stderr));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let key = "k".repeat(64);
    let bypass = project.command(&["bypass", "there"]).env("TENANTRY_BYPASS_KEY", key).output().unwrap();
    assert!(bypass.status.success(), "{bypass:?}");

    // A tenant that names no database is made elsewhere, and that is said.
    let empty = "UPDATE tenantry.database SET tenants = 0, counted_at = now() WHERE alias = 'eu'";
    project.ok(&["exec", "--master", empty]);
    let passed = project.run(&["create", "fifth"]);
    assert_eq!(passed.code, 0, "{}", passed.stderr);
    assert!(passed.stderr.contains("`eu` is passed over for tenant `fifth`"), "{}", passed.stderr);
    assert_eq!(project.json(&["show", "fifth"])["database"], "default");

    // When it is back, the same commands finish what was left.
    server.start_again().await.unwrap();
    // With it goes the customer who moved in meanwhile, and had applied nothing.
    assert_eq!(project.json(&["migrate", "--resume"])["migrated"], 2);
    // The one of `default` is taken by now.
    assert_eq!(project.json(&["spare", "fill", "--count", "1"])["made"], 2);
    assert_eq!(project.ok(&["purge", "--due", "--yes"]), "purged gone\n");
    assert_eq!(project.json(&["create", "sixth"])["database"], "eu");
    let from = ["import", "--from", customer.url(), "seventh"];
    assert_eq!(project.json(&from)["database"], "eu");
    assert_eq!(project.json(&["import", "here.tar.zst", "--slug", "eighth"])["database"], "eu");
    for slug in ["seventh", "eighth"] {
        project.ok(&["delete", slug, "--yes", "--keep", "0d"]);
    }
    project.ok(&["purge", "--due", "--yes"]);
    let lists: Vec<Value> = ["list", "status"].map(|command| project.json(&[command])).into();
    assert!(lists.iter().all(|list| !list.to_string().contains("unknown")), "{lists:?}");
    let drained = project.run(&["drain", "eu", "--format", "json"]);
    let left: Value = serde_json::from_str(&drained.stdout).unwrap();
    let moves: Vec<_> = left["moves"].as_array().unwrap().iter().map(|it| (&it["slug"], &it["to"])).collect();
    assert_eq!(moves, [(&json!("sixth"), &json!("default")), (&json!("there"), &json!("default"))]);
    assert_eq!((drained.code, &left["staying"], &left["removed"]), (3, &json!({}), &json!(0)));
    let drained = project.run(&["drain", "eu", "--offline"]);
    assert_eq!(drained.code, 0, "{}", drained.stderr);
    assert!(drained.stderr.contains("moved tenant there to default"), "{}", drained.stderr);
    assert!(drained.stderr.contains("left: 0 to move"), "{}", drained.stderr);
    assert_eq!(project.json(&["show", "there"])["database"], "default");
}

#[tokio::test]
async fn tenants_are_placed_and_a_database_is_left_as_the_page_says() {
    let project = Project::new().await;
    let [eu_1, eu_2] = [ScratchDatabase::create().await.unwrap(), ScratchDatabase::create().await.unwrap()];
    let [shown] = blocks_of(PAGE, "toml");
    let mut file = shown;
    let default = project.database.as_ref().unwrap().url().to_owned();
    for (address, url) in [
        ("postgres://app@db.internal/saas", default.as_str()),
        ("postgres://app@eu-1.internal/saas", eu_1.url()),
        ("postgres://app@eu-2.internal/saas", eu_2.url()),
    ] {
        assert!(file.contains(address), "{file}");
        file = file.replace(address, url);
    }
    project.write("tenantry.toml", &file);
    project.ok(&["init"]);
    let shown = blocks(&read(PAGE)).into_iter().find(|block| block.language == "console").unwrap();
    for typed in shown.text.split("$ ").filter(|typed| !typed.is_empty()) {
        let (command, output) = typed.split_once('\n').unwrap();
        let done = project.type_lines(command);
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let expect: Vec<_> = output.lines().map(words).collect();
        let expect: Vec<_> = expect.iter().map(String::as_str).collect();
        if expect.is_empty() {
            assert_eq!(done.code, 0, "{command}: {}", done.stderr);
        } else {
            assert_rows(&done.stdout, &expect);
        }
    }
}

#[tokio::test]
async fn the_status_shows_replicas_and_how_far_they_are() {
    let primary = ScratchServer::start().await.unwrap();
    let mut standby = primary.standby().await.unwrap();
    let database = primary.database("saas").await.unwrap();
    let mut project = Project::without_database();
    project.variables.push(("DATABASE_URL", database.url().to_owned()));
    let replica = standby.url_of(&database);
    project.write("tenantry.toml", &format!("[databases.default]\nreplica_url = '{replica}'\n"));
    project.write("migrations/tenant/0001_note.sql", "CREATE TABLE note (id int);");
    project.ok(&["init"]);
    let shown = || project.json(&["status"])["databases"][0]["replicas"][0].clone();
    let is_up_to_date =
        |shown: &Value| (&shown["state"], &shown["bytes_behind"]) == (&json!("usable"), &json!(0));
    let begun = Instant::now();
    while !is_up_to_date(&shown()) {
        assert!(begun.elapsed() < Duration::from_secs(10), "{}", shown());
    }
    assert_eq!(shown()["lag_ms"], 0);
    let mut replay = PgConnection::connect(standby.url()).await.unwrap();
    sqlx::query("SELECT pg_wal_replay_pause()").execute(&mut replay).await.unwrap();
    project.ok(&["create", "acme"]);
    let late = shown();
    assert!(late["bytes_behind"].as_u64() > Some(0) && late["lag_ms"].is_number(), "{late}");
    let table = project.ok(&["status"]);
    let row = table.lines().skip_while(|line| !line.starts_with("REPLICA OF")).nth(1).unwrap();
    assert!(row.contains("usable") && row.contains(" KiB, ") && row.ends_with(" ms"), "{table}");

    drop(replay);
    standby.kill().await;
    assert_eq!(shown()["state"], "unreachable");
    assert!(project.ok(&["status"]).contains("unreachable"), "nothing is missing without it");
}

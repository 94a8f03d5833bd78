use serde_json::{Value, json};

use crate::bench::Project;

#[tokio::test]
async fn names_that_break_a_rule_create_nothing() {
    let project = Project::ready().await;
    let error = project.refused(1, &["create", "z'; drop schema public;--"]);
    assert!(error.starts_with(r#"error: "z'; drop schema public;--" cannot be a slug: "#), "{error}");
    assert!(error.contains("\nhint: use lower-case letters"), "{error}");
    assert!(
        project.refused(1, &["create", "admin"]).starts_with("error: the slug `admin` is reserved\nhint: ")
    );
    project.refused(1, &["create", "acme", "--domain", "no domain"]);
    project.refused(1, &["create", "acme", "--database", "mars"]);
    project.refused(1, &["create", "acme", "--schema", "nowhere"]);
    project.refused(1, &["create", "acme", "--schema", "public"]);
    project.refused(2, &["create", "acme", "--setting", "plan"]);
    project.refused(2, &["create", "acme", "--setting", "plan:=gold"]);
    assert_eq!(project.json(&["list"]), json!([]));
    let sql = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 't\\_%'";
    assert_eq!(project.json(&["exec", "--master", sql])[0]["rows"], json!([]));
}

#[tokio::test]
async fn what_is_taken_or_unknown_is_named() {
    let project = Project::with_tenants().await;
    assert_eq!(
        project.refused(1, &["create", "acme"]),
        "error: tenant `acme` already exists and is active\n"
    );
    project.ok(&["domain", "add", "acme", "acme.org"]);
    assert!(
        project.refused(1, &["domain", "add", "globex", "acme.org"]).contains("already belongs to a tenant")
    );
    let error = project.refused(1, &["domain", "remove", "globex", "acme.org"]);
    assert!(error.starts_with("error: tenant `globex` has no domain `acme.org`\nhint: "), "{error}");
    for command in [
        &["show", "nobody"][..],
        &["show", "nobody.org"],
        &["domain", "list", "nobody"],
        &["exec", "--tenant", "nobody", "SELECT 1"],
        &["psql", "--tenant", "nobody"],
        &["dev", "url", "--tenant", "nobody"],
        &["create", "--abort", "nobody", "--yes"],
    ] {
        let error = project.refused(1, command);
        assert!(error.contains("no tenant goes by `nobody"), "{command:?}: {error}");
        assert!(error.contains("\nhint: "), "{command:?}: {error}");
    }
}

#[tokio::test]
async fn an_error_is_an_object_for_programs() {
    let project = Project::ready().await;
    let error: Value =
        serde_json::from_str(&project.refused(1, &["show", "nobody", "--format", "json"])).unwrap();
    let hint = "`tenantry list` shows the tenants there are";
    let message = "no tenant goes by `nobody`";
    let expect = json!({ "error": message, "kind": "unknown_tenant", "slug": "nobody", "hint": hint });
    assert_eq!(error, expect);
}

#[tokio::test]
async fn without_a_registry_the_hint_is_init() {
    let project = Project::new().await;
    let error = project.refused(1, &["list"]);
    assert!(error.contains("registry in database `default` is not installed"), "{error}");
    assert!(error.contains("\nhint: run `tenantry init`"), "{error}");
    let status = project.run(&["status"]);
    assert_eq!(status.code, 1);
    assert!(status.stdout.contains("missing"), "{}", status.stdout);
    assert!(status.stderr.contains("\nhint: run `tenantry init`"), "{}", status.stderr);
}

#[tokio::test]
async fn without_a_database_the_hint_is_to_name_one() {
    let project = Project::without_database();
    let error = project.refused(1, &["list"]);
    assert!(error.starts_with("error: no database is configured"), "{error}");
    assert!(error.contains("DATABASE_URL") && error.contains("tenantry init"), "{error}");
    assert!(!project.folder.path().join(".tenantry").exists());
}

#[tokio::test]
async fn an_unreachable_server_is_named_without_the_password() {
    let mut project = Project::ready().await;
    project.variables = vec![("DATABASE_URL", "postgres://app:hunter2@127.0.0.1:1/saas".to_owned())];
    for command in [&["list"][..], &["init"], &["migrate"], &["status"], &["list", "-vvv"]] {
        let done = project.run(command);
        assert_eq!(done.code, 1, "{command:?}");
        assert!(done.stderr.contains("app@127.0.0.1:1/saas"), "{command:?}: {}", done.stderr);
        assert!(done.stderr.contains("refused"), "{command:?}: {}", done.stderr);
        assert!(done.stderr.contains("\nhint: "), "{command:?}: {}", done.stderr);
        assert!(!(done.stdout + &done.stderr).contains("hunter2"), "{command:?}");
    }
}

#[tokio::test]
async fn a_url_in_the_wrong_place_is_not_repeated() {
    let project = Project::without_database();
    let url = "postgres://app:hunter2@127.0.0.1:1/saas";
    for (code, command) in [
        (2, &["list", url, "--wrong"][..]),
        (2, &["--database", url, "list"]),
        (2, &["list", "--format", url]),
        (1, &["list", "--config", url]),
        (1, &["list", "--database-url", "postgres://app:hunter2@127.0.0.1:port/saas"]),
    ] {
        let refused = project.refused(code, command);
        assert!(!refused.contains("hunter2"), "{command:?}: {refused}");
    }
    for toml in
        ["[databases.default]\nurl = postgres://app:hunter2@h/saas", "[migrations]\nmaster = 1\n'URL' = 2"]
    {
        project.write("tenantry.toml", &toml.replace("URL", url));
        let refused = project.refused(1, &["list"]);
        assert!(refused.contains("tenantry.toml") && !refused.contains("hunter2"), "{toml}: {refused}");
    }
}

#[tokio::test]
async fn init_writes_a_file_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let project = Project::ready().await;
    let file = project.folder.path().join("tenantry.toml");
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn one_database_that_is_down_does_not_hide_the_others() {
    let project = Project::ready().await;
    project.write("tenantry.toml", "[databases.eu]\nurl = 'postgres://app:hunter2@127.0.0.1:1/eu'\n");
    let done = project.run(&["status", "--format", "json"]);
    assert_eq!(done.code, 3);
    let json: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(json["databases"][0]["registry"], true);
    assert_eq!(json["databases"][1]["server_version"], json!(null));
    assert!(done.stderr.contains("`eu`"), "{}", done.stderr);
}

#[tokio::test]
async fn a_bad_key_is_named_with_file_and_line() {
    let project = Project::without_database();
    project.write("tenantry.toml", "# mine\nmaster_shema = 'x'\n");
    let error = project.refused(1, &["list"]);
    assert!(error.contains("tenantry.toml`:2: unknown key `master_shema`"), "{error}");
    assert!(error.ends_with("\nhint: did you mean `master_schema`?\n"), "{error}");
    project.write("other.toml", "[pool]\nmax_connections = 'many'\n");
    let error = project.refused(1, &["list", "--config", "other.toml"]);
    assert!(error.contains("other.toml`:2: `pool.max_connections`: a whole number is expected"), "{error}");
    assert!(project.refused(1, &["list", "--config", "none.toml"]).contains("none.toml` cannot be read"));
}

#[tokio::test]
async fn a_misspelt_variable_stops_what_reads_the_configuration_and_nothing_else() {
    let mut project = Project::without_database();
    project.variables = vec![("TENANTRY_POOL_MOED", "postgres://app:hunter2@host/saas".to_owned())];
    for command in [&["list"][..], &["init"], &["lint"], &["status"], &["doctor"], &["dev", "start"]] {
        assert_eq!(
            project.refused(1, command),
            "error: unknown variable `TENANTRY_POOL_MOED`\nhint: did you mean `TENANTRY_POOL_MODE`?\n",
            "{command:?}"
        );
    }
    assert!(!project.folder.path().join("tenantry.toml").exists(), "`init` looks before it writes");
    let mut error: Value = serde_json::from_str(&project.refused(1, &["list", "--format", "json"])).unwrap();
    assert_eq!(error["kind"].take(), "configuration");
    // Neither does a file that is broken as well.
    project.write("tenantry.toml", "pool = 3");
    project.ok(&["help"]);
    project.ok(&["list", "--help"]);
    project.ok(&["completions", "bash"]);
    assert_eq!(project.ok(&["dev", "stop"]), "not running\n");
    assert_eq!(project.ok(&["dev", "status"]), "not running\n");
}

#[tokio::test]
async fn giving_up_a_half_made_tenant_needs_a_yes() {
    let project = Project::with_tenants().await;
    let error = project.refused(1, &["create", "--abort", "acme"]);
    assert!(error.starts_with("error: tenant `acme` is active, not half-made\nhint: "), "{error}");

    // A file without transaction makes creation stepwise, so that it can stop half-way.
    project.write(
        "migrations/tenant/0002_index.sql",
        "-- no-transaction\nCREATE INDEX CONCURRENTLY ON nowhere (id);",
    );
    let error = project.refused(1, &["create", "initech"]);
    assert!(error.contains("0002_index.sql:2"), "{error}");
    let half = project.json(&["show", "initech"]);
    assert_eq!(half["status"], "provisioning");
    let error = project.refused(1, &["exec", "--tenant", "initech", "SELECT 1"]);
    assert!(error.contains("tenant `initech` is provisioning"), "{error}");
    let error = project.refused(1, &["migrate", "--tenant", "initech"]);
    assert!(error.contains("tenant `initech` is provisioning"), "{error}");

    let error = project.refused(2, &["create", "--abort", "initech"]);
    assert!(error.contains("remove tenant initech with schema"), "{error}");
    assert!(error.ends_with("\nhint: add `--yes`\n"), "{error}");
    assert_eq!(project.ok(&["create", "--abort", "initech", "--yes"]), "removed initech\n");
    project.refused(1, &["show", "initech"]);
    let sql =
        format!("SELECT nspname FROM pg_namespace WHERE nspname = '{}'", half["schema"].as_str().unwrap());
    assert_eq!(project.json(&["exec", "--master", &sql])[0]["rows"], json!([]));
}

#[tokio::test]
async fn usage_errors_have_a_code_of_their_own() {
    let project = Project::without_database();
    for command in [
        &["nonsense"][..],
        &["list", "--format", "xml"],
        &["list", "--status", "asleep"],
        &["create"],
        &["create", "acme", "--yes"],
        &["create", "acme", "--abort", "--name", "x"],
        &["domain", "add", "acme"],
        &["dev"],
        &["completions", "tcsh"],
    ] {
        project.refused(2, command);
    }
}

#[tokio::test]
async fn a_mistake_in_the_arguments_is_an_object_for_programs() {
    let project = Project::without_database();
    for (command, error) in [
        (&["list", "--wher", "true"][..], "unexpected argument '--wher' found"),
        (&["show"], "the following required arguments were not provided: <SLUG|DOMAIN>"),
        (&["nonsense"], "unrecognized subcommand 'nonsense'"),
        (&["exec", "--all"], "the following required arguments were not provided: <SQL|--file <FILE>>"),
        (&["migrate", "--canary", "some"], "`some` says neither how many canaries there are nor `tagged`"),
        (&["create", "acme", "--setting", "a=1", "--setting", "a:=1"], "the setting `a` is given twice"),
        (&["create", "acme", "--name", "A", "--setting", "name=B"], "the setting `name` is given twice"),
        (&[], "'tenantry' requires a subcommand but one was not provided"),
    ] {
        for json in [&["--format", "json"][..], &["--format=json"]] {
            let done = project.run(&[json, command].concat());
            assert_eq!((done.code, &*done.stdout), (2, ""), "{command:?}");
            let told: Value = serde_json::from_str(&done.stderr).expect(&done.stderr);
            assert!(told["error"].as_str().unwrap().contains(error), "{command:?}: {told}");
            assert_eq!(told["kind"], "usage");
            assert!(!told["hint"].as_str().unwrap().is_empty(), "{told}");
        }
    }
    let help = project.ok(&["list", "--help", "--format", "json"]);
    assert!(help.contains("--where"), "help is for people, whatever else is asked for: {help}");
    let url = "postgres://app:hunter2@h/d";
    let refused = project.refused(2, &["list", url, "--format", "json"]);
    assert!(!refused.contains("hunter2") && refused.starts_with('{'), "{refused}");
}

#[tokio::test]
async fn a_choice_that_names_nobody_is_refused() {
    let project = Project::with_tenants().await;
    for command in [
        &["migrate", "--exclude", "acne"][..],
        &["migrate", "--dry-run", "--exclude", "acne"],
        &["migrate", "--mark-applied", "1", "--exclude", "acne"],
        &["exec", "--all", "--exclude", "acne", "DELETE FROM note"],
    ] {
        let error = project.refused(1, command);
        let says = "error: no tenant goes by `acne`, which is to be left out\nhint: `tenantry list` shows";
        assert!(error.starts_with(says), "{command:?}: {error}");
    }
    assert_eq!(project.ok(&["exec", "--tenant", "acme", "SELECT count(*) FROM note"]), "count\n2\n");
    let error = project.refused(1, &["migrate", "--canary", "tagged"]);
    assert!(
        error.starts_with("error: none of the tenants is tagged as a canary\nhint: tag one with"),
        "{error}"
    );
    project.ok(&["set", "acme", "--setting", "canary:=true"]);
    project.ok(&["migrate", "--canary", "tagged"]);
}

#[tokio::test]
async fn quiet_leaves_out_all_but_errors() {
    let project = Project::with_tenants().await;
    let done = project.run(&["exec", "--all", "--quiet", "SELECT count(*) FROM note"]);
    assert_eq!((&*done.stdout, &*done.stderr), ("tenant  count\nacme    2\nglobex  2\n", ""));
    assert!(project.refused(1, &["show", "nobody", "-q"]).starts_with("error: no tenant"));
    project.refused(2, &["list", "-q", "-v"]);
}

use serde_json::json;

use crate::bench::Project;

const FILE: &str = r#"# customers of the old system
acme

{"slug": "globex", "name": "Globex", "settings": {"seats": 7}, "domains": ["globex.org"]}
initech
"#;

fn slugs(project: &Project, arguments: &[&str]) -> Vec<String> {
    let list = project.json(&[&["list"], arguments].concat());
    list.as_array().unwrap().iter().map(|tenant| tenant["slug"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn many_tenants_are_made_from_a_file_and_the_command_can_be_repeated() {
    let project = Project::ready().await;
    project.write("tenants", FILE);
    project.ok(&["create", "initech", "--name", "Initech"]);
    let done = project.run(&["create", "--from", "tenants"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(done.stdout, "created acme\ncreated globex\n");
    assert_eq!(done.stderr, "initech is there already\n2 created, 1 there already, 0 failed\n");
    assert_eq!(slugs(&project, &[]), ["acme", "globex", "initech"]);
    let globex = project.json(&["show", "globex.org"]);
    assert_eq!(globex["settings"], json!({ "name": "Globex", "seats": 7 }));
    assert_eq!((&globex["migrations"], &globex["domains"]), (&json!("up_to_date"), &json!(["globex.org"])));
    assert_eq!(project.json(&["show", "initech"])["name"], "Initech", "it is left as it was");

    assert_eq!(project.json(&["create", "--from", "tenants"]), json!([]));
    let json = project.run_with_input(&["create", "--from", "-", "--format", "json"], "a\nb\n");
    let made: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&made[0]["slug"], &made[1]["slug"], json.code), (&json!("a"), &json!("b"), 0));
}

#[tokio::test]
async fn nothing_is_made_of_a_file_with_a_mistake() {
    let project = Project::ready().await;
    for (text, expect) in [
        ("acme\nno slug\n", "tenants:2: slug has ' ' at byte 2"),
        ("acme\nglobex\nAcme\n", "tenants:3: `acme` is on line 1 already"),
        ("acme\n{\"slug\": \"globex\", \"setings\": {}}\n", "tenants:2: unknown field `setings`"),
        (
            "{\"slug\": \"globex\", \"settings\": {\"a\": 1, \"a\": 2}}\n",
            "tenants:1: the setting `a` is given twice",
        ),
        ("acme\n{\"slug\": \"globex\", \"name\": \"a\u{202e}b\"}\n", "tenants:2: name has"),
    ] {
        project.write("tenants", text);
        let error = project.refused(1, &["create", "--from", "tenants"]);
        assert!(error.contains(expect), "{error}");
        assert_eq!(slugs(&project, &[]), [""; 0]);
    }
    project.refused(1, &["create", "--from", "nowhere"]);
    project.refused(2, &["create", "acme", "--from", "tenants"]);
    project.refused(2, &["create"]);
}

#[tokio::test]
async fn a_tenant_that_cannot_be_made_does_not_stop_the_others() {
    let project = Project::ready().await;
    project.write("tenants", "acme\nwww\n{\"slug\": \"globex\", \"domains\": [\"acme.org\"]}\ninitech\n");
    project.ok(&["create", "umbrella", "--domain", "acme.org"]);
    let done = project.run(&["create", "--from", "tenants", "--jobs", "1"]);
    assert_eq!((done.code, done.stdout.as_str()), (3, "created acme\ncreated initech\n"), "{}", done.stderr);
    assert!(done.stderr.contains("`www` is reserved"), "{}", done.stderr);
    assert!(done.stderr.contains("tenant `globex`: domain `acme.org` already belongs"), "{}", done.stderr);
    assert!(done.stderr.ends_with("2 created, 0 there already, 2 failed\n"), "{}", done.stderr);

    // What nobody can be made of stops at the first.
    project.write("migrations/tenant/0002_broken.sql", "SELECT 1/0;");
    project.write("tenants", "hooli\npied-piper\n");
    let done = project.run(&["create", "--from", "tenants", "--jobs", "1"]);
    assert_eq!((done.code, done.stdout.as_str()), (1, ""), "{}", done.stderr);
    assert_eq!(done.stderr.matches("division by zero").count(), 1, "{}", done.stderr);
}

#[tokio::test]
async fn names_and_settings_are_changed_one_by_one() {
    let project = Project::ready().await;
    project.ok(&["create", "acme", "--name", "Acme", "--setting", "plan=gold", "--setting", "trial:=true"]);
    let changed =
        project.json(&["set", "acme", "--name", "Acme Ltd", "--setting", "seats:=7", "--unset", "trial"]);
    assert_eq!(changed["settings"], json!({ "name": "Acme Ltd", "plan": "gold", "seats": 7 }));
    let shown = project.json(&["show", "acme"]);
    for (key, value) in changed.as_object().unwrap() {
        assert_eq!(&shown[key], value, "{key}");
    }
    let screen = project.run(&["set", "acme", "--setting", "plan=silver"]);
    assert_eq!(screen.stderr, "changed tenant acme\n");
    assert!(screen.stdout.contains("\nsettings    plan=silver, seats=7\n"), "{}", screen.stdout);

    project.refused(2, &["set", "acme"]);
    let twice = project.refused(2, &["set", "acme", "--setting", "plan=gold", "--unset", "plan"]);
    assert!(twice.contains("the setting `plan` is given twice"), "{twice}");
    project.refused(2, &["create", "globex", "--setting", "a=1", "--setting", "a:=1"]);
    let name = project.refused(1, &["set", "acme", "--name", "Acme\u{2066}Ltd"]);
    assert!(name.contains("name has '\\u{2066}' at byte 4"), "{name}");
    project.refused(1, &["set", "globex", "--name", "Globex"]);
    assert_eq!(project.json(&["show", "acme"])["settings"]["plan"], "silver");
}

#[tokio::test]
async fn tenants_are_listed_by_what_the_registry_knows() {
    let project = Project::ready().await;
    project.write("tenants", "a1\na2\na3\n{\"slug\": \"b1\", \"settings\": {\"plan\": \"pro\"}}\nb2\n");
    project.ok(&["create", "--from", "tenants"]);
    assert_eq!(slugs(&project, &["--where", "settings->>'plan' = 'pro'"]), ["b1"]);
    assert_eq!(slugs(&project, &["--limit", "2"]), ["a1", "a2"]);
    assert_eq!(slugs(&project, &["--where", "slug LIKE 'a%'", "--limit", "9"]), ["a1", "a2", "a3"]);
    assert_eq!(slugs(&project, &["--where", "true", "--status", "suspended"]), [""; 0]);
    assert_eq!(slugs(&project, &["--limit", "0"]), [""; 0]);
    let error = project.refused(1, &["list", "--where", "plan = 'pro'"]);
    assert!(error.contains("column \"plan\" does not exist") && error.contains("hint: "), "{error}");
}

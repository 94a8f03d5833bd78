use std::process::Command;

use tenantry_embedded::Binaries;

use super::{installation, source, superuser, value};

const NASTY: &str = include_str!("nasty.sql");

/// The lines of a dump of a schema with its rows, under the name `own`, in the order of the alphabet.
fn lines(url: &str, schema: &str, extensions: &str) -> Vec<String> {
    let mut command = Command::new(Binaries::find().unwrap().directory().join("pg_dump"));
    let arguments = ["--no-owner", "--no-privileges", "--no-comments", "--schema", schema, "--dbname", url];
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut text = String::from_utf8(output.stdout).unwrap();
    for member in
        ["citext", "hstore", "similarity", "gin_trgm_ops", "moddatetime", "uuid_generate_v4", "gist_int4_ops"]
    {
        text = text.replace(&format!("{extensions}.{member}"), member);
    }
    let text = ["->", "=", "~"]
        .iter()
        .fold(text, |text, operator| text.replace(&format!("OPERATOR({extensions}.{operator})"), operator));
    let text =
        text.replace(&format!("{schema}."), "own.").replace(&format!("'{schema}', 'extensions'"), "'public'");
    let is_kept = |line: &&str| {
        !line.contains("restrict ") && !line.starts_with("--") && !line.starts_with("CREATE SCHEMA ")
    };
    let mut lines: Vec<_> = text.lines().filter(is_kept).map(str::to_owned).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn a_database_becomes_a_tenant_with_all_that_it_has() {
    let project = installation().await;
    let source = source(NASTY).await;
    let before = lines(source.superuser_url(), "public", "public");
    let arguments =
        ["import", "--from", source.superuser_url(), "acme", "--domain", "acme.example", "--name", "Acme"];
    let json = project.json(&arguments);
    assert_eq!(json["notes"], serde_json::json!([]));
    assert_eq!((&json["slug"], &json["domains"][0]), (&"acme".into(), &"acme.example".into()));
    assert_eq!(json["copied"], 300 + 300 + 60 + 15 + 2 + 2 + 1 + 1 + 1);
    let schema = json["schema"].as_str().unwrap();
    let is = lines(superuser(&project), schema, "extensions");
    let other = |left: &[String], right: &[String]| {
        left.iter().filter(|line| !right.contains(line)).cloned().collect::<Vec<_>>()
    };
    // The ledger is the tenant's own, and rows of an enum may be in another partition.
    let missing: Vec<_> = other(&before, &is);
    assert!(missing.is_empty(), "{missing:#?}");
    let more = other(&is, &before);
    assert!(more.iter().all(|line| line.contains("_sqlx_migrations") || is_of_ledger(line)), "{more:#?}");
    // The source is what it was.
    assert_eq!(lines(source.superuser_url(), "public", "public"), before);

    for (sql, expect) in [
        ("SELECT with_path() + plain() + atomic() AS n", "302"),
        ("SELECT count(*) AS n FROM customer WHERE mail = 'U7@X.Y'", "1"),
        ("SELECT n FROM a_second", "300"),
        ("SELECT nextval('numbers') AS n", "309"),
        ("SELECT count(*) AS n FROM v WHERE s > 0.1 AND x = '1'", "300"),
        ("INSERT INTO customer (mail, nick) VALUES ('new@x.y', 'new') RETURNING id", "301"),
        (
            "SELECT first_nick(nick)::text || k::text AS n FROM customer JOIN v USING (id) WHERE id = 1 GROUP BY k",
            "told",
        ),
        (
            "SELECT count(*) AS n FROM \"Odd \"\"one\" WHERE r = 'customer'::regclass AND t = 'citext'::regtype",
            "1",
        ),
    ] {
        let answer = project.ok(&["exec", "--tenant", "acme", sql]);
        assert!(answer.contains(expect), "{sql}: {answer}");
    }
    let audit = value::<String>(
        superuser(&project),
        "SELECT concat_ws(' ', operator, options) FROM tenantry.audit WHERE verb = 'import'",
    );
    let audit = audit.await;
    assert!(audit.contains("127.0.0.1:") && audit.contains(source.name()), "{audit}");
    let password = source.superuser_url().split([':', '@']).nth(2).unwrap().to_owned();
    assert!(!audit.contains(&password), "{audit}");
    project.close_public().await;
    assert_eq!(project.json(&["doctor"]), serde_json::json!([]));
    let again = project.refused(1, &arguments);
    assert!(again.contains("`acme` already exists") && !again.contains(&password), "{again}");
    // It is a tenant like others.
    assert_eq!(project.json(&["clone", "acme", "copy"])["copied"], json["copied"].as_u64().unwrap() + 1);
}

/// The lines of the table of a ledger.
fn is_of_ledger(line: &str) -> bool {
    let columns = ["version bigint", "description text", "installed_on timestamp", "success boolean"];
    let columns = columns.iter().chain(&["checksum bytea", "execution_time bigint"]);
    columns.into_iter().any(|column| line.trim_start().starts_with(column))
}

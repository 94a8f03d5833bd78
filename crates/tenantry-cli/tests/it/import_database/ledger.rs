use super::{installation, run, source, superuser, value};

#[tokio::test]
async fn texts_are_converted_and_a_ledger_is_believed_where_it_is_of_the_files() {
    let project = installation().await;
    project.write("migrations/tenant/0001_note.sql", "CREATE TABLE note (id int, title text);");
    // The owner lets somebody read whatever it makes.
    let owner = project.database.as_ref().unwrap().url();
    run(owner, "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO pg_monitor").await;
    project.ok(&["create", "first"]);
    let schema = value::<String>(superuser(&project), "SELECT schema_name FROM tenantry.tenant").await;
    let latin = source("SELECT 1").await;
    let name = format!("{}_latin", latin.name());
    let create =
        format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'");
    run(latin.superuser_url(), &create).await;
    let url = latin.superuser_url().replace(latin.name(), &name);
    run(&url, "CREATE TABLE note (id int, title text); INSERT INTO note VALUES (1, 'é')").await;
    let ledger = "CREATE TABLE _sqlx_migrations (version bigint PRIMARY KEY, description text NOT NULL,
        installed_on timestamptz NOT NULL DEFAULT now(), success boolean NOT NULL, checksum bytea NOT NULL,
        execution_time bigint NOT NULL)";
    run(&url, ledger).await;
    let unknown = project.run(&["import", "--from", &url, "unknown", "--dry-run"]);
    assert!(unknown.stdout.contains("will be compared with what the files make"), "{}", unknown.stdout);
    let found = project.json(&["import", "--from", &url, "found"]);
    assert_eq!(
        (found["notes"].clone(), found["digest"].is_string()),
        (serde_json::json!([]), true),
        "{found}"
    );
    let note = format!("{}.note", found["schema"].as_str().unwrap());
    let may_read = format!("SELECT has_table_privilege('pg_monitor', '{note}', 'SELECT')");
    assert!(value::<bool>(superuser(&project), &may_read).await, "as of every other tenant");
    run(&url, "ALTER TABLE note ADD other int").await;
    let unlike = project.run(&["import", "--from", &url, "unlike"]);
    assert!(unlike.stderr.contains("(nearest is 1, but for: "), "{}", unlike.stderr);
    project.ok(&["delete", "unlike", "--yes"]);
    run(&url, "ALTER TABLE note DROP COLUMN other").await;
    let checksum = format!("SELECT encode(checksum, 'hex') FROM {schema}._sqlx_migrations");
    let checksum = value::<String>(superuser(&project), &checksum).await;
    run(&url, &format!("INSERT INTO _sqlx_migrations VALUES (1, 'note', now(), true, '\\x{checksum}', 5)"))
        .await;
    let json = project.json(&["import", "--from", &url, "acme"]);
    assert_eq!(json["copied"], 1);
    let answer = project.ok(&["exec", "--tenant", "acme", "SELECT title, length(title) AS n FROM note"]);
    assert!(answer.contains('é') && answer.contains('1'), "{answer}");
    for tenant in project.json(&["list"]).as_array().unwrap().iter().filter(|it| it["status"] == "active") {
        assert_eq!(tenant["migrations"], "up_to_date", "{tenant}");
    }
    project.close_public().await;
    assert_eq!(project.json(&["doctor"]), serde_json::json!([]));

    run(&url, "UPDATE _sqlx_migrations SET checksum = '\\x00'").await;
    let refused = project.refused(1, &["import", "--from", &url, "other"]);
    assert!(
        refused.contains("its ledger is not of these files") && refused.contains("--applied-through"),
        "{refused}"
    );
    project.ok(&["import", "--from", &url, "other", "--applied-through", "1"]);
    assert_eq!(project.json(&["doctor"]), serde_json::json!([]));

    let ascii = format!(
        "DROP DATABASE {name}; \
         CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'"
    );
    for statement in ascii.split("; ") {
        run(latin.superuser_url(), statement).await;
    }
    assert!(project.refused(1, &["import", "--from", &url, "ascii"]).contains("SQL_ASCII"));
    run(latin.superuser_url(), &format!("DROP DATABASE {name}")).await;
}

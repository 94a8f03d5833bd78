use sqlx::Connection as _;
use tenantry_embedded::{Binaries, ScratchPooler};

use crate::bench::Project;

async fn ask(url: &str, sql: &'static str) -> String {
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
}

#[tokio::test]
async fn a_url_leads_sqlx_and_psql_into_the_schema() {
    let project = Project::with_tenants().await;
    let schema = project.json(&["show", "acme"])["schema"].as_str().unwrap().to_owned();
    let url = project.ok(&["dev", "url", "--tenant", "acme"]);
    let url = url.trim();
    assert!(url.contains("?options=-c%20search_path%3D"), "{url}");
    assert_eq!(ask(url, "SELECT current_schema()::text").await, schema);
    assert_eq!(ask(url, "SELECT title FROM note WHERE id = 1").await, "of acme");
    assert_eq!(project.json(&["dev", "url", "--tenant", "acme"])["url"], url);

    let psql = Binaries::find().unwrap().directory().join("psql");
    let psql = std::process::Command::new(psql).args([url, "-XAtc", "SELECT current_schema()"]).output();
    assert_eq!(String::from_utf8(psql.unwrap().stdout).unwrap().trim(), schema);

    let master = project.ok(&["dev", "url"]);
    assert_eq!(ask(master.trim(), "SELECT current_schema()::text").await, "public");
    let path = ask(master.trim(), "SHOW search_path").await;
    assert!(!path.contains("tenantry,") && !path.contains("$user"), "{path}");
}

#[tokio::test]
async fn a_url_with_the_master_schema_finds_its_tables_behind_the_tenants() {
    let project = Project::with_tenants().await;
    project.ok(&[
        "exec",
        "--master",
        "CREATE TABLE note (title text); CREATE TABLE plan AS SELECT 'gold' AS name",
    ]);
    let url = project.ok(&["dev", "url", "--tenant", "acme", "--with-master"]);
    assert_eq!(ask(url.trim(), "SELECT title FROM note WHERE id = 1").await, "of acme");
    assert_eq!(ask(url.trim(), "SELECT name FROM plan").await, "gold");
    let path = ask(url.trim(), "SHOW search_path").await;
    assert!(path.starts_with("t_acme_") && path.ends_with(", pg_temp, public"), "{path}");
    project.refused(2, &["dev", "url", "--with-master"]);
}

/// The variable is set as it is where the URL for sqlx's macros is exported.
#[tokio::test]
async fn a_url_of_one_tenant_can_be_the_database_url_of_all() {
    let mut project = Project::with_tenants().await;
    let acme = project.ok(&["dev", "url", "--tenant", "acme"]);
    project.variables = vec![("DATABASE_URL", acme.trim().to_owned())];
    let globex = project.ok(&["dev", "url", "--tenant", "globex"]);
    assert_eq!(ask(globex.trim(), "SELECT title FROM note WHERE id = 1").await, "of globex");
    assert_eq!(
        project.ok(&["exec", "--tenant", "globex", "SELECT title FROM note WHERE id = 1"]),
        "title\nof globex\n"
    );
    assert_eq!(project.ok(&["exec", "--master", "SELECT current_schema()"]), "current_schema\npublic\n");
}

#[tokio::test]
async fn a_schema_with_an_awkward_name_is_quoted() {
    let project = Project::ready().await;
    let name = r#"it's "odd", \ or not"#;
    let database = project.database.as_ref().unwrap();
    let mut connection = sqlx::PgConnection::connect(database.url()).await.unwrap();
    sqlx::raw_sql(r#"CREATE SCHEMA "it's ""odd"", \ or not"; CREATE SCHEMA "Some-Shop""#)
        .execute(&mut connection)
        .await
        .unwrap();
    // Such a name is either refused, or works.
    if project.run(&["create", "odd", "--schema", name]).code == 0 {
        let url = project.ok(&["dev", "url", "--tenant", "odd"]);
        assert_eq!(ask(url.trim(), "SELECT current_schema()::text").await, name);
    }
    project.ok(&["create", "initech", "--schema", "Some-Shop"]);
    let url = project.ok(&["dev", "url", "--tenant", "initech"]);
    assert_eq!(ask(url.trim(), "SELECT current_schema()::text").await, "Some-Shop");
    let arguments = ["psql", "--tenant", "initech", "--", "-XAtc", "SELECT current_schema()"];
    assert_eq!(project.ok(&arguments), "Some-Shop\n");
}

#[tokio::test]
async fn a_role_per_tenant_is_in_force_in_other_programs_too() {
    let mut project = Project::new().await;
    // Making roles takes more than the owner of a database may do.
    let url = project.database.as_ref().unwrap().superuser_url().to_owned();
    let installation = format!("cli{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
    project.variables = vec![("DATABASE_URL", url), ("TENANTRY_INSTALLATION", installation.clone())];
    project.write("migrations/tenant/0001_note.sql", "CREATE TABLE note (id int);");
    project.ok(&["init"]);
    let schema = project.json(&["create", "acme"])["schema"].as_str().unwrap().to_owned();
    let role = format!("{installation}_{schema}");
    let url = project.ok(&["dev", "url", "--tenant", "acme"]);
    assert_eq!(ask(url.trim(), "SELECT current_user::text").await, role);
    let arguments = ["psql", "--tenant", "acme", "--", "-XAtc", "SELECT current_user"];
    assert_eq!(project.ok(&arguments), format!("{role}\n"));
    let sql = "SELECT current_user, count(*) FROM note";
    assert_eq!(project.json(&["exec", "--tenant", "acme", sql])[0]["rows"][0]["current_user"], role);
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(r#"DROP OWNED BY "{role}"; DROP ROLE "{role}""#)))
        .execute(&mut sqlx::PgConnection::connect(&project.variables[0].1).await.unwrap())
        .await
        .unwrap();
}

#[tokio::test]
async fn psql_works_in_the_schema_and_its_arguments_hold_no_password() {
    let project = Project::with_tenants().await;
    let sql = ["--", "-XAtc", "SELECT title FROM note WHERE id = 1"];
    assert_eq!(project.ok(&[&["psql", "--tenant", "globex"], &sql[..]].concat()), "of globex\n");
    assert_eq!(project.ok(&["psql", "--master", "--", "-XAtc", "SELECT current_schema()"]), "public\n");

    // A psql that tells what it was given.
    project.write("bin/psql", "#!/bin/sh\nprintf '%s\\n' \"$@\"\necho \"PGPASSWORD=$PGPASSWORD\"\nexit 7\n");
    let script = project.folder.path().join("bin/psql");
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = project.command(&["psql", "--tenant", "acme", "--", "-l"]);
    let output = command
        .env("PATH", format!("{}:/usr/bin:/bin", script.parent().unwrap().display()))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(7), "the exit code is psql's own");
    let text = String::from_utf8(output.stdout).unwrap();
    let (arguments, password) = text.split_once("PGPASSWORD=").unwrap();
    assert!(password.trim().len() > 8);
    assert!(!arguments.contains(password.trim()), "{arguments}");
    assert!(arguments.ends_with("-l\n"), "{arguments}");
    assert!(arguments.contains("--set=PROMPT1=acme@%/%R%x%# \n"), "{arguments}");
}

#[tokio::test]
async fn a_missing_psql_comes_with_the_way_to_get_it() {
    let project = Project::with_tenants().await;
    let mut command = project.command(&["psql", "--tenant", "acme"]);
    let nowhere = project.folder.path();
    let output = command.env("PATH", nowhere).env("TENANTRY_PG_BIN", nowhere).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with("error: there is no psql on this machine\nhint: install it"), "{error}");
}

/// A pooler in session mode refuses the settings in a URL, or drops them.
#[tokio::test]
async fn no_session_begins_elsewhere_behind_a_pooler() {
    for ignored in [&[][..], &["extra_float_digits", "options"]] {
        let mut project = Project::with_tenants().await;
        let direct = project.database.as_ref().unwrap().url().to_owned();
        let mut connection = sqlx::PgConnection::connect(&direct).await.unwrap();
        sqlx::raw_sql("CREATE TABLE note (id int, title text); INSERT INTO note VALUES (1, 'of the master')")
            .execute(&mut connection)
            .await
            .unwrap();
        let pooler = ScratchPooler::start_in_session_mode(&[&direct], ignored).await.unwrap();
        project.variables = vec![("DATABASE_URL", pooler.url(&direct))];
        let psql = ["psql", "--tenant", "acme", "--", "-XAtc", "SELECT title FROM note WHERE id = 1"];
        for arguments in [&psql[..], &["dev", "url", "--tenant", "acme"], &["dev", "url"]] {
            let done = project.run(arguments);
            assert_eq!((done.code, done.stdout.as_str()), (1, ""), "{}", done.stderr);
            assert!(done.stderr.contains("does not take the settings of a session"), "{}", done.stderr);
            assert!(done.stderr.contains("hint: set `direct_url`"), "{}", done.stderr);
        }
        let select = ["exec", "--tenant", "acme", "SELECT title FROM note WHERE id = 1"];
        assert_eq!(project.ok(&select), "title\nof acme\n");
        let reset = project.run(&["exec", "--tenant", "acme", "RESET ALL; SELECT title FROM note"]);
        assert_eq!(reset.code, 1, "{}", reset.stdout);
        assert!(!reset.stdout.contains("of the master"), "{}", reset.stdout);

        project.variables.push(("TENANTRY_DATABASES_DEFAULT_DIRECT_URL", direct.clone()));
        assert_eq!(project.ok(&psql), "of acme\n");
        let url = project.ok(&["dev", "url", "--tenant", "acme"]);
        assert_eq!(ask(url.trim(), "SELECT title FROM note WHERE id = 1").await, "of acme");
        assert_eq!(project.run(&["status"]).code, 0);
    }
}

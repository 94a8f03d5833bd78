use std::process::Command;
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry_embedded::{Binaries, ScratchDatabase};

use crate::bench::Project;

const NASTY: &str = include_str!("import_database/nasty.sql");
const EXTENSIONS: [&str; 6] = ["citext", "hstore", "pg_trgm", "btree_gist", "moddatetime", "\"uuid-ossp\""];

async fn run(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    if let Err(error) = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await {
        panic!("{sql}: {error}");
    }
    connection.close().await.unwrap();
}

async fn value<T>(url: &str, sql: &str) -> T
where
    (T,): for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>,
    T: Send + Unpin,
{
    let mut connection = PgConnection::connect(url).await.unwrap();
    let (value,): (T,) = sqlx::query_as(AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap();
    value
}

/// A customer's own database.
async fn source(sql: &str) -> ScratchDatabase {
    let source = ScratchDatabase::create().await.unwrap();
    run(source.superuser_url(), sql).await;
    source
}

/// An installation that knows the extensions.
async fn installation() -> Project {
    let project = Project::new().await;
    project.write("migrations/master/0001_plan.sql", "CREATE TABLE plan (name text);");
    project.ok(&["init"]);
    let create: Vec<_> =
        EXTENSIONS.iter().map(|name| format!("CREATE EXTENSION {name} SCHEMA extensions")).collect();
    run(superuser(&project), &create.join(";")).await;
    project
}

fn superuser(project: &Project) -> &str {
    project.database.as_ref().unwrap().superuser_url()
}

/// The number of schemas of tenants, and of tenants, which is the same.
async fn tenants(project: &Project) -> i64 {
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 't\\_%'";
    let tenants = "SELECT count(*) FROM tenantry.tenant";
    let schemas: i64 = value(superuser(project), schemas).await;
    let tenants = value(superuser(project), tenants).await;
    assert_eq!(schemas, tenants);
    tenants
}

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

#[tokio::test]
async fn what_cannot_be_carried_is_named_before_anything_is_made() {
    let project = installation().await;
    let body = "CREATE TABLE t (id int); CREATE FUNCTION f() RETURNS bigint LANGUAGE sql
                AS 'SELECT count(*) FROM public.t'";
    for (sql, says, hint) in [
        (body, "`CREATE FUNCTION public.f()", "unqualified names"),
        (
            "CREATE TABLE t (id int); CREATE VIEW v AS SELECT public.id FROM t AS public",
            "`CREATE VIEW public.v",
            "",
        ),
        (
            "CREATE SEQUENCE s; CREATE TABLE t (id bigint DEFAULT nextval('public.s'::text::regclass))",
            "public.t",
            "",
        ),
        (
            "CREATE EXTENSION ltree; CREATE TABLE t (p ltree)",
            "extension `ltree` is not installed here",
            "CREATE EXTENSION",
        ),
        ("CREATE EXTENSION ltree; CREATE TABLE t (p ltree[])", "extension `ltree` is not installed here", ""),
        (
            "CREATE EXTENSION citext; CREATE FUNCTION citextin(int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "`citextin` is its own and one of extension `citext`",
            "rename",
        ),
        ("SELECT lo_from_bytea(0, 'x')", "1 large objects", ""),
        (
            "CREATE SCHEMA other; CREATE TABLE other.t (id int PRIMARY KEY);
             CREATE TABLE t (id int REFERENCES other.t)",
            "depends on",
            "",
        ),
        (
            "CREATE SCHEMA other; CREATE TABLE t (id int) PARTITION BY LIST (id);
             CREATE TABLE other.t1 PARTITION OF t DEFAULT",
            "is a part of `t`",
            "",
        ),
        (
            "CREATE TABLE t (id int); ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY",
            "may not see the rows of table `t`",
            "BYPASSRLS",
        ),
        ("CREATE TABLE _sqlx_migrations (id int)", "`_sqlx_migrations` is no ledger", ""),
        (
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE internal AS 'suppress_redundant_updates_trigger'",
            "`f()` is written in internal",
            "",
        ),
        ("DROP SCHEMA public", "no schema `public`", ""),
    ] {
        let source = source(sql).await;
        let refused = project.refused(1, &["import", "--from", source.superuser_url(), "acme"]);
        assert!(refused.contains(says) && refused.contains(hint), "{sql}: {refused}");
        assert_eq!(tenants(&project).await, 0, "{sql}");
        if sql == body {
            let found = project.run(&["import", "--from", source.superuser_url(), "acme", "--dry-run"]);
            assert!(found.code == 3 && found.stdout.contains(says), "{}{}", found.stdout, found.stderr);
        }
    }
    let source = source("SELECT lo_from_bytea(0, 'x'); CREATE TABLE t (file oid)").await;
    let url = source.superuser_url();
    let json = project.json(&["import", "--from", url, "acme", "--without-large-objects"]);
    assert!(json["notes"][0].as_str().unwrap().contains("`t.file` is an oid"), "{json}");
}

#[tokio::test]
async fn a_login_that_may_only_read_is_enough() {
    let project = installation().await;
    let source = source(
        "CREATE TABLE t (id serial PRIMARY KEY, secret text); INSERT INTO t (secret) VALUES ('a'), ('b');
         CREATE SCHEMA other; CREATE TABLE other.t (id int REFERENCES public.t);
         CREATE FUNCTION definer() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
    )
    .await;
    let reader = format!("{}_reader", source.name());
    let make = format!("CREATE ROLE {reader} LOGIN PASSWORD 'hidden-word'; GRANT SELECT ON t TO {reader}");
    run(source.superuser_url(), &make).await;
    let (_, place) = source.superuser_url().rsplit_once('@').unwrap();
    let mut project = project;
    project.variables.push(("CUSTOMER", format!("postgres://{reader}:hidden-word@{place}")));
    let arguments = ["import", "--from", "env:CUSTOMER", "acme"];
    let refused = project.refused(1, &arguments);
    assert!(
        refused.contains("may not read sequence `t_id_seq`") && !refused.contains("hidden-word"),
        "{refused}"
    );
    run(source.superuser_url(), &format!("GRANT SELECT ON t_id_seq TO {reader}")).await;
    let done = project.run(&arguments);
    assert_eq!(done.code, 0, "{}", done.stderr);
    for says in [
        "schema `other` is left out",
        "foreign key `t_id_fkey` of table `other.t`",
        "function `definer()` runs as its owner",
        "imported tenant acme, 2 rows",
    ] {
        assert!(done.stderr.contains(says), "{says}: {}", done.stderr);
    }
    assert!(!done.stderr.contains("hidden-word") && !done.stdout.contains("hidden-word"));
    let wrong =
        project.refused(1, &["import", "--from", &format!("postgres://{reader}:other-word@{place}"), "b"]);
    assert!(wrong.contains("cannot be opened") && !wrong.contains("other-word"), "{wrong}");
    // It is here as well, so what it may there it may here.
    run(superuser(&project), &format!("DROP OWNED BY {reader}")).await;
    run(source.superuser_url(), &format!("DROP OWNED BY {reader}; DROP ROLE {reader}")).await;
}

#[tokio::test]
async fn texts_are_converted_and_a_ledger_is_believed_where_it_is_of_the_files() {
    let project = installation().await;
    project.write("migrations/tenant/0001_note.sql", "CREATE TABLE note (id int, title text);");
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

const SMALL: &str = "CREATE TABLE note (id int PRIMARY KEY, title text);
    INSERT INTO note SELECT i, 'x' FROM generate_series(1, 50) AS i";

/// Databases as copies of one that is on the same server as the installation.
async fn copies(template: &ScratchDatabase, count: usize) -> Vec<String> {
    let mut urls = Vec::new();
    let mut connection =
        PgConnection::connect(&template.superuser_url().replace(template.name(), "postgres")).await.unwrap();
    for number in 0..count {
        let name = format!("{}_{number}", template.name());
        let create = format!("CREATE DATABASE {name} TEMPLATE {}", template.name());
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut connection).await.unwrap();
        urls.push(template.superuser_url().replace(template.name(), &name));
    }
    urls
}

async fn drop_copies(template: &ScratchDatabase, count: usize) {
    for number in 0..count {
        let drop = format!("DROP DATABASE {}_{number} WITH (FORCE)", template.name());
        run(template.superuser_url(), &drop).await;
    }
}

#[tokio::test]
async fn a_list_goes_on_behind_what_fails_and_after_it_was_killed() {
    const COUNT: usize = 20;
    let project = installation().await;
    let template = source(SMALL).await;
    let urls = copies(&template, COUNT).await;
    run(
        &urls[7],
        "CREATE SCHEMA other; CREATE TABLE other.t (id int PRIMARY KEY);
         CREATE TABLE bad (id int REFERENCES other.t)",
    )
    .await;
    let rows = urls
        .iter()
        .enumerate()
        .map(|(number, url)| format!("{url},c{number},\"Customer, {number}\",c{number}.example"));
    let csv = format!("url,slug,name,domain\n{}\n", rows.collect::<Vec<_>>().join("\n"));
    project.write("customers.csv", &csv);
    let two: Vec<_> = csv.lines().enumerate().filter(|(line, _)| [0, 7, 8].contains(line)).collect();
    let two: Vec<_> = two.into_iter().map(|(_, line)| line).collect();
    let dry = ["import", "--from-file", "-", "--dry-run", "--format", "json"];
    let dry = project.run_with_input(&dry, &two.join("\n"));
    let found: serde_json::Value = serde_json::from_str(&dry.stdout).unwrap();
    assert_eq!((dry.code, found.as_array().unwrap().len()), (3, 2), "{}", dry.stderr);
    assert_eq!(tenants(&project).await, 0);

    let arguments = ["import", "--from-file", "customers.csv", "--jobs", "3"];
    let mut child = project
        .command(&arguments)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    while value::<i64>(superuser(&project), "SELECT count(*) FROM tenantry.tenant").await < 5 {
        assert!(Instant::now() < deadline, "nothing is imported");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let done = project.run(&arguments);
    assert_eq!(done.code, 3, "{}", done.stderr);
    assert!(
        done.stderr.contains("c0 is there already") && done.stderr.contains("1 failed"),
        "{}",
        done.stderr
    );
    assert!(done.stderr.contains("tenant `c7`: its database cannot be imported"), "{}", done.stderr);
    assert_eq!(tenants(&project).await, 19);
    run(&urls[7], "DROP TABLE bad").await;
    let done = project.run(&arguments);
    assert!(
        done.code == 0 && done.stderr.contains("1 imported, 19 there already, 0 failed"),
        "{}",
        done.stderr
    );
    assert_eq!(tenants(&project).await, 20);
    let notes = project.ok(&["exec", "--all", "SELECT count(*) AS n FROM note", "--format", "json"]);
    assert_eq!(notes.matches("50").count(), 20, "{notes}");
    project.close_public().await;
    assert_eq!(project.json(&["doctor"]), serde_json::json!([]));
    drop_copies(&template, COUNT).await;
}

#[tokio::test]
async fn a_tenant_is_of_one_moment_while_others_write_to_its_database() {
    let project = installation().await;
    let source = source(
        "CREATE TABLE account (id int PRIMARY KEY, amount int NOT NULL);
         INSERT INTO account SELECT i, 100 FROM generate_series(1, 20) AS i; CREATE TABLE other (id serial);
         INSERT INTO other SELECT FROM generate_series(1, 20000)",
    )
    .await;
    let url = source.superuser_url().to_owned();
    let writer = tokio::spawn(async move {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        loop {
            let mut tx = connection.begin().await.unwrap();
            let (even, odd): (i32, i32) =
                sqlx::query_as("SELECT (random() * 9)::int * 2 + 2, (random() * 9)::int * 2 + 1")
                    .fetch_one(&mut *tx)
                    .await
                    .unwrap();
            for (id, amount) in [(even, -1), (odd, 1)] {
                let sql = "UPDATE account SET amount = amount + $2 WHERE id = $1";
                sqlx::query(sql).bind(id).bind(amount).execute(&mut *tx).await.unwrap();
            }
            tx.commit().await.unwrap();
        }
    });
    let project = std::sync::Arc::new(project);
    for number in 0..3 {
        let (slug, url, project) = (format!("c{number}"), source.superuser_url().to_owned(), project.clone());
        let import = tokio::task::spawn_blocking(move || {
            project.ok(&["import", "--from", &url, &slug]);
            project.ok(&["exec", "--tenant", &slug, "SELECT sum(amount) AS n FROM account"])
        });
        let sum = import.await.unwrap();
        assert!(sum.contains("2000"), "{sum}");
    }
    writer.abort();
}

use std::collections::BTreeMap;

use docs::{blocks, pages, read};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqlSafeStr as _};

use crate::bench::Project;
use crate::s3::S3;

const README: &str = "README.md";
const CHECKED_QUERIES: &str = "docs/checked-queries.md";
const DOCTOR: &str = "docs/doctor.md";
const COMING_FROM: &str = "docs/coming-from.md";
/// Typed in `nodes.rs`.
const CITUS: &str = "docs/citus.md";
/// Typed in `databases.rs`.
const PLACEMENT: &str = "docs/placement.md";
const SUSPEND: &str = "docs/suspend.md";
const TYPES: &str = "docs/types.md";
const PACKAGING: &str = "docs/packaging.md";
const DIESEL: &str = "docs/diesel.md";
const ARCHIVE: &str = "docs/archive.md";
const BACKUP: &str = "docs/backup.md";

/// Commands that are shown and not typed here, and what tries them instead.
const NOT_TYPED: &[(&str, &str)] = &[
    ("cargo run -p notes", "the tests of `notes` run the program"),
    ("cargo xtask test", "it runs this test"),
    ("cargo install --path crates/tenantry-cli", "the program was built for this test"),
    ("cargo build", "the query of the page is built with its package"),
    ("cargo sqlx prepare", "`prepared.rs` asks what it asks, for this page and for an example"),
    (
        "docker build -t tenantry -f packaging/container/Containerfile .",
        "`packages/container.rs` reads what would be built",
    ),
    ("cargo xtask deb", "`packages/debian.rs` looks at what would be packed"),
    ("cargo xtask man target/man", "a test of the program renders the pages"),
    (
        r#"diesel print-schema --schema "$SCHEMA" > printed.rs"#,
        "a program of Diesel's that needs `libpq`; the test has what it prints",
    ),
    (
        "export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=… AWS_REGION=eu-central-1",
        "the store of the test has a key of its own",
    ),
];

/// The lines of all blocks of commands in a document.
fn commands(document: &str) -> Vec<String> {
    let blocks = blocks(&read(document)).into_iter().filter(|block| block.language == "sh");
    blocks.flat_map(|block| block.text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn is_not_typed(line: &str) -> bool {
    let command = line.split("  ").next().unwrap_or_default();
    NOT_TYPED.iter().any(|(shown, _)| *shown == command)
}

/// The lines of a document to type, as one script.
fn script(document: &str) -> String {
    let typed = commands(document).into_iter().filter(|line| !is_not_typed(line));
    typed.flat_map(|line| [line, "\n".to_owned()]).collect()
}

#[test]
fn the_commands_of_the_readme_work_in_the_order_in_which_they_are_printed() {
    let project = Project::without_database();
    for line in script(README).lines() {
        let done = project.type_lines(line);
        assert_eq!(done.code, 0, "{line}\n{}", done.stderr);
    }
    let tenants = project.json(&["list"]);
    let slugs: Vec<_> = tenants.as_array().unwrap().iter().map(|tenant| &tenant["slug"]).collect();
    assert_eq!(slugs, ["acme", "acme-again", "acme-copy", "globex", "umbrella"]);
    assert_eq!(project.ok(&["exec", "--tenant", "acme-copy", "SELECT title FROM note"]), "title\nnote 1\n");
    assert_eq!(project.ok(&["exec", "--tenant", "acme", "SELECT done FROM note"]), "done\nf\n");
    assert_eq!(project.json(&["show", "umbrella"])["migrations"], "up_to_date");
    assert!(project.folder.path().join("migrations/tenant/baseline.sql").exists());
}

#[tokio::test]
async fn the_url_for_checked_queries_shows_the_tables_of_the_tenant() {
    let project = Project::with_tenants().await;
    let done = project.type_lines(&format!("{}printenv DATABASE_URL", script(CHECKED_QUERIES)));
    assert_eq!(done.code, 0, "{}", done.stderr);
    let mut connection = PgConnection::connect(done.stdout.lines().last().unwrap()).await.unwrap();
    // What the macro asks while it compiles.
    let page = read(CHECKED_QUERIES);
    let query = page.split('"').find(|quoted| quoted.starts_with("SELECT ")).unwrap().to_owned();
    let description = connection.describe(AssertSqlSafe(query).into_sql_str()).await.unwrap();
    assert_eq!(description.columns().len(), 2);
}

/// Without what is different each time: the part of a schema's name that is made of the tenant's id.
fn without_ids(text: &str) -> String {
    let mut words = text.split("t_acme_");
    let first = words.next().unwrap_or_default().to_owned();
    words
        .fold(first, |text, rest| text + "t_acme_" + rest.trim_start_matches(|c: char| c.is_ascii_hexdigit()))
}

#[tokio::test]
async fn doctor_prints_what_its_page_shows() {
    let project = Project::ready().await;
    project.write("migrations/tenant/0002_index.sql", "CREATE INDEX note_title ON note (title);");
    for slug in ["acme", "globex", "initech"] {
        project.ok(&["create", slug]);
    }
    project.close_public().await;
    project.ok(&["exec", "--tenant", "acme", "DROP INDEX note_title"]);
    let shown = blocks(&read(DOCTOR)).into_iter().find(|block| block.language == "console").unwrap();
    let (command, output) = shown.text.split_once('\n').unwrap();
    let done = project.type_lines(command.strip_prefix("$ ").unwrap());
    assert_eq!(without_ids(&done.stdout), without_ids(output), "{}", done.stdout);
    assert_eq!(done.code, 0, "{}", done.stderr);
}

#[tokio::test]
async fn tenants_are_suspended_as_the_page_says() {
    // The end depends on the day.
    let without_end = |text: &str| {
        let lines = text.lines().map(|line| line.split_once(" until ").map_or(line, |(before, _)| before));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let project = Project::with_tenants().await;
    let shown = blocks(&read(SUSPEND)).into_iter().find(|block| block.language == "console").unwrap();
    for typed in shown.text.split("$ ").filter(|typed| !typed.is_empty()) {
        let (command, output) = typed.split_once('\n').unwrap();
        let done = project.type_lines(command);
        assert_eq!(without_end(&done.stdout), without_end(output), "{command}: {}", done.stderr);
        assert_eq!(done.code, 0, "{command}");
    }
}

#[tokio::test]
async fn migrations_of_another_tool_are_converted_as_the_page_says() {
    let project = Project::new().await;
    let note = "-- +goose Up\nCREATE EXTENSION citext;\nCREATE TABLE public.note (id int, title citext);\n\
                ALTER TABLE public.note OWNER TO shop;\n\n-- +goose Down\nDROP TABLE public.note;\n";
    project.write("db/migrations/20240131120000_note.sql", note);
    let shown = blocks(&read(COMING_FROM)).into_iter().find(|block| block.language == "console").unwrap();
    let (command, output) = shown.text.split_once('\n').unwrap();
    let done = project.type_lines(command.strip_prefix("$ ").unwrap());
    assert_eq!(done.stdout, output, "{}", done.stderr);
    assert_eq!(done.code, 0, "{}", done.stderr);
    project.ok(&["init"]);
    let script = script(COMING_FROM);
    let (first, with_grants) = script.trim_end().rsplit_once('\n').unwrap();
    let done = project.type_lines(first);
    assert_eq!(done.code, 0, "{}", done.stderr);
    project.ok(&["exec", "--tenant", "acme", "INSERT INTO note VALUES (1, 'a')"]);
    project.ok(&["migrate", "--to", "0", "--yes"]);
    project.refused(1, &["exec", "--tenant", "acme", "SELECT FROM note"]);

    let shop = "CREATE TABLE public.sale (id int);\nALTER TABLE public.sale OWNER TO shop;\n\
                CREATE FUNCTION public.secret() RETURNS int LANGUAGE sql AS 'SELECT 1';\n\
                REVOKE ALL ON FUNCTION public.secret() FROM PUBLIC;\nGRANT ALL ON TABLE public.sale TO shop;\n\
                GRANT SELECT ON TABLE public.sale TO reporting;\n";
    project.write("shop.sql", shop);
    let done = project.type_lines(with_grants);
    assert_eq!(done.code, 0, "{}", done.stderr);
    for told in ["shop.sql:2: changed: ", "shop.sql:5: changed: ", "shop.sql:6: changed: "] {
        assert!(done.stdout.contains(told), "{told}: {}", done.stdout);
    }
    // Roles are the server's, where others may make this one at the same time.
    let role =
        "DO $$ BEGIN CREATE ROLE reporting; EXCEPTION WHEN duplicate_object OR unique_violation THEN END $$";
    let mut superuser =
        PgConnection::connect(project.database.as_ref().unwrap().superuser_url()).await.unwrap();
    sqlx::raw_sql(role).execute(&mut superuser).await.unwrap();
    project.ok(&["lint"]);
    project.ok(&["migrate"]);
    let may = "SELECT has_schema_privilege('reporting', current_schema(), 'USAGE') AS schema, \
               has_table_privilege('reporting', 'sale', 'SELECT') AS sale, \
               has_function_privilege('reporting', 'secret()', 'EXECUTE') AS secret";
    assert_eq!(project.ok(&["exec", "--tenant", "acme", may]), "schema  sale  secret\nt       t     f\n");
}

#[tokio::test]
async fn migrations_of_diesel_are_converted_as_the_page_says() {
    let project = Project::new().await;
    let note = "diesel/migrations/2024-01-31-120000_note";
    project.write(&format!("{note}/up.sql"), "CREATE TABLE note (id int PRIMARY KEY);");
    project.write(&format!("{note}/down.sql"), "DROP TABLE note;");
    let script = script(DIESEL);
    let (convert, look) = script.split_once('\n').unwrap();
    let done = project.type_lines(convert);
    assert_eq!(done.code, 0, "{}", done.stderr);
    project.ok(&["init"]);
    project.ok(&["create", "acme"]);
    let acme = project.json(&["show", "acme"]);
    let schema = acme["schema"].as_str().unwrap();
    let printed = format!("pub mod {schema} {{ diesel::table! {{ {schema}.note (id) {{ id -> Int4, }} }} }}");
    project.write("printed.rs", &printed);
    project.write("src/lib.rs", "");
    let done = project.type_lines(look);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let tables = std::fs::read_to_string(project.folder.path().join("src/schema.rs")).unwrap();
    assert_eq!(tables.trim(), "pub mod tables { diesel::table! { note (id) { id -> Int4, } } }");
    project.ok(&["exec", "--tenant", "acme", "INSERT INTO note VALUES (1)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_are_archived_as_the_pages_say() {
    let s3 = S3::start().await;
    let mut project = Project::with_tenants().await;
    project.variables.extend(s3.variables());
    project.ok(&["delete", "globex", "--yes", "--keep", "0d"]);
    for line in (script(BACKUP) + &script(ARCHIVE)).lines() {
        let here = line.replace("/srv/backup", "backup").replace("DATABASE", "\"$DATABASE_URL\"");
        // The first line of the pair changes into the folder in which the second is typed.
        let here = if here.starts_with("psql") { format!("cd acme && {here}") } else { here };
        let done = project.type_lines(&here);
        assert_eq!(done.code, 0, "{here}\n{}", done.stderr);
    }
    let tenants = project.json(&["list"]);
    let slugs: Vec<_> = tenants.as_array().unwrap().iter().map(|tenant| &tenant["slug"]).collect();
    assert_eq!(slugs, ["acme", "acme-again"], "what was exported first is purged");
    let archives = s3.bucket().objects.keys().filter(|key| key.ends_with(".tar.zst")).count();
    assert_eq!(archives, 2, "acme's of the night, and globex's of its purge");
    project.ok(&["create", "restored", "--schema", "acme"]);
}

#[tokio::test]
async fn a_tenant_gets_another_type_as_the_page_says() {
    let project = Project::ready().await;
    project.ok(&["create", "acme"]);
    for line in script(TYPES).lines() {
        let done = project.type_lines(line);
        assert_eq!(done.code, 0, "{line}\n{}", done.stderr);
    }
    let versions = |slug: &str| {
        let sql = "SELECT string_agg(version::text, ' ' ORDER BY version) FROM _sqlx_migrations";
        project.ok(&["exec", "--tenant", slug, sql]).lines().last().unwrap_or_default().to_owned()
    };
    assert_eq!((versions("acme"), versions("globex")), ("1 3".to_owned(), "1 2 3 4".to_owned()));
    project.refused(1, &["exec", "--tenant", "acme", "SELECT FROM report"]);
    project.ok(&["exec", "--tenant", "globex", "SELECT FROM report"]);
    let list = project.json(&["list"]);
    let types: Vec<_> = list.as_array().unwrap().iter().map(|tenant| &tenant["type"]).collect();
    assert!(types.contains(&&serde_json::json!("pro")) && types.contains(&&serde_json::Value::Null));
    let status = project.json(&["status"]);
    assert_eq!(status["migrations"]["types"]["pro"]["files"], 2);
    project.ok(&["spare", "fill", "--type", "pro", "--count", "1"]);
    project.ok(&["baseline", "--type", "pro"]);
    project.ok(&["baseline", "--type", "pro", "--check"]);
    project.ok(&["create", "initech", "--type", "pro"]);
    project.write("more", "hooli\n{\"slug\": \"umbrella\", \"type\": \"lost\"}\n");
    let refused = project.refused(1, &["create", "--from", "more", "--type", "pro"]);
    assert!(refused.contains("no type `lost`"), "{refused}");
    project.refused(2, &["create", "stark", "--type", "Pro"]);
    assert!(!project.ok(&["doctor"]).contains("differ"));
    project.ok(&["new", "more", "--type", "pro"]);
    assert!(project.folder.path().join("migrations/pro/0005_more.down.sql").exists());
}

#[test]
fn every_block_of_commands_is_typed() {
    let documents = pages().into_iter().chain([README.to_owned()]);
    let mut shown = BTreeMap::new();
    for document in documents {
        let is_shell = |language: &str| ["sh", "console"].contains(&language);
        let blocks = blocks(&read(&document)).into_iter().filter(|block| is_shell(&block.language));
        shown.insert(document, blocks.map(|block| block.language).collect::<Vec<_>>());
    }
    shown.retain(|_, languages| !languages.is_empty());
    let expected: BTreeMap<_, _> = [
        (README.to_owned(), vec!["sh".to_owned(); 2]),
        (CHECKED_QUERIES.to_owned(), vec!["sh".to_owned()]),
        (CITUS.to_owned(), vec!["sh".to_owned()]),
        (COMING_FROM.to_owned(), vec!["console".to_owned(), "sh".to_owned(), "sh".to_owned()]),
        (DIESEL.to_owned(), vec!["sh".to_owned(); 2]),
        (DOCTOR.to_owned(), vec!["console".to_owned()]),
        (PACKAGING.to_owned(), vec!["sh".to_owned()]),
        (PLACEMENT.to_owned(), vec!["console".to_owned()]),
        (SUSPEND.to_owned(), vec!["console".to_owned()]),
        (TYPES.to_owned(), vec!["sh".to_owned()]),
        (ARCHIVE.to_owned(), vec!["sh".to_owned(); 2]),
        (BACKUP.to_owned(), vec!["sh".to_owned(); 3]),
    ]
    .into();
    assert_eq!(shown, expected, "a block that is new needs a test here");
    let documents = [README, CHECKED_QUERIES, COMING_FROM, BACKUP, PACKAGING, DIESEL];
    let all: Vec<_> = documents.into_iter().flat_map(commands).collect();
    assert_eq!(all.iter().filter(|line| is_not_typed(line)).count(), NOT_TYPED.len());
}

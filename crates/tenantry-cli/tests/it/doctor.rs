use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry_embedded::ScratchPooler;

use crate::bench::Project;

/// Severity, and the beginning of what was found and of what mends it.
type Expected = (&'static str, &'static str, &'static str);

const IN_FRONT: Expected =
    ("error", "a pooler in transaction mode stands in front of it", "set `mode = \"transaction\"`");
const NO_DIRECT_URL: Expected = ("warning", "`direct_url` is not set", "set `direct_url`");
const NOT_IN_FRONT: Expected =
    ("warning", "`pool.mode` is `transaction`, and no pooler", "set `mode = \"session\"`");
const DIRECT_PASSES: Expected =
    ("error", "`direct_url` passes a pooler", "let `direct_url` lead to the server");
const OWNER_PASSES: Expected = ("error", "`owner_url` passes a pooler", "let `owner_url` lead to the server");
const NO_REGISTRY: Expected = ("warning", "the registry is not installed", "tenantry init");
const SUPERUSER: Expected =
    ("error", "the application logs in as the superuser `postgres`", "CREATE ROLE saas_app LOGIN");

fn told(project: &Project) -> Vec<Value> {
    serde_json::from_str(&project.run(&["doctor", "--format", "json"]).stdout).unwrap()
}

#[track_caller]
fn check(project: &Project, expected: &[Expected]) {
    let done = project.run(&["doctor", "--format", "json"]);
    let findings: Vec<Value> = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(findings.len(), expected.len(), "{}", done.stdout);
    for (finding, (severity, what, mend)) in findings.iter().zip(expected) {
        assert_eq!(
            (&finding["severity"], &finding["database"]),
            (&Value::from(*severity), &"default".into())
        );
        assert!(finding["what"].as_str().unwrap().starts_with(what), "{finding}");
        assert!(finding["mend"].as_str().unwrap().starts_with(mend), "{finding}");
        assert!(finding["check"].is_string() && finding["why"].is_string(), "{finding}");
    }
    let has_error = expected.iter().any(|(severity, ..)| *severity == "error");
    assert_eq!(done.code, i32::from(has_error), "{}", done.stderr);
}

/// A project with a pooler in front of its database.
async fn behind_a_pooler() -> (Project, ScratchPooler) {
    let project = Project::with_tenants().await;
    project.close_public().await;
    let database = project.database.as_ref().unwrap();
    let pooler = ScratchPooler::start(&[database.url(), database.superuser_url()], 3).await.unwrap();
    (project, pooler)
}

impl Project {
    /// Closes `public` to all, as it is by itself from PostgreSQL 15 on.
    pub(crate) async fn close_public(&self) {
        let url = self.database.as_ref().unwrap().superuser_url();
        let mut superuser = PgConnection::connect(url).await.unwrap();
        let close = sqlx::raw_sql(
            "ALTER SCHEMA public OWNER TO pg_database_owner; REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        );
        close.execute(&mut superuser).await.unwrap();
    }

    fn direct(&self) -> String {
        self.database.as_ref().unwrap().url().to_owned()
    }

    fn configure(&mut self, variables: &[(&'static str, &str)]) {
        self.variables = variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    }
}

const URL: &str = "DATABASE_URL";
const MODE: &str = "TENANTRY_POOL_MODE";
const DIRECT: &str = "TENANTRY_DATABASES_DEFAULT_DIRECT_URL";
const OWNER: &str = "TENANTRY_DATABASES_DEFAULT_OWNER_URL";

#[tokio::test]
async fn nothing_is_found_where_nothing_is_wrong() {
    let project = Project::new().await;
    project.close_public().await;
    check(&project, &[NO_REGISTRY]);
    project.ok(&["init"]);
    check(&project, &[]);
    assert_eq!(project.ok(&["doctor"]), "nothing found\n");
}

#[tokio::test]
async fn people_read_what_is_wrong_and_why_and_what_mends_it() {
    let project = Project::new().await;
    project.close_public().await;
    assert_eq!(
        project.ok(&["doctor"]),
        "warning in database default: the registry is not installed, or is of an older version\n  \
           why:  without it there are no tenants here\n  \
           mend: tenantry init\n"
    );
}

/// Makes trouble with the owner's SQL, and checks that the command that is named mends it.
async fn check_mended(project: &Project, trouble: &str, expected: Expected) {
    let mut owner = PgConnection::connect(&project.direct()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(trouble)).execute(&mut owner).await.unwrap();
    check(project, &[expected]);
    let done = project.run(&["doctor", "--format", "json"]);
    let findings: Vec<Value> = serde_json::from_str(&done.stdout).unwrap();
    let mend = findings[0]["mend"].as_str().unwrap();
    let command = mend.split(" #").next().unwrap().strip_prefix("tenantry ").unwrap();
    let arguments: Vec<_> = command.split_whitespace().map(|word| word.trim_matches('\'')).collect();
    project.ok(&arguments);
    check(project, &[]);
}

#[tokio::test]
async fn the_commands_that_are_named_mend() {
    let project = Project::with_tenants().await;
    project.close_public().await;
    check(&project, &[]);
    let row_lost = "DELETE FROM tenantry.tenant WHERE slug = 'acme'";
    let orphan =
        ("warning", "no row of the registry owns the schema `t_acme_", "tenantry create acme --schema");
    check_mended(&project, row_lost, orphan).await;
    assert!(project.ok(&["exec", "--tenant", "acme", "SELECT title FROM note"]).contains("of acme"));

    let restored = "DELETE FROM tenantry.applied WHERE schema_name LIKE 't\\_acme\\_%'";
    let unknown = ("warning", "tenant `acme` has a ledger, and no row", "tenantry migrate --tenant acme");
    check_mended(&project, restored, unknown).await;

    let interrupted =
        "UPDATE tenantry.tenant SET status = 'provisioning', last_error = 'lost' WHERE slug = 'acme'";
    let half_made = (
        "warning",
        "tenant `acme` is provisioning, and nobody is working on it: lost",
        "tenantry create acme",
    );
    check_mended(&project, interrupted, half_made).await;

    let killed = "INSERT INTO tenantry.run (state, operator, digest, options, wave)
        SELECT 'running', 'somebody', digest, options, wave FROM tenantry.run ORDER BY id DESC LIMIT 1";
    let unfinished = ("warning", "run 2, begun by somebody, was interrupted", "tenantry migrate --resume");
    check_mended(&project, killed, unfinished).await;

    let given_up = "UPDATE tenantry.tenant SET status = 'purging' WHERE slug = 'acme'";
    let half_gone = ("warning", "tenant `acme` is purging", "tenantry purge acme --yes");
    check_mended(&project, given_up, half_gone).await;
    assert!(!project.ok(&["list"]).contains("acme"));
}

#[tokio::test]
async fn an_interrupted_migration_is_found_and_resumed() {
    let project = Project::with_tenants().await;
    project.close_public().await;
    project.write(
        "migrations/tenant/0002_title.sql",
        "-- no-transaction\nCREATE INDEX CONCURRENTLY note_title ON note (title);",
    );
    project.ok(&["migrate"]);
    let mut owner = PgConnection::connect(&project.direct()).await.unwrap();
    let schema: String = sqlx::query_scalar("SELECT schema_name FROM tenantry.tenant WHERE slug = 'globex'")
        .fetch_one(&mut owner)
        .await
        .unwrap();
    // As a crash leaves it: the mark is there, the index and the summary are not.
    let interrupted = format!(
        "DROP INDEX {schema}.note_title;
         UPDATE {schema}._sqlx_migrations SET success = false WHERE version = 2;
         UPDATE tenantry.applied SET (version, digest) = (SELECT 1, sha256(int8send(version) || checksum)
             FROM {schema}._sqlx_migrations WHERE version = 1) WHERE schema_name = '{schema}'"
    );
    let expected =
        ("error", "version 2 began in tenant `globex` and did not end", "tenantry migrate --tenant globex");
    check_mended(&project, &interrupted, expected).await;
    let index: Option<String> =
        sqlx::query_scalar(AssertSqlSafe(format!("SELECT to_regclass('{schema}.note_title')::text")))
            .fetch_one(&mut owner)
            .await
            .unwrap();
    assert!(index.is_some(), "it is there again");
}

#[tokio::test]
async fn tenants_that_are_not_where_the_files_are_get_the_command_that_helps() {
    let project = Project::with_tenants().await;
    project.close_public().await;
    project.write("migrations/tenant/0002_tag.sql", "CREATE TABLE tag (id bigint PRIMARY KEY);");
    project.write("migrations/tenant/0003_tag.sql", "ALTER TABLE tag ADD name text;");
    let behind: Expected =
        ("warning", "2 tenants, the first is `acme` have not applied all files", "tenantry migrate");
    check(&project, &[behind]);
    project.ok(&["migrate"]);
    check(&project, &[]);

    project.write("migrations/tenant/0002_tag.sql", "CREATE TABLE tag (id bigint PRIMARY KEY); -- edited");
    project.write("migrations/tenant/0003_tag.sql", "ALTER TABLE tag ADD name text; -- edited");
    let changed: Expected = ("error", "`", "restore the file");
    check(&project, &[changed]);
    let what = told(&project)[0]["what"].as_str().unwrap().to_owned();
    for file in ["0002_tag.sql", "0003_tag.sql"] {
        let says = format!("migrations/tenant/{file}` was changed after it had been applied (2 tenants)");
        assert!(what.contains(&says), "{what}");
    }
    project.ok(&["migrate", "--mark-applied", "2"]);
    check(&project, &[changed]);
    let mend = told(&project)[0]["mend"].as_str().unwrap().to_owned();
    assert!(mend.contains("`tenantry migrate --mark-applied 3` says so"), "{mend}");
    project.ok(&["migrate", "--mark-applied", "3"]);
    check(&project, &[]);

    let third = project.folder.path().join("migrations/tenant/0003_tag.sql");
    let text = std::fs::read_to_string(&third).unwrap();
    std::fs::remove_file(&third).unwrap();
    let missing =
        ("error", "version 3 was applied, but there is no file for it (2 tenants)", "restore the files");
    check(&project, &[missing]);
    std::fs::write(&third, text).unwrap();
    check(&project, &[]);

    project.write("migrations/tenant/0004_fails.sql", "INSERT INTO tag (id) SELECT 1 / count(*) FROM tag;");
    assert_ne!(project.run(&["migrate"]).code, 0);
    let failed = ("error", "the last migration of 2 tenants failed: ", "mend what the error says");
    check(&project, &[failed]);
    project.write("migrations/tenant/0004_fails.sql", "INSERT INTO tag (id) SELECT count(*) FROM tag;");
    project.ok(&["migrate"]);
    check(&project, &[]);
}

#[tokio::test]
async fn a_pooler_in_transaction_mode_is_detected() {
    let (mut project, pooler) = behind_a_pooler().await;
    let (direct, behind) = (project.direct(), pooler.url(&project.direct()));
    project.configure(&[(URL, &behind)]);
    check(&project, &[IN_FRONT]);
    let done = project.run(&["doctor"]);
    assert!(done.stdout.contains("TENANTRY_POOL_MODE=transaction"), "{}", done.stdout);
    assert_eq!((done.code, done.stderr.as_str()), (1, "error: 1 error was found\n"));

    project.configure(&[(URL, &behind), (MODE, "transaction")]);
    check(&project, &[NO_DIRECT_URL]);
    project.configure(&[(URL, &behind), (MODE, "transaction"), (OWNER, &direct)]);
    check(&project, &[NO_DIRECT_URL]);
    project.configure(&[(URL, &behind), (MODE, "transaction"), (DIRECT, &behind), (OWNER, &behind)]);
    check(&project, &[DIRECT_PASSES, OWNER_PASSES]);
    project.configure(&[(URL, &behind), (MODE, "transaction"), (DIRECT, &direct)]);
    check(&project, &[]);
    project.configure(&[(URL, &direct), (MODE, "transaction"), (DIRECT, &direct)]);
    check(&project, &[NOT_IN_FRONT]);
}

#[tokio::test]
async fn a_pooler_in_session_mode_that_takes_no_options_is_told_of() {
    for ignored in [&[][..], &["extra_float_digits", "options"]] {
        let mut project = Project::with_tenants().await;
        project.close_public().await;
        let direct = project.direct();
        let pooler = ScratchPooler::start_in_session_mode(&[&direct], ignored).await.unwrap();
        let behind = pooler.url(&direct);
        project.configure(&[(URL, &behind), (OWNER, &direct), (DIRECT, &behind)]);
        let told = |what| ("warning", what, "ALTER ROLE");
        check(
            &project,
            &[
                told("`url` passes a pooler that does not take the start-up options"),
                told("`direct_url` passes a pooler that does not take the start-up options"),
            ],
        );
        let mend = project.json(&["doctor"])[0]["mend"].as_str().unwrap().to_owned();
        let mut owner = PgConnection::connect(&direct).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(mend)).execute(&mut owner).await.unwrap();
        // A pooler that is restarted has no sessions from before.
        let pooler = ScratchPooler::start_in_session_mode(&[&direct], ignored).await.unwrap();
        project.configure(&[(URL, &pooler.url(&direct)), (OWNER, &direct)]);
        check(&project, &[]);
    }
}

#[tokio::test]
async fn the_other_commands_go_around_the_pooler() {
    let (mut project, pooler) = behind_a_pooler().await;
    let (direct, behind) = (project.direct(), pooler.url(&project.direct()));
    project.configure(&[(URL, &behind), (MODE, "transaction"), (DIRECT, &direct)]);
    let sql = "CREATE TEMP TABLE mine AS SELECT title FROM note WHERE id = 1; TABLE mine";
    assert!(project.ok(&["exec", "--tenant", "acme", sql]).contains("of acme"));
    project.ok(&["create", "initech"]);
    project.ok(&["migrate"]);
    project.ok(&["status"]);
}

#[tokio::test]
async fn a_superuser_is_no_role_for_an_application() {
    let mut project = Project::new().await;
    let superuser = project.database.as_ref().unwrap().superuser_url().to_owned();
    project.configure(&[(URL, &superuser)]);
    check(&project, &[SUPERUSER, NO_REGISTRY]);
}

#[tokio::test]
async fn an_application_that_may_create_where_tenants_share_is_warned_of() {
    let mut project = Project::ready().await;
    let direct = project.direct();
    let database = project.database.as_ref().unwrap();
    let role = format!("{}_app", database.name());
    let (_, place) = direct.split_once('@').unwrap();
    let url = format!("postgres://{role}:app@{place}");
    let mut superuser = PgConnection::connect(database.superuser_url()).await.unwrap();
    let grant = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'app';
         REVOKE CREATE ON SCHEMA public FROM PUBLIC;
         GRANT CREATE ON SCHEMA extensions, tenantry_void TO {role}"
    );
    sqlx::raw_sql(AssertSqlSafe(grant)).execute(&mut superuser).await.unwrap();
    project.configure(&[(URL, &url), (OWNER, &direct)]);
    project.ok(&["init"]);
    let warns: [Expected; 2] =
        ["extensions", "tenantry_void"].map(|_| ("warning", "the application's role", "REVOKE"));
    check(&project, &warns);
    let findings = project.json(&["doctor"]);
    for finding in findings.as_array().unwrap() {
        let mend = finding["mend"].as_str().unwrap().to_owned();
        sqlx::raw_sql(AssertSqlSafe(mend)).execute(&mut superuser).await.unwrap();
    }
    check(&project, &[]);
    let forget = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    sqlx::raw_sql(AssertSqlSafe(forget)).execute(&mut superuser).await.unwrap();
}

#[tokio::test]
async fn a_database_that_is_away_is_found_too() {
    let mut project = Project::without_database();
    project.configure(&[(URL, "postgres://somebody@127.0.0.1:1/nowhere")]);
    check(
        &project,
        &[("error", "somebody@127.0.0.1:1/nowhere cannot be examined", "check that the server runs")],
    );
}

#[tokio::test]
async fn a_gate_fails_for_what_is_denied_and_for_nothing_else() {
    let project = Project::with_tenants().await;
    project.close_public().await;
    for slug in ["acme", "globex"] {
        project.ok(&["exec", "--tenant", slug, "ALTER TABLE note ADD extra int"]);
    }
    assert_eq!(
        project.ok(&["doctor", "--deny", "behind"]),
        "nothing found\n",
        "nobody knows what the files make"
    );
    let denied = project.run(&["doctor", "--deny", "orphan-schema,drift"]);
    assert_eq!(denied.code, 1, "{}", denied.stderr);
    let says = "warning in database default: tenant `acme`, tenant `globex` differ from what the files make at \
                version 1: column `note.extra` is extra\n";
    assert!(denied.stdout.starts_with(says), "{}", denied.stdout);
    assert!(denied.stderr.contains("1 denied finding was found"), "{}", denied.stderr);
    assert!(project.ok(&["doctor", "--deny", "behind,orphan_schema"]).starts_with(says), "it was kept");
    let unknown = project.refused(2, &["doctor", "--deny", "drifts"]);
    assert!(unknown.contains("the known ones are: unreachable, "), "{unknown}");
}

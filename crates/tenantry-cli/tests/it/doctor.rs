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
const SUPERUSER: Expected =
    ("error", "the application logs in as the superuser `postgres`", "CREATE ROLE saas_app LOGIN");

#[track_caller]
fn check(project: &Project, expected: &[Expected]) {
    let done = project.run(&["doctor", "--format", "json"]);
    let findings: Vec<Value> = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(findings.len(), expected.len(), "{}", done.stdout);
    for (finding, (severity, what, remedy)) in findings.iter().zip(expected) {
        assert_eq!(
            (&finding["severity"], &finding["database"]),
            (&Value::from(*severity), &"default".into())
        );
        assert!(finding["what"].as_str().unwrap().starts_with(what), "{finding}");
        assert!(finding["remedy"].as_str().unwrap().starts_with(remedy), "{finding}");
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
    /// As it is by itself from PostgreSQL 15 on.
    async fn close_public(&self) {
        let url = self.database.as_ref().unwrap().superuser_url();
        let mut superuser = PgConnection::connect(url).await.unwrap();
        let revoke = sqlx::raw_sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC");
        revoke.execute(&mut superuser).await.unwrap();
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
    check(&project, &[]);
    assert_eq!(project.ok(&["doctor"]), "nothing found\n");
    project.ok(&["init"]);
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
    check(&project, &[SUPERUSER]);
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
    let warns: [Expected; 2] =
        ["extensions", "tenantry_void"].map(|_| ("warning", "the application's role", "REVOKE"));
    check(&project, &warns);
    let findings = project.json(&["doctor"]);
    for finding in findings.as_array().unwrap() {
        let remedy = finding["remedy"].as_str().unwrap().to_owned();
        sqlx::raw_sql(AssertSqlSafe(remedy)).execute(&mut superuser).await.unwrap();
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

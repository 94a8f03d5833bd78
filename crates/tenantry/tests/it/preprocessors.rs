//! The choice of preprocessors by name, in the file or the environment's variables.

use tenantry::pool::{CheckoutRequest, Hook, Preprocessor, SessionSettings};
use tenantry::{Config, ErrorKind, NewTenant, Tenancy};
use tenantry_embedded::ScratchDatabase;

use crate::support::Folder;

struct Actor;

impl Preprocessor for Actor {
    fn name(&self) -> &'static str {
        "actor"
    }

    fn prepare(&self, request: &CheckoutRequest, session: &mut SessionSettings) -> tenantry::Result<()> {
        session.set("app.actor", request.tenant().map_or("master", |tenant| tenant.slug().as_str()))
    }

    fn hook(&self) -> Option<&dyn Hook> {
        Some(self)
    }
}

impl Hook for Actor {
    fn after_switch<'a>(
        &'a self,
        request: &'a CheckoutRequest,
        connection: &'a mut sqlx::PgConnection,
    ) -> futures_util::future::BoxFuture<'a, Result<(), Box<dyn std::error::Error + Send + Sync>>> {
        Box::pin(async move {
            if request.tenant().is_some_and(|tenant| tenant.slug().as_str() == "banned") {
                return Err("this one may not".into());
            }
            sqlx::query("SELECT set_config('app.hooked', 'yes', false)").execute(connection).await?;
            Ok(())
        })
    }
}

async fn tenancy(database: &ScratchDatabase, chosen: &str) -> tenantry::Result<Tenancy> {
    let folder = Folder::new();
    let file = folder.tenant().join("tenantry.toml");
    let url = database.url();
    for directory in ["migrations/master", "migrations/tenant"] {
        std::fs::create_dir_all(folder.tenant().join(directory)).unwrap();
    }
    std::fs::write(&file, format!("preprocessors = {chosen}\n[databases.default]\nurl = '{url}'\n")).unwrap();
    let config = Config::load(&file)?;
    Tenancy::builder().config(&config)?.preprocessor(Actor).install(true).connect().await
}

#[tokio::test]
async fn sessions_are_named_after_their_tenant_where_that_is_chosen() {
    let database = ScratchDatabase::create().await.unwrap();
    let tenancy = tenancy(&database, "['search_path', 'application_name', 'actor']").await.unwrap();
    let tenants = ["acme", "globex"].map(|slug| tenancy.create(NewTenant::new(slug)));
    for tenant in tenants {
        tenant.await.unwrap();
    }
    let own = "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()";
    for slug in ["acme", "globex", "acme"] {
        let db = tenancy.db(&tenancy.tenant(slug).await.unwrap()).unwrap();
        let name: String = sqlx::query_scalar(own).fetch_one(&db).await.unwrap();
        assert_eq!(name, format!("tenantry/{slug}"));
    }
    let name: String = sqlx::query_scalar(own).fetch_one(&tenancy.master()).await.unwrap();
    assert_eq!(name, "tenantry");
}

async fn setting(tenancy: &Tenancy, name: &'static str) -> String {
    let acme = tenancy.tenant("acme").await.unwrap();
    let sql = format!("SELECT coalesce(current_setting('{name}', true), '')");
    let db = tenancy.db(&acme).unwrap();
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&db).await.unwrap()
}

#[tokio::test]
async fn the_file_chooses_by_name() {
    let database = ScratchDatabase::create().await.unwrap();
    let with = tenancy(&database, "['search_path', 'actor']").await.unwrap();
    with.create(NewTenant::new("acme")).await.unwrap();
    assert_eq!(setting(&with, "app.actor").await, "acme");
    assert_eq!(setting(&with, "app.hooked").await, "yes");
    let without = tenancy(&database, "['search_path']").await.unwrap();
    assert_eq!(setting(&without, "app.actor").await, "");
}

#[tokio::test]
async fn an_unknown_name_is_refused_with_the_known_ones() {
    let database = ScratchDatabase::create().await.unwrap();
    let error = tenancy(&database, "['search_path', 'acter']").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::Configuration, "no preprocessor is named `acter`")
    );
    assert_eq!(error.hint(), Some("the known ones are: search_path, actor"));
}

#[tokio::test]
async fn a_list_without_a_search_path_is_refused() {
    let database = ScratchDatabase::create().await.unwrap();
    let error = tenancy(&database, "['actor']").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().starts_with("no preprocessor sets the search_path"), "{error}");
}

#[tokio::test]
async fn a_hook_that_refuses_closes_the_connection_and_reaches_the_caller() {
    let database = ScratchDatabase::create().await.unwrap();
    let tenancy = tenancy(&database, "['search_path', 'actor']").await.unwrap();
    let banned = tenancy.create(NewTenant::new("banned")).await.unwrap();
    let error = sqlx::query("SELECT 1").execute(&tenancy.db(&banned).unwrap()).await.unwrap_err();
    let error = tenantry::Error::from(error);
    assert_eq!(error.to_string(), "preprocessor `actor` refused the connection");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "this one may not");
}

use actix_web::dev::{Service, ServiceResponse};
use actix_web::{App, test, web};
use tenantry::pool::TenantClient;
use tenantry::resolve::{Resolve, Subdomain};
use tenantry::{DatabaseConfig, MasterDb, NewTenant, PoolConfig, Tenancy, Tenant, TenantDb};
use tenantry_actix::{Ask, Result, Tenants};
use tenantry_embedded::ScratchDatabase;

pub(crate) use actix_web::test::TestRequest;

pub(crate) struct World {
    pub(crate) tenancy: Tenancy,
    _database: ScratchDatabase,
}

/// An installation with the tenant `acme`.
pub(crate) async fn world(resolver: impl Resolve, pool: PoolConfig) -> World {
    let database = ScratchDatabase::create().await.unwrap();
    let tenancy = Tenancy::builder()
        .database(DatabaseConfig::from_url(database.url()).unwrap().pool(pool))
        .resolver(resolver)
        .install(true)
        .connect()
        .await
        .unwrap();
    tenancy.create(NewTenant::new("acme")).await.unwrap();
    World { tenancy, _database: database }
}

pub(crate) async fn by_subdomain() -> World {
    world(Subdomain::of("example.com").unwrap(), PoolConfig::default()).await
}

impl World {
    pub(crate) fn tenants(&self) -> Tenants {
        Tenants::new(&self.tenancy)
    }
}

async fn schema(Ask(db): Ask<TenantDb>) -> Result<String> {
    Ok(sqlx::query_scalar("SELECT current_schema()::text").fetch_one(&db).await?)
}

async fn client(Ask(client): Ask<TenantClient>) -> Result<String> {
    Ok(client.query_one("SELECT current_schema()::text", &[]).await?.get(0))
}

async fn master_schema(Ask(db): Ask<MasterDb>) -> Result<String> {
    Ok(sqlx::query_scalar("SELECT current_schema()::text").fetch_one(&db).await?)
}

async fn missing_row(Ask(db): Ask<TenantDb>) -> Result<String> {
    Ok(sqlx::query_scalar("SELECT 'x' WHERE false").fetch_one(&db).await?)
}

async fn broken(Ask(db): Ask<TenantDb>) -> Result<String> {
    Ok(sqlx::query_scalar("SELECT secret FROM nowhere").fetch_one(&db).await?)
}

async fn slug(tenant: Ask<Tenant>) -> String {
    tenant.slug().to_string()
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/schema", web::get().to(schema))
        .route("/client", web::get().to(client))
        .route("/slug", web::get().to(slug))
        .route("/master", web::get().to(master_schema))
        .route("/missing-row", web::get().to(missing_row))
        .route("/broken", web::get().to(broken));
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All values of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let values = self.headers.iter().filter(|(known, _)| known == name);
        values.map(|(_, value)| value.as_str()).collect()
    }
}

/// Sends a request to the routes behind this middleware.
pub(crate) async fn send(tenants: Tenants, request: TestRequest) -> Answer {
    let service = test::init_service(App::new().wrap(tenants).configure(routes)).await;
    answer(&service, request.to_request()).await
}

/// Sends a request to a service. What a middleware rejects is an answer as well.
pub(crate) async fn answer<S, R, B>(service: &S, request: R) -> Answer
where
    S: Service<R, Response = ServiceResponse<B>, Error = actix_web::Error>,
    B: actix_web::body::MessageBody + 'static,
{
    let response = match service.call(request).await {
        Ok(response) => response.into_parts().1.map_into_boxed_body(),
        Err(error) => error.error_response(),
    };
    let status = response.status().as_u16();
    let text = |value: &actix_web::http::header::HeaderValue| value.to_str().unwrap().to_owned();
    let headers = response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let body = actix_web::body::to_bytes(response.into_body()).await.ok().unwrap();
    Answer { status, headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

pub(crate) fn request(host: &str, path: &str) -> TestRequest {
    TestRequest::with_uri(path).insert_header(("host", host))
}

//! A clone is like its source, and an imported database like the tenant, or it is not made.

use sqlx::{Connection as _, PgConnection};

use crate::fixture::{Installation, installation, pg_dump};
use crate::tenant::SchemaName;
use crate::{CloneOptions, Cloned, Error, ErrorKind, NewTenant, PoolConfig, Result, SourceDatabase};

async fn clone(installation: &Installation, slug: &str) -> Result<Cloned> {
    let acme = installation.tenancy.tenant("acme").await?;
    let dump = async |arguments: &[String]| Ok(pg_dump(installation.database.url(), arguments));
    installation.tenancy.clone_tenant(&acme, NewTenant::new(slug), CloneOptions::default(), dump).await
}

#[tokio::test]
async fn a_clone_that_is_not_like_its_source_is_never_served() {
    let note = "CREATE TABLE note (id int, title text); CREATE INDEX note_title ON note (title)";
    let installation = installation(&[note], PoolConfig::default()).await;
    installation.create("acme").await;
    clone(&installation, "first").await.unwrap();
    // What is kept is not what it says any more.
    installation.run("UPDATE tenantry.structure SET post_data = replace(post_data, '(title)', '(id)')").await;
    let error = clone(&installation, "second").await.expect_err("it would have another index");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("index `note_title`"), "{error}");
    assert!(installation.tenancy.tenant("second").await.is_err());
    let mut connection = PgConnection::connect(installation.database.url()).await.unwrap();
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 't\\_second%'";
    assert_eq!(sqlx::query_scalar::<_, i64>(schemas).fetch_one(&mut connection).await.unwrap(), 0);
}

#[tokio::test]
async fn a_tenant_that_is_not_like_its_database_is_never_served() {
    let installation = installation(&["SELECT 1"], PoolConfig::default()).await;
    let url = installation.database.url();
    installation
        .run(
            "CREATE SCHEMA shop; CREATE TABLE shop.note (id int, title text);
              CREATE INDEX note_title ON shop.note (title)",
        )
        .await;
    let source = SourceDatabase::from_url(url).unwrap().schema(SchemaName::parse("shop").unwrap());
    let source = source.without_other_schemas();
    // It says something else than the database.
    let dump =
        async |arguments: &[String]| Ok::<_, Error>(pg_dump(url, arguments).replace("(title)", "(id)"));
    let error = installation.tenancy.import_database(&source, NewTenant::new("first"), dump).await;
    let error = error.expect_err("it would have another index");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("index `note_title`"), "{error}");
    assert!(installation.tenancy.tenant("first").await.is_err());
}

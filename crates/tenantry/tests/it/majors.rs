//! A tenant that goes to another server, by each way that leads there: to one of a newer major version where a second
//! PostgreSQL is named, and else to one of the same.

use std::io::Cursor;
use std::sync::Arc;

use tenantry::tenant::{Alias, Tenant};
use tenantry::{CloneOptions, Error, FromArchive, NewTenant, SourceDatabase, Tenancy};

use crate::archive::export;
use crate::clone::{Nasty, ROWS, dump};
use crate::support::{Client, builder, config, newer_server, tenant_files};

/// The names of all that is in a schema, and the texts that the server says of indexes and constraints. A `NOT NULL` is
/// a constraint of its own since PostgreSQL 18, which calls the parts of foreign keys by other names, too.
const OBJECTS: &str = "SELECT format('%s %s', relkind, relname) FROM pg_class
         WHERE relnamespace = '{}'::regnamespace AND relkind <> 'c'
     UNION ALL SELECT format('function %s', proname) FROM pg_proc WHERE pronamespace = '{}'::regnamespace
     UNION ALL SELECT format('type %s', typname) FROM pg_type WHERE typnamespace = '{}'::regnamespace
     UNION ALL SELECT format('%s: %s', conname, pg_get_constraintdef(oid)) FROM pg_constraint
         WHERE connamespace = '{}'::regnamespace AND contype <> 'n' AND (contype <> 'f' OR conparentid = 0)
     UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = '{}'
     UNION ALL SELECT format('trigger %s', tgname) FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = tgrelid
         WHERE relnamespace = '{}'::regnamespace AND NOT tgisinternal AND tgparentid = 0
     UNION ALL SELECT format('policy %s %s', polname, polcmd) FROM pg_policy AS p JOIN pg_class AS c ON c.oid = polrelid
         WHERE relnamespace = '{}'::regnamespace";

/// The objects of a tenant, and the rows of each of its tables and views, but for parts by the hash of an enum, which
/// is another one there.
async fn content(client: &mut Client, tenant: &Tenant) -> Vec<String> {
    let schema = tenant.schema().as_str();
    client.run(&format!("SET search_path TO {schema}")).await;
    let objects: Vec<(String,)> = client.rows(&OBJECTS.replace("{}", schema)).await;
    let mut content: Vec<_> = objects.into_iter().map(|(object,)| object.replace(schema, "own")).collect();
    let names = format!(
        "SELECT oid::regclass::text FROM pg_class
         WHERE relnamespace = '{schema}'::regnamespace AND relkind IN ('r', 'p', 'm')
             AND (relkind <> 'm' OR relispopulated) AND relname NOT LIKE 'hashed\\_%'"
    );
    let names: Vec<(String,)> = client.rows(&names).await;
    for (name,) in names {
        content.push(format!("{name}: {} rows", client.count(&name).await));
    }
    content.sort();
    content
}

#[tokio::test]
async fn a_tenant_goes_to_another_server_whichever_way() {
    let (server, is_newer) = newer_server().await;
    let there = server.database("newer").await.unwrap();
    let nasty = Nasty::new().await;
    let mut superuser = Client::superuser(&there).await;
    superuser
        .run(&format!(
            "CREATE ROLE {}; CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER remote FOREIGN DATA WRAPPER nothing;
             GRANT USAGE ON FOREIGN SERVER remote TO PUBLIC",
            nasty.app
        ))
        .await;
    let mut client = Client::owner(&there).await;
    client.run("CREATE TABLE public.plan (id int PRIMARY KEY); INSERT INTO public.plan VALUES (1)").await;
    let alias = Alias::parse("newer").unwrap();
    let tenancy = builder(&nasty.database)
        .database_as(alias.clone(), config(&there))
        .migrations(tenant_files(&["CREATE TABLE first (id int)"]))
        .connect()
        .await
        .unwrap();
    check_ways(&tenancy, &nasty, &alias, &mut client, is_newer).await;
    nasty.end().await;
}

async fn check_ways(tenancy: &Tenancy, nasty: &Nasty, alias: &Alias, there: &mut Client, is_newer: bool) {
    let (database, acme) = (&nasty.database, &nasty.acme);
    let mut here = Client::owner(database).await;
    let should_be = content(&mut here, acme).await;
    let dump = async |arguments: &[String]| Ok::<_, Error>(dump(database, arguments));

    let new = |slug: &str| NewTenant::new(slug).database(alias.clone());
    let options = CloneOptions::default();
    let cloned = tenancy.clone_tenant(acme, new("by-clone"), options, dump).await.unwrap();
    assert_eq!(content(there, &cloned.tenant).await, should_be, "by clone");

    let (_, archive) = export(database, tenancy, acme).await.unwrap();
    let archive: Arc<[u8]> = archive.into();
    let open = move || Ok(Box::new(Cursor::new(Arc::clone(&archive))) as Box<_>);
    let order = FromArchive::default().slug("by-archive").database(alias.clone());
    let imported = tenancy.import(open, &order).await.unwrap();
    assert!(!is_newer || !imported.is_compared, "fingerprints of two majors are not the same");
    assert_eq!(content(there, &imported.tenant).await, should_be, "by archive");

    here.run(&format!("CREATE SCHEMA shop; SET search_path TO shop; {ROWS}")).await;
    let source = SourceDatabase::from_url(database.url()).unwrap().without_other_schemas();
    let source = source.schema(crate::support::schema("shop"));
    let imported = tenancy.import_database(&source, new("by-database"), dump).await.unwrap();
    assert_eq!(imported.rows, 6);
    let emails = format!("{}.emails", imported.tenant.schema());
    assert_eq!(there.count(&emails).await, 2);

    // All of them are served.
    for tenant in [cloned.tenant, imported.tenant] {
        let db = tenancy.db(&tenant).unwrap();
        let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()";
        assert!(sqlx::query_scalar::<_, i64>(tables).fetch_one(&db).await.unwrap() > 2);
    }
}

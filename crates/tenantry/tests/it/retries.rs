//! Tries again of what fails because others are in the way, wherever schemas are made and removed.

use tenantry::migrate::BaselineOptions;
use tenantry::{Error, ErrorKind, NewTenant};
use tenantry_embedded::ScratchDatabase;

use crate::support::{Client, Folder, NOTHING, builder, check_error, database};

const NOTE: &str = "CREATE TABLE note (id int)";

/// Every second attempt goes well. The first is refused as PostgreSQL refuses one of two that meet.
const IN_THE_WAY: &str = "
    CREATE SEQUENCE public.attempt;
    CREATE FUNCTION public.meet() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('public.attempt') % 2 = 1 THEN
            RAISE EXCEPTION 'others are in the way' USING ERRCODE = 'serialization_failure';
        END IF;
    END $$;
    CREATE FUNCTION public.meet_in_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        PERFORM public.meet();
        RETURN coalesce(NEW, OLD);
    END $$;
    CREATE FUNCTION public.meet_in_drop() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
        IF tg_tag = 'DROP SCHEMA' THEN PERFORM public.meet(); END IF;
    END $$";
const AT_DROP: &str = "CREATE EVENT TRIGGER meet ON sql_drop EXECUTE FUNCTION public.meet_in_drop()";

/// A database in which others are in the way of whoever drops a schema.
async fn busy() -> (ScratchDatabase, Client) {
    let database = database().await;
    let mut client = Client::owner(&database).await;
    client.run(IN_THE_WAY).await;
    Client::superuser(&database).await.run(AT_DROP).await;
    (database, client)
}

async fn attempts(client: &mut Client) -> i64 {
    client.value("SELECT last_value FROM public.attempt").await
}

#[tokio::test]
async fn a_stale_spare_goes_although_others_are_in_the_way() {
    let (database, mut client) = busy().await;
    let folder = Folder::of(&[NOTE]);
    let tenancy = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    assert_eq!(tenancy.fill_spares(1).await.unwrap().made, 1);
    folder.write("tenant/0002_tag.sql", "CREATE TABLE tag ()");
    let tenancy = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    let filled = tenancy.fill_spares(1).await.unwrap();
    assert_eq!((filled.made, filled.removed), (1, 1));
    assert_eq!(attempts(&mut client).await, 2);
    assert_eq!(client.count("pg_namespace WHERE nspname LIKE 'tenantry_spare%'").await, 1);
}

#[tokio::test]
async fn a_half_made_tenant_is_given_up_although_others_are_in_the_way() {
    let (database, mut client) = busy().await;
    let index = "-- no-transaction\nCREATE INDEX CONCURRENTLY note_id ON note (id)";
    let folder = Folder::of(&[NOTE, index, "SELECT broken"]);
    let tenancy = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    tenancy.create(NewTenant::new("acme")).await.unwrap_err();
    let at_rows = "CREATE TRIGGER meet BEFORE UPDATE OR DELETE ON tenantry.tenant
                   FOR EACH ROW EXECUTE FUNCTION public.meet_in_row()";
    client.run(at_rows).await;
    tenancy.abort_creation("acme").await.unwrap();
    assert_eq!(attempts(&mut client).await, 6, "its status, its schema and its row");
    assert_eq!(client.traces("acme").await, NOTHING);
}

#[tokio::test]
async fn a_scratch_schema_is_filled_and_goes_although_others_are_in_the_way() {
    let (database, mut client) = busy().await;
    let meets = "-- lint: allow outside-name\nSELECT public.meet()";
    let folder = Folder::of(&[NOTE, meets]);
    let tenancy = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    let no_dump = async |_: &[String]| Err(Error::invalid_input("no dump"));
    let made = tenancy.make_baseline(BaselineOptions::default(), no_dump).await;
    check_error(made, ErrorKind::InvalidInput, &["no dump"]);
    assert_eq!(attempts(&mut client).await, 4, "its files, and its end");
    assert_eq!(client.count(r"pg_namespace WHERE nspname LIKE 'tenantry\_baseline\_%'").await, 0);
}

use tenantry::tenant::Alias;

use super::{NOTE, like};
use crate::support::{Client, database, tenancy};

#[tokio::test]
async fn other_owners_and_privileges_beyond_those_of_a_new_tenant_are_told() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    let owner: String = Client::owner(&database).await.value("SELECT current_user::text").await;
    let make = format!(
        "CREATE SCHEMA shop_a AUTHORIZATION {owner}; SET search_path TO shop_a; {NOTE};
         ALTER TABLE note OWNER TO {owner};
         CREATE SCHEMA shop_b AUTHORIZATION {owner}; SET search_path TO shop_b; {NOTE}; CREATE TABLE tag (id int);
         GRANT SELECT ON note, tag TO pg_monitor; GRANT INSERT ON tag TO PUBLIC"
    );
    Client::superuser(&database).await.run(&make).await;
    let found = tenancy.adoptable(&Alias::default(), &like("shop%")).await.unwrap();
    let notes: Vec<_> = found.iter().map(|found| found.notes.join("\n")).collect();
    assert_eq!(notes[0], "");
    let expect = format!(
        "role `postgres` owns `note` and 1 more: migrations run as `{owner}`, which cannot change what it owns\n\
         role `PUBLIC` has privileges on `tag`, which no new tenant has\n\
         role `pg_monitor` has privileges on `note` and 1 more, which no new tenant has"
    );
    assert_eq!(notes[1], expect);
}

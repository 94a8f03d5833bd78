use tenantry::tenant::Alias;
use tenantry::{Adoption, Fleet, NewTenant};

use super::{NOTE, TITLE, like};
use crate::doctor::close_public;
use crate::support::{Client, database, tenancy, unobserved};

/// A file that writes the name of the schema it is applied to into a function.
const COUNT: &str = "DO $do$ BEGIN EXECUTE format(
    'CREATE FUNCTION notes() RETURNS bigint LANGUAGE sql AS ''SELECT count(*) FROM %I.note''', current_schema());
    END $do$";

#[tokio::test]
async fn a_function_that_names_its_own_schema_is_no_difference() {
    let database = database().await;
    close_public(&database).await;
    let tenancy = tenancy(&database, &[NOTE, COUNT, TITLE]).await;
    let mut client = Client::owner(&database).await;
    for name in ["shop_a", "Shop_B"] {
        let make = format!("CREATE SCHEMA \"{name}\"; SET search_path TO \"{name}\"; {NOTE}; {COUNT}");
        client.run(&make).await;
    }
    let another = "CREATE FUNCTION notes() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM shop_a.note'";
    let make =
        format!("CREATE SCHEMA shop_c; SET search_path TO shop_c; {NOTE}; {another}; RESET search_path");
    client.run(&make).await;

    let found = tenancy.adoptable(&Alias::default(), &like("%hop%")).await.unwrap();
    let told: Vec<_> =
        found.iter().map(|it| (it.schema.as_str(), it.version, it.differences.as_slice())).collect();
    let differs = ["routine `notes()` is another".to_owned()];
    assert_eq!(told, [("Shop_B", Some(2), &[][..]), ("shop_a", Some(2), &[]), ("shop_c", None, &differs)]);
    for found in found.into_iter().filter(|found| found.version.is_some()) {
        tenancy.adopt(&Adoption::of(found)).await.unwrap();
    }
    tenancy.migrate(Fleet::all(), unobserved).await.unwrap();
    assert_eq!(tenancy.doctor_replaying(()).await, []);
    tenancy.create(NewTenant::new("new")).await.unwrap();
    assert_eq!(tenancy.doctor().await, []);
}

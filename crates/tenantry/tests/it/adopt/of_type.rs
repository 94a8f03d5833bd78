use std::num::NonZeroUsize;

use tenantry::tenant::Alias;
use tenantry::{Adoption, ErrorKind, Fleet};

use super::like;
use crate::support::{Client, check_error, database, unobserved};
use crate::types::{NOTE, REPORT, check_clean, folder, type_name, versions, with_types};

const ONE: NonZeroUsize = NonZeroUsize::MIN;

#[tokio::test]
async fn a_schema_is_compared_with_the_files_of_the_type_that_its_tenant_will_have() {
    let (database, folder) = (database().await, folder());
    let tenancy = with_types(&database, &folder).connect().await.unwrap();
    let mut client = Client::owner(&database).await;
    let make =
        format!("CREATE SCHEMA shop_a; SET search_path TO shop_a; {NOTE}; {REPORT}; RESET search_path");
    client.run(&make).await;
    let main = Alias::default();
    let plain = tenancy.adoptable(&main, &like("shop_a")).await.unwrap().remove(0);
    assert_eq!((plain.version, plain.differences), (None, vec!["table `report` is extra".to_owned()]));
    let pro = type_name("pro");
    let found = tenancy.adoptable_of_type(&pro, &main, &like("shop_a"), ONE, ()).await.unwrap().remove(0);
    assert_eq!((found.version, found.type_name.as_ref()), (Some(2), Some(&pro)));
    let tenant = tenancy.adopt(&Adoption::of(found)).await.unwrap();
    assert_eq!((tenant.type_name(), versions(&mut client, &tenant).await), (Some(&pro), vec![1, 2]));
    tenancy.migrate(Fleet::all(), unobserved).await.unwrap();
    assert_eq!(versions(&mut client, &tenant).await, [1, 2, 3]);
    check_clean(&tenancy).await;
    let unknown = tenancy.adoptable_of_type(&type_name("lost"), &main, &like("%"), ONE, ()).await;
    check_error(unknown, ErrorKind::Configuration, &["no type `lost`"]);
}

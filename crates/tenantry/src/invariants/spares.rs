//! A spare is what a sign-up would have made.

use crate::ErrorKind;
use crate::testing::with_one_connection;

#[tokio::test]
async fn a_function_that_names_its_schema_is_never_renamed_away_from_it() {
    let function = "CREATE TABLE note (id int); CREATE FUNCTION notes() RETURNS bigint LANGUAGE sql
                    SET search_path FROM CURRENT AS 'SELECT count(*) FROM note'";
    let installation = with_one_connection(&[function]).await;
    // Without the guard a spare is made, and the tenant's function looks for a schema that is gone.
    let filled = installation.tenancy.fill_spares(1).await;
    let acme = installation.create("acme").await;
    let notes: i64 = sqlx::query_scalar("SELECT notes()")
        .fetch_one(&installation.tenancy.db(&acme).unwrap())
        .await
        .unwrap();
    assert_eq!(notes, 0);
    assert_eq!(filled.unwrap_err().kind(), ErrorKind::Unsupported);
}

//! 6. Registry and schemas agree: a file is applied once, with its ledger row.

use sqlx::{Connection as _, PgConnection};

use crate::database::Layout;
use crate::fixture::{migrations, with_one_connection};
use crate::migrate::{Site, creation_message, send};

#[tokio::test]
async fn a_second_runner_fails_before_any_ddl() {
    let installation = with_one_connection(&[]).await;
    let acme = installation.create("acme").await;
    // The file leaves a trace even where it is rolled back: a value drawn from a sequence.
    installation.run("CREATE SEQUENCE public.drawn").await;
    let files = migrations(&[
        "-- lint: allow outside-name\nSELECT nextval('public.drawn'); CREATE TABLE note (id int)",
    ]);
    let layout = Layout::default();
    let site = Site::of_tenant(&layout, &acme);

    let message = creation_message(site, files.creation_files(None).unwrap(), &[]).unwrap();
    let mut connection = PgConnection::connect(installation.database.url()).await.unwrap();
    for expect_success in [true, false] {
        let mut tx = connection.begin().await.unwrap();
        let result = send(&mut tx, site, &message).await;
        assert_eq!(result.is_ok(), expect_success, "{result:?}");
        if result.is_ok() {
            tx.commit().await.unwrap();
        }
    }
    let drawn: i64 =
        sqlx::query_scalar("SELECT last_value FROM public.drawn").fetch_one(&mut connection).await.unwrap();
    assert_eq!(drawn, 1, "the second runner ran the file");
}

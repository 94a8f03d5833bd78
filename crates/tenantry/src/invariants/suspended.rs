//! A tenant that is suspended is served on the terms of its suspension, whichever the driver.

use crate::ErrorKind;
use crate::fixture::{Driver, Installation, Tables, with_one_connection};
use crate::tenant::Suspension;

const NOTE: &str = "CREATE TABLE note (id serial, title text)";
const INSERT: &str = "INSERT INTO note (title) VALUES ('x')";

async fn suspend(installation: &Installation, suspension: Suspension) {
    let acme = installation.tenancy.tenant("acme").await.unwrap();
    installation.tenancy.suspend(&acme, suspension).await.unwrap();
}

async fn resume(installation: &Installation) {
    let acme = installation.tenancy.tenant("acme").await.unwrap();
    installation.tenancy.resume(&acme).await.unwrap();
}

async fn count(tables: &Tables) -> String {
    tables.text("SELECT count(*)::text FROM note").await
}

async fn check_refused(acme: &Tables, sql: &str) {
    for is_prepared in [true, false] {
        let done = if is_prepared { acme.run(sql).await } else { acme.run_all(sql).await };
        let error = done.unwrap_err();
        let code = error.database_code();
        assert_eq!(
            (error.kind(), code.as_deref()),
            (ErrorKind::Suspended, Some("25006")),
            "{sql}: {error:#}"
        );
        assert_eq!(error.suspension().and_then(Suspension::message), Some("Back soon"), "{sql}");
    }
}

#[tokio::test]
async fn a_tenant_that_may_only_be_read_is_not_written_on_a_warm_connection() {
    for driver in Driver::ALL {
        let installation = with_one_connection(&[NOTE]).await;
        let (acme, globex) = installation.pair(*driver).await;
        // The third in a row is warm for either driver.
        for _ in 0..3 {
            acme.run(INSERT).await.unwrap();
        }
        let opened = installation.counts(*driver);
        suspend(&installation, Suspension::new().saying("Back soon").read_only()).await;
        for _ in 0..3 {
            for sql in [INSERT, "UPDATE note SET title = 'y'", "SELECT nextval('note_id_seq')"] {
                check_refused(&acme, sql).await;
            }
            assert_eq!(count(&acme).await, "3", "{driver:?}");
            // What touches the session has it cleaned, with the same settings made again.
            acme.run("SELECT set_config('app.actor', 'jane', false)").await.unwrap();
            globex.run(INSERT).await.unwrap();
        }
        let mut tx = acme.begin().await.unwrap();
        assert_eq!(tx.text("SELECT count(*)::text FROM note").await, "3");
        assert_eq!(tx.run(INSERT).await.unwrap_err().kind(), ErrorKind::Suspended, "{driver:?}");
        tx.rollback().await.unwrap();

        resume(&installation).await;
        for _ in 0..3 {
            acme.run(INSERT).await.unwrap();
            globex.run(INSERT).await.unwrap();
        }
        assert_eq!(
            (count(&acme).await, count(&globex).await),
            ("6".to_owned(), "6".to_owned()),
            "{driver:?}"
        );
        let counts = installation.counts(*driver);
        assert_eq!((counts.opened, counts.doubtful), (opened.opened, opened.doubtful), "{driver:?}");
    }
}

#[tokio::test]
async fn a_kept_handle_writes_again_when_the_suspension_has_ended() {
    // They mostly wait.
    let kinds = [Suspension::new(), Suspension::new().read_only()];
    let all =
        Driver::ALL.iter().flat_map(|driver| kinds.iter().map(|suspension| (*driver, suspension.clone())));
    let all = all.map(|(driver, suspension)| write_again(driver, suspension));
    futures_util::future::join_all(all).await;
}

async fn write_again(driver: Driver, suspension: Suspension) {
    let installation = with_one_connection(&[NOTE]).await;
    installation.create("acme").await;
    let acme = installation.tables(driver, "acme").await;
    acme.run(INSERT).await.unwrap();
    let end = time::OffsetDateTime::now_utc() + time::Duration::milliseconds(1_500);
    suspend(&installation, suspension.until(end)).await;
    let error = acme.run(INSERT).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Suspended, "{driver:?}: {error}");
    assert_eq!(error.suspension().and_then(Suspension::end), Some(end));
    // And the time for which an answer is believed without asking for it again.
    tokio::time::sleep(std::time::Duration::from_millis(2_600)).await;
    acme.run(INSERT).await.unwrap();
}

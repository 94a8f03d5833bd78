//! The assertions that hold for every application.

use std::time::{Duration, Instant};

use crate::application::{Application, CONNECTIONS};

const ACME: &str = "acme.example.com";
const GLOBEX: &str = "globex.example.com";
/// The rounds of two tenants side by side.
const ROUNDS: usize = 20;
/// The longest that a connection may be missing after a request that ended badly. The transaction of one that goes on
/// takes ten seconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asserts that two tenants at once see nothing of each other, and that a request which ends badly in the middle of a
/// transaction leaves nothing behind, and no connection out of use. The tenants are to have no notes.
pub async fn tenants_keep_apart(application: &impl Application) {
    interleaved(application).await;
    after_a_panic(application).await;
    after_a_client_that_left(application).await;
}

async fn interleaved(application: &impl Application) {
    let clients = [ACME, GLOBEX, ACME, GLOBEX].into_iter().enumerate().map(|(client, host)| {
        let application = application.clone();
        tokio::spawn(async move { rounds(&application, host, client).await })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    }
    for host in [ACME, GLOBEX] {
        assert_eq!(titles(application, host).await.len(), 2 * ROUNDS, "{host} has its notes, and no other");
    }
}

/// Makes notes of one tenant, and looks after each that there are only notes of this tenant.
async fn rounds(application: &impl Application, host: &str, client: usize) {
    for round in 0..ROUNDS {
        let title = format!("{host} {client}.{round}");
        application.add(host, &title).await.unwrap_or_else(|failed| panic!("{title}: {failed:?}"));
        let seen = titles(application, host).await;
        assert!(seen.contains(&title), "{host} does not see its own note: {seen:?}");
        let stranger = seen.iter().find(|title| !title.starts_with(host));
        assert_eq!(stranger, None, "{host} sees a note of another tenant");
    }
}

async fn after_a_panic(application: &impl Application) {
    // More often than there are connections, so that none may be lost.
    for _ in 0..=CONNECTIONS {
        application.panic(ACME, "never: panicked").await;
    }
    nothing_is_left(application).await;
}

async fn after_a_client_that_left(application: &impl Application) {
    for _ in 0..=CONNECTIONS {
        application.leave(ACME, "never: left").await;
    }
    nothing_is_left(application).await;
}

/// Asserts that all connections are of use soon, and that what was not committed is seen by nobody.
async fn nothing_is_left(application: &impl Application) {
    let begun = Instant::now();
    for host in [ACME, GLOBEX] {
        // Both connections at once, of this tenant.
        let (first, second) = tokio::join!(application.list(host), application.list(host));
        for seen in [first, second] {
            let seen = seen.unwrap_or_else(|failed| panic!("{host} is not served any more: {failed:?}"));
            let left = seen.iter().find(|title| !title.starts_with(host));
            assert_eq!(left, None, "{host} sees what nobody committed");
        }
    }
    assert!(begun.elapsed() < PATIENCE, "connections were out of use for {:?}", begun.elapsed());
}

async fn titles(application: &impl Application, host: &str) -> Vec<String> {
    application.list(host).await.unwrap_or_else(|failed| panic!("{host}: {failed:?}"))
}

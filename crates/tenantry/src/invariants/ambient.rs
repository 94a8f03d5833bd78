//! 7. A tenant is an explicit value; the ambient one never defaults and is not inherited.

use crate::Tenancy;
use crate::fixture::with_one_connection;

fn current() -> Option<String> {
    Tenancy::current().map(|tenant| tenant.slug().to_string())
}

#[tokio::test]
async fn there_is_no_current_tenant_unless_somebody_says_so() {
    let installation = with_one_connection(&[]).await;
    let acme = installation.create("acme").await;
    let globex = installation.create("globex").await;
    assert_eq!(current(), None);
    installation
        .tenancy
        .scope(&acme, async {
            assert_eq!(current().as_deref(), Some("acme"));
            installation
                .tenancy
                .scope(&globex, async { assert_eq!(current().as_deref(), Some("globex")) })
                .await;
            assert_eq!(current().as_deref(), Some("acme"));
            assert_eq!(
                tokio::spawn(async { current() }).await.unwrap(),
                None,
                "a spawned task inherits nothing"
            );
        })
        .await;
    assert_eq!(current(), None);
}

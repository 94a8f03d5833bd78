//! An application hears what was done to tenants, whichever process did it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenantry::tenant::{Suspension, Verb};
use tenantry::{NewTenant, Tenancy};

use crate::support::{Client, builder, database, eventually, tenancy};

/// The events that were heard: the verb, the slug, and who did it.
type Heard = Arc<Mutex<Vec<(Verb, String, String)>>>;

async fn listen(tenancy: &Tenancy) -> Heard {
    let heard = Heard::default();
    let hear = heard.clone();
    let subscribed = tenancy.on_tenant_event(move |event| {
        let entry = &event.entry;
        hear.lock().unwrap().push((event.verb, entry.slug.clone(), entry.operator.clone()));
    });
    subscribed.await.unwrap();
    heard
}

fn verbs(heard: &Heard) -> Vec<Verb> {
    heard.lock().unwrap().iter().map(|(verb, ..)| *verb).collect()
}

#[tokio::test]
async fn whoever_does_it_all_who_subscribed_hear_of_it_once() {
    let database = database().await;
    let here = tenancy(&database, &[]).await;
    let before = here.create(NewTenant::new("before")).await.unwrap();
    let elsewhere = builder(&database).operator("ann").connect().await.unwrap();
    let panics = here.on_tenant_event(|_| panic!("a subscriber that is broken"));
    panics.await.unwrap();
    let [first, second] = [listen(&here).await, listen(&here).await];

    let acme = elsewhere.create(NewTenant::new("acme")).await.unwrap();
    elsewhere.suspend(&acme, Suspension::new()).await.unwrap();
    elsewhere.resume(&acme).await.unwrap();
    here.suspend(&before, Suspension::new()).await.unwrap();
    for heard in [&first, &second] {
        eventually("all is heard", async || heard.lock().unwrap().len() >= 4).await;
        assert_eq!(verbs(heard), [Verb::Create, Verb::Suspend, Verb::Resume, Verb::Suspend]);
        let (_, slug, operator) = heard.lock().unwrap()[0].clone();
        assert_eq!((slug.as_str(), operator.as_str()), ("acme", "ann"));
    }
    // What is done to a tenant that was begun before counts when it is done.
    let mut client = Client::owner(&database).await;
    let begun = "INSERT INTO tenantry.audit (tenant_id, slug, verb, operator, state)
                 VALUES (gen_random_uuid(), 'globex', 'clone', 'ann', 'begun')";
    client.run(begun).await;
    client.run("UPDATE tenantry.audit SET state = 'done', ended_at = now() WHERE state = 'begun'").await;
    eventually("the clone is heard of", async || verbs(&first).last() == Some(&Verb::Clone)).await;
    client.run("UPDATE tenantry.audit SET digest = NULL").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(first.lock().unwrap().len(), 5, "an entry that was done is not done again");
}

#[tokio::test]
async fn what_was_done_while_nobody_listened_is_told_when_somebody_does_again() {
    let database = database().await;
    let here = tenancy(&database, &[]).await;
    let heard = listen(&here).await;
    let acme = here.create(NewTenant::new("acme")).await.unwrap();
    eventually("the creation is heard of", async || heard.lock().unwrap().len() == 1).await;

    let mut superuser = Client::superuser(&database).await;
    let listeners = "pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    for round in 1..=3 {
        let killed = format!("(SELECT pg_terminate_backend(pid) FROM {listeners}) killed");
        eventually("there is one to end", async || superuser.count(&killed).await >= 1).await;
        here.suspend(&acme, Suspension::new()).await.unwrap();
        here.resume(&acme).await.unwrap();
        eventually("both are heard of", async || heard.lock().unwrap().len() > 2 * round).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let twice = [Verb::Suspend, Verb::Resume];
    assert_eq!(verbs(&heard), [&[Verb::Create][..], &twice, &twice, &twice].concat(), "each once");
}

#[tokio::test]
async fn nothing_is_told_after_the_end() {
    let database = database().await;
    let [here, elsewhere] = [tenancy(&database, &[]).await, tenancy(&database, &[]).await];
    let heard = listen(&here).await;
    here.close(Duration::from_secs(5)).await.unwrap();
    elsewhere.create(NewTenant::new("acme")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(verbs(&heard), []);
    assert_eq!(Arc::strong_count(&heard), 1, "the function is dropped");
}

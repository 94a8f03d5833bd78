use std::time::{Duration, Instant};

use grpc::wire::Empty;
use isolation::CONNECTIONS;
use tokio_stream::StreamExt as _;
use tonic::{Code, Request};

use crate::support::{World, part, titles, world};

/// Notes in such numbers that they do not fit into the buffers on their way.
const MANY: i64 = 40_000;

async fn fill(world: &World, slug: &str) {
    let insert = sqlx::query(
        "INSERT INTO note (title) SELECT $1 || ' ' || n || repeat('.', 100) FROM generate_series(1, $2) AS n",
    );
    insert.bind(slug).bind(MANY).execute(&world.db(slug).await).await.unwrap();
}

#[tokio::test]
async fn rows_of_two_tenants_stream_side_by_side() {
    let world = world().await;
    for slug in ["acme", "globex"] {
        fill(&world, slug).await;
    }
    let read = async |slug: &str| {
        let titles = titles(&mut world.client(&format!("{slug}.example.com")).await).await.unwrap();
        assert_eq!(i64::try_from(titles.len()), Ok(MANY));
        assert!(titles.iter().all(|title| title.starts_with(slug)), "{slug} gets rows of its own only");
    };
    tokio::join!(read("acme"), read("globex"));
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_leaves_its_connection_to_others() {
    let world = world().await;
    fill(&world, "acme").await;
    for _ in 0..=CONNECTIONS {
        let mut client = world.client("acme.example.com").await;
        let mut notes = client.list(Request::new(Empty {})).await.unwrap().into_inner();
        assert!(notes.message().await.unwrap().is_some());
        // The stream is dropped in the middle, and its connection with it.
    }
    let begun = Instant::now();
    assert_eq!(titles(&mut world.client("globex.example.com").await).await.unwrap(), [""; 0]);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_deadline_in_the_middle_of_a_transaction_undoes_it() {
    let world = world().await;
    let mut client = world.client("acme.example.com").await;
    for _ in 0..=CONNECTIONS {
        let endless = tokio_stream::once(part("never: too late", false)).chain(tokio_stream::pending());
        let mut request = Request::new(endless);
        request.set_timeout(Duration::from_millis(150));
        let status = client.import(request).await.unwrap_err();
        assert!(matches!(status.code(), Code::Cancelled | Code::DeadlineExceeded), "{status:?}");
    }
    let broken_off = tokio_stream::iter([part("never: broken off", false)]);
    assert_eq!(client.import(Request::new(broken_off)).await.unwrap_err().code(), Code::Cancelled);
    client.import(Request::new(tokio_stream::iter([part("one", false), part("two", true)]))).await.unwrap();
    assert_eq!(titles(&mut client).await.unwrap(), ["one", "two"]);
}

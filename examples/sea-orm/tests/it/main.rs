//! The example does what its README promises, over HTTP.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use tenantry_embedded::ScratchDatabase;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The application on a port, and its database.
struct Running {
    port: u16,
    _database: ScratchDatabase,
}

impl Running {
    async fn start() -> Self {
        let database = ScratchDatabase::create().await.unwrap();
        let tenancy = tickets::open(database.url()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move { axum::serve(listener, tickets::app(&tenancy)).await });
        Self { port, _database: database }
    }

    /// Status and body of the answer to a customer's request.
    async fn ask(&self, slug: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {slug}.localhost:{}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.port,
            body.len(),
        );
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_default())
    }

    async fn tickets(&self, slug: &str) -> Value {
        let (status, tickets) = self.ask(slug, "GET", "/tickets", &Value::Null).await;
        assert_eq!(status, 200, "{tickets}");
        tickets
    }
}

#[tokio::test]
async fn each_customer_has_tickets_of_its_own() {
    let running = Running::start().await;
    for (slug, title) in [("acme", "The roof leaks"), ("globex", "The volcano is cold")] {
        let new = json!({ "title": title, "mood": "urgent" });
        let (status, ticket) = running.ask(slug, "POST", "/tickets", &new).await;
        assert_eq!((status, ticket), (200, json!({ "id": 1, "title": title, "mood": "urgent" })));
    }
    let comment = json!({ "body": "On my way" });
    assert_eq!(running.ask("acme", "POST", "/tickets/1/comments", &comment).await.0, 200);
    let (status, problem) = running.ask("acme", "POST", "/tickets/2/comments", &comment).await;
    assert_eq!((status, &problem["status"]), (404, &json!(404)), "{problem}");

    // A last comment without words is refused, and the ticket is open as before.
    let (status, _) = running.ask("acme", "POST", "/tickets/1/close", &json!({ "body": "" })).await;
    assert_eq!(status, 500);
    assert_eq!(running.tickets("acme").await[0]["mood"], "urgent");
    let (status, closed) = running.ask("acme", "POST", "/tickets/1/close", &json!({ "body": "Done" })).await;
    assert_eq!((status, &closed["mood"]), (200, &json!("closed")));

    let acme = json!([{
        "id": 1, "title": "The roof leaks", "mood": "closed", "comments": ["On my way", "Done"],
    }]);
    let globex = json!([{ "id": 1, "title": "The volcano is cold", "mood": "urgent", "comments": [] }]);
    assert_eq!((running.tickets("acme").await, running.tickets("globex").await), (acme, globex));
    assert_eq!(running.ask("nobody", "GET", "/tickets", &Value::Null).await.0, 404);
}

//! The example does what its README promises, over HTTP.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use tenantry_embedded::ScratchDatabase;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Status and body of the answer to a library's request.
async fn ask(port: u16, slug: &str, request: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let head = format!("{request} HTTP/1.1\r\nHost: {slug}.localhost:{port}\r\nConnection: close");
    let kind = "Accept: application/json\r\nContent-Type: application/json";
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let message = format!("{head}\r\n{kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(message.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn each_library_has_books_of_its_own() {
    let database = ScratchDatabase::create().await.unwrap();
    let tenancy = shelves::open(database.url()).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, shelves::app(&tenancy)).await });

    for (slug, title, genre) in [("acme", "A Study in Scarlet", "crime"), ("globex", "Odes", "poetry")] {
        let new = json!({ "title": title, "genre": genre });
        let (status, book) = ask(port, slug, "POST /books", &new).await;
        assert_eq!((status, book), (200, json!({ "id": 1, "title": title, "genre": genre })));
    }
    let watson = json!({ "reader": "Watson" });
    assert_eq!(ask(port, "acme", "POST /books/1/loan", &watson).await.0, 200);
    assert_eq!(ask(port, "acme", "POST /books/1/loan", &json!({ "reader": "Moriarty" })).await.0, 400);
    assert_eq!(ask(port, "acme", "POST /books/2/loan", &watson).await.0, 404);
    for (slug, title, genre, reader) in
        [("acme", "A Study in Scarlet", "crime", json!("Watson")), ("globex", "Odes", "poetry", Value::Null)]
    {
        let (status, books) = ask(port, slug, "GET /books", &Value::Null).await;
        let expect = json!([{ "id": 1, "title": title, "genre": genre, "reader": reader }]);
        assert_eq!((status, books), (200, expect));
    }
    assert_eq!(ask(port, "nobody", "GET /books", &Value::Null).await.0, 404);
}

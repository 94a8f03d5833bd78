//! HTTP/1.1, as bytes.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::application::{Application, Failed};

/// The longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(8);
/// The time after which a client goes away: its request has come to the transaction by then.
const STAY: Duration = Duration::from_millis(150);

/// An application with these routes, at an address:
///
/// - `GET /notes`: the titles, as an array of JSON;
/// - `POST /notes`: a note, whose title is the body;
/// - `POST /slow`: the same in a transaction that sleeps for ten seconds before it commits;
/// - `POST /panic`: the same in a transaction whose handler then panics.
#[derive(Clone, Copy, Debug)]
pub struct Http(pub SocketAddr);

/// The answer to a request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The number in its first line.
    pub status: u16,
    /// The lines before the empty one.
    pub head: String,
    /// The text after it.
    pub body: String,
}

impl Http {
    /// Sends a request with just these headers. `None` if the connection ends without an answer, or none comes.
    pub async fn send(&self, method_and_target: &str, headers: &str, body: &str) -> Option<Answer> {
        let mut stream = self.begin(method_and_target, headers, body).await?;
        let mut bytes = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.ok()?.ok()?;
        Answer::read(&String::from_utf8_lossy(&bytes))
    }

    async fn begin(&self, method_and_target: &str, headers: &str, body: &str) -> Option<TcpStream> {
        let mut stream = TcpStream::connect(self.0).await.ok()?;
        let length = body.len();
        let request = format!(
            "{method_and_target} HTTP/1.1\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        Some(stream)
    }
}

impl Application for Http {
    async fn list(&self, host: &str) -> Result<Vec<String>, Failed> {
        let answer = self.send("GET /notes", &format!("host: {host}"), "").await;
        answer.ok_or_else(Failed::without_answer)?.titles()
    }

    async fn add(&self, host: &str, title: &str) -> Result<(), Failed> {
        let answer = self.send("POST /notes", &format!("host: {host}"), title).await;
        answer.ok_or_else(Failed::without_answer)?.success().map(drop)
    }

    async fn leave(&self, host: &str, title: &str) {
        let stream = self.begin("POST /slow", &format!("host: {host}"), title).await;
        sleep(STAY).await;
        drop(stream);
    }

    async fn panic(&self, host: &str, title: &str) {
        let answer = self.send("POST /panic", &format!("host: {host}"), title).await;
        assert!(answer.is_none_or(|answer| answer.status == 500), "a handler that panics has no answer");
    }
}

impl Answer {
    fn read(text: &str) -> Option<Self> {
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        Some(Self { status, head: head.to_owned(), body: body.to_owned() })
    }

    fn success(&self) -> Result<&Self, Failed> {
        let is_success = (200..300).contains(&self.status);
        let failed = || Failed { status: Some(self.status), text: self.body.clone() };
        if is_success { Ok(self) } else { Err(failed()) }
    }

    /// The array of JSON that it is.
    ///
    /// # Errors
    /// If it is a failure, or something else.
    pub fn titles(&self) -> Result<Vec<String>, Failed> {
        let no_titles =
            |error: serde_json::Error| Failed { status: Some(self.status), text: error.to_string() };
        serde_json::from_str(&self.success()?.body).map_err(no_titles)
    }
}

impl Failed {
    fn without_answer() -> Self {
        Self { status: None, text: "no answer".to_owned() }
    }
}

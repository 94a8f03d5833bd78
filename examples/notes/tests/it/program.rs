use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tenantry_embedded::ScratchDatabase;

/// Ends the process if the test fails half-way.
struct Program {
    child: Child,
    port: u16,
}

impl Program {
    fn start(database: &ScratchDatabase) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_notes"));
        command.env("DATABASE_URL", database.url()).env("PORT", "0").stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut greeting = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut greeting).unwrap();
        let port = greeting.trim_end().trim_end_matches('/').rsplit(':').next().unwrap();
        let port = port.parse().unwrap_or_else(|_| panic!("no port in {greeting:?}"));
        Self { child, port }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))).unwrap()
    }

    fn send(&self, method: &str, path: &str, body: &str) -> String {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: acme.localhost\r\nconnection: close\r\n");
        let body = format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let mut stream = self.connect();
        stream.write_all((head + &body).as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// How it ended, and after how long.
    fn stop(mut self) -> (Option<i32>, Duration) {
        let started = Instant::now();
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        (self.child.wait().unwrap().code(), started.elapsed())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stops_cleanly_and_keeps_its_data() {
    let database = ScratchDatabase::create().await.unwrap();
    let program = Program::start(&database);
    assert!(program.send("POST", "/api/notes", r#"{"title": "Keep me"}"#).contains("201 Created"));
    // A browser opens connections ahead of time and keeps them; they do not hold anything up.
    let unused = program.connect();
    let mut kept = program.connect();
    kept.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    assert_ne!(kept.read(&mut [0; 512]).unwrap(), 0);

    let (code, elapsed) = program.stop();
    assert_eq!(code, Some(0));
    assert!(elapsed < Duration::from_secs(3), "{elapsed:?}");
    drop((unused, kept));

    let program = Program::start(&database);
    let answer = program.send("GET", "/api/notes", "");
    assert!(answer.contains("Keep me") && answer.matches("\"id\"").count() == 3, "{answer}");
    assert_eq!(program.stop().0, Some(0));
}

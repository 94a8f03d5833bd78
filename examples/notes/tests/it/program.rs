use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection as _, PgConnection};
use tenantry_embedded::{ScratchDatabase, ScratchServer};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// The running program, ended if the test fails half-way.
pub(crate) struct Program {
    child: Child,
    pub(crate) port: u16,
}

impl Program {
    /// Starts it in a folder; without a database it starts a PostgreSQL there.
    pub(crate) fn start(folder: &Path, database_url: Option<&str>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_notes"));
        command.current_dir(folder).stdout(Stdio::piped());
        command.env("PORT", "0").env("DATABASE_URL", database_url.unwrap_or_default());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let port = lines.map_while(Result::ok).find_map(|line| {
            let address = line.strip_prefix("Tenants and sign-up: http://localhost:")?.to_owned();
            address.trim_end_matches('/').parse().ok()
        });
        Self { child, port: port.expect("it greets") }
    }

    pub(crate) fn connect(&self, address: IpAddr) -> TcpStream {
        let stream = TcpStream::connect(SocketAddr::from((address, self.port))).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Sends what comes after `HTTP/1.1`, and gives the whole answer.
    fn exchange(&self, address: IpAddr, request: &str, rest: &str) -> String {
        let mut stream = self.connect(address);
        write!(stream, "{request} HTTP/1.1\r\nConnection: close\r\n{rest}").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub(crate) fn get(&self, host: &str, path: &str) -> String {
        self.exchange(V4, &format!("GET {path}"), &format!("Host: {host}\r\n\r\n"))
    }

    pub(crate) fn post(&self, host: &str, path: &str, kind: &str, body: &str) -> String {
        let head = format!("Host: {host}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
        self.exchange(V4, &format!("POST {path}"), &(head + body))
    }

    /// Waits until a page of a tenant is answered with a status; gives the answer.
    pub(crate) fn becomes(&self, status: u16, host: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let answer = self.get(host, "/api/notes");
            if answer.starts_with(&format!("HTTP/1.1 {status} ")) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{host} does not become {status}: {answer}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Asks it to stop, which it does properly and without delay.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        let started = Instant::now();
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn start() -> (ScratchDatabase, Program) {
    let database = ScratchDatabase::create().await.unwrap();
    let program = Program::start(Path::new("."), Some(database.url()));
    (database, program)
}

#[track_caller]
pub(crate) fn assert_status(answer: &str, status: u16) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stops_cleanly_and_keeps_its_data() {
    let (database, program) = start().await;
    let note = r#"{"title": "Keep me"}"#;
    assert_status(&program.post("acme.localhost", "/api/notes", "application/json", note), 201);
    // A browser opens connections ahead of time and keeps them; they do not hold anything up.
    let unused = program.connect(V4);
    let mut kept = program.connect(V4);
    kept.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    assert_ne!(kept.read(&mut [0; 512]).unwrap(), 0);
    program.stop();
    drop((unused, kept));

    let program = Program::start(Path::new("."), Some(database.url()));
    let answer = program.get("acme.localhost", "/api/notes");
    assert!(answer.contains("Keep me") && answer.matches("\"id\"").count() == 3, "{answer}");
    program.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_alone_spreads_its_tenants_over_two_servers() {
    let database = ScratchDatabase::create().await.unwrap();
    let server = ScratchServer::start().await.unwrap();
    let eu = server.database("notes").await.unwrap();
    let folder = std::env::temp_dir().join(format!("notes-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let file = format!("[databases.eu]\nurl = '{}'\n[placement]\npolicy = 'round-robin'\n", eu.url());
    std::fs::write(folder.join("tenantry.toml"), file).unwrap();
    let program = Program::start(&folder, Some(database.url()));
    std::fs::remove_dir_all(&folder).unwrap();
    for host in ["acme.localhost", "globex.localhost"] {
        let note = r#"{"title": "Kept here"}"#;
        assert_status(&program.post(host, "/api/notes", "application/json", note), 201);
        assert!(program.get(host, "/api/notes").contains("Kept here"), "{host}");
        assert_status(&program.post(host, "/settings/export", "application/x-www-form-urlencoded", ""), 200);
    }
    let mut registry = PgConnection::connect(database.url()).await.unwrap();
    let homes = sqlx::query_scalar("SELECT database FROM tenantry.tenant ORDER BY database");
    let homes: Vec<String> = homes.fetch_all(&mut registry).await.unwrap();
    assert_eq!(homes, ["default", "eu"]);
    program.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_at_both_loopback_addresses() {
    let (_database, program) = start().await;
    let mut addresses = vec![(V4, "127.0.0.1")];
    if TcpListener::bind((V6, 0)).is_ok() {
        addresses.push((V6, "[::1]"));
    }
    for (address, host) in addresses {
        let headers = format!("Host: {host}:{}\r\n\r\n", program.port);
        let page = program.exchange(address, "GET /", &headers);
        assert_status(&page, 200);
        assert!(page.contains(&format!("http://globex.localhost:{}/", program.port)), "{page}");
        assert_status(&program.exchange(address, "GET /", "Host: acme.localhost\r\n\r\n"), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_no_browser_sends_are_refused() {
    let (_database, program) = start().await;
    let two = "Host: acme.localhost\r\nHost: globex.localhost\r\n\r\n";
    let long = format!("Host: {}.localhost\r\n\r\n", "a".repeat(10_000));
    for headers in [two, &long, "Host: 127.1\r\n\r\n", "Host: [::1].localhost\r\n\r\n"] {
        assert_status(&program.exchange(V4, "GET /api/notes", headers), 400);
    }
}

/// The end of a connection, which the program closes within the time given.
#[track_caller]
fn assert_closed(mut stream: TcpStream, limit: Duration) {
    let started = Instant::now();
    let mut rest = Vec::new();
    // Closed with or without an answer, and with or without a reset.
    let _ = stream.read_to_end(&mut rest);
    assert!(started.elapsed() < limit, "it is still open after {:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_do_not_say_what_they_want_are_let_go() {
    let (_database, program) = start().await;
    let mut streams = Vec::new();
    for start in ["", "G", "PRI * HTTP/2.0", "GET / HTTP/1.1\r\nHost: acme.localhost\r\nX-Slow: "] {
        let mut stream = program.connect(V4);
        stream.write_all(start.as_bytes()).unwrap();
        streams.push(stream);
    }
    for stream in streams {
        assert_closed(stream, Duration::from_secs(15));
    }
    assert_status(&program.get("acme.localhost", "/healthz"), 200);
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_speaks_http_2() {
    let (_database, program) = start().await;
    let mut stream = program.connect(V4);
    let text =
        |index: u8, text: &str| [&[index, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    // GET, http, and the host and path in plain letters, as RFC 7541 numbers them.
    let head = [vec![0x82, 0x86], text(1, "acme.localhost"), text(4, "/api/whoami")].concat();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    stream.write_all(&[frame(4, 0, 0, &[]), frame(1, 0b101, 1, &head)].concat()).unwrap();
    let body = loop {
        let mut start = [0; 9];
        stream.read_exact(&mut start).unwrap();
        let mut payload = vec![0; usize::from(start[1]) << 8 | usize::from(start[2])];
        stream.read_exact(&mut payload).unwrap();
        match start[3] {
            1 => assert_eq!(payload[0], 0x88, "the status is 200"),
            0 => break String::from_utf8(payload).unwrap(),
            _ => {}
        }
    };
    assert!(body.contains("\"tenant\":\"acme\""), "{body}");
}

//! The program, in a process of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jobs::Queue;

/// A running half of the program, ended with its owner.
pub(crate) struct Program {
    child: Child,
    port: u16,
}

impl Program {
    pub(crate) fn start(half: &str, queue: Queue, database_url: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jobs"));
        let queue = if queue == Queue::Apalis { "apalis" } else { "graphile" };
        command.arg(half).env("QUEUE", queue).env("PORT", "0").env("DATABASE_URL", database_url);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let port = if half == "web" { port_of(&mut child) } else { 0 };
        Self { child, port }
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn get(&self, tenant: &str) -> String {
        self.exchange("GET", tenant, "")
    }

    pub(crate) fn post(&self, tenant: &str, body: &str) -> String {
        self.exchange("POST", tenant, body)
    }

    fn exchange(&self, method: &str, tenant: &str, body: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(
            stream,
            "{method} /reports HTTP/1.1\r\nHost: {tenant}.localhost\r\nConnection: close\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

fn port_of(child: &mut Child) -> u16 {
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines().map_while(Result::ok);
    let port = lines.find_map(|line| {
        let address = line.strip_prefix("Reports of Acme: http://acme.localhost:")?;
        address.strip_suffix("/reports")?.parse().ok()
    });
    port.expect("it says where it is")
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

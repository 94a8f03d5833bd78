//! The application on a port, with a database of its own.

mod notes;

use std::net::SocketAddr;
use std::process::{Command, Output};

use loco_rs::app::{AppContext, Hooks as _};
use loco_rs::boot::StartMode;
use loco_rs::environment::Environment;
use notebook::app::App;
use serde_json::Value;
use tenantry_embedded::ScratchDatabase;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// The settings of `config/test.yaml` that a test changes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schema {
    Kept,
    /// Loco drops all tables that it knows of, as the generator's own `config/test.yaml` has it do.
    Recreated,
}

pub(crate) struct Running {
    port: u16,
    pub(crate) ctx: AppContext,
}

impl Running {
    pub(crate) async fn start(database: &ScratchDatabase, schema: Schema) -> Self {
        let mut config = Environment::Test.load().unwrap();
        database.url().clone_into(&mut config.database.uri);
        config.database.dangerously_recreate = schema == Schema::Recreated;
        let boot = App::boot(StartMode::ServerOnly, &Environment::Test, config).await.unwrap();
        let app = boot.router.unwrap().into_make_service_with_connect_info::<SocketAddr>();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { port, ctx: boot.app_context }
    }

    /// Status and body of the answer to a request.
    async fn ask(&self, host: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}:{}\r\nConnection: close\r\n\
             Accept: application/json\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
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

    async fn get(&self, host: &str, path: &str) -> (u16, Value) {
        self.ask(host, "GET", path, &Value::Null).await
    }
}

/// Runs a command of `cargo loco` in a process of its own.
pub(crate) fn loco(folder: &str, database: &ScratchDatabase, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_notebook-cli"));
    command.args(arguments).current_dir(folder).env("DATABASE_URL", database.url());
    let output = command.env("LOCO_ENV", "development").output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    output
}

/// A database with the tenants `acme` and `globex`, each made by a process that has run no initializer.
pub(crate) async fn database_with_tenants() -> ScratchDatabase {
    let database = ScratchDatabase::create().await.unwrap();
    for slug in ["acme", "globex"] {
        let output = loco(HERE, &database, &["task", "tenant:create", &format!("slug:{slug}")]);
        assert!(String::from_utf8(output.stdout).unwrap().contains(&format!("{slug} is at t_{slug}_")));
    }
    database
}

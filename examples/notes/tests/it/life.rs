use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tenantry::{DatabaseConfig, Migrations, NewTenant, Tenancy};
use tenantry_embedded::KeptServer;

use crate::program::{Program, assert_status};

const FORM: &str = "application/x-www-form-urlencoded";

/// A folder with a PostgreSQL in it, which is stopped and removed even if the test fails.
struct Home(PathBuf);

impl Home {
    fn new() -> Self {
        let path = env::temp_dir().join(format!("tenantry-notes-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        // The user PostgreSQL runs as, when root starts it, can enter.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let path = self.0.clone();
        let stop = async move {
            if let Ok(Some(server)) = KeptServer::find(&path).await {
                let _ = server.stop().await;
            }
        };
        // A runtime cannot wait inside another one, so this one gets its own thread.
        let _ = std::thread::spawn(move || tokio::runtime::Runtime::new().unwrap().block_on(stop)).join();
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Opens the same tenants as another program of this folder does, such as the command line.
async fn another_program(server: &KeptServer) -> Tenancy {
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    Tenancy::builder()
        .database(DatabaseConfig::from_url(&server.database("tenantry").await.unwrap()).unwrap())
        .migrations(Migrations::from_dirs(migrations.join("master"), migrations.join("tenant")).unwrap())
        .connect()
        .await
        .unwrap()
}

/// Signs somebody up, and tells how long that took.
fn sign_up(program: &Program, slug: &str) -> Duration {
    let started = Instant::now();
    let answer = program.post("localhost", "/signup", FORM, &format!("slug={slug}"));
    let took = started.elapsed();
    assert_status(&answer, 303);
    assert_status(&program.get(&format!("{slug}.localhost"), "/api/notes"), 200);
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_it_lives_on_a_server_of_its_own() {
    let home = Home::new();
    let program = Program::start(home.path(), None);
    let server = KeptServer::find(home.path()).await.unwrap().expect("it was started");

    // The fastest of three, since other tests may keep the machine busy.
    let took = ["initech", "umbrella", "stark"].map(|slug| sign_up(&program, slug));
    assert!(took.iter().min() < Some(&Duration::from_secs(1)), "{took:?}");

    assert_status(&program.get("hooli.localhost", "/api/notes"), 404);
    let tenancy = another_program(&server).await;
    tenancy.create(NewTenant::new("hooli")).await.unwrap();
    program.becomes(200, "hooli.localhost");
    tenancy.close(Duration::from_secs(5)).await.unwrap();

    server.stop().await.unwrap();
    let answer = program.becomes(503, "acme.localhost").to_lowercase();
    let seconds = answer.split("retry-after: ").nth(1).and_then(|rest| rest.lines().next());
    assert!(seconds.is_some_and(|seconds| seconds.parse::<u32>().is_ok()), "{answer}");
    assert_status(&program.get("acme.localhost", "/healthz"), 200);

    let server = KeptServer::start(home.path()).await.unwrap();
    assert!(program.becomes(200, "acme.localhost").contains("anvils"), "without a restart");
    program.stop();
    let program = Program::start(home.path(), None);
    assert_status(&program.get("hooli.localhost", "/api/notes"), 200);
    program.stop();

    server.stop().await.unwrap();
    assert!(KeptServer::find(home.path()).await.unwrap().is_none());
}

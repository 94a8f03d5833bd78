use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use tenantry_embedded::{CopiedDatabase, Error, KeptServer, ScratchDatabase, ScratchPooler};

use crate::bench::run;

/// This very program, started once more to play one part.
pub(crate) struct Helper {
    pub(crate) process: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Helper {
    /// Starts a helper; `argument` is the folder of the binaries or of the project.
    pub(crate) fn start(part: &str, argument: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "helper::play_a_part", "--nocapture"]);
        command.env("TENANTRY_TEST_PART", part).env("TENANTRY_TEST_ARGUMENT", argument);
        if let Some(url) = part.strip_prefix("download ") {
            command.env("TENANTRY_TEST_PART", "download").env("TENANTRY_PG_DOWNLOAD_URL", url);
            // Like a program that was installed, which knows of no checkout.
            command.current_dir("/").env_remove("CARGO_MANIFEST_DIR");
        }
        if part == "copy" && !argument.as_os_str().is_empty() {
            command.env("TENANTRY_TEST_URL", argument);
        }
        if part.starts_with("scratch") {
            command.env("TENANTRY_PG_BIN", argument);
        }
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self { process, output }
    }

    /// Reads what the helper has to say, which it marks among what the test harness prints.
    pub(crate) fn says(&mut self) -> String {
        let mut line = String::new();
        while self.output.read_line(&mut line).unwrap() > 0 {
            if let Some((_, said)) = line.split_once("says: ") {
                return said.trim().to_owned();
            }
            line.clear();
        }
        panic!("the helper ended without a word");
    }

    pub(crate) fn kill_9(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Closes the helper's input, which is what it waits for.
    pub(crate) fn end(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Started by other tests in a process of its own; without their variable it has no part to play.
#[tokio::test]
async fn play_a_part() {
    let Ok(part) = std::env::var("TENANTRY_TEST_PART") else { return };
    let argument = std::env::var_os("TENANTRY_TEST_ARGUMENT").unwrap();
    match part.as_str() {
        "scratch" => {
            let database = ScratchDatabase::create().await.unwrap();
            println!("says: {}", database.superuser_url());
            wait_for_the_end_of_input();
        }
        "scratch pooler" => {
            let database = ScratchDatabase::create().await.unwrap();
            let pooler = ScratchPooler::start(&[database.url()], 1).await.unwrap();
            println!("says: {}", pooler.port());
            wait_for_the_end_of_input();
        }
        "scratch panic" => {
            let database = ScratchDatabase::create().await.unwrap();
            println!("says: {}", database.superuser_url());
            panic!("as asked");
        }
        "draft" => {
            let key = argument.to_str().unwrap();
            let made = CopiedDatabase::create::<Error>(key, async |url| {
                run(url, "CREATE TABLE half (id int)").await;
                println!("says: {url}");
                wait_for_the_end_of_input();
                Ok(String::new())
            });
            made.await.unwrap();
        }
        "copy" => {
            let made = CopiedDatabase::create::<Error>("of a helper", async |_| Ok(String::new()));
            match made.await {
                Ok(database) => {
                    println!("says: {}", database.url());
                    wait_for_the_end_of_input();
                }
                Err(error) => println!("says: {}", format!("{error:?}").replace('\n', " ")),
            }
        }
        "kept" => {
            let server = KeptServer::start(argument.as_ref()).await.unwrap();
            println!("says: {}", server.pid());
        }
        #[cfg(feature = "download")]
        "download" => match tenantry_embedded::Binaries::download(argument.as_ref()).await {
            Ok(binaries) => println!("says: {}", binaries.directory().display()),
            Err(error) => println!("says: {}", format!("{error:?}").replace('\n', " ")),
        },
        other => panic!("no such part: {other}"),
    }
}

fn wait_for_the_end_of_input() {
    let mut line = String::new();
    while std::io::stdin().read_line(&mut line).is_ok_and(|bytes| bytes > 0) {}
}

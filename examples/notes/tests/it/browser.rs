use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tenantry_embedded::ScratchDatabase;

use crate::program::Program;

/// A Chromium without a window, steered by its driver as the W3C has it.
struct Browser {
    driver: Child,
    port: u16,
    session: String,
    /// The folder that downloads come to.
    folder: PathBuf,
}

/// The key under which an element's number stands.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

impl Browser {
    fn start() -> Self {
        let mut driver = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(driver.stdout.as_mut().unwrap()).lines().map_while(Result::ok);
        let port_in =
            |line: String| line.rsplit_once("successfully on port ")?.1.trim_end_matches('.').parse().ok();
        let port: u16 = lines.find_map(port_in).expect("it says its port");
        let folder = std::env::temp_dir().join(format!("tenantry-test-{}-{port}", std::process::id()));
        let options = json!({
            // Chromium refuses to run as root otherwise. It visits pages of ours alone.
            "args": ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
            "prefs": { "download.default_directory": folder, "download.prompt_for_download": false },
        });
        let mut browser = Self { driver, port, session: String::new(), folder };
        let wanted = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": options } } });
        let session = browser.ask("POST", "", &wanted);
        browser.session = format!("/{}", session["sessionId"].as_str().unwrap());
        browser.command("timeouts", &json!({ "implicit": 10_000 }));
        browser
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        let head = format!("{method} /session{}{path} HTTP/1.1\r\nHost: localhost\r\n", self.session);
        let rest = format!("Connection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all((head + &rest).as_bytes()).unwrap();
        let mut answer = BufReader::new(stream);
        let (mut status, mut length) = (String::new(), 0);
        answer.read_line(&mut status).unwrap();
        for line in answer.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty()) {
            let header = line.to_ascii_lowercase();
            length =
                header.strip_prefix("content-length:").map_or(length, |text| text.trim().parse().unwrap());
        }
        let mut body = vec![0; length];
        answer.read_exact(&mut body).unwrap();
        let mut body: Value = serde_json::from_slice(&body).unwrap();
        assert!(status.contains(" 200 "), "{method} {path}: {body}");
        body["value"].take()
    }

    fn command(&self, name: &str, body: &Value) -> Value {
        self.ask("POST", &format!("/{name}"), body)
    }

    fn open(&self, url: &str) {
        self.command("url", &json!({ "url": url }));
    }

    /// Does something with the first element that a selector of CSS finds; it waits until there is one.
    fn with(&self, selector: &str, action: &str, body: &Value) {
        let found = self.command("element", &json!({ "using": "css selector", "value": selector }));
        self.command(&format!("element/{}/{action}", found[ELEMENT].as_str().unwrap()), body);
    }

    fn press(&self, selector: &str) {
        self.with(selector, "click", &json!({}));
    }

    fn type_into(&self, selector: &str, text: &str) {
        self.with(selector, "clear", &json!({}));
        self.with(selector, "value", &json!({ "text": text }));
    }

    /// Waits until people can read this on the page.
    #[track_caller]
    fn until_it_says(&self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let script =
                json!({ "script": "return document.body ? document.body.innerText : ''", "args": [] });
            let page = self.command("execute/sync", &script);
            if page.as_str().is_some_and(|page| page.contains(text)) {
                return;
            }
            assert!(Instant::now() < deadline, "the page does not say {text:?}: {page}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends the browser, if it still can.
        if !std::thread::panicking() {
            self.ask("DELETE", "", &Value::Null);
        } else if let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
            let _ = write!(stream, "DELETE /session{} HTTP/1.1\r\nHost: localhost\r\n\r\n", self.session);
            let _ = stream.read(&mut [0; 512]);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_see_what_the_operator_and_the_settings_do() {
    let database = ScratchDatabase::create().await.unwrap();
    let program = Program::start(Path::new("."), Some(database.url()));
    let port = program.port;
    tokio::task::spawn_blocking(move || visit(port)).await.unwrap();
    drop(program);
}

fn visit(port: u16) {
    let (operator, acme) =
        (format!("http://localhost:{port}/operator"), format!("http://acme.localhost:{port}/"));
    let browser = Browser::start();
    browser.open(&acme);
    browser.until_it_says("Order more anvils");

    // Suspended with a message, and resumed.
    browser.open(&operator);
    let form = "form:has(button[aria-label='Suspend acme'])";
    browser.type_into(&format!("{form} input[name=message]"), "Please pay <b>first</b>");
    browser.press(&format!("{form} button"));
    browser.until_it_says("suspended: “Please pay <b>first</b>”");
    browser.open(&acme);
    browser.until_it_says("Please pay <b>first</b>");
    browser.open(&operator);
    browser.press("button[aria-label='Resume acme']");
    browser.until_it_says("acme.localhost, active");
    browser.open(&acme);
    browser.until_it_says("Order more anvils");

    // Another name, another address, and a file of all there is.
    browser.press("a[href='/settings']");
    browser.type_into("#name", "Acme & Sons");
    browser.press("form[action='/settings/name'] button");
    browser.until_it_says("Settings of Acme & Sons");
    browser.type_into("#address", "apex");
    browser.press("form[action='/settings/address'] button");
    browser.until_it_says("Links to acme.localhost lead here until");
    browser.press("form[action='/settings/export'] button");
    check_download(&browser.folder.join("apex.tar.zst"));
    browser.open(&acme);
    browser.until_it_says("Notes of Acme & Sons");

    // Leaving, and the way back.
    browser.open(&format!("http://apex.localhost:{port}/settings"));
    browser.type_into("#delete", "apex");
    browser.press("form[action='/settings/delete'] button");
    browser.until_it_says("Acme & Sons is deleted");
    browser.press("form[action^='/farewell/'] button");
    browser.until_it_says("Order more anvils");
}

/// The browser gives a file its name when it is there as a whole.
#[track_caller]
fn check_download(file: &Path) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !file.exists() {
        assert!(Instant::now() < deadline, "nothing was downloaded");
        std::thread::sleep(Duration::from_millis(50));
    }
    let verified = tenantry::archive::verify(std::fs::File::open(file).unwrap()).unwrap();
    assert_eq!((verified.manifest.slug.as_str(), verified.manifest.rows()), ("apex", 2));
}

//! TLS between this program and a server, by each driver.

use std::process::Command;

use tenantry::{DatabaseConfig, Error, ErrorKind, Result, Tenancy};
use tenantry_embedded::{ScratchDatabase, ScratchServer};

use crate::support::{Client, Folder, eventually};

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

/// A server, and authorities and certificates in a folder.
struct Fixture {
    _server: ScratchServer,
    database: ScratchDatabase,
    folder: Folder,
}

impl Fixture {
    async fn start() -> Self {
        let server = ScratchServer::start().await.unwrap();
        let database = server.database("app").await.unwrap();
        Self { database, _server: server, folder: Folder::new() }
    }

    fn openssl(&self, arguments: &str) {
        let mut command = Command::new("openssl");
        let output = command.args(arguments.split(' ')).current_dir(self.folder.path()).output().unwrap();
        assert!(output.status.success(), "{arguments}: {output:?}");
    }

    /// Makes an authority, which signs itself.
    fn authority(&self, name: &str) {
        self.openssl(&format!("req -x509 {KEY} -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem"));
    }

    /// Makes a certificate for a host, signed by an authority.
    fn certificate(&self, name: &str, authority: &str, host: &str) {
        self.folder.write("extensions", &format!("subjectAltName=DNS:{host}\nbasicConstraints=CA:FALSE\n"));
        self.openssl(&format!("req {KEY} -subj /CN={name} -keyout {name}.key -out request"));
        let by = format!("-CA {authority}.pem -CAkey {authority}.key -CAcreateserial -extfile extensions");
        self.openssl(&format!("x509 -req -in request {by} -days 2 -out {name}.pem"));
    }

    fn text(&self, file: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(file)).unwrap()
    }

    /// Lets the server show a certificate from now on.
    async fn show(&self, name: &str) {
        let mut superuser = Client::superuser(&self.database).await;
        for file in [format!("{name}.pem"), format!("{name}.key")] {
            let lines = format!("SELECT unnest(string_to_array('{}', E'\\n'))", self.text(&file));
            // As the server's own user, who alone may read it.
            superuser.run(&format!("COPY ({lines}) TO PROGRAM 'umask 077; cat > {file}'")).await;
        }
        for setting in [
            format!("ssl_cert_file TO '{name}.pem'"),
            format!("ssl_key_file TO '{name}.key'"),
            "ssl TO on".to_owned(),
        ] {
            superuser.run(&format!("ALTER SYSTEM SET {setting}")).await;
        }
        superuser.run("SELECT pg_reload_conf()").await;
        let shown = "SELECT current_setting('ssl') || current_setting('ssl_cert_file')";
        eventually("the server has read its settings", async || {
            Client::superuser(&self.database).await.value::<String>(shown).await == format!("on{name}.pem")
        })
        .await;
    }

    /// Connects, which opens a connection of sqlx's and none of tokio-postgres.
    async fn connect(&self, host: &str, mode: &str) -> Result<Tenancy> {
        let roots = self.folder.path().join("roots.pem");
        let url = self.database.url().replacen("127.0.0.1", host, 1);
        let url = format!("{url}?sslmode={mode}&sslrootcert={}", roots.display());
        Tenancy::builder().database(DatabaseConfig::from_url(&url)?).install(true).connect().await
    }
}

/// The answers of a connection of each driver.
async fn answers(tenancy: &Tenancy) -> Vec<Result<bool>> {
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let of_sqlx = sqlx::query_scalar(sql).fetch_one(&tenancy.master()).await.map_err(Error::from);
    vec![
        of_sqlx,
        #[cfg(feature = "tokio-postgres")]
        tenancy.master_client().query_one(sql, &[]).await.map(|row| row.get(0)),
    ]
}

#[tokio::test]
async fn a_certificate_is_accepted_or_its_refusal_is_explained() {
    let fixture = Fixture::start().await;
    for authority in ["ours", "theirs", "own"] {
        fixture.authority(authority);
    }
    fixture.certificate("good", "ours", "localhost");
    fixture.certificate("of-another-host", "ours", "example.com");
    fixture.certificate("of-theirs", "theirs", "localhost");
    fixture.folder.write("roots.pem", &(fixture.text("ours.pem") + &fixture.text("own.pem")));

    let error = fixture.connect("localhost", "require").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DatabaseUnavailable);
    assert!(format!("{error:#}").contains("TLS"), "{error:#}");

    fixture.show("good").await;
    for (host, mode) in [
        ("localhost", "verify-full"),
        ("127.0.0.1", "verify-ca"),
        ("127.0.0.1", "require"),
        ("127.0.0.1", "prefer"),
    ] {
        for is_encrypted in answers(&fixture.connect(host, mode).await.unwrap()).await {
            assert!(is_encrypted.unwrap(), "{host} {mode}");
        }
    }
    for (certificate, hint) in
        [("of-another-host", "`sslmode=verify-ca`"), ("of-theirs", "`sslrootcert`"), ("own", "CA:FALSE")]
    {
        fixture.show("good").await;
        let tenancy = fixture.connect("localhost", "verify-full").await.unwrap();
        fixture.show(certificate).await;
        let mut errors = vec![fixture.connect("localhost", "verify-full").await.map(drop).unwrap_err()];
        if cfg!(feature = "tokio-postgres") {
            errors.extend(answers(&tenancy).await.pop().and_then(Result::err));
            assert_eq!(errors.len(), 2, "{certificate}");
        }
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::DatabaseUnavailable, "{certificate}: {error:#}");
            let told = error.hint().unwrap_or_else(|| panic!("{certificate}: {error:#}"));
            assert!(told.contains(hint), "{certificate}: {told}");
        }
    }
}

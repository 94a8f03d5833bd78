use super::*;
use crate::database::DatabaseConfig;
use crate::database::route::Route;

#[track_caller]
fn good(url: &str) -> DatabaseUrl {
    DatabaseUrl::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"))
}

#[track_caller]
fn address(url: &str, expect: &str) {
    assert_eq!(Route::parse(url).map(|route| route.address()).expect("a good URL"), expect, "{url}");
}

#[test]
fn a_url_names_hosts_as_it_does_to_libpq() {
    address("postgres://u:p@h/d", "u@h:5432/d");
    address("postgresql://u:p@h:1/d", "u@h:1/d");
    address("postgres://u@[::1]:99/d", "u@::1:99/d");
    address("postgres://u@h1,h2:1/d", "u@h1:5432,h2:1/d");
    address("postgres://u@h1:1,h2:2,[::1]:3/d", "u@h1:1,h2:2,::1:3/d");
    address("postgres://u@/d?host=h1,h2&port=7", "u@h1:7,h2:7/d");
    address("postgres://u@/d?host=h1,h2&port=7,8", "u@h1:7,h2:8/d");
    address("postgres://u@h/d?host=other", "u@other:5432/d");
    address("postgres://u@h:9/d?dbname=e&user=v&port=8", "v@h:8/e");
    address("postgres://u@%2Frun%2Fmy%20server:5/d", "u@/run/my server/d");
    address("postgres://u@h", "u@h:5432/u");
    address("postgres://u@h?dbname=d", "u@h:5432/d");
}

#[test]
fn credentials_may_hold_what_libpq_takes() {
    for (url, password) in [
        ("postgres://u:a#b@localhost/d", "a#b"),
        ("postgres://u:a?b@localhost/d", "a?b"),
        ("postgres://u:a@b@localhost/d", "a@b"),
        ("postgres://u:a:b@localhost/d", "a:b"),
        ("postgres://u:%2F%3f%40%25+@localhost/d", "/?@%+"),
        ("postgres://u@localhost/d?password=a%20b%26c", "a b&c"),
    ] {
        let read = good(url);
        assert_eq!(
            (read.password.as_deref(), read.hosts[0].host.as_deref()),
            (Some(password), Some("localhost"))
        );
        let options = Route::parse(url).expect("a good URL").options().clone();
        assert_eq!(crate::database::route::password_of(&options).as_deref(), Some(password), "{url}");
    }
}

#[test]
fn what_libpq_knows_is_done_or_refused_by_name() {
    #[track_caller]
    fn check(query: &str, says: &str, hint: &str) {
        let error = DatabaseConfig::from_url(&format!("postgres://u:hunter2@h/d?{query}")).expect_err(query);
        assert!(error.to_string().contains(says), "{query}: {error}");
        assert!(error.hint().unwrap_or_default().contains(hint), "{query}: {:?}", error.hint());
    }
    check("service=x", "`service`", "write the host");
    check("schema=acme", "`schema`", "`master_schema`");
    check("channel_binding=require", "`channel_binding`", "verify-full");
    check("target_session_attrs=standby", "`target_session_attrs`", "`read-write`");
    check("sslmode=allow", "`sslmode=allow`", "prefer");
    check("sslmode=Require", "`sslmode`", "`verify-full`");
    check("sslrootcert=system&sslmode=require", "`sslrootcert=system`", "verify-full");
    check("sslnegotiation=direct", "`sslnegotiation`", "leave it out");
    check("sslcrl=/x", "`sslcrl`", "leave it out");
    check("require_auth=scram-sha-256", "`require_auth`", "leave it out");
    check("pgbouncer=true", "`pgbouncer`", "leave it out");
    check("keepalives_idle=30", "`keepalives_idle`", "alive");
    check("connect_timeout=soon", "`connect_timeout`", "number");
    check("port=1,2,3", "number of ports", "one for each");
    check("sslkey=-----BEGIN%20PRIVATE%20KEY-----", "`sslkey`", "file");
    check("host", "has no value", "write it as");
    for query in [
        "",
        "channel_binding=prefer&gssencmode=disable&sslnegotiation=postgres",
        "client_encoding=UTF8&load_balance_hosts=disable",
        "sslmode=require&application_name=a&options=-c%20work_mem%3D1MB&options[app.x]=y&statement-cache-capacity=5",
        "fallback_application_name=a&connect_timeout=3&target_session_attrs=any",
    ] {
        good(&format!("postgres://u@h/d?{query}"));
    }
}

#[test]
fn what_is_done_is_remembered() {
    let read = good("postgres://u@h/d?connect_timeout=3&target_session_attrs=read-write");
    assert_eq!((read.connect_timeout, read.wanted), (Some(Duration::from_secs(3)), Wanted::ReadWrite));
    assert_eq!(good("postgres://u@h/d?connect_timeout=0").connect_timeout, None);
    let read = good("postgres://u@h/d?application_name=a&fallback_application_name=b");
    assert_eq!(read.parameter("application_name"), Some("a"));
}

#[test]
fn a_named_authority_is_asked_about_the_server() {
    use sqlx::postgres::PgSslMode;
    let mode = |query: &str| {
        let route = Route::parse(&format!("postgres://u@h/d?{query}")).expect("a good URL");
        route.options().get_ssl_mode()
    };
    assert!(matches!(mode("sslmode=require&sslrootcert=/ca.pem"), PgSslMode::VerifyCa));
    assert!(matches!(mode("sslmode=require"), PgSslMode::Require));
    assert!(matches!(mode("sslmode=verify-full&sslrootcert=/ca.pem"), PgSslMode::VerifyFull));
    assert!(matches!(mode("sslrootcert=system"), PgSslMode::VerifyFull));
    assert!(matches!(mode("sslrootcert=/ca.pem"), PgSslMode::Prefer));
}

#[test]
fn a_part_that_should_be_encoded_is_told_of_and_not_repeated() {
    for url in [
        "postgres://u:hunter2/x@localhost/d",
        "postgres://u:hunter2%zz@localhost/d",
        "postgres://u:hunter2%@localhost/d",
        "postgres://u:hunter2%00@localhost/d",
        "postgres://u:hunter2%ff@localhost/d",
        "postgres://u:x@h:hunter2/d",
        "postgres://u:x@[::1/d",
    ] {
        let error = DatabaseConfig::from_url(url).expect_err(url);
        let hint = error.hint().expect("a hint");
        assert!(hint.contains("percent-encode `# / ? @ %`"), "{url}: {hint}");
        assert!(!format!("{error:?} {error:#}").contains("hunter2"), "{error:?}");
    }
}

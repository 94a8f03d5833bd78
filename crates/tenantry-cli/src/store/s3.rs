//! Opens a bucket of an S3-compatible store, as the usual variables say.
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::ClientConfigKey;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use url::{Host, Url};

use crate::failure::Failure;

/// The longest that a request is tried again. A store that is away is told of while somebody still looks.
const PATIENCE: Duration = Duration::from_mins(1);
/// The longest that one request may take: a part of an archive, on a slow line.
const OF_A_REQUEST: Duration = Duration::from_mins(10);

/// Opens a bucket. Nothing is sent yet.
pub(super) fn open(bucket: &str) -> anyhow::Result<Arc<dyn ObjectStore>> {
    // Does nothing where the program has chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let retry = RetryConfig { max_retries: 6, retry_timeout: PATIENCE, ..RetryConfig::default() };
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry);
    let endpoint = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint]
        .iter()
        .find_map(|key| builder.get_config_value(key));
    let http = ClientConfigKey::AllowHttp;
    let is_told = std::env::var("AWS_ALLOW_HTTP").is_ok_and(|value| matches!(&*value, "true" | "1"));
    let allows_http = allows_http(endpoint.as_deref(), is_told)?;
    let options = ClientOptions::new().with_timeout(OF_A_REQUEST).with_config(http, allows_http.to_string());
    builder = builder.with_client_options(options);
    let store = builder.build().map_err(|error| {
        let message = format!("the bucket `{bucket}` cannot be opened: {error}");
        Failure::new("configuration", message).with_hint("`docs/backup.md` lists the variables that it takes")
    })?;
    Ok(Arc::new(store))
}

/// Decides whether what is in the tables may travel without TLS: within this machine, or where somebody said so.
fn allows_http(endpoint: Option<&str>, is_told: bool) -> Result<bool, Failure> {
    let Some(endpoint) = endpoint else { return Ok(false) };
    let url: Url = endpoint.parse().map_err(|_| {
        Failure::usage(format!("`{endpoint}` is no address of a store"))
            .with_hint("write `AWS_ENDPOINT_URL` as `https://s3.example.com`")
    })?;
    if url.scheme() != "http" || is_told {
        return Ok(url.scheme() == "http");
    }
    let is_here = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if is_here {
        return Ok(true);
    }
    Err(Failure::usage(format!("`{endpoint}` is not encrypted, and archives hold every row"))
        .with_hint("use `https://`, or set `AWS_ALLOW_HTTP=true` where the way there is safe"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_tls_only_within_the_machine_or_when_told() {
        for (endpoint, is_told, expect) in [
            (None, false, Some(false)),
            (Some("https://s3.example.com"), false, Some(false)),
            (Some("http://127.0.0.1:9000"), false, Some(true)),
            (Some("http://[::1]:9000"), false, Some(true)),
            (Some("http://localhost"), false, Some(true)),
            (Some("http://s3.example.com"), false, None),
            (Some("http://localhost.example.com"), false, None),
            (Some("http://10.0.0.1"), false, None),
            (Some("http://s3.example.com"), true, Some(true)),
            (Some("s3.example.com"), true, None),
        ] {
            assert_eq!(allows_http(endpoint, is_told).ok(), expect, "{endpoint:?}");
        }
    }
}

//! A small S3-compatible store, for one bucket in memory.
//!
//! It is strict where real ones are: each request carries a signature that fits the secret, a part of an upload but the
//! last has 5 MB or more, and an upload is completed by the parts that it has, or is nothing. With `TENANTRY_TEST_S3`
//! in the environment, the tests use the store at that address instead, with its bucket `backup` and the keys below.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use ring::{digest, hmac};

pub(crate) const KEY: &str = "test-key";
pub(crate) const SECRET: &str = "test-secret";
const SMALLEST_PART: usize = 5 << 20;
/// The characters that AWS escapes in a signature.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

#[derive(Default)]
pub(crate) struct Bucket {
    pub(crate) objects: BTreeMap<String, Bytes>,
    /// Uploads under way, with their key and parts.
    pub(crate) uploads: BTreeMap<String, (String, BTreeMap<u32, Bytes>)>,
    begun: usize,
    /// Requests of this method are refused from now on, if they are for an upload under way, or if they are not.
    pub(crate) refused: Option<(Method, bool)>,
}

#[derive(Clone, Default)]
pub(crate) struct S3 {
    bucket: Arc<Mutex<Bucket>>,
    pub(crate) endpoint: String,
}

impl S3 {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let s3 = Self { endpoint, ..Self::default() };
        let app = Router::new().fallback(answer).with_state(s3.clone());
        let app = app.layer(axum::extract::DefaultBodyLimit::disable());
        tokio::spawn(async move { axum::serve(listener, app).await });
        s3
    }

    /// The variables by which a command finds it.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let endpoint = std::env::var("TENANTRY_TEST_S3").unwrap_or_else(|_| self.endpoint.clone());
        [("AWS_ENDPOINT_URL", &*endpoint), ("AWS_ACCESS_KEY_ID", KEY), ("AWS_SECRET_ACCESS_KEY", SECRET)]
            .map(|(name, value)| (name, value.to_owned()))
            .to_vec()
    }

    pub(crate) fn bucket(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap()
    }
}

async fn answer(State(s3): State<S3>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let query: BTreeMap<_, _> = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    if !is_signed(&method, &uri, &query, &headers, &body) {
        return refusal(StatusCode::FORBIDDEN, "SignatureDoesNotMatch");
    }
    let path = percent_encoding::percent_decode_str(uri.path()).decode_utf8().unwrap().into_owned();
    let Some(key) = path.strip_prefix("/backup").map(|key| key.trim_start_matches('/').to_owned()) else {
        return refusal(StatusCode::NOT_FOUND, "NoSuchBucket");
    };
    let mut bucket = s3.bucket();
    if bucket.refused.as_ref().is_some_and(|it| *it == (method.clone(), query.contains_key("uploadId"))) {
        return refusal(StatusCode::FORBIDDEN, "AccessDenied");
    }
    match (&method, query.get("uploadId")) {
        (&Method::GET, _) if key.is_empty() => bucket.list(&query),
        (&Method::GET | &Method::HEAD, _) => bucket.get(&key),
        (&Method::POST, None) if query.contains_key("uploads") => bucket.begin(key),
        (&Method::PUT, Some(upload)) => bucket.put_part(upload, &query["partNumber"], body),
        (&Method::POST, Some(upload)) => bucket.complete(upload, std::str::from_utf8(&body).unwrap()),
        (&Method::DELETE, Some(upload)) => bucket.abort(upload),
        (&Method::PUT, None) => {
            let tag = etag(&body);
            bucket.objects.insert(key, body);
            [(header::ETAG, tag)].into_response()
        }
        (&Method::DELETE, None) => {
            bucket.objects.remove(&key);
            StatusCode::NO_CONTENT.into_response()
        }
        _ => refusal(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
    }
}

impl Bucket {
    /// A page of three, so that a client has to ask for more.
    fn list(&self, query: &BTreeMap<String, String>) -> Response {
        let prefix = query.get("prefix").map_or("", |prefix| prefix);
        let after = query.get("continuation-token").or(query.get("start-after")).map_or("", |after| after);
        let mut keys = self.objects.iter().filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after);
        let page: Vec<_> = keys.by_ref().take(3).collect();
        let mut xml = format!("<ListBucketResult><Name>backup</Name><KeyCount>{}</KeyCount>", page.len());
        for (key, object) in &page {
            let _ = write!(
                xml,
                "<Contents><Key>{key}</Key><LastModified>2026-11-30T00:00:00.000Z</LastModified>\
                 <ETag>{}</ETag><Size>{}</Size><StorageClass>STANDARD</StorageClass></Contents>",
                etag(object),
                object.len()
            );
        }
        let more = keys.next().is_some();
        if let Some((last, _)) = page.last().filter(|_| more) {
            let _ = write!(xml, "<NextContinuationToken>{last}</NextContinuationToken>");
        }
        let _ = write!(xml, "<IsTruncated>{more}</IsTruncated></ListBucketResult>");
        xml.into_response()
    }

    fn get(&self, key: &str) -> Response {
        let Some(object) = self.objects.get(key) else { return refusal(StatusCode::NOT_FOUND, "NoSuchKey") };
        let modified = "Mon, 30 Nov 2026 00:00:00 GMT".to_owned();
        let headers = [(header::ETAG, etag(object)), (header::LAST_MODIFIED, modified)];
        (headers, Body::from(object.clone())).into_response()
    }

    fn begin(&mut self, key: String) -> Response {
        self.begun += 1;
        let id = format!("upload-{}", self.begun);
        self.uploads.insert(id.clone(), (key.clone(), BTreeMap::new()));
        format!(
            "<InitiateMultipartUploadResult><Bucket>backup</Bucket><Key>{key}</Key><UploadId>{id}</UploadId>\
             </InitiateMultipartUploadResult>"
        )
        .into_response()
    }

    fn put_part(&mut self, upload: &str, number: &str, body: Bytes) -> Response {
        let Some((_, parts)) = self.uploads.get_mut(upload) else {
            return refusal(StatusCode::NOT_FOUND, "NoSuchUpload");
        };
        let tag = etag(&body);
        parts.insert(number.parse().unwrap(), body);
        [(header::ETAG, tag)].into_response()
    }

    fn complete(&mut self, upload: &str, wanted: &str) -> Response {
        let Some((key, parts)) = self.uploads.get(upload) else {
            return refusal(StatusCode::NOT_FOUND, "NoSuchUpload");
        };
        let tags: Vec<_> =
            wanted.split("<ETag>").skip(1).filter_map(|it| it.split("</ETag>").next()).collect();
        let is_of = |tag: &str, part: &Bytes| tag.replace("&quot;", "\"") == etag(part);
        if tags.len() != parts.len() || !tags.iter().zip(parts.values()).all(|(tag, part)| is_of(tag, part)) {
            return refusal(StatusCode::BAD_REQUEST, "InvalidPart");
        }
        if parts.values().rev().skip(1).any(|part| part.len() < SMALLEST_PART) {
            return refusal(StatusCode::BAD_REQUEST, "EntityTooSmall");
        }
        let object: Vec<u8> = parts.values().flatten().copied().collect();
        let xml = format!(
            "<CompleteMultipartUploadResult><Location>x</Location><Bucket>backup</Bucket><Key>{key}</Key>\
             <ETag>{}</ETag></CompleteMultipartUploadResult>",
            etag(&object)
        );
        self.objects.insert(key.clone(), object.into());
        self.uploads.remove(upload);
        xml.into_response()
    }

    fn abort(&mut self, upload: &str) -> Response {
        match self.uploads.remove(upload) {
            Some(_) => StatusCode::NO_CONTENT.into_response(),
            None => refusal(StatusCode::NOT_FOUND, "NoSuchUpload"),
        }
    }
}

fn refusal(status: StatusCode, code: &str) -> Response {
    (status, format!("<Error><Code>{code}</Code><Message>refused by the test</Message></Error>"))
        .into_response()
}

fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", &hex(digest::digest(&digest::SHA256, bytes).as_ref())[..32])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Compares the signature of a request (AWS Signature Version 4) with the one that the secret makes.
fn is_signed(
    method: &Method,
    uri: &Uri,
    query: &BTreeMap<String, String>,
    headers: &HeaderMap,
    body: &[u8],
) -> bool {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let field = |name: &str| {
        let parts = header("authorization").split([' ', ',']);
        parts
            .filter_map(|part| part.split_once('='))
            .find(|(it, _)| *it == name)
            .map_or("", |(_, value)| value)
    };
    let (scope, signed) = (field("Credential"), field("SignedHeaders"));
    let Some(scope) = scope.strip_prefix(KEY).and_then(|scope| scope.strip_prefix('/')) else { return false };
    let hash = header("x-amz-content-sha256");
    if hash != "UNSIGNED-PAYLOAD" && hash != hex(digest::digest(&digest::SHA256, body).as_ref()) {
        return false;
    }
    let encoded = |text: &str| percent_encoding::utf8_percent_encode(text, ESCAPED).to_string();
    let query = query.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    let query = query.collect::<Vec<_>>().join("&");
    let lines: Vec<_> = signed.split(';').map(|name| format!("{name}:{}\n", header(name).trim())).collect();
    let lines = lines.concat();
    let request = format!("{method}\n{}\n{query}\n{lines}\n{signed}\n{hash}", uri.path());
    let request = hex(digest::digest(&digest::SHA256, request.as_bytes()).as_ref());
    let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{request}", header("x-amz-date"));
    let sign = |key: &[u8], text: &str| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
    };
    let key = scope.split('/').fold(format!("AWS4{SECRET}").into_bytes(), |key, part| sign(&key, part));
    hex(&sign(&key, &text)) == field("Signature")
}

//! The password and the certificates of a database.

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use sqlx_core::percent_encoding::percent_decode_str;

/// The values that sqlx's options tell in their URL only.
pub(super) struct Secrets {
    pub(super) password: Option<String>,
    /// Certificates and key as files in PEM, or as their text.
    pub(super) root_certificate: Option<String>,
    pub(super) client_certificate: Option<String>,
    pub(super) client_key: Option<String>,
}

impl Secrets {
    pub(super) fn of(options: &PgConnectOptions) -> Self {
        // Names that can stand in a URL whatever the real ones are.
        let url = options.clone().host("host").username("user").database("name").to_url_lossy();
        let value = |name: &str| {
            let pair = url.query_pairs().find(|(key, _)| key == name);
            pair.map(|(_, value)| value.trim_start_matches("file: ").to_owned())
        };
        Self {
            password: url.password().map(|text| percent_decode_str(text).decode_utf8_lossy().into_owned()),
            root_certificate: value("sslrootcert"),
            client_certificate: value("sslcert"),
            client_key: value("sslkey"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_files_or_texts() {
        let options: PgConnectOptions =
            "postgres://a@b/c?sslrootcert=/ca.pem&sslcert=/own.pem&sslkey=/own.key".parse().expect("a URL");
        let secrets = Secrets::of(&options);
        assert_eq!(secrets.root_certificate.as_deref(), Some("/ca.pem"));
        assert_eq!(secrets.client_certificate.as_deref(), Some("/own.pem"));
        assert_eq!(secrets.client_key.as_deref(), Some("/own.key"));
    }
}

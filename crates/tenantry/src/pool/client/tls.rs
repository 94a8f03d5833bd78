//! The modes of `sslmode`, as sqlx and libpq understand them, on the same TLS as sqlx's.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use sqlx::postgres::PgSslMode;

use super::secrets::Secrets;
use crate::error::{BoxError, Result};

/// The way to speak TLS in this mode.
pub(super) async fn config(mode: PgSslMode, secrets: &Secrets) -> Result<ClientConfig, BoxError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier(mode, provider, secrets).await?);
    match (&secrets.client_certificate, &secrets.client_key) {
        (Some(certificate), Some(key)) => {
            let chain = CertificateDer::pem_slice_iter(&pem(certificate).await?).collect::<Result<_, _>>()?;
            Ok(builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(&pem(key).await?)?)?)
        }
        (None, None) => Ok(builder.with_no_client_auth()),
        _ => Err("`sslcert` and `sslkey` must be given together".into()),
    }
}

async fn verifier(
    mode: PgSslMode,
    provider: Arc<CryptoProvider>,
    secrets: &Secrets,
) -> Result<Arc<dyn ServerCertVerifier>, BoxError> {
    let is_any_name = match mode {
        PgSslMode::VerifyFull => false,
        PgSslMode::VerifyCa => true,
        _ => return Ok(Arc::new(Anybody(provider))),
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(certificates) = &secrets.root_certificate {
        for certificate in CertificateDer::pem_slice_iter(&pem(certificates).await?) {
            roots.add(certificate?)?;
        }
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
    Ok(if is_any_name { Arc::new(AnyName(verifier)) } else { verifier })
}

/// A file, or the text itself.
async fn pem(file_or_text: &str) -> Result<Vec<u8>, BoxError> {
    if file_or_text.trim_start().starts_with("-----BEGIN") {
        return Ok(file_or_text.as_bytes().to_vec());
    }
    let path = Path::new(file_or_text).to_owned();
    let read = tokio::task::spawn_blocking(move || std::fs::read(&path).map_err(|error| (path, error)));
    read.await?.map_err(|(path, error)| format!("`{}`: {error}", path.display()).into())
}

/// Verifies as `sslmode=prefer` and `require` mean it: nobody listens who only listens, but it may be anybody.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

/// Verifies as `sslmode=verify-ca` means it: known to the authority, under whatever name.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.0.verify_server_cert(end_entity, intermediates, name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

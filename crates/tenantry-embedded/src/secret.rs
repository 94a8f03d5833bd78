use std::fmt::{self, Write as _};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// A random password. It is made of letters and digits only, so it fits into URLs and SQL as it is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn random() -> Self {
        Self(random_name())
    }

    /// Takes back what [`Secret::expose`] once wrote to a file; `None` when it is nothing we wrote.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let ours = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        ours.then(|| Self(text.to_owned()))
    }

    /// The password that everybody comes to who knows this text.
    pub(crate) fn derived_from(text: &str) -> Self {
        Self(hash(text))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// The verifier that the server stores to check this password, to be sent in its place (RFC 5803).
    ///
    /// Statements and logs then never hold the password. And there is a single iteration instead of 4096:
    /// iterations slow down the guessing of bad passwords, while nobody guesses 122 random bits. A client
    /// that was not optimised spends 40 ms per connection on the 4096.
    pub(crate) fn verifier(&self) -> String {
        self.verifier_with_salt(uuid::Uuid::new_v4().as_bytes())
    }

    fn verifier_with_salt(&self, salt: &[u8]) -> String {
        let salted = sign(self.0.as_bytes(), &[salt, &1_u32.to_be_bytes()]);
        let stored_key = Sha256::digest(sign(&salted, &[b"Client Key"]));
        let server_key = sign(&salted, &[b"Server Key"]);
        let [salt, stored, server] = [salt, &stored_key, &server_key].map(|part| BASE64.encode(part));
        format!("SCRAM-SHA-256$1:{salt}${stored}:{server}")
    }
}

fn sign(key: &[u8], message: &[&[u8]]) -> [u8; 32] {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        unreachable!("any key has a fitting length")
    };
    for part in message {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// 64 hexadecimal digits that stand for a text.
pub(crate) fn hash(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// 32 hexadecimal digits nobody can guess.
pub(crate) fn random_name() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Computed with Python's hashlib.pbkdf2_hmac and hmac.
    #[test]
    fn a_verifier_is_what_the_server_would_have_computed() {
        let verifier = Secret("secret".to_owned()).verifier_with_salt(b"0123456789abcdef");
        assert_eq!(
            verifier,
            "SCRAM-SHA-256$1:MDEyMzQ1Njc4OWFiY2RlZg==$rb2i4FWE8CCi1HDhnBxhv8/uERf3QN6tiTjE4qSdliQ=:\
             gWfVquF9Vgm4YA/KIyjllnL4Zn6B7unP+DKFnilYEAg="
        );
    }

    #[test]
    fn a_secret_does_not_show() {
        assert_eq!(format!("{:?}", Secret::random()), "…");
        assert_eq!(Secret::parse("it's"), None);
        assert_eq!(Secret::parse(""), None);
    }
}

//! Signed bypasses, with which support staff get to a tenant that is suspended.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use http::header::COOKIE;
use sha2::Sha256;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::{Error, ErrorKind, Result};
use crate::tenancy::Tenancy;
use crate::tenant::{Digest, Tenant, TenantId};

/// The name of the header, and of the cookie, that a bypass is sent in.
pub const BYPASS: &str = "tenantry-bypass";

/// A key that signs bypasses, and tells those that it has signed.
///
/// A bypass is a text that names one tenant and a time. A request that carries one, in the header or the cookie
/// `tenantry-bypass`, is served by [`TenancyLayer::bypass`](super::TenancyLayer::bypass) although that tenant is
/// suspended, until the time has come. It does nothing else: not for a tenant that is deleted, and where reads go on
/// nothing is written.
///
/// ```
/// use tenantry::http::BypassKey;
/// use tenantry::tenant::TenantId;
/// use time::{Duration, OffsetDateTime};
///
/// # fn example() -> tenantry::Result<()> {
/// let key = BypassKey::new("correct horse battery staple, and more")?;
/// let bypass = key.sign(TenantId::random(), OffsetDateTime::now_utc() + Duration::HOUR);
/// assert_eq!(bypass.split('.').count(), 3);
/// # Ok(())
/// # }
/// # example().unwrap();
/// ```
///
/// The signature is HMAC-SHA256, and compared in constant time. A bypass cannot be taken back: whoever has the text may
/// use it until its time is over. With another key, all are void.
#[derive(Clone)]
pub struct BypassKey(Arc<[u8]>);

/// A bypass whose signature is right, and whose time has not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bypass {
    pub(super) tenant: TenantId,
    pub(super) until: OffsetDateTime,
}

impl BypassKey {
    /// The fewest bytes that a key may have.
    pub const FEWEST_BYTES: usize = 32;

    /// A key of random bytes that only the application and its operators know.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if it has fewer than 32 bytes.
    pub fn new(secret: impl AsRef<[u8]>) -> Result<Self> {
        let secret = secret.as_ref();
        if secret.len() < Self::FEWEST_BYTES {
            let message = format!("a key of {} bytes is too short to sign bypasses", secret.len());
            return Err(Error::new(ErrorKind::InvalidInput, message)
                .with_hint("take 32 random bytes or more, as `openssl rand -hex 32` prints them"));
        }
        Ok(Self(secret.into()))
    }

    /// Signs a bypass for one tenant, which ends at a time. [`Tenancy::sign_bypass`] enters it in the audit too.
    pub fn sign(&self, tenant: TenantId, until: OffsetDateTime) -> String {
        let (id, end) = (tenant.as_uuid().simple(), until.unix_timestamp());
        let signature = self.mac(*tenant.as_uuid(), end).finalize().into_bytes();
        format!("{id}.{end}.{}", Digest::from_bytes(signature.into()))
    }

    /// The first bypass among the headers that is right.
    pub(super) fn find(&self, headers: &HeaderMap) -> Option<Bypass> {
        texts(headers).find_map(|text| self.read(text, OffsetDateTime::now_utc()))
    }

    fn read(&self, text: &str, now: OffsetDateTime) -> Option<Bypass> {
        let mut parts = text.trim().split('.');
        let (id, end, signature) = (parts.next()?, parts.next()?, parts.next()?);
        let (id, end): (Uuid, i64) = (id.parse().ok()?, end.parse().ok()?);
        let signature = Digest::parse(signature).ok()?;
        // In constant time, and before anything is judged by what it signs.
        self.mac(id, end).verify_slice(signature.as_bytes()).ok()?;
        let until = OffsetDateTime::from_unix_timestamp(end).ok()?;
        (parts.next().is_none() && now < until).then(|| Bypass { tenant: id.into(), until })
    }

    /// Of a text that nothing else is signed with.
    fn mac(&self, tenant: Uuid, end: i64) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(b"tenantry bypass 1\0");
        mac.update(tenant.as_bytes());
        mac.update(&end.to_be_bytes());
        mac
    }
}

impl Tenancy {
    /// Signs a bypass for one tenant, and enters that in its audit, which tells later whom it was for.
    ///
    /// ```no_run
    /// use tenantry::http::BypassKey;
    /// use time::{Duration, OffsetDateTime};
    ///
    /// # async fn example(tenancy: tenantry::Tenancy, key: BypassKey) -> tenantry::Result<()> {
    /// let acme = tenancy.tenant("acme").await?;
    /// let bypass = tenancy.sign_bypass(&acme, &key, OffsetDateTime::now_utc() + Duration::HOUR).await?;
    /// assert_eq!(tenancy.audit(acme.id(), 1).await?[0].verb, "bypass");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If it cannot be entered; then nothing is given away.
    pub async fn sign_bypass(
        &self,
        tenant: &Tenant,
        key: &BypassKey,
        until: OffsetDateTime,
    ) -> Result<String> {
        self.enter_bypass(tenant, until).await?;
        Ok(key.sign(tenant.id(), until))
    }
}

/// The key itself is not shown.
impl fmt::Debug for BypassKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BypassKey").finish_non_exhaustive()
    }
}

/// The values of the header and of the cookie, of which there may be several.
fn texts(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let in_headers = headers.get_all(BYPASS).iter().filter_map(|value| value.to_str().ok());
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let in_cookies = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|cookie| {
        let (name, value) = cookie.split_once('=')?;
        (name.trim() == BYPASS).then(|| value.trim().trim_matches('"'))
    });
    in_headers.chain(in_cookies)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use http::{HeaderName, HeaderValue};
    use time::Duration;

    use super::*;

    fn key(secret: &str) -> BypassKey {
        BypassKey::new(secret.repeat(32)).unwrap()
    }

    fn headers(values: &[(HeaderName, String)]) -> HeaderMap {
        values.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn a_bypass_is_for_the_tenant_and_the_time_that_were_signed() {
        let (now, tenant) = (OffsetDateTime::now_utc().replace_nanosecond(0).unwrap(), TenantId::random());
        let until = now + Duration::HOUR;
        let (key, other) = (key("a"), key("b"));
        let text = key.sign(tenant, until);
        assert_eq!(key.read(&text, now), Some(Bypass { tenant, until }));
        assert_eq!(key.read(&text, until), None, "its time is over");
        assert_eq!(other.read(&text, now), None, "signed by somebody else");

        let [id, end, signature]: [&str; 3] = text.split('.').collect::<Vec<_>>().try_into().unwrap();
        let stranger = TenantId::random().as_uuid().simple().to_string();
        let later = (until + Duration::DAY).unix_timestamp().to_string();
        let flipped =
            signature.replacen(&signature[..1], if signature.starts_with('0') { "1" } else { "0" }, 1);
        for wrong in [
            format!("{stranger}.{end}.{signature}"),
            format!("{id}.{later}.{signature}"),
            format!("{id}.{end}.{flipped}"),
            format!("{id}.{end}.{}", &signature[..62]),
            format!("{id}.{end}."),
            format!("{id}.{end}"),
            format!("{text}."),
            format!("{id}..{signature}"),
            String::new(),
            "...".to_owned(),
        ] {
            assert_eq!(key.read(&wrong, now), None, "{wrong}");
        }
    }

    #[test]
    fn it_is_found_in_a_header_or_a_cookie_among_others() {
        let (tenant, until) = (TenantId::random(), OffsetDateTime::now_utc() + Duration::HOUR);
        let key = key("a");
        let text = key.sign(tenant, until);
        let header = HeaderName::from_static(BYPASS);
        for found in [
            headers(&[(header.clone(), text.clone())]),
            headers(&[(header.clone(), "nonsense".to_owned()), (COOKIE, format!("{BYPASS}={text}"))]),
            headers(&[(COOKIE, format!("a=b; {BYPASS}=\"{text}\" ; c"))]),
        ] {
            assert_eq!(key.find(&found).map(|bypass| bypass.tenant), Some(tenant), "{found:?}");
        }
        for none in [headers(&[]), headers(&[(COOKIE, format!("x{BYPASS}={text}; {BYPASS}"))])] {
            assert_eq!(key.find(&none), None, "{none:?}");
        }
    }

    #[test]
    fn a_short_key_is_refused_and_none_is_shown() {
        let refused = BypassKey::new("secret").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        assert!(!refused.to_string().contains("secret"));
        assert_eq!(format!("{:?}", key("secret")), "BypassKey { .. }");
    }
}

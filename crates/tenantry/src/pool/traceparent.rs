//! The request that a statement belongs to, as traces of several programs name it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A place in a trace, in the form of the W3C's header `traceparent`.
///
/// ```
/// use tenantry::pool::Traceparent;
///
/// let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// let place: Traceparent = text.parse()?;
/// assert!(place.is_sampled());
/// assert_eq!(place.to_string(), text);
/// # Ok::<(), tenantry::pool::InvalidTraceparent>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Traceparent {
    trace: u128,
    parent: u64,
    is_sampled: bool,
}

/// A text that is no [`Traceparent`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no `traceparent`, as `00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01` is one")]
pub struct InvalidTraceparent(String);

impl Traceparent {
    /// The place that these two numbers name, as OpenTelemetry has them in bytes. `None` if one of them is zero, which
    /// names nothing.
    pub fn new(trace_id: [u8; 16], parent_id: [u8; 8], is_sampled: bool) -> Option<Self> {
        let (trace, parent) = (u128::from_be_bytes(trace_id), u64::from_be_bytes(parent_id));
        (trace != 0 && parent != 0).then_some(Self { trace, parent, is_sampled })
    }

    /// Returns true if the trace is kept, as far as whoever began it has decided.
    pub fn is_sampled(&self) -> bool {
        self.is_sampled
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let version = hex(version, 2)?;
        // Versions to come may have more behind the flags; none has less.
        let is_known = version < 0xff && (version > 0 || parts.next().is_none());
        let (trace, parent, flags) = (hex(trace, 32)?, hex(parent, 16)?, hex(flags, 2)?);
        let parent = u64::try_from(parent).ok()?;
        is_known.then(|| Self::new(trace.to_be_bytes(), parent.to_be_bytes(), flags & 1 == 1))?
    }
}

/// The number of so many digits, in lower case as the form has it.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_hex = text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_hex { u128::from_str_radix(text, 16).ok() } else { None }
}

impl FromStr for Traceparent {
    type Err = InvalidTraceparent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::read(text).ok_or_else(|| InvalidTraceparent(text.chars().take(80).collect()))
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.parent, u8::from(self.is_sampled))
    }
}

/// The application's way to tell which request the running task works for.
#[derive(Clone)]
pub(crate) struct CurrentTrace(Arc<dyn Fn() -> Option<Traceparent> + Send + Sync>);

impl CurrentTrace {
    pub(crate) fn new(current: impl Fn() -> Option<Traceparent> + Send + Sync + 'static) -> Self {
        Self(Arc::new(current))
    }

    /// The place in the trace, if that is kept.
    pub(super) fn sampled(&self) -> Option<Traceparent> {
        (self.0)().filter(Traceparent::is_sampled)
    }
}

impl fmt::Debug for CurrentTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CurrentTrace").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Option<bool>) {
        assert_eq!(Traceparent::read(text).map(|place| place.is_sampled()), expect, "{text}");
    }

    #[test]
    fn the_form_is_that_of_the_header() {
        const NUMBERS: &str = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
        check(&format!("00-{NUMBERS}-01"), Some(true));
        check(&format!("00-{NUMBERS}-00"), Some(false));
        check(&format!("00-{NUMBERS}-03"), Some(true));
        check(&format!("01-{NUMBERS}-01-what-will-be"), Some(true));
        check(&format!("00-{NUMBERS}-01-"), None);
        check(&format!("ff-{NUMBERS}-01"), None);
        check(&format!("00-{}-01", NUMBERS.to_uppercase()), None);
        check(&format!("00-{NUMBERS}"), None);
        check("00-00000000000000000000000000000000-b7ad6b7169203331-01", None);
        check("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", None);
        check("00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None);
        check("'; DROP SCHEMA public; --", None);
        check("", None);
    }
}

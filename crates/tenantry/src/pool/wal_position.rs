use std::fmt;

/// A position in the write-ahead log of a server, which PostgreSQL calls an LSN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct WalPosition(u64);

impl WalPosition {
    /// The lengths of the headers of a page, and of the first page of a segment.
    const HEADERS: [u64; 2] = [24, 40];

    /// Reads PostgreSQL's own notation, two numbers in hexadecimal digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (high, low) = text.split_once('/')?;
        let half = |digits: &str| {
            let is_number =
                (1..=8).contains(&digits.len()) && digits.bytes().all(|it| it.is_ascii_hexdigit());
            is_number.then(|| u32::from_str_radix(digits, 16).ok())?
        };
        Some(Self(u64::from(half(high)?) << 32 | u64::from(half(low)?)))
    }

    /// The end of what was written before this position. A server that is to write next behind the header of a new
    /// page has nothing in that page yet, and a replica that has replayed all of it stands before the header.
    pub(super) fn before_header(self, page: u64) -> Self {
        let offset = self.0.checked_rem(page).unwrap_or_default();
        Self(if Self::HEADERS.contains(&offset) { self.0 - offset } else { self.0 })
    }
}

impl fmt::Display for WalPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & u64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_written_as_postgresql_does() {
        for (text, expect) in [("0/0", 0), ("0/16B3748", 0x16B_3748), ("A/FFFFFFFF", 0xA_FFFF_FFFF)] {
            let position = WalPosition::parse(text).expect("a position");
            assert_eq!((position.0, position.to_string().as_str()), (expect, text));
        }
        for text in ["", "/", "0", "0/", "/0", "0/G", "0/+1", "0/123456789", " 0/0", "0/0/0", "-1/0"] {
            assert_eq!(WalPosition::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_position_behind_a_header_is_before_it() {
        for (position, expect) in [
            (0x2000, 0x2000),
            (0x2018, 0x2000),
            (0x2028, 0x2000),
            (0x2017, 0x2017),
            (0x2030, 0x2030),
            (24, 0),
        ] {
            assert_eq!(WalPosition(position).before_header(8192), WalPosition(expect), "{position:x}");
            assert_eq!(WalPosition(position).before_header(0), WalPosition(position));
        }
    }
}

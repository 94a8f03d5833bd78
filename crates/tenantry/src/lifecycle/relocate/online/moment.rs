//! Tells the transactions that a copy has seen from those whose changes are to be repeated. Pure.

/// A snapshot, as `pg_current_snapshot()` writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// All transactions before this one have ended.
    oldest: u64,
    /// None from this one on was begun.
    next: u64,
    /// The ones in between that had not ended.
    under_way: Vec<u64>,
}

impl Moment {
    /// Reads `10:20:10,14`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let oldest = parts.next()?.parse().ok()?;
        let next = parts.next()?.parse().ok()?;
        let listed = parts.next()?.split(',').filter(|number| !number.is_empty());
        let under_way = listed.map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Self { oldest, next, under_way })
    }

    /// Returns true if the rows of a transaction were there: it had committed by then. What the log says of a
    /// transaction is the lower half of its number.
    pub(super) fn has_seen(&self, transaction: u32) -> bool {
        let low = u32::try_from(self.next & u64::from(u32::MAX)).unwrap_or_default();
        let distance = i64::from(transaction.wrapping_sub(low).cast_signed());
        let whole = self.next.wrapping_add_signed(distance);
        whole < self.oldest || (whole < self.next && !self.under_way.contains(&whole))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_had_ended_was_seen() {
        let moment = Moment::parse("10:20:10,14").unwrap();
        for (transaction, is_seen) in
            [(3, true), (9, true), (10, false), (11, true), (14, false), (19, true), (20, false), (21, false)]
        {
            assert_eq!(moment.has_seen(transaction), is_seen, "{transaction}");
        }
        let alone = Moment::parse("20:20:").unwrap();
        assert!(alone.has_seen(19) && !alone.has_seen(20));
        for text in ["", "1:2", "a:2:", "1:2:x"] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_go_round() {
        let moment = Moment::parse("4294967290:4294967300:4294967295").unwrap();
        for (transaction, is_seen) in
            [(4_294_967_294_u32, true), (4_294_967_295, false), (0, true), (3, true), (4, false)]
        {
            assert_eq!(moment.has_seen(transaction), is_seen, "{transaction}");
        }
    }
}

use super::text::{serde_as_text, text};

/// The place of a tenant in its life, and with that, whether it is served.
///
/// | status | becomes | when |
/// | --- | --- | --- |
/// | provisioning | active, purging | the schema is made, or given up |
/// | active | suspended, deleted, moving | it is suspended, deleted, moved |
/// | suspended | active, deleted, moving | it is resumed, deleted, moved |
/// | deleted | active, suspended, purging | it is undeleted to what it was, or its time has come |
/// | purging | (gone) | nothing is left of it |
/// | moving | active, suspended | the move is done or undone, and it is what it was |
///
/// A failure is not a status: it is the tenant's `last_error`, and repeating the command goes on from the
/// status that was recorded.
///
/// ```
/// use tenantry::tenant::Status;
///
/// assert!(Status::Active.can_become(Status::Suspended));
/// assert!(!Status::Active.can_become(Status::Purging), "only what was deleted is purged");
/// assert_eq!("active".parse(), Ok(Status::Active));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Its schema is being made. Not served.
    Provisioning,
    /// Served.
    Active,
    /// Not served until it is resumed; nothing is removed, migrations still reach it.
    Suspended,
    /// Not served and due to be purged, but `undelete` brings it back until then.
    Deleted,
    /// Its schema is being dropped, possibly in several steps. No way back; its row in the registry goes
    /// last.
    Purging,
    /// Its schema is being copied to another database.
    Moving,
}

/// A text that is no [`Status`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown status `{0}`: expected provisioning, active, suspended, deleted, purging or moving")]
pub struct InvalidStatus(String);

impl Status {
    /// Every status, in the order of a tenant's life.
    pub const ALL: [Self; 6] =
        [Self::Provisioning, Self::Active, Self::Suspended, Self::Deleted, Self::Purging, Self::Moving];

    /// Returns true if a tenant of this status may be given the `next` one. Staying the same is no transition.
    pub fn can_become(self, next: Self) -> bool {
        self.successors().contains(&next)
    }

    /// Returns true if requests are answered as if there were no such tenant: it is deleted, or being purged.
    pub const fn is_hidden(self) -> bool {
        matches!(self, Self::Deleted | Self::Purging)
    }

    /// The table of transitions: everything this status may become.
    pub const fn successors(self) -> &'static [Self] {
        match self {
            Self::Provisioning => &[Self::Active, Self::Purging],
            Self::Active => &[Self::Suspended, Self::Deleted, Self::Moving],
            Self::Suspended => &[Self::Active, Self::Deleted, Self::Moving],
            Self::Deleted => &[Self::Active, Self::Suspended, Self::Purging],
            Self::Purging => &[],
            Self::Moving => &[Self::Active, Self::Suspended],
        }
    }

    /// The status as the registry and the command line write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "provisioning",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deleted => "deleted",
            Self::Purging => "purging",
            Self::Moving => "moving",
        }
    }

    /// Reads what [`as_str`](Self::as_str) writes.
    ///
    /// # Errors
    /// [`InvalidStatus`] holds the unknown text.
    pub fn parse(text: &str) -> Result<Self, InvalidStatus> {
        let known = Self::ALL.into_iter().find(|status| status.as_str() == text);
        known.ok_or_else(|| InvalidStatus(text.to_owned()))
    }
}

text!(Status, InvalidStatus);
serde_as_text!(Status);

#[cfg(test)]
mod tests {
    use super::{Status::*, *};

    #[test]
    fn exactly_these_transitions_exist() {
        let allowed = [
            (Provisioning, Active),
            (Provisioning, Purging),
            (Active, Suspended),
            (Active, Deleted),
            (Active, Moving),
            (Suspended, Active),
            (Suspended, Deleted),
            (Suspended, Moving),
            (Deleted, Active),
            (Deleted, Suspended),
            (Deleted, Purging),
            (Moving, Active),
            (Moving, Suspended),
        ];
        for from in Status::ALL {
            for to in Status::ALL {
                assert_eq!(from.can_become(to), allowed.contains(&(from, to)), "{from} to {to}");
            }
        }
    }

    #[test]
    fn every_tenant_can_be_purged_in_the_end() {
        for start in Status::ALL {
            let mut reached = vec![start];
            for step in 0.. {
                let Some(status) = reached.get(step).copied() else { break };
                let unseen = status.successors().iter().filter(|next| !reached.contains(next));
                reached.extend(unseen.copied().collect::<Vec<_>>());
            }
            assert!(reached.contains(&Purging), "{start}");
        }
    }

    #[test]
    fn text_round_trips() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Ok(status));
        }
        assert_eq!(Status::parse("Active"), Err(InvalidStatus("Active".into())));
    }
}

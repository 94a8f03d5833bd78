use std::time::{SystemTime, UNIX_EPOCH};

/// The comment on a template: the hour in which it was last used, and the note.
pub(super) fn write(note: &str) -> String {
    format!("{}\n{note}", this_hour())
}

/// Reads the hour and the note.
pub(super) fn read(comment: &str) -> Option<(u64, &str)> {
    let (hour, note) = comment.split_once('\n')?;
    Some((hour.parse().ok()?, note))
}

/// The hours since 1970.
pub(super) fn this_hour() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 3600
}

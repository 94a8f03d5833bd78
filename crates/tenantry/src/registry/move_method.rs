/// The way in which a tenant is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MoveMethod {
    /// Checkouts wait while all rows are copied.
    Offline,
    /// Changes are repeated while others write, and checkouts wait for the last of them.
    Online,
}

impl MoveMethod {
    /// The name as the registry and the command line write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Online => "online",
        }
    }

    pub(super) fn named(text: &str) -> Option<Self> {
        [Self::Offline, Self::Online].into_iter().find(|method| method.as_str() == text)
    }
}

//! A place as it is typed: `/srv/backup`, or `s3://bucket/prefix`.
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use object_store::path::Path;

/// A folder, or the part of a bucket below a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Folder(PathBuf),
    Bucket { bucket: String, prefix: String },
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(address) = text.strip_prefix("s3://") else {
            return match text {
                "" => Err("write a folder, or `s3://BUCKET/PREFIX`".to_owned()),
                _ if text.contains("://") => {
                    Err("only folders and `s3://BUCKET/PREFIX` are places for archives".to_owned())
                }
                _ => Ok(Self::Folder(text.into())),
            };
        };
        let (bucket, prefix) = address.split_once('/').unwrap_or((address, ""));
        let is_fit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
        if bucket.is_empty() || !bucket.bytes().all(is_fit) {
            return Err("write it as `s3://BUCKET/PREFIX`; a bucket has a name in lower case".to_owned());
        }
        if prefix.starts_with('/') {
            return Err("a prefix is names with single slashes between them".to_owned());
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        Path::parse(prefix).map_err(|_| "a prefix is names with single slashes between them".to_owned())?;
        Ok(Self::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

impl Place {
    /// The part of a bucket that holds a file, and the name of the file there. `None` for what is no file in a bucket.
    pub(crate) fn split_file(&self) -> Option<(Self, String)> {
        let Self::Bucket { bucket, prefix } = self else { return None };
        let (prefix, name) = prefix.rsplit_once('/').unwrap_or(("", prefix));
        let place = Self::Bucket { bucket: bucket.clone(), prefix: prefix.to_owned() };
        (!name.is_empty()).then(|| (place, name.to_owned()))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Bucket { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::Bucket { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(bucket: &str, prefix: &str) -> Place {
        Place::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() }
    }

    #[test]
    fn a_place_is_a_folder_or_a_part_of_a_bucket() {
        for (text, place, shown) in [
            ("s3://backup", bucket("backup", ""), "s3://backup"),
            ("s3://backup/", bucket("backup", ""), "s3://backup"),
            ("s3://my.backup-1/a/b c/", bucket("my.backup-1", "a/b c"), "s3://my.backup-1/a/b c"),
            ("/srv/backup", Place::Folder("/srv/backup".into()), "/srv/backup"),
            ("backup/", Place::Folder("backup/".into()), "backup/"),
            ("s3:/backup", Place::Folder("s3:/backup".into()), "s3:/backup"),
        ] {
            assert_eq!(text.parse(), Ok(place.clone()), "{text}");
            assert_eq!(place.to_string(), shown);
        }
        for text in [
            "",
            "s3://",
            "s3:///a",
            "s3://A/b",
            "s3://b/a//b",
            "s3://b//",
            "s3://b/../c",
            "gs://b",
            "https://b/c",
        ] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_is_in_a_place() {
        for (text, expect) in [
            ("s3://b/p/q/a.tar.zst", Some((bucket("b", "p/q"), "a.tar.zst"))),
            ("s3://b/a.tar.zst", Some((bucket("b", ""), "a.tar.zst"))),
            ("s3://b", None),
            ("/srv/a.tar.zst", None),
        ] {
            let expect = expect.map(|(place, name)| (place, name.to_owned()));
            assert_eq!(text.parse::<Place>().expect("a place").split_file(), expect, "{text}");
        }
    }
}

//! Reads what the server's output plugin `pgoutput` says of changes, in version 1 of its protocol. Pure.

use std::collections::HashMap;

/// The value of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    /// A large value that is the same as before, and was not sent.
    Unchanged,
    Text(String),
}

pub(super) type Row = Vec<Value>;

/// A message of the plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LogMessage {
    /// A transaction begins, which commits at this place in the log.
    Begin {
        commits_at: u64,
        number: u32,
    },
    /// It ends, and the next one begins behind this place in the log.
    Commit(u64),
    /// The number that the plugin calls a table by from now on.
    Relation(u32, Relation),
    Insert(u32, Row),
    /// The old row comes first where its key has changed, or is all of it.
    Update(u32, Option<Row>, Row),
    Delete(u32, Row),
    Truncate(Vec<u32>),
    /// Something that was written to the log by name.
    Note {
        prefix: String,
        content: Vec<u8>,
    },
    /// Nothing that matters here.
    Other,
}

/// A table as the plugin describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Relation {
    pub(super) schema: String,
    pub(super) name: String,
    /// The old row is all of it, and not its key.
    pub(super) is_full: bool,
    /// The columns, and whether each is a part of the key.
    pub(super) columns: Vec<(String, bool)>,
    /// Its rows are those of a part of the table that is named.
    pub(super) is_part: bool,
}

/// The tables that were described so far.
#[derive(Debug, Default)]
pub(super) struct Relations {
    known: HashMap<u32, Relation>,
    /// The partitioned table of each part: the hash of an enum's value is another one in the target, and rows go there
    /// by way of the whole.
    roots: HashMap<String, String>,
}

impl Relations {
    pub(super) fn of_parts(roots: HashMap<String, String>) -> Self {
        Self { known: HashMap::new(), roots }
    }

    /// Notes what the plugin calls a table from now on.
    pub(super) fn learn(&mut self, number: u32, mut relation: Relation) {
        if let Some(root) = self.roots.get(&relation.name) {
            relation.name.clone_from(root);
            relation.is_part = true;
        }
        self.known.insert(number, relation);
    }

    pub(super) fn get(&self, number: u32) -> Option<&Relation> {
        self.known.get(&number)
    }
}

/// A message that cannot be read: it is cut off, or of another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message of `pgoutput` cannot be read at byte {0}")]
pub(super) struct Unreadable(usize);

/// Reads one message.
pub(super) fn read(bytes: &[u8]) -> Result<LogMessage, Unreadable> {
    let mut reader = LogReader { bytes, at: 0 };
    let message = match reader.byte()? {
        b'B' => {
            let commits_at = reader.u64()?;
            // When.
            reader.skip(8)?;
            LogMessage::Begin { commits_at, number: reader.u32()? }
        }
        b'C' => {
            reader.skip(9)?;
            LogMessage::Commit(reader.u64()?)
        }
        b'R' => reader.relation()?,
        b'I' => {
            let relation = reader.u32()?;
            reader.skip(1)?;
            LogMessage::Insert(relation, reader.row()?)
        }
        b'U' => reader.update()?,
        b'D' => {
            let relation = reader.u32()?;
            reader.skip(1)?;
            LogMessage::Delete(relation, reader.row()?)
        }
        b'T' => {
            let count = reader.u32()?;
            reader.skip(1)?;
            LogMessage::Truncate((0..count).map(|_| reader.u32()).collect::<Result<_, _>>()?)
        }
        b'M' => {
            reader.skip(9)?;
            let prefix = reader.text()?;
            let length = reader.u32()? as usize;
            LogMessage::Note { prefix, content: reader.take(length)?.to_vec() }
        }
        _ => LogMessage::Other,
    };
    Ok(message)
}

struct LogReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> LogReader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Unreadable> {
        let end = self.at.checked_add(length).ok_or(Unreadable(self.at))?;
        let taken = self.bytes.get(self.at..end).ok_or(Unreadable(self.at))?;
        self.at = end;
        Ok(taken)
    }

    fn skip(&mut self, length: usize) -> Result<(), Unreadable> {
        self.take(length).map(drop)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let at = self.at;
        self.take(N)?.try_into().map_err(|_| Unreadable(at))
    }

    fn byte(&mut self) -> Result<u8, Unreadable> {
        Ok(self.array::<1>()?[0])
    }

    fn u16(&mut self) -> Result<u16, Unreadable> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, Unreadable> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, Unreadable> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// A text that ends in a zero.
    fn text(&mut self) -> Result<String, Unreadable> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == 0).ok_or(Unreadable(self.at))?;
        let text = self.string(length)?;
        self.skip(1)?;
        Ok(text)
    }

    fn string(&mut self, length: usize) -> Result<String, Unreadable> {
        let at = self.at;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Unreadable(at))
    }

    fn relation(&mut self) -> Result<LogMessage, Unreadable> {
        let number = self.u32()?;
        let (schema, name) = (self.text()?, self.text()?);
        let is_full = self.byte()? == b'f';
        let count = self.u16()?;
        let columns = (0..count).map(|_| {
            let is_key = self.byte()? & 1 == 1;
            let name = self.text()?;
            // The type, and what modifies it.
            self.skip(8)?;
            Ok((name, is_key))
        });
        let columns = columns.collect::<Result<_, _>>()?;
        Ok(LogMessage::Relation(number, Relation { schema, name, is_full, columns, is_part: false }))
    }

    fn update(&mut self) -> Result<LogMessage, Unreadable> {
        let relation = self.u32()?;
        let old = match self.byte()? {
            b'K' | b'O' => {
                let old = self.row()?;
                self.skip(1)?;
                Some(old)
            }
            _ => None,
        };
        Ok(LogMessage::Update(relation, old, self.row()?))
    }

    fn row(&mut self) -> Result<Row, Unreadable> {
        let count = self.u16()?;
        (0..count)
            .map(|_| match self.byte()? {
                b'n' => Ok(Value::Null),
                b'u' => Ok(Value::Unchanged),
                b't' => {
                    let length = self.u32()? as usize;
                    Ok(Value::Text(self.string(length)?))
                }
                _ => Err(Unreadable(self.at - 1)),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Value {
        Value::Text(value.to_owned())
    }

    fn relation() -> Vec<u8> {
        let mut bytes = b"R\0\0\0\x07own\0note\0d\0\x02".to_vec();
        bytes.extend(b"\x01id\0\0\0\0\x17\xff\xff\xff\xff");
        bytes.extend(b"\0title\0\0\0\0\x19\xff\xff\xff\xff");
        bytes
    }

    #[test]
    fn each_message_is_read() {
        let mut begin = b"B".to_vec();
        begin.extend(9_u64.to_be_bytes());
        begin.extend([0; 8]);
        begin.extend(258_u32.to_be_bytes());
        let mut commit = b"C\0".to_vec();
        commit.extend([0; 8]);
        commit.extend(0x1_0000_00ff_u64.to_be_bytes());
        commit.extend([0; 8]);
        let mut note = b"M\x01".to_vec();
        note.extend([0; 8]);
        note.extend(b"mark\0\0\0\0\x02hi");
        let described = Relation {
            schema: "own".into(),
            name: "note".into(),
            is_full: false,
            columns: vec![("id".into(), true), ("title".into(), false)],
            is_part: false,
        };
        for (bytes, message) in [
            (begin, LogMessage::Begin { commits_at: 9, number: 258 }),
            (commit, LogMessage::Commit(0x1_0000_00ff)),
            (relation(), LogMessage::Relation(7, described)),
            (
                b"I\0\0\0\x07N\0\x02t\0\0\0\x011n".to_vec(),
                LogMessage::Insert(7, vec![text("1"), Value::Null]),
            ),
            (
                b"U\0\0\0\x07N\0\x02t\0\0\0\x011u".to_vec(),
                LogMessage::Update(7, None, vec![text("1"), Value::Unchanged]),
            ),
            (
                b"U\0\0\0\x07K\0\x01t\0\0\0\x011N\0\x01t\0\0\0\x012".to_vec(),
                LogMessage::Update(7, Some(vec![text("1")]), vec![text("2")]),
            ),
            (b"D\0\0\0\x07O\0\x01t\0\0\0\x02ab".to_vec(), LogMessage::Delete(7, vec![text("ab")])),
            (b"T\0\0\0\x02\x01\0\0\0\x07\0\0\0\x08".to_vec(), LogMessage::Truncate(vec![7, 8])),
            (note, LogMessage::Note { prefix: "mark".into(), content: b"hi".to_vec() }),
            (b"Yxyz".to_vec(), LogMessage::Other),
        ] {
            assert_eq!(read(&bytes), Ok(message), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        let whole = relation();
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err(), "{end}");
        }
        assert_eq!(read(b"I\0\0\0\x07N\0\x01x"), Err(Unreadable(8)));
        assert!(read(b"I\0\0\0\x07N\0\x01t\xff\xff\xff\xff").is_err());
    }
}

//! The file and the variables laid over it, as one source for serde.
//!
//! serde asks for the fields of a struct by their names, and a [`Setting`] answers: with the variable of that key
//! where one is set, else with what the file has there. So the structs are the only list of keys, the type of a field
//! says how the text of its variable is read, and the variables that exist are those that were asked for.
//!
//! The crates `config` and `figment` lay variables over a file too. But both repeat the value in their errors, which
//! may be a URL with its password, neither names the line or the variable, and with keys that hold a `_`
//! themselves, or lists, they need what this saves: a second list of keys.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use serde::de::value::{SeqDeserializer, StrDeserializer};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::environment::{Variables, variable_name};
use super::mistake::{Mistake, nearest, quoted};
use crate::tenant::Alias;

type InFile<'a> = Spanned<DeValue<'a>>;

/// The variable, or the line of the file, that gave each key its value.
pub(super) type Origins = BTreeMap<String, String>;

/// Reads the text of a file, and the variables laid over it.
pub(super) fn read<T: DeserializeOwned>(
    text: &str,
    file: Option<&Path>,
    variables: &Variables,
) -> Result<(T, Origins), Mistake> {
    let layers = Layers { text, file, variables, asked: RefCell::default(), origins: RefCell::default() };
    let table = DeTable::parse(text).map_err(|error| {
        // Besides the message, toml prints the line itself, which may hold a password.
        Mistake::new(error.message()).of(|| layers.line(&error.span().unwrap_or_default()))
    })?;
    let root = Spanned::new(table.span(), DeValue::Table(table.into_inner()));
    let value = T::deserialize(&Setting { layers: &layers, key: String::new(), in_file: Some(&root) })?;
    variables.refuse_unknown(&layers.asked.borrow())?;
    Ok((value, layers.origins.into_inner()))
}

struct Layers<'a> {
    text: &'a str,
    file: Option<&'a Path>,
    variables: &'a Variables,
    /// The variables that exist, each with the key it overrides.
    asked: RefCell<BTreeMap<String, String>>,
    origins: RefCell<Origins>,
}

impl<'a> Layers<'a> {
    fn line(&self, span: &Range<usize>) -> String {
        let line = self.text.bytes().take(span.start).filter(|&byte| byte == b'\n').count() + 1;
        self.file.map(|file| format!("`{}`:{line}", file.display())).unwrap_or_default()
    }

    /// The variable that overrides a key, by its name, if it is set.
    fn variable(&self, key: &str) -> Result<Option<(&'a str, &'a str)>, Mistake> {
        let name = variable_name(key);
        let found = self.variables.find(&name)?;
        let other = self.asked.borrow_mut().insert(name, key.to_owned());
        match (&found, other.filter(|other| other != key)) {
            (Some((name, _)), Some(other)) => {
                let message = format!("it could mean `{other}` or `{key}`");
                let hint = "unset it, and write both into tenantry.toml; or rename one of the databases";
                Err(Mistake::new(message).of(|| format!("`{name}`")).with_hint(hint))
            }
            _ => Ok(found),
        }
    }
}

/// One key of the configuration.
struct Setting<'a> {
    layers: &'a Layers<'a>,
    /// Its path, as in `pool.mode`; empty for the whole.
    key: String,
    in_file: Option<&'a InFile<'a>>,
}

/// The value of a key that has no keys below it.
enum Given<'a> {
    Variable(&'a str),
    File(&'a DeValue<'a>),
    Nothing,
}

impl<'a> Setting<'a> {
    fn below(&self, key: &str, table: Option<&'a DeTable<'a>>) -> Self {
        let path = if self.key.is_empty() { key.to_owned() } else { format!("{}.{key}", self.key) };
        Self { layers: self.layers, key: path, in_file: table.and_then(|table| table.get(key)) }
    }

    /// The key and the line of its value, or of one item of its list.
    fn at(&self, value: &InFile<'_>) -> String {
        format!("{}: `{}`", self.layers.line(&value.span()), self.key)
    }

    /// The variable or line that a value was taken from, or would have been.
    fn origin(&self) -> String {
        let given = self.layers.origins.borrow().get(&self.key).cloned();
        given.or_else(|| self.in_file.map(|value| self.at(value))).unwrap_or_default()
    }

    fn given(&self) -> Result<Given<'a>, Mistake> {
        let (origin, given) = match (self.layers.variable(&self.key)?, self.in_file) {
            (Some((name, text)), _) => (format!("`{name}`"), Given::Variable(text)),
            (None, Some(value)) => (self.at(value), Given::File(value.get_ref())),
            (None, None) => return Ok(Given::Nothing),
        };
        self.layers.origins.borrow_mut().insert(self.key.clone(), origin);
        Ok(given)
    }

    fn text(&self) -> Result<&'a str, Mistake> {
        match self.given()? {
            Given::Variable(text) => Ok(text),
            Given::File(value) => text_of(value),
            Given::Nothing => Err(expected("a text")),
        }
    }

    fn number(&self) -> Result<i64, Mistake> {
        let number = match self.given()? {
            Given::Variable(text) => text.trim().parse().ok(),
            Given::File(DeValue::Integer(digits)) => {
                i64::from_str_radix(digits.as_str(), digits.radix()).ok()
            }
            Given::File(_) | Given::Nothing => None,
        };
        number.ok_or_else(|| expected("a whole number"))
    }

    /// The keys below this one in the file.
    fn table(&self) -> Result<Option<&'a DeTable<'a>>, Mistake> {
        match self.in_file.map(Spanned::get_ref) {
            Some(DeValue::Table(table)) => Ok(Some(table)),
            Some(_) => Err(expected("a table")),
            None => Ok(None),
        }
    }

    /// Refuses a key of the file that is not a field of the struct.
    fn refuse_unknown(&self, table: &DeTable<'_>, fields: &[&str]) -> Result<(), Mistake> {
        let Some(key) = table.keys().find(|key| !fields.contains(&key.get_ref().as_ref())) else {
            return Ok(());
        };
        let name = key.get_ref().as_ref();
        let mistake = Mistake::new(format!("unknown key `{}`", self.below(name, None).key));
        let hint = match nearest(name, fields.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the keys here are {}", quoted(fields)),
        };
        Err(mistake.of(|| self.layers.line(&key.span())).with_hint(hint))
    }

    fn read_below<'de, V: Visitor<'de>>(
        &self,
        keys: impl IntoIterator<Item = &'a str>,
        table: Option<&'a DeTable<'a>>,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let settings =
            keys.into_iter().map(|key| (key, self.below(key, table))).collect::<Vec<_>>().into_iter();
        visitor.visit_map(Below { settings, next: None })
    }
}

fn text_of<'a>(value: &'a DeValue<'_>) -> Result<&'a str, Mistake> {
    value.as_str().ok_or_else(|| expected("a text"))
}

fn expected(kind: &str) -> Mistake {
    Mistake::new(format!("{kind} is expected"))
}

impl<'de> Deserializer<'de> for &Setting<'_> {
    type Error = Mistake;

    // Whatever takes anything is written as a text, or as a list of them.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.given()? {
            Given::File(DeValue::Array(items)) => visitor.visit_seq(Items { list: self, rest: items.iter() }),
            _ => visitor.visit_str(self.text()?),
        }
    }

    // Whatever is neither a number nor a list is written as a text.
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_str(self.text()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_str(self.text()?)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        visitor.visit_enum(StrDeserializer::new(self.text()?))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let value = match self.given()? {
            Given::Variable(text) => text.trim().parse().ok(),
            Given::File(DeValue::Boolean(value)) => Some(*value),
            Given::File(_) | Given::Nothing => None,
        };
        visitor.visit_bool(value.ok_or_else(|| expected("`true` or `false`"))?)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_i64(self.number()?)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_i64(self.number()?)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.given()? {
            Given::Variable(text) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                visitor.visit_seq(SeqDeserializer::new(items))
            }
            Given::File(DeValue::Array(items)) => visitor.visit_seq(Items { list: self, rest: items.iter() }),
            Given::File(_) | Given::Nothing => Err(expected("a list")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.given()? {
            Given::Nothing => visitor.visit_none(),
            Given::Variable(_) | Given::File(_) => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let table = self.table()?;
        table.map_or(Ok(()), |table| self.refuse_unknown(table, fields))?;
        self.read_below(fields.iter().copied(), table, visitor)
    }

    // The databases, the types and the rules of placement. The default database may have variables without being in
    // the file.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let table = self.table()?;
        let in_file = table.into_iter().flatten().map(|(alias, _)| alias.get_ref().as_ref());
        let always = (self.key == "databases").then_some(Alias::DEFAULT);
        self.read_below(in_file.chain(always).collect::<BTreeSet<_>>(), table, visitor)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u128 f32 f64 char bytes byte_buf unit unit_struct tuple
        tuple_struct identifier ignored_any
    }
}

/// The keys below another one, in turn.
struct Below<'a> {
    settings: std::vec::IntoIter<(&'a str, Setting<'a>)>,
    /// The one whose key was read last.
    next: Option<Setting<'a>>,
}

impl<'de> MapAccess<'de> for Below<'_> {
    type Error = Mistake;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Mistake> {
        let Some((key, setting)) = self.settings.next() else { return Ok(None) };
        let setting = self.next.insert(setting);
        let read = seed.deserialize(StrDeserializer::<Mistake>::new(key));
        read.map(Some).map_err(|mistake| mistake.of(|| setting.origin()))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Mistake> {
        let setting = self.next.take().ok_or_else(|| Mistake::new("a value was read before its key"))?;
        seed.deserialize(&setting).map_err(|mistake| mistake.of(|| setting.origin()))
    }
}

/// The texts of a list in the file.
struct Items<'a> {
    list: &'a Setting<'a>,
    rest: std::slice::Iter<'a, InFile<'a>>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Mistake;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Mistake> {
        let Some(item) = self.rest.next() else { return Ok(None) };
        let read = text_of(item.get_ref()).and_then(|text| seed.deserialize(StrDeserializer::new(text)));
        read.map(Some).map_err(|mistake| mistake.of(|| self.list.at(item)))
    }
}

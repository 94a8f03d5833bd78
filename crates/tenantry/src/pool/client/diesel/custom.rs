//! Types that Diesel knows by their names.
//!
//! Where Diesel asks for the number of such a type, it is given a *placeholder*, a number that no type has. Arrays and
//! rows hold the numbers of what is in them, so placeholders are in the values as well, at places that follow from the
//! type which the server wants.

use diesel::pg::{PgMetadataLookup, PgTypeMetadata};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio_postgres::types::{Kind, Type};
use tokio_postgres::{Client, Statement};

use crate::error::Result;
use crate::pool::client::call::NamedTypes;
use crate::sql::Identifier;

/// The lowest of the placeholders. A server counts up to here once in a life.
const FIRST: u32 = 0xFFF0_0000;

/// The types with these names, in the order of the names.
const LOOK_UP: &str = "SELECT pg_type.oid, pg_type.typarray \
    FROM pg_catalog.unnest($1) WITH ORDINALITY AS named (name, place) \
    JOIN pg_catalog.pg_type ON pg_type.oid = named.name::pg_catalog.regtype ORDER BY place";

/// The name of a type, as a program has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct WantedType {
    schema: Option<String>,
    name: String,
}

/// A name, for a type or for the arrays of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NameUse {
    index: usize,
    is_array: bool,
}

/// The names that a query has asked for.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<WantedType>);

impl PgMetadataLookup for Names {
    fn lookup_type(&mut self, type_name: &str, schema: Option<&str>) -> PgTypeMetadata {
        let wanted = WantedType { schema: schema.map(str::to_owned), name: type_name.to_owned() };
        let index = self.0.iter().position(|known| *known == wanted).unwrap_or_else(|| {
            self.0.push(wanted);
            self.0.len() - 1
        });
        let [of_type, of_array] = [false, true].map(|is_array| NameUse { index, is_array }.placeholder());
        PgTypeMetadata::new(of_type, of_array)
    }
}

impl NameUse {
    fn placeholder(self) -> u32 {
        let index = u32::try_from(self.index).unwrap_or(u32::MAX).min((u32::MAX - FIRST) / 2);
        FIRST + 2 * index + u32::from(self.is_array)
    }

    fn of(placeholder: u32) -> Option<Self> {
        let number = placeholder.checked_sub(FIRST)?;
        Some(Self { index: usize::try_from(number / 2).ok()?, is_array: number % 2 == 1 })
    }
}

impl WantedType {
    fn is_of(&self, found: &Type) -> bool {
        self.name == found.name() && self.schema.as_deref().is_none_or(|schema| schema == found.schema())
    }

    fn quoted(&self) -> String {
        let name = Identifier(&self.name);
        match &self.schema {
            Some(schema) => format!("{}.{name}", Identifier(schema)),
            None => name.to_string(),
        }
    }
}

/// The types of all parameters of a statement, some of which go by a name.
#[derive(Debug)]
pub(super) struct Custom {
    names: Vec<WantedType>,
    /// Either what the server calls it, or a name.
    parameters: Vec<Result<Type, NameUse>>,
}

impl Custom {
    /// The types of parameters that have these numbers, and what is to be said of them to the server.
    pub(super) fn of(names: Names, numbers: &[u32]) -> (Option<Box<dyn NamedTypes>>, Vec<Type>) {
        let parameters: Vec<_> = numbers.iter().map(|number| parameter(*number)).collect();
        let types = parameters.iter().map(|known| known.clone().unwrap_or(Type::UNKNOWN)).collect();
        let is_custom = parameters.iter().any(Result::is_err);
        let custom = is_custom.then(|| Box::new(Self { names: names.0, parameters }) as Box<dyn NamedTypes>);
        (custom, types)
    }

    fn fits(&self, named: NameUse, found: &Type) -> bool {
        let Some(name) = self.names.get(named.index) else { return false };
        match found.kind() {
            Kind::Array(inner) => named.is_array && name.is_of(inner),
            _ => !named.is_array && name.is_of(found),
        }
    }
}

fn parameter(number: u32) -> Result<Type, NameUse> {
    match (NameUse::of(number), Type::from_oid(number)) {
        (Some(named), _) => Err(named),
        (None, Some(known)) => Ok(known),
        (None, None) => Ok(numbered(number)),
    }
}

/// A type of which only the number matters.
fn numbered(number: u32) -> Type {
    Type::new(String::new(), number, Kind::Simple, String::new())
}

impl NamedTypes for Custom {
    fn fit(&self, statement: &Statement) -> bool {
        let mut found = self.parameters.iter().zip(statement.params());
        found.all(|(wanted, found)| match wanted {
            Ok(_) => true,
            Err(named) => self.fits(*named, found),
        })
    }

    fn look_up<'a>(&'a self, client: &'a Client) -> BoxFuture<'a, Result<Vec<Type>>> {
        async move {
            let quoted: Vec<_> = self.names.iter().map(WantedType::quoted).collect();
            let found = client.query_typed(LOOK_UP, &[(&quoted, Type::TEXT_ARRAY)]).await?;
            let types = self.parameters.iter().map(|wanted| match wanted {
                Ok(known) => Ok(known.clone()),
                Err(named) => Ok(numbered(found[named.index].try_get(usize::from(named.is_array))?)),
            });
            types.collect()
        }
        .boxed()
    }
}

/// Puts the server's numbers where placeholders are, in a value for a parameter of this type. Answers with `None` if it
/// is not a value of that type.
pub(super) fn fill_in(wanted: &Type, value: &mut [u8]) -> Option<()> {
    match wanted.kind() {
        Kind::Domain(inner) => fill_in(inner, value),
        Kind::Array(inner) => {
            let (head, mut rest) = value.split_at_mut_checked(12)?;
            let dimensions = usize::try_from(number(head)?).ok()?;
            replace(&mut head[8..], inner);
            (_, rest) = rest.split_at_mut_checked(dimensions.checked_mul(8)?)?;
            while !rest.is_empty() {
                rest = fill_in_next(inner, rest)?;
            }
            Some(())
        }
        Kind::Composite(fields) => {
            let (count, mut rest) = value.split_at_mut_checked(4)?;
            if usize::try_from(number(count)?).ok()? != fields.len() {
                return None;
            }
            for field in fields {
                let head;
                (head, rest) = rest.split_at_mut_checked(4)?;
                replace(head, field.type_());
                rest = fill_in_next(field.type_(), rest)?;
            }
            Some(())
        }
        _ => Some(()),
    }
}

/// Fills in a value with its length in front, of which `NULL` has none, and answers with what is behind it.
fn fill_in_next<'a>(wanted: &Type, values: &'a mut [u8]) -> Option<&'a mut [u8]> {
    let (length, rest) = values.split_at_mut_checked(4)?;
    let length = number(length)?.cast_signed();
    let (value, rest) = rest.split_at_mut_checked(usize::try_from(length).unwrap_or(0))?;
    if length >= 0 {
        fill_in(wanted, value)?;
    }
    Some(rest)
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

fn replace(place: &mut [u8], wanted: &Type) {
    if let Some(bytes) = place.first_chunk_mut()
        && NameUse::of(u32::from_be_bytes(*bytes)).is_some()
    {
        *bytes = wanted.oid().to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use tokio_postgres::types::Field;

    use super::*;

    fn custom(oid: u32, kind: Kind) -> Type {
        Type::new("it".to_owned(), oid, kind, "t_acme".to_owned())
    }

    fn array_of(element: u32, values: &[Option<&[u8]>]) -> Vec<u8> {
        let count = u32::try_from(values.len()).expect("a few");
        let mut bytes: Vec<u8> = [1, 0, element, count, 1].into_iter().flat_map(u32::to_be_bytes).collect();
        for value in values {
            push(&mut bytes, *value);
        }
        bytes
    }

    fn row_of(fields: &[(u32, Option<&[u8]>)]) -> Vec<u8> {
        let mut bytes = u32::try_from(fields.len()).expect("a few").to_be_bytes().to_vec();
        for (oid, value) in fields {
            bytes.extend(oid.to_be_bytes());
            push(&mut bytes, *value);
        }
        bytes
    }

    fn push(bytes: &mut Vec<u8>, value: Option<&[u8]>) {
        let length = value.map_or(-1, |value| i32::try_from(value.len()).expect("short"));
        bytes.extend(length.to_be_bytes());
        bytes.extend(value.unwrap_or_default());
    }

    #[test]
    fn placeholders_become_the_numbers_of_the_type_that_the_server_wants() {
        let mood = custom(16400, Kind::Enum(vec!["good".to_owned()]));
        let moods = custom(16401, Kind::Array(mood.clone()));
        let fields =
            vec![Field::new("id".to_owned(), Type::INT4), Field::new("all".to_owned(), moods.clone())];
        let pair = custom(16402, Kind::Composite(fields));
        let pairs = custom(16403, Kind::Array(pair.clone()));
        let shell = custom(16404, Kind::Domain(pairs.clone()));
        let (first, second) = (FIRST, FIRST + 1);
        // What is in a text is left alone, and so is a number that the program knows.
        let looks_like_one = first.to_be_bytes();
        let value = |mood: u32, moods: u32, pair: u32| {
            let of_moods = array_of(mood, &[Some(b"good"), None, Some(&looks_like_one)]);
            array_of(pair, &[Some(&row_of(&[(23, Some(&[0, 0, 0, 1])), (moods, Some(&of_moods))])), None])
        };
        for wanted in [&pairs, &shell] {
            let mut bytes = value(first, second, FIRST + 2);
            assert_eq!(fill_in(wanted, &mut bytes), Some(()));
            assert_eq!(bytes, value(16400, 16401, 16402));
        }
        let mut bytes = b"good".to_vec();
        assert_eq!((fill_in(&mood, &mut bytes), bytes), (Some(()), b"good".to_vec()));
    }

    #[test]
    fn a_value_that_ends_too_early_is_none() {
        let moods = custom(16401, Kind::Array(custom(16400, Kind::Simple)));
        let field = Field::new("all".to_owned(), moods.clone());
        let row = custom(16402, Kind::Composite(vec![field]));
        let whole = row_of(&[(FIRST, Some(&array_of(FIRST, &[Some(b"good")])))]);
        assert_eq!(fill_in(&row, &mut whole.clone()), Some(()));
        // The count of elements is the server's business.
        for end in (0..whole.len()).filter(|end| *end != whole.len() - 8) {
            assert_eq!(fill_in(&row, &mut whole[..end].to_vec()), None, "{end}");
        }
    }

    #[test]
    fn a_name_has_two_placeholders_and_is_asked_for_once() {
        let mut names = Names::default();
        let mut look_up = |name, schema| {
            let found = names.lookup_type(name, schema);
            (found.oid().ok(), found.array_oid().ok())
        };
        let mood = look_up("mood", None);
        let other = look_up("mood", Some("shared"));
        assert_eq!(look_up("mood", None), mood);
        assert_eq!((mood, other), ((Some(FIRST), Some(FIRST + 1)), (Some(FIRST + 2), Some(FIRST + 3))));
        assert_eq!(
            names.0.iter().map(WantedType::quoted).collect::<Vec<_>>(),
            ["\"mood\"", "\"shared\".\"mood\""]
        );
        for (number, expect) in [(23, None), (FIRST - 1, None), (FIRST + 3, Some((1, true)))] {
            assert_eq!(NameUse::of(number).map(|it| (it.index, it.is_array)), expect);
        }
    }
}

//! Reading JSON for what it is worth: a field of another type than it should have is as good as not there, and costs
//! neither the rest of its line nor time.
//!
//! Lines can be megabytes, nearly all of it pictures and outputs that are told twice. So nothing is read into a
//! [`Value`] that is not kept, and texts are borrowed from the line wherever they have no escapes.

use super::{ARGUMENT_MAX, cut};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// Something that can be made of any JSON, most of it being nothing.
pub(crate) trait Lenient<'de>: Sized {
    fn nothing() -> Self;

    fn of_text(_: Cow<'de, str>) -> Self {
        Self::nothing()
    }

    fn of_number(_: Number) -> Self {
        Self::nothing()
    }

    fn of_bool(_: bool) -> Self {
        Self::nothing()
    }

    fn of_list<A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::nothing())
    }

    fn of_object<A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::nothing())
    }
}

/// Reads one.
pub(crate) fn read<'de, D: Deserializer<'de>, T: Lenient<'de>>(from: D) -> Result<T, D::Error> {
    from.deserialize_any(Visit(PhantomData))
}

struct Visit<T>(PhantomData<T>);

impl<'de, T: Lenient<'de>> Visitor<'de> for Visit<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<T, E> {
        Ok(T::of_text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        Ok(T::of_text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        Ok(T::of_number(number.into()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        Ok(T::of_number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        Ok(Number::from_f64(number).map_or_else(T::nothing, T::of_number))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<T, E> {
        Ok(T::of_bool(value))
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        Ok(T::nothing())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<T, A::Error> {
        T::of_list(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<T, A::Error> {
        T::of_object(object)
    }
}

/// A text; empty where there is none.
#[derive(Default)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl Text<'_> {
    /// The text, where there is one.
    pub(crate) fn get(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(&*self.0)
    }
}

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Lenient<'de> for Text<'a> {
    fn nothing() -> Self {
        Self::default()
    }

    fn of_text(text: Cow<'de, str>) -> Self {
        Self(text)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read(from)
    }
}

/// A number of something: zero where there is none, whole and never negative.
#[derive(Default, Clone, Copy)]
pub(crate) struct Count(pub(crate) u64);

impl<'de> Lenient<'de> for Count {
    fn nothing() -> Self {
        Self::default()
    }

    fn of_number(number: Number) -> Self {
        // The cast saturates, and what is not a number is zero.
        Self(number.as_u64().or_else(|| number.as_f64().map(|number| number as u64)).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read(from)
    }
}

/// A number with a fraction.
#[derive(Default, Clone, Copy)]
pub(crate) struct Amount(pub(crate) Option<f64>);

impl<'de> Lenient<'de> for Amount {
    fn nothing() -> Self {
        Self::default()
    }

    fn of_number(number: Number) -> Self {
        Self(number.as_f64())
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read(from)
    }
}

/// Yes or no; no where nobody says.
#[derive(Default, Clone, Copy)]
pub(crate) struct Flag(pub(crate) bool);

impl<'de> Lenient<'de> for Flag {
    fn nothing() -> Self {
        Self::default()
    }

    fn of_bool(value: bool) -> Self {
        Self(value)
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read(from)
    }
}

/// An object, where it is one.
pub(crate) struct Object<T>(pub(crate) Option<T>);

impl<T> Default for Object<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Lenient<'de> for Object<T> {
    fn nothing() -> Self {
        Self(None)
    }

    fn of_object<A: MapAccess<'de>>(object: A) -> Result<Self, A::Error> {
        T::deserialize(MapAccessDeserializer::new(object)).map(|object| Self(Some(object)))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read(from)
    }
}

/// Things in a row, where it is a list.
pub(crate) struct List<T>(pub(crate) Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Lenient<'de> for List<T> {
    fn nothing() -> Self {
        Self::default()
    }

    fn of_list<A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        let mut things = Vec::new();
        while let Some(thing) = list.next_element()? {
            things.push(thing);
        }
        Ok(Self(things))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read(from)
    }
}

/// Whether something is there at all, whatever it is.
#[derive(Default, Clone, Copy)]
pub(crate) struct Present(pub(crate) bool);

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Option::<IgnoredAny>::deserialize(from).map(|something| Self(something.is_some()))
    }
}

/// Any JSON, with long texts in it cut.
#[derive(Default)]
pub(crate) struct Argument(pub(crate) Value);

/// The most things of one list or object in an argument that are kept.
const THINGS_MAX: usize = 1_000;

impl<'de> Lenient<'de> for Argument {
    fn nothing() -> Self {
        Self::default()
    }

    fn of_text(text: Cow<'de, str>) -> Self {
        Self(Value::String(cut(text, ARGUMENT_MAX)))
    }

    fn of_number(number: Number) -> Self {
        Self(Value::Number(number))
    }

    fn of_bool(value: bool) -> Self {
        Self(Value::Bool(value))
    }

    fn of_list<A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        let mut things = Vec::new();
        while let Some(thing) = if things.len() < THINGS_MAX { list.next_element::<Self>()? } else { None } {
            things.push(thing.0);
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self(Value::Array(things)))
    }

    fn of_object<A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        let mut things = Map::new();
        while let Some((name, thing)) =
            if things.len() < THINGS_MAX { object.next_entry::<Text<'de>, Self>()? } else { None }
        {
            things.insert(cut(name.0, ARGUMENT_MAX), thing.0);
        }
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self(Value::Object(things)))
    }
}

impl<'de> Deserialize<'de> for Argument {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read(from)
    }
}

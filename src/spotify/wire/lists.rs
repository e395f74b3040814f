//! Lists inside a row, and objects that may come as their name alone.

use super::{Lax, Shape, Written};
use crate::spotify::room;
use serde::{
    Deserialize, Deserializer,
    de::{
        self, IgnoredAny, MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};
use std::{fmt, marker::PhantomData};

/// A list inside a row. Elements beyond `MAX` are skipped: real lists are far shorter, and a broken one costs no
/// memory.
#[derive(Debug, Default)]
pub struct List<T, const MAX: usize> {
    pub elements: Vec<T>,
    /// There were more.
    pub is_cut: bool,
}

impl<T, const MAX: usize> Shape for List<T, MAX> {
    const WRITTEN: Written = Written::Array;
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<List<T, MAX>, D::Error> {
        struct ListVisitor<T, const MAX: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for ListVisitor<T, MAX> {
            type Value = List<T, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<List<T, MAX>, A::Error> {
                let mut elements = Vec::new();
                while elements.len() < MAX {
                    let Some(element) = array.next_element()? else { return Ok(List { elements, is_cut: false }) };
                    room::push(&mut elements, element)?;
                }
                let mut is_cut = false;
                while array.next_element::<IgnoredAny>()?.is_some() {
                    is_cut = true;
                }
                Ok(List { elements, is_cut })
            }
        }

        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

/// An object, or a text in its place, which is its name.
#[derive(Debug)]
pub struct OrName<T>(pub T);

impl<T> Shape for OrName<T> {
    const WRITTEN: Written = Written::Named;
}

impl<'de, T: Deserialize<'de> + From<String>> Deserialize<'de> for OrName<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<OrName<T>, D::Error> {
        struct OrNameVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de> + From<String>> Visitor<'de> for OrNameVisitor<T> {
            type Value = OrName<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object or its name")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<OrName<T>, E> {
                Ok(OrName(T::from(name.to_owned())))
            }

            fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<OrName<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(object)).map(OrName)
            }
        }

        deserializer.deserialize_any(OrNameVisitor(PhantomData))
    }
}

/// A list of such, or one of them in its place.
#[derive(Debug)]
pub struct Names<T, const MAX: usize>(pub List<Lax<OrName<T>>, MAX>);

impl<T, const MAX: usize> Names<T, MAX> {
    fn of_one(only: OrName<T>) -> Names<T, MAX> {
        Names(List { elements: vec![Lax::Given(only)], is_cut: false })
    }
}

impl<T, const MAX: usize> Shape for Names<T, MAX> {
    const WRITTEN: Written = Written::Names;
}

impl<'de, T: Deserialize<'de> + From<String>, const MAX: usize> Deserialize<'de> for Names<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Names<T, MAX>, D::Error> {
        struct NamesVisitor<T, const MAX: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de> + From<String>, const MAX: usize> Visitor<'de> for NamesVisitor<T, MAX> {
            type Value = Names<T, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("names, or one")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Names<T, MAX>, E> {
                Ok(Names::of_one(OrName(T::from(name.to_owned()))))
            }

            fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Names<T, MAX>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(object)).map(|only| Names::of_one(OrName(only)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, array: A) -> Result<Names<T, MAX>, A::Error> {
                List::deserialize(SeqAccessDeserializer::new(array)).map(Names)
            }
        }

        deserializer.deserialize_any(NamesVisitor(PhantomData))
    }
}

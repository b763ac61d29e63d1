//! Lists of whole numbers in a file, a line of text each.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize as _, Serializer};

pub(super) fn serialize<S: Serializer>(lists: &[Vec<i32>], serializer: S) -> Result<S::Ok, S::Error> {
    let line = |list: &Vec<i32>| list.iter().map(i32::to_string).collect::<Vec<_>>().join(" ");
    lists.iter().map(line).collect::<Vec<_>>().serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<i32>>, D::Error> {
    let list = |line: &String| line.split(' ').map(|word| word.parse().map_err(D::Error::custom)).collect();
    Vec::<String>::deserialize(deserializer)?.iter().map(list).collect()
}

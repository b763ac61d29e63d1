//! What decoding a file would take, found by walking its bytes without making anything.
//!
//! On the wire an empty message takes two bytes, decoded over a hundred; a small integer takes one, decoded eight. So
//! messages and numbers are counted first, along the fields that [`crate::proto`] declares.

use crate::proto::{
    AttributeProto, DimensionProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto, ValueInfoProto,
};

/// How much more than the file its decoded form may take, in bytes.
const ALLOWANCE: usize = 128 << 20;

/// How many times the file's bytes are added: strings and raw data are copied, lists grow to twice their size.
const TIMES: usize = 3;

/// What the smallest piece of memory takes, in bytes: a text has one of its own.
const BLOCK: usize = 32;

/// The most inputs that a node may name, and outputs: far beyond any network's.
const MAX_EDGES: usize = 65_535;

/// What a field holds.
enum Field {
    /// A message whose fields are those of the list, and the bytes that it takes decoded.
    Message(&'static Message, usize),
    /// Repeated numbers of a size decoded, each at least one byte on the wire.
    Numbers(usize),
    /// Repeated texts.
    Text,
}

/// The fields of a message that are repeated or hold some that are; all others take no more than their bytes.
type Message = [(u64, Field)];

const MODEL: &Message = &[(7, Field::Message(GRAPH, 0)), (8, Field::Message(&[], size_of::<OperatorSetIdProto>()))];
const GRAPH: &Message = &[
    (1, Field::Message(NODE, size_of::<NodeProto>())),
    (5, Field::Message(TENSOR, size_of::<TensorProto>())),
    (11, Field::Message(VALUE, size_of::<ValueInfoProto>())),
    (12, Field::Message(VALUE, size_of::<ValueInfoProto>())),
];
const NODE: &Message =
    &[(1, Field::Text), (2, Field::Text), (5, Field::Message(ATTRIBUTE, size_of::<AttributeProto>()))];
const ATTRIBUTE: &Message = &[(5, Field::Message(TENSOR, 0)), (7, Field::Numbers(4)), (8, Field::Numbers(8))];
const TENSOR: &Message = &[
    (1, Field::Numbers(8)),
    (4, Field::Numbers(4)),
    (5, Field::Numbers(4)),
    (7, Field::Numbers(8)),
    (10, Field::Numbers(8)),
    (13, Field::Message(&[], size_of::<StringStringEntryProto>())),
];
const VALUE: &Message = &[(2, Field::Message(TYPE, 0))];
const TYPE: &Message = &[(1, Field::Message(TENSOR_TYPE, 0))];
const TENSOR_TYPE: &Message = &[(2, Field::Message(SHAPE, 0))];
const SHAPE: &Message = &[(1, Field::Message(&[], size_of::<DimensionProto>()))];

/// Refuses a file that takes far more memory decoded than it has bytes. What is no protobuf is left to the decoder.
///
/// # Errors
/// A sentence.
pub(crate) fn check(bytes: &[u8]) -> Result<(), String> {
    let mut edges = 0;
    let decoded = decoded_bytes(bytes, MODEL, &mut edges);
    if edges > MAX_EDGES {
        return Err(format!("it has a node of {edges} inputs or outputs; at most {MAX_EDGES} are read"));
    }
    let allowed = bytes.len().saturating_mul(TIMES).saturating_add(ALLOWANCE);
    if decoded <= allowed {
        return Ok(());
    }
    Err(format!(
        "it has {} bytes and would take {} MiB decoded: it holds far more nodes, names or small numbers than a network does",
        bytes.len(),
        decoded >> 20
    ))
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The bytes beside their copies that the fields of a `message` take decoded, as far as it can be read. `most` becomes the
/// number of the texts of a message that has more.
fn decoded_bytes(mut bytes: &[u8], message: &Message, most: &mut usize) -> usize {
    let mut decoded = 0;
    let mut texts = 0;
    while let Some(key) = varint(&mut bytes) {
        let field = message.iter().find(|(number, _)| *number == key >> 3).map(|(_, field)| field);
        let length = match key & 7 {
            0 => varint(&mut bytes).map(|_| 0),
            1 => Some(8),
            2 => varint(&mut bytes).and_then(|length| usize::try_from(length).ok()),
            5 => Some(4),
            _ => None,
        };
        let Some((body, rest)) = length.and_then(|length| bytes.split_at_checked(length)) else { break };
        bytes = rest;
        decoded += match field {
            Some(Field::Message(fields, size)) => size + decoded_bytes(body, fields, most),
            // Packed: at most a number for each byte; else a number for each key.
            Some(Field::Numbers(size)) => size * body.len().max(1),
            Some(Field::Text) => {
                texts += 1;
                size_of::<String>() + BLOCK
            }
            None => 0,
        };
    }
    *most = texts.max(*most);
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{GraphProto, ModelProto};
    use prost::Message as _;

    #[test]
    fn many_small_messages_are_refused_before_they_are_decoded() {
        let model = |graph| ModelProto { graph: Some(graph), ..Default::default() }.encode_to_vec();
        let nodes = |count| model(GraphProto { node: vec![NodeProto::default(); count], ..Default::default() });
        assert!(check(&nodes(1000)).is_ok());
        assert!(check(&nodes(2_000_000)).unwrap_err().contains("decoded"));
        let attributes = NodeProto { attribute: vec![AttributeProto::default(); 1_000_000], ..Default::default() };
        assert!(check(&model(GraphProto { node: vec![attributes], ..Default::default() })).is_err());
        // A text of one byte takes three on the wire, and a node that joins thousands of tensors is as good as endless.
        let joined = |count| NodeProto { input: vec!["x".into(); count], ..Default::default() };
        let joins = |count| model(GraphProto { node: vec![joined(60_000); count], ..Default::default() });
        assert!(check(&joins(1)).is_ok());
        assert!(check(&joins(50)).unwrap_err().contains("decoded"));
        let one = model(GraphProto { node: vec![joined(MAX_EDGES + 1)], ..Default::default() });
        assert!(check(&one).unwrap_err().contains("65536 inputs"));
        // Raw data and floats take what they have.
        let weights = TensorProto { raw_data: vec![1; 1 << 20], float_data: vec![1.0; 1 << 20], ..Default::default() };
        let bytes = model(GraphProto { initializer: vec![weights; 40], ..Default::default() });
        assert!(check(&bytes).is_ok());
    }

    #[test]
    fn what_is_no_protobuf_is_left_to_the_decoder() {
        for bytes in [&b""[..], &[0xff; 64], &[0x3a, 0x7f], &[0x3a, 0x02, 0x0a, 0xff], &[7]] {
            assert!(check(bytes).is_ok());
        }
    }
}

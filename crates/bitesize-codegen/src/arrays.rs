//! The constant arrays of each node: packed weights, biases, multipliers, shifts, padding codes.

use crate::error::EmitError;
use crate::lane_order;
use crate::layers::{field, has_padding_array};
use crate::names::PackageNames;
use crate::writer::CWriter;
use bitesize_integer::packing::{pack_weights, weight_row};
use bitesize_integer::{IntNetwork, IntNode, IntOp, IntWeights, Rescale};
use bitesize_ir::code::Implementation;
use bitesize_ir::memory::{MemoryPlan, word};
use bitesize_ir::requantize::Multiplier;
use bitesize_ir::shown::c_comment;

/// What one array holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Numbers {
    Bytes(Vec<u8>),
    /// Words in the order of kernels that work row by row.
    Words(Vec<u32>),
    /// Bias and multiplier of each output channel.
    Channels(Vec<(i32, i32)>),
    Factors(Vec<(u16, Multiplier)>),
}

/// A constant array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Array {
    name: String,
    comment: String,
    numbers: Numbers,
}

/// The arrays of every node, in order.
pub(crate) fn arrays(network: &IntNetwork, plan: &MemoryPlan, names: &PackageNames) -> Result<Vec<Array>, EmitError> {
    let mut arrays = Vec::new();
    for (id, node) in network.iter() {
        let mut push = |what: &str, comment: String, numbers: Numbers| {
            arrays.push(Array { name: names.array(what, id.0), comment, numbers });
        };
        let implementation = plan.implementations[id.0];
        match &node.op {
            IntOp::Conv2d { weights, rescale, padding, .. }
            | IntOp::DepthwiseConv2d { weights, rescale, padding, .. } => {
                push_weights(node, weights, implementation, &mut push);
                push_rescale(rescale, &mut push);
                if has_padding_array(network, node) {
                    push("padding", String::new(), padded_bytes(padding.clone()));
                }
            }
            IntOp::FullyConnected { weights, rescale } => {
                push_weights(node, weights, implementation, &mut push);
                push_rescale(rescale, &mut push);
            }
            IntOp::AveragePool { multipliers, .. } => {
                push("factors", c_comment(&node.name), Numbers::Factors(factors(node, multipliers)?));
            }
            IntOp::Add { .. }
            | IntOp::Concat { .. }
            | IntOp::MaxPool { .. }
            | IntOp::Clamp { .. }
            | IntOp::Pad { .. }
            | IntOp::Flatten { .. } => {}
        }
    }
    Ok(arrays)
}

fn push_weights(
    node: &IntNode,
    weights: &IntWeights,
    implementation: Implementation,
    push: &mut impl FnMut(&str, String, Numbers),
) {
    let row = weight_row(&node.op).expect("an operator with weights has rows of them");
    let comment = c_comment(&format!("{}: {}-bit weights", node.name, weights.bits));
    let out_per_group = match (&node.op, implementation) {
        (IntOp::Conv2d { groups, rescale, .. }, Implementation::Rows) => Some(rescale.bias.len() / groups),
        (IntOp::FullyConnected { rescale, .. }, Implementation::Rows) => Some(rescale.bias.len()),
        _ => None,
    };
    let numbers = match out_per_group {
        Some(out_per_group) => Numbers::Words(lane_order::words(weights, row, out_per_group)),
        None => Numbers::Bytes(pack_weights(weights, row)),
    };
    push("weights", comment, numbers);
}

fn push_rescale(rescale: &Rescale, push: &mut impl FnMut(&str, String, Numbers)) {
    let pairs = rescale.bias.iter().zip(&rescale.multipliers).map(|(bias, multiplier)| (*bias, multiplier.m));
    push("channels", String::new(), Numbers::Channels(pairs.collect()));
    // With a factor of 0 every shift gives the zero point, and one of 33 or more does so without a detour.
    let shift = |multiplier: &Multiplier| if multiplier.m == 0 { multiplier.n.max(33) } else { multiplier.n };
    push("shifts", String::new(), padded_bytes(rescale.multipliers.iter().map(shift).collect()));
}

fn padded_bytes(mut bytes: Vec<u8>) -> Numbers {
    bytes.resize(word(bytes.len()), 0);
    Numbers::Bytes(bytes)
}

/// The count is compared only where there are several; a single one serves every window, however large.
fn factors(node: &IntNode, multipliers: &[(usize, Multiplier)]) -> Result<Vec<(u16, Multiplier)>, EmitError> {
    match multipliers {
        [(count, multiplier)] => Ok(vec![(u16::try_from(*count).unwrap_or(0), *multiplier)]),
        several => {
            let factor = |&(count, m): &(usize, Multiplier)| Ok((field(node, "a pool's pixel count", count)?, m));
            several.iter().map(factor).collect()
        }
    }
}

/// The type, name and length of an array.
fn declaration(array: &Array, names: &PackageNames) -> String {
    let (kind, length) = match &array.numbers {
        Numbers::Bytes(bytes) => ("uint8_t", bytes.len()),
        Numbers::Words(words) => ("uint32_t", words.len()),
        Numbers::Channels(channels) => ("bitesize_channel", channels.len()),
        Numbers::Factors(factors) => ("bitesize_average_factor", factors.len()),
    };
    format!("const {} {}[{length}]", names.kernels().of_runtime(kind), array.name)
}

/// `weights.h`: declarations for the package itself.
pub(crate) fn header(arrays: &[Array], names: &PackageNames) -> String {
    let mut c = CWriter::new();
    c.comment("The constant arrays of the network, for the package itself.");
    c.header(&names.macro_name("WEIGHTS_H"), &format!("\"{}\"", names.kernels().header()), |c| {
        for array in arrays {
            c.line(format!("extern {};", declaration(array, names)));
        }
    });
    c.finish()
}

/// `weights.c`: the definitions.
pub(crate) fn source(arrays: &[Array], names: &PackageNames) -> String {
    let mut c = CWriter::new();
    let attribute = names.macro_name("WEIGHTS_ATTRIBUTE");
    let aligned = names.kernels().of_runtime("BITESIZE_WORD_ALIGNED");
    c.comment(&format!(
        "The constant arrays of the network. Every one is a multiple of 4 bytes.\n\
         Define {attribute} to place them:\n\
         -D'{attribute}=__attribute__((section(\".psram\")))'"
    ));
    c.line(format!("#include \"{}\"", names.weights_header()));
    c.blank();
    c.line(format!("#ifndef {attribute}"));
    c.line(format!("#define {attribute}"));
    c.line("#endif");
    for array in arrays {
        c.blank();
        if !array.comment.is_empty() {
            c.comment(&array.comment);
        }
        let declaration = format!("{attribute} {aligned} {}", declaration(array, names));
        match &array.numbers {
            Numbers::Bytes(bytes) => c.array(&declaration, bytes),
            Numbers::Words(words) => c.array(&declaration, words.iter().map(|word| format!("0x{word:08x}u"))),
            Numbers::Channels(channels) => {
                c.array(
                    &declaration,
                    channels.iter().map(|&(bias, m)| format!("{{{}, {}}}", literal(bias), literal(m))),
                );
            }
            Numbers::Factors(factors) => {
                c.array(
                    &declaration,
                    factors.iter().map(|(count, m)| format!("{{{}, {count}, {}}}", literal(m.m), m.n)),
                );
            }
        }
    }
    c.finish()
}

/// The most negative number has no literal of its own type.
fn literal(value: i32) -> String {
    if value == i32::MIN { "INT32_MIN".into() } else { value.to_string() }
}

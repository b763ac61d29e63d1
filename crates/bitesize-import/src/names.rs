//! The names of a file, such that each can be shown anywhere ([`bitesize_ir::shown::name`]): what cannot be seen is written
//! as its number, and names of over 240 characters are cut. Names that differ stay different, so that whatever held the
//! graph together still does.

use crate::proto::{GraphProto, TensorProto};
use bitesize_ir::shown;
use std::borrow::Cow;

/// Every name in `graph` as it is shown.
pub(crate) fn show(graph: &mut GraphProto) {
    let GraphProto { node, name: _, initializer, input, output } = graph;
    for node in node {
        node.input.iter_mut().chain(&mut node.output).for_each(name);
        [&mut node.name, &mut node.op_type, &mut node.domain].into_iter().for_each(name);
        for attribute in &mut node.attribute {
            name(&mut attribute.name);
            attribute.t.iter_mut().for_each(tensor);
        }
    }
    initializer.iter_mut().for_each(tensor);
    for value in input.iter_mut().chain(output) {
        name(&mut value.name);
        let types = value.r#type.iter_mut().filter_map(|kind| kind.tensor_type.as_mut());
        let dims = types.filter_map(|kind| kind.shape.as_mut()).flat_map(|shape| &mut shape.dim);
        dims.for_each(|dim| name(&mut dim.dim_param));
    }
}

fn tensor(tensor: &mut TensorProto) {
    name(&mut tensor.name);
}

fn name(text: &mut String) {
    if let Cow::Owned(shown) = shown::name(text) {
        *text = shown;
    }
}

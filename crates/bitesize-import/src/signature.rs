//! A model's inputs and outputs as the file declares them, and what of them no network here can have.

use crate::builder::MAX_ELEMENTS;
use crate::error::{Reason, Refusal};
use crate::input_shape::{InputShape, MAX_DIM};
use crate::proto::{DimensionProto, ValueInfoProto, data_type};

/// An input as the file declares it, the batch set to 1.
pub(crate) struct Input {
    pub(crate) name: String,
    /// `None` where they are not known, which has been refused.
    pub(crate) dims: Option<Vec<usize>>,
}

/// Reads the `inputs` that are no constants. The one that is taken as the network's comes first: where there are several,
/// the largest. All further ones are refused.
pub(crate) fn inputs_of(
    inputs: &[&ValueInfoProto],
    given: Option<&InputShape>,
    refusals: &mut Vec<Refusal>,
) -> Vec<Input> {
    let given = given.filter(|_| inputs.len() == 1);
    let read = |input: &&ValueInfoProto| {
        let mut refuse = |reason: Reason| refusals.push(reason.at(&input.name, "input"));
        let dims = input_dims(input, given, &mut refuse);
        Input { name: input.name.clone(), dims }
    };
    let mut inputs: Vec<Input> = inputs.iter().map(read).collect();
    let elements = |input: &Input| input.dims.as_ref().map_or(0, |dims| dims.iter().product::<usize>());
    if let Some(largest) = (0..inputs.len()).rev().max_by_key(|i| elements(&inputs[*i])) {
        inputs[..=largest].rotate_right(1);
    }
    let further = |input: &Input| {
        Reason::new("a network has one input, and this is a further one")
            .hint("export the part of the model that needs one input only")
            .at(&input.name, "input")
    };
    refusals.extend(inputs.iter().skip(1).map(further));
    inputs
}

/// Refuses all outputs but the first.
pub(crate) fn refuse_further_outputs(outputs: &[String], refusals: &mut Vec<Refusal>) {
    let further = |output: &String| {
        Reason::new("a network has one output, and this is a further one")
            .hint("export the part of the model that leads to one output")
            .at(output, "output")
    };
    refusals.extend(outputs.iter().skip(1).map(further));
}

fn input_dims(
    input: &ValueInfoProto,
    given: Option<&InputShape>,
    refuse: &mut impl FnMut(Reason),
) -> Option<Vec<usize>> {
    let Some(tensor) = input.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()) else {
        refuse(Reason::new("it is no tensor").hint("export the model with a tensor as its input"));
        return None;
    };
    use data_type::*;
    if ![FLOAT, DOUBLE, FLOAT16, BFLOAT16, UINT8, INT8, UINT16, INT16, INT32].contains(&tensor.elem_type) {
        let name = data_type::name(tensor.elem_type);
        refuse(Reason::new(format!("it has the element type {name}")).hint("export the model with a float32 input"));
    }
    let Some(shape) = &tensor.shape else {
        if given.is_none() {
            refuse(
                Reason::new("it has no shape").hint("give it one: --input-shape 1x3x96x96, in the order of the file"),
            );
        }
        return given.map(|given| given.dims().to_vec());
    };
    let declared: Vec<Dim> = shape.dim.iter().map(Dim::of).collect();
    if !(2..=4).contains(&declared.len()) {
        refuse(
            Reason::new(format!("it has {} axes", declared.len()))
                .hint("[batch, features], [batch, height, width] or a batch of images is expected"),
        );
        return None;
    }
    let Some(given) = given else { return fixed_dims(&declared, refuse) };
    let agrees = |(dim, given): (&Dim, &usize)| dim.size.is_none_or(|size| u64::try_from(*given) == Ok(size));
    if given.dims().len() != declared.len() || !declared.iter().zip(given.dims()).all(agrees) {
        let declared: Vec<String> = declared.iter().map(|dim| dim.shown()).collect();
        refuse(
            Reason::new(format!("its shape is {} in the file, and --input-shape says {given}", declared.join("x")))
                .hint("only sizes that the file leaves open can be given"),
        );
        return None;
    }
    checked_size(given.dims().to_vec(), refuse)
}

/// A dimension as a file declares it.
struct Dim<'a> {
    /// `None` where any will do.
    size: Option<u64>,
    /// What an open one is called.
    name: &'a str,
}

impl<'a> Dim<'a> {
    fn of(dim: &'a DimensionProto) -> Self {
        // A size of 0 or -1 is how some exporters write "any".
        let size = dim.dim_value.and_then(|size| u64::try_from(size).ok()).filter(|size| *size > 0);
        Self { size, name: &dim.dim_param }
    }

    fn shown(&self) -> String {
        match self.size {
            Some(size) => size.to_string(),
            None if self.name.is_empty() => "?".into(),
            None => format!("`{}`", self.name),
        }
    }
}

/// The declared dimensions with a batch of 1.
fn fixed_dims(declared: &[Dim], refuse: &mut impl FnMut(Reason)) -> Option<Vec<usize>> {
    let (batch, sizes) = declared.split_first()?;
    if let Some(batch) = batch.size.filter(|batch| *batch != 1) {
        refuse(
            Reason::new(format!("it has a batch of {batch}, and one image at a time is computed"))
                .hint("export with a batch of 1 or a dynamic one"),
        );
    }
    if sizes.iter().any(|dim| dim.size.is_none()) {
        let shown: Vec<String> = declared.iter().map(Dim::shown).collect();
        let example: Vec<String> = sizes.iter().map(|dim| dim.size.unwrap_or(96).to_string()).collect();
        refuse(
            Reason::new(format!("its shape {} has dynamic dimensions", shown.join("x")))
                .hint(format!("fix height, width and channels: --input-shape, as 1x{}", example.join("x"))),
        );
        return None;
    }
    let mut dims = vec![1];
    for size in sizes.iter().filter_map(|dim| dim.size) {
        match usize::try_from(size).ok().filter(|size| *size <= MAX_DIM) {
            Some(size) => dims.push(size),
            None => {
                refuse(Reason::new(format!("it has a dimension of {size}, which no network here can have")));
                return None;
            }
        }
    }
    checked_size(dims, refuse)
}

fn checked_size(dims: Vec<usize>, refuse: &mut impl FnMut(Reason)) -> Option<Vec<usize>> {
    if crate::constant::elements(&dims).is_none_or(|n| n > MAX_ELEMENTS) {
        refuse(
            Reason::new(format!("its shape {dims:?} is too large"))
                .hint(format!("an activation has at most {MAX_ELEMENTS} elements: export with a smaller input")),
        );
        return None;
    }
    Some(dims)
}

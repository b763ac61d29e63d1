//! The walk over a graph: each node's inputs become values, each operator makes a value of them.

use crate::budget::Budget;
use crate::builder::{Activation, Builder, LeftOut, Value};
use crate::constant::read_tensor;
use crate::error::{ImportError, Reason, Refusal};
use crate::external::{ExternalFiles, Read};
use crate::graph::Graph;
use crate::imported::{Imported, ImportedTensor};
use crate::layout::Layout;
use crate::node::{NodeContext, place};
use crate::ops::{self, Fold, OPERATORS};
use crate::output_order::{self, OutputOrder, is_flattened};
use crate::proto::NodeProto;
use crate::readings::{Reading, Readings};
use bitesize_ir::{Axis, Shape, Tail, TensorId, shown};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// Imports `graph`, taking its input in the way under which everything is supported; if there is none, reports the
/// obstacles of the way that leads furthest.
pub(crate) fn import(mut graph: Graph, external: &Read, name: &str) -> Result<Imported, ImportError> {
    let budget = Budget::of(graph.bytes);
    let mut refusals = std::mem::take(&mut graph.refusals);
    let (constants, unread) = read_constants(&mut graph, external, &budget);
    refusals.extend(unread);
    if budget.is_exceeded() {
        return Err(ImportError::Unsupported(refusals));
    }
    let walk = |reading| Walk::new(&graph, &constants).run(name, reading, budget.clone());
    let Some(dims) = &graph.inputs[0].dims else {
        refusals.extend(walk(None).err().into_iter().flat_map(|refused| refused.refusals));
        return Err(ImportError::Unsupported(refusals));
    };
    let mut readings = Readings::of(dims);
    let mut furthest: Option<Refused> = None;
    while let Some(reading) = readings.next() {
        match walk(Some(reading)) {
            Ok(imported) if refusals.is_empty() => return Ok(imported),
            Ok(_) => return Err(ImportError::Unsupported(refusals)),
            Err(refused) => {
                refused.input_forms.iter().for_each(|form| readings.push_form(form));
                if furthest.as_ref().is_none_or(|f| refused.understood > f.understood) {
                    furthest = Some(refused);
                }
            }
        }
    }
    refusals.extend(furthest.into_iter().flat_map(|f| f.refusals));
    Err(ImportError::Unsupported(refusals))
}

/// What a name stands for.
type Values = HashMap<String, Value>;

/// Takes the constants out of `graph`: each leaves it when it is read, so that there are no two of it for long.
fn read_constants(graph: &mut Graph, external: &Read, budget: &Budget) -> (Values, Vec<Refusal>) {
    let mut files = ExternalFiles::new(external);
    let mut values = Values::new();
    let mut refusals = Vec::new();
    let mut tensors: Vec<_> = std::mem::take(&mut graph.initializers).into_values().collect();
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    for tensor in tensors {
        let value = match read_tensor(&tensor, &mut files, budget) {
            Ok(constant) => Value::Constant(Rc::new(constant)),
            Err(reason) => {
                refusals.push(reason.at(&tensor.name, "constant"));
                Value::Unknown { of_image: false }
            }
        };
        values.insert(tensor.name, value);
        if budget.is_exceeded() {
            break;
        }
    }
    (values, refusals)
}

/// What a walk came to that met obstacles.
struct Refused {
    refusals: Vec<Refusal>,
    /// Number of nodes that were understood.
    understood: usize,
    /// The dimensions to which the input is reshaped.
    input_forms: Vec<Vec<usize>>,
}

/// Refusals in the order in which they were found; one for several reasons is told once.
#[derive(Default)]
struct Refusals {
    list: Vec<Refusal>,
    known: HashSet<Refusal>,
}

impl Refusals {
    fn extend(&mut self, refusals: impl IntoIterator<Item = Refusal>) {
        for refusal in refusals {
            if self.known.insert(refusal.clone()) {
                self.list.push(refusal);
            }
        }
    }
}

/// One walk with one way of reading the input.
struct Walk<'a> {
    graph: &'a Graph,
    values: Values,
    /// How often each tensor will still be read.
    reads: HashMap<&'a str, usize>,
    /// The tensors behind which something goes on that is not the end of a network.
    inside: HashSet<&'a str>,
}

impl<'a> Walk<'a> {
    fn new(graph: &'a Graph, constants: &Values) -> Self {
        let reads = graph.reads.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        let mut inside: HashSet<&str> = HashSet::new();
        for node in graph.nodes.iter().rev().filter(|node| !ops::forgets_image(&node.op_type)) {
            let is_end = BEHIND_THE_END.contains(&node.op_type.as_str());
            if !is_end || node.output.iter().any(|output| inside.contains(output.as_str())) {
                inside.extend(node.input.iter().map(String::as_str));
            }
        }
        Self { graph, values: constants.clone(), reads, inside }
    }

    /// `reading` is `None` where the input's shape is not known.
    fn run(mut self, name: &str, reading: Option<Reading>, budget: Budget) -> Result<Imported, Refused> {
        let graph = self.graph;
        let (shape, layout) =
            reading.clone().unwrap_or_else(|| (Shape::new(1, 1, 1), Layout::new(&[], Shape::new(1, 1, 1))));
        let mut builder = Builder::new(&shown::name(name), &graph.inputs[0].name, shape, budget);
        let input = Activation::new(TensorId(0), layout);
        for input in &graph.inputs {
            self.values.insert(input.name.clone(), Value::Unknown { of_image: true });
        }
        if reading.is_some() {
            self.values.insert(graph.inputs[0].name.clone(), Value::Activation(input.clone()));
        }
        let mut refusals = Refusals::default();
        let mut understood = 0;
        for node in &graph.nodes {
            let values = match self.node(node, &mut builder) {
                Ok(values) => {
                    understood += 1;
                    values
                }
                Err(reason) => {
                    let hidden = reason.is_told().then(|| self.function_inside(node)).flatten();
                    refusals.extend(if reason.is_told() {
                        hidden
                    } else {
                        Some(reason.at(&place(node), &node.op_type))
                    });
                    if builder.budget.is_exceeded() {
                        break;
                    }
                    vec![self.stand_in(node, &builder)]
                }
            };
            let unknown = Value::Unknown { of_image: self.reads_image(node) };
            let values = values.into_iter().chain(std::iter::repeat(unknown));
            for (output, value) in node.output.iter().zip(values).filter(|(name, _)| !name.is_empty()) {
                self.values.insert(output.clone(), value);
            }
            self.forget(node);
        }
        refusals.extend(builder.refusals.drain(..));
        let input_forms = std::mem::take(&mut builder.input_forms);
        let refused = |refusals| Refused { refusals, understood, input_forms };
        self.finish(builder, input, refusals.list).map_err(refused)
    }

    /// The values of the node's outputs that are supported.
    fn node(&self, proto: &NodeProto, builder: &mut Builder) -> Result<Vec<Value>, Reason> {
        if !["", "ai.onnx"].contains(&proto.domain.as_str()) {
            return Err(Reason::new(format!("it belongs to the operator set `{}`", proto.domain))
                .hint("export the model with the standard ONNX operators only"));
        }
        let operator = ops::find(&proto.op_type)
            .ok_or_else(|| Reason::new("the operator is not supported").hint(ops::hint(&proto.op_type)))?;
        let known = |name: &String| operator.attributes.contains(&name.as_str());
        if let Some(attribute) = proto.attribute.iter().map(|a| &a.name).find(|name| !known(name)) {
            return Err(Reason::new(format!("its attribute `{attribute}` is not supported")));
        }
        let input = |name: &String| self.values.get(name).cloned().unwrap_or(Value::Unknown { of_image: true });
        let inputs: Vec<_> = proto.input.iter().map(|name| (!name.is_empty()).then(|| input(name))).collect();
        let of_image = inputs.iter().flatten().any(Value::is_of_image);
        let mut context = NodeContext { proto, opset: self.graph.opset, inputs, builder };
        let only_first = || match proto.output.iter().skip(1).find(|name| self.is_read(name)) {
            Some(output) => {
                Err(Reason::new(format!("its further output `{output}` is used; only the first is supported")))
            }
            None => Ok(()),
        };
        match (operator.fold, operator.import) {
            (Some(fold), _) if !of_image => {
                context.known()?;
                let constants = match fold {
                    Fold::One(fold) => vec![only_first().and_then(|()| fold(&context))?],
                    Fold::Several(fold) => fold(&context)?,
                };
                Ok(constants.into_iter().map(|constant| Value::Constant(Rc::new(constant))).collect())
            }
            (_, Some(import)) => only_first().and_then(|()| import(&mut context)).map(|value| vec![value]),
            (_, None) => Err(Reason::new("its input depends on the image").hint(ops::constant_hint(&proto.op_type))),
        }
    }

    /// Drops the values that `node` was the last to read.
    fn forget(&mut self, node: &NodeProto) {
        for name in &node.input {
            if let Some(left) = self.reads.get_mut(name.as_str()) {
                *left -= 1;
                if *left == 0 {
                    self.values.remove(name);
                }
            }
        }
    }

    /// How the input is read, where that is not the usual order, and what of the file is not.
    fn reading_notes(&self, builder: &Builder, layout: &Layout) -> Vec<String> {
        let mut notes = Vec::new();
        let shape = builder.shape(builder.network.input);
        let input = &self.graph.inputs[0];
        let dims = input.dims.as_deref().unwrap_or_default();
        let is_vector = dims.len() == 2 && shape.pixels() == 1;
        if !is_vector && Layout::channels_first(4, shape).as_ref() != Some(layout) {
            notes.push(format!(
                "the input `{}` {dims:?} is read as {} x {} pixels of {} {}",
                input.name,
                shape.h,
                shape.w,
                shape.c,
                if shape.c == 1 { "channel" } else { "channels" }
            ));
        }
        if let [first, others @ ..] = self.graph.unread_inputs.as_slice() {
            let others = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
            notes.push(format!("nothing reads the input `{first}`{others}, which the network does not have"));
        }
        notes
    }

    /// What stands for the first output of a refused node, so that what follows can be checked too.
    fn stand_in(&self, proto: &NodeProto, builder: &Builder) -> Value {
        let of_image = self.reads_image(proto) && !ops::forgets_image(&proto.op_type);
        let inputs: Vec<&Value> = proto.input.iter().filter_map(|name| self.values.get(name)).collect();
        let known = !inputs.iter().any(|value| matches!(value, Value::Unknown { of_image: true }));
        let activations = inputs.into_iter().filter_map(|value| match value {
            Value::Activation(activation) => Some(activation),
            Value::Constant(_) | Value::Unknown { .. } => None,
        });
        let largest = activations.max_by_key(|activation| builder.shape(activation.tensor).elements());
        match largest.filter(|_| known && ops::keeps_shape(&proto.op_type)) {
            Some(largest) => Value::Activation(Activation::new(largest.tensor, largest.layout.clone())),
            None => Value::Unknown { of_image },
        }
    }

    /// Whether an input of the node depends on the image.
    fn reads_image(&self, node: &NodeProto) -> bool {
        node.input.iter().filter_map(|name| self.values.get(name)).any(Value::is_of_image)
    }

    /// What a function is refused for whose input is not known, where something goes on behind it.
    fn function_inside(&self, node: &NodeProto) -> Option<Refusal> {
        let tail = Tail::of_name(&node.op_type)?;
        let goes_on = node.output.first().is_some_and(|output| self.goes_on(output));
        goes_on.then(|| refuse_inside(tail, &place(node)))
    }

    /// Whether anything but the end of a network reads `output`.
    fn goes_on(&self, output: &str) -> bool {
        self.inside.contains(output)
    }

    fn is_read(&self, name: &str) -> bool {
        self.graph.reads.contains_key(name)
    }

    fn finish(
        self,
        mut builder: Builder,
        input: Activation,
        mut refusals: Vec<Refusal>,
    ) -> Result<Imported, Vec<Refusal>> {
        let mut notes = self.reading_notes(&builder, &input.layout);
        let output_name = self.graph.outputs[0].as_str();
        let output = match self.values.get(output_name) {
            Some(Value::Activation(Activation { pending: Some(pending), .. })) => {
                refusals.push(pending.refusal.clone());
                None
            }
            Some(Value::Activation(output)) => Some(output.clone()),
            Some(Value::Constant(_)) => {
                let reason = Reason::new("the network's output does not depend on its input");
                refusals.push(reason.at(output_name, "output"));
                None
            }
            Some(Value::Unknown { .. }) | None => None,
        };
        let (Some(mut output), true) = (output, refusals.is_empty()) else {
            let inside = builder.left_out.iter().filter(|it| self.goes_on(&it.output));
            refusals.extend(inside.map(|it| refuse_inside(it.tail, &it.place)));
            return Err(refusals);
        };
        if output.tensor == builder.network.input {
            return Err(vec![Reason::new("the network has no layers").at(output_name, "output")]);
        }
        builder.network.output = output.tensor;
        notes.extend(end_with_tail(&mut builder, &mut output)?);
        let output_order = OutputOrder::of(&output.layout, builder.shape(output.tensor));
        let output = output_order::in_order(&mut builder, output, output_name)
            .map_err(|reason| vec![reason.at(output_name, "output")])?;
        builder.network.output = output.tensor;
        let mut network = builder.network;
        // What only led to constants (as a Shape's input) is not needed.
        network.compact();
        network.validate().map_err(|invalid| vec![Reason::new(invalid.problem).at(&invalid.place, "network")])?;
        Ok(Imported {
            network,
            input: ImportedTensor { name: self.graph.inputs[0].name.clone(), layout: input.layout },
            output: ImportedTensor { name: output_name.to_owned(), layout: output.layout },
            output_order,
            notes,
        })
    }
}

/// A function in the middle of a network cannot be left out.
fn refuse_inside(tail: Tail, place: &str) -> Refusal {
    let hint = match tail {
        Tail::Sigmoid | Tail::Tanh => "inside the network, train with Relu or Clip (ReLU6) instead",
        Tail::Softmax | Tail::LogSoftmax => "attention and gates are not supported",
        Tail::ArgMax => "export the network up to its scores; the firmware takes the highest",
    };
    let reason = Reason::new("it is not the end of the network, where alone it can be left out").hint(hint);
    reason.at(place, tail.name())
}

/// Operators that change no value, only how a tensor is seen; ArgMax behind another function stays the end too.
const BEHIND_THE_END: [&str; 8] =
    ["ArgMax", "Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"];

/// Checks that what was left out is the end of the network, and says that it was; `None` where nothing was. How the output
/// runs over its tensor too, since an ArgMax has taken the classes away.
fn end_with_tail(builder: &mut Builder, output: &mut Activation) -> Result<Option<String>, Vec<Refusal>> {
    let left_out = std::mem::take(&mut builder.left_out);
    let network = &mut builder.network;
    let is_end = |it: &&LeftOut| it.tensor == network.output && network.consumers(it.tensor).is_empty();
    let inside: Vec<Refusal> =
        left_out.iter().filter(|it| !is_end(it)).map(|it| refuse_inside(it.tail, &it.place)).collect();
    if !inside.is_empty() {
        return Err(inside);
    }
    let (last, before) = match left_out.as_slice() {
        [] => return Ok(None),
        [last] => (last, None),
        // Whatever rises keeps the order of the scores: all functions do along what they go over.
        [before, last] if last.tail == Tail::ArgMax && rises_along(before, last) => (last, Some(before)),
        [.., last] => {
            let reason = Reason::new("it is not the only function at the end of the network");
            return Err(vec![reason.at(&last.place, last.tail.name())]);
        }
    };
    if is_of_each_pixel(last) && is_flattened(&output.layout) {
        let reason = Reason::new("it goes over the classes of each pixel, and behind it the output is flattened")
            .hint("export the network up to its map, or flatten before it");
        return Err(vec![reason.at(&last.place, last.tail.name())]);
    }
    network.tail = Some(last.tail);
    let of_classes = matches!(last.tail, Tail::ArgMax | Tail::Softmax | Tail::LogSoftmax);
    if last.tail == Tail::ArgMax || of_classes && is_flattened(&last.layout) {
        output.layout = last.layout.clone();
    }
    let what = match last.tail {
        Tail::Softmax | Tail::LogSoftmax => "the output is its input, the order of the classes is the same",
        Tail::Sigmoid | Tail::Tanh => "the output is its input, and rises with it",
        Tail::ArgMax => "the output is the scores, of which the highest is the class",
    };
    let both = before.map_or(String::new(), |it| format!(" and the {} `{}` before it", it.tail, it.place));
    let are = if before.is_some() { "are" } else { "is" };
    Ok(Some(format!("the final {} `{}`{both} {are} left out: {what}", last.tail, last.place)))
}

/// Whether the scores that `last` compares have the order of those before `before`: a Softmax of each pixel does not keep the order
/// among pixels.
fn rises_along(before: &LeftOut, last: &LeftOut) -> bool {
    !(is_of_each_pixel(before) && is_flattened(&last.layout))
}

/// Whether it goes over the classes of one pixel, of several.
fn is_of_each_pixel(it: &LeftOut) -> bool {
    let axes = || it.layout.axes().iter().flatten();
    let has_pixels = axes().any(|axis| *axis != Axis::C) && axes().any(|axis| *axis == Axis::C);
    has_pixels && matches!(it.tail, Tail::Softmax | Tail::LogSoftmax) && !is_flattened(&it.layout)
}

/// The names of the ONNX operators that are understood, sorted.
pub(crate) fn operators() -> impl Iterator<Item = &'static str> {
    OPERATORS.iter().map(|operator| operator.name)
}

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
use crate::ops::{self, OPERATORS};
use crate::output_order::{self, OutputOrder, is_flattened};
use crate::proto::NodeProto;
use bitesize_ir::{Axis, Shape, Tail, TensorId, shown};
use std::collections::HashMap;
use std::rc::Rc;

/// Imports `graph`, taking its input in the way under which everything is supported; if there is none, reports the
/// obstacles of the way that leads furthest.
pub(crate) fn import(mut graph: Graph, external: &Read, name: &str) -> Result<Imported, ImportError> {
    let budget = Budget::of(graph.bytes);
    let (constants, mut refusals) = read_constants(&mut graph, external, &budget);
    if budget.is_exceeded() {
        return Err(ImportError::Unsupported(refusals));
    }
    let mut furthest: Option<Refused> = None;
    for (shape, layout) in readings(&graph, &constants) {
        match Walk::new(&graph, &constants).run(name, shape, layout, budget.clone()) {
            Ok(imported) if refusals.is_empty() => return Ok(imported),
            Ok(_) => {}
            Err(refused) if furthest.as_ref().is_none_or(|f| refused.understood > f.understood) => {
                furthest = Some(refused);
            }
            Err(_) => {}
        }
    }
    refusals.extend(furthest.into_iter().flat_map(|f| f.refusals));
    Err(ImportError::Unsupported(refusals))
}

/// The most ways of reading the input that are tried: each is a walk over all nodes.
const MAX_READINGS: usize = 9;

/// The ways of reading the input, the likeliest first: an image of 1 or 3 channels has them where that number
/// stands, and a vector that is reshaped to an image is that image.
fn readings(graph: &Graph, constants: &Values) -> Vec<(Shape, Layout)> {
    use Axis::{C, H, W};
    let reading = |h, w, c, axes: &[&[Axis]]| {
        let shape = Shape::new(h, w, c);
        (shape, Layout::new(axes, shape))
    };
    match *graph.input.dims {
        [_, features] => {
            let mut readings = vec![reading(1, 1, features, &[&[], &[C]])];
            for [a, b, c] in images_of_the_input(graph, constants) {
                readings.push(reading(b, c, a, &[&[], &[C, H, W]]));
                readings.push(reading(a, b, c, &[&[], &[H, W, C]]));
            }
            readings.retain(|(shape, _)| shape.elements() == features);
            readings.truncate(MAX_READINGS);
            readings
        }
        [_, a, b] => vec![
            reading(a, b, 1, &[&[], &[H], &[W]]),
            reading(1, b, a, &[&[], &[C], &[W]]),
            reading(1, a, b, &[&[], &[W], &[C]]),
        ],
        [_, a, b, c] => {
            let channels_first = reading(b, c, a, &[&[], &[C], &[H], &[W]]);
            let channels_last = reading(a, b, c, &[&[], &[H], &[W], &[C]]);
            let usual = |channels| [1, 3].contains(&channels);
            if usual(c) && !usual(a) {
                vec![channels_last, channels_first]
            } else {
                vec![channels_first, channels_last]
            }
        }
        _ => vec![],
    }
}

/// The dimensions behind the batch of all images that the input is reshaped to.
fn images_of_the_input(graph: &Graph, constants: &Values) -> Vec<[usize; 3]> {
    let reshapes = graph.nodes.iter().filter(|n| n.op_type == "Reshape" && n.input.first() == Some(&graph.input.name));
    let image = |node: &NodeProto| {
        let Some(Value::Constant(dims)) = constants.get(node.input.get(1)?)? else { return None };
        let [_, a, b, c] = *dims.as_ints().ok()? else { return None };
        let size = |dim: i64| usize::try_from(dim).ok().filter(|d| (1..=1 << 16).contains(d));
        Some([size(a)?, size(b)?, size(c)?])
    };
    let mut images: Vec<[usize; 3]> = Vec::new();
    for image in reshapes.filter_map(image) {
        if !images.contains(&image) && images.len() < MAX_READINGS {
            images.push(image);
        }
    }
    images
}

/// What a name stands for; `None` where its node or constant was refused.
type Values = HashMap<String, Option<Value>>;

/// Takes the constants out of `graph`: each leaves it when it is read, so that there are no two of it for long.
fn read_constants(graph: &mut Graph, external: &Read, budget: &Budget) -> (Values, Vec<Refusal>) {
    let mut files = ExternalFiles::new(external);
    let mut values = Values::new();
    let mut refusals = Vec::new();
    let mut tensors: Vec<_> = std::mem::take(&mut graph.initializers).into_values().collect();
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    for tensor in tensors {
        let constant = read_tensor(&tensor, &mut files, budget);
        let value = constant.map(|c| Value::Constant(Rc::new(c)));
        values.insert(tensor.name.clone(), value.map_err(|e| refusals.push(e.at(&tensor.name, "constant"))).ok());
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
}

/// One walk with one way of reading the input.
struct Walk<'a> {
    graph: &'a Graph,
    values: Values,
    /// How often each tensor will still be read.
    reads: HashMap<&'a str, usize>,
}

impl<'a> Walk<'a> {
    fn new(graph: &'a Graph, constants: &Values) -> Self {
        let reads = graph.reads.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        Self { graph, values: constants.clone(), reads }
    }

    fn run(mut self, name: &str, shape: Shape, layout: Layout, budget: Budget) -> Result<Imported, Refused> {
        let graph = self.graph;
        let mut builder = Builder::new(&shown::name(name), &graph.input.name, shape, budget);
        let input = Activation { tensor: TensorId(0), layout };
        self.values.insert(graph.input.name.clone(), Some(Value::Activation(input.clone())));
        let mut refusals = Vec::new();
        let mut understood = 0;
        for node in &graph.nodes {
            let value = match self.node(node, &mut builder) {
                Ok(value) => {
                    understood += usize::from(value.is_some());
                    value
                }
                Err(reason) => {
                    refusals.push(reason.at(&place(node), &node.op_type));
                    if builder.budget.is_exceeded() {
                        break;
                    }
                    self.stand_in(node, &builder)
                }
            };
            for output in node.output.iter().skip(1).filter(|name| !name.is_empty()) {
                self.values.insert(output.clone(), None);
            }
            if let Some(output) = node.output.first() {
                self.values.insert(output.clone(), value);
            }
            self.forget(node);
        }
        refusals.append(&mut builder.refusals);
        self.finish(builder, input, refusals).map_err(|refusals| Refused { refusals, understood })
    }

    /// The value of the node's first output, `None` where an input was refused before.
    fn node(&self, proto: &NodeProto, builder: &mut Builder) -> Result<Option<Value>, Reason> {
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
        if let Some(output) = proto.output.iter().skip(1).find(|name| self.is_read(name)) {
            return Err(Reason::new(format!("its further output `{output}` is used; only the first is supported")));
        }
        let mut inputs = Vec::new();
        for name in &proto.input {
            match self.values.get(name) {
                Some(Some(value)) => inputs.push(Some(value.clone())),
                _ if name.is_empty() => inputs.push(None),
                _ => return Ok(None),
            }
        }
        let constant = inputs.iter().flatten().all(|value| matches!(value, Value::Constant(_)));
        let mut context = NodeContext { proto, opset: self.graph.opset, inputs, builder };
        match (operator.fold, operator.import) {
            (Some(fold), _) if constant => fold(&context).map(|c| Some(Value::Constant(Rc::new(c)))),
            (_, Some(import)) => import(&mut context).map(Some),
            (_, None) => Err(Reason::new("its input depends on the image")
                .hint("the operator is supported only where it can be computed beforehand")),
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

    /// How the input is read, where that is not the usual order.
    fn reading_note(&self, builder: &Builder, layout: &Layout) -> Vec<String> {
        let shape = builder.shape(builder.network.input);
        let dims = &self.graph.input.dims;
        if dims.len() == 2 && shape.pixels() == 1 || Layout::channels_first(4, shape).as_ref() == Some(layout) {
            return Vec::new();
        }
        vec![format!(
            "the input `{}` {dims:?} is read as {} x {} pixels of {} {}",
            self.graph.input.name,
            shape.h,
            shape.w,
            shape.c,
            if shape.c == 1 { "channel" } else { "channels" }
        )]
    }

    /// What stands for the output of a refused node, so that what follows can be checked too.
    fn stand_in(&self, proto: &NodeProto, builder: &Builder) -> Option<Value> {
        let inputs = proto.input.iter().filter_map(|name| self.values.get(name)?.as_ref());
        let largest = inputs
            .filter_map(|value| match value {
                Value::Activation(activation) => Some(activation),
                Value::Constant(_) => None,
            })
            .max_by_key(|activation| builder.shape(activation.tensor).elements())?;
        ops::keeps_shape(&proto.op_type).then(|| Value::Activation(largest.clone()))
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
        let mut notes = self.reading_note(&builder, &input.layout);
        let output = match self.values.get(&self.graph.output) {
            Some(Some(Value::Activation(output))) => Some(output.clone()),
            Some(Some(Value::Constant(_))) => {
                let reason = Reason::new("the network's output does not depend on its input");
                refusals.push(reason.at(&self.graph.output, "output"));
                None
            }
            _ => None,
        };
        let (Some(mut output), true) = (output, refusals.is_empty()) else {
            let goes_on = |it: &&LeftOut| {
                let mut readers = self.graph.nodes.iter().filter(|node| node.input.contains(&it.output));
                readers.any(|reader| !BEHIND_THE_END.contains(&reader.op_type.as_str()))
            };
            refusals.extend(builder.left_out.iter().filter(goes_on).map(refuse_inside));
            return Err(refusals);
        };
        if output.tensor == builder.network.input {
            return Err(vec![Reason::new("the network has no layers").at(&self.graph.output, "output")]);
        }
        builder.network.output = output.tensor;
        notes.extend(end_with_tail(&mut builder, &mut output)?);
        let output_order = OutputOrder::of(&output.layout, builder.shape(output.tensor));
        let output = output_order::in_order(&mut builder, output, &self.graph.output)
            .map_err(|reason| vec![reason.at(&self.graph.output, "output")])?;
        builder.network.output = output.tensor;
        let mut network = builder.network;
        // What only led to constants (as a Shape's input) is not needed.
        network.compact();
        network.validate().map_err(|invalid| vec![Reason::new(invalid.problem).at(&invalid.place, "network")])?;
        Ok(Imported {
            network,
            input: ImportedTensor { name: self.graph.input.name.clone(), layout: input.layout },
            output: ImportedTensor { name: self.graph.output.clone(), layout: output.layout },
            output_order,
            notes,
        })
    }
}

/// A function in the middle of a network cannot be left out.
fn refuse_inside(it: &LeftOut) -> Refusal {
    let hint = match it.tail {
        Tail::Sigmoid | Tail::Tanh => "inside the network, train with Relu or Clip (ReLU6) instead",
        Tail::Softmax | Tail::LogSoftmax => "attention and gates are not supported",
        Tail::ArgMax => "export the network up to its scores; the firmware takes the highest",
    };
    let reason = Reason::new("it is not the end of the network, where alone it can be left out").hint(hint);
    reason.at(&it.place, it.tail.name())
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
    let inside: Vec<Refusal> = left_out.iter().filter(|it| !is_end(it)).map(refuse_inside).collect();
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
    let has_pixels = before.layout.axes().iter().flatten().any(|axis| *axis != Axis::C);
    let of_each_pixel = matches!(before.tail, Tail::Softmax | Tail::LogSoftmax) && !is_flattened(&before.layout);
    !(has_pixels && of_each_pixel && is_flattened(&last.layout))
}

/// The names of the ONNX operators that are understood, sorted.
pub(crate) fn operators() -> impl Iterator<Item = &'static str> {
    OPERATORS.iter().map(|operator| operator.name)
}

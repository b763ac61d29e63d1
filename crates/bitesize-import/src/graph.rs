//! From the raw protobuf message to a graph that can be walked: one input, one output, the nodes that the output
//! needs in an order in which they can run.

use crate::builder::MAX_ELEMENTS;
use crate::error::ImportError;
use crate::names;
use crate::proto::{DimensionProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, data_type};
use prost::Message;
use std::collections::{BTreeSet, HashMap};

/// The operator sets that are understood.
pub(crate) const OPSETS: std::ops::RangeInclusive<i64> = 7..=22;

/// A graph whose references hold.
pub(crate) struct Graph {
    /// Version of the standard operator set.
    pub(crate) opset: i64,
    /// The only input that is not a constant.
    pub(crate) input: Input,
    /// Name of the output.
    pub(crate) output: String,
    /// What the output needs, in an order in which it can run.
    pub(crate) nodes: Vec<NodeProto>,
    /// The constants that those nodes read, by name.
    pub(crate) initializers: HashMap<String, TensorProto>,
    /// How often each tensor is read: by those nodes, and as the output.
    pub(crate) reads: HashMap<String, usize>,
    /// Size of the file.
    pub(crate) bytes: usize,
}

/// The input as the file declares it, the batch set to 1.
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) dims: Vec<usize>,
}

/// Decodes a file and checks what holds the graph together.
pub(crate) fn read(bytes: &[u8]) -> Result<Graph, ImportError> {
    if bytes.is_empty() {
        return Err(ImportError::NotOnnx("the file is empty".into()));
    }
    crate::wire::check(bytes).map_err(ImportError::NotOnnx)?;
    let model = ModelProto::decode(bytes).map_err(|e| ImportError::NotOnnx(e.to_string()))?;
    let opset = opset_of(&model);
    let mut graph = model.graph.ok_or_else(|| ImportError::NotOnnx("it contains no graph".into()))?;
    let opset = opset?;
    names::show(&mut graph);
    let GraphProto { node, initializer, input, output } = graph;
    if node.is_empty() {
        return Err(ImportError::Model("the model's graph is empty: it has no nodes".into()));
    }
    let mut initializers: HashMap<String, TensorProto> =
        initializer.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
    let input = the_input(&input, &initializers)?;
    let output = the_output(&output)?;
    let nodes = needed_in_order(node, &output, &input.name, &initializers)?;
    let mut reads: HashMap<String, usize> = HashMap::from([(output.clone(), 1)]);
    for name in nodes.iter().flat_map(|n| &n.input).filter(|name| !name.is_empty()) {
        match reads.get_mut(name) {
            Some(count) => *count += 1,
            None => {
                reads.insert(name.clone(), 1);
            }
        }
    }
    initializers.retain(|name, _| reads.contains_key(name));
    Ok(Graph { opset, input, output, nodes, initializers, reads, bytes: bytes.len() })
}

fn opset_of(model: &ModelProto) -> Result<i64, ImportError> {
    let standard = |domain: &str| domain.is_empty() || domain == "ai.onnx";
    let version = model.opset_import.iter().find(|o| standard(&o.domain)).map(|o| o.version);
    match version {
        Some(version) if OPSETS.contains(&version) => Ok(version),
        Some(version) => Err(ImportError::Model(format!(
            "the model is written for opset {version}; opsets {} to {} are understood: export it again with opset 17, \
             or convert it with `onnx.version_converter`",
            OPSETS.start(),
            OPSETS.end()
        ))),
        None => Err(ImportError::NotOnnx(format!(
            "it names no operator set (opset) of ONNX (IR version {})",
            model.ir_version
        ))),
    }
}

fn listed(values: &[&ValueInfoProto]) -> String {
    values.iter().map(|v| format!("`{}`", v.name)).collect::<Vec<_>>().join(", ")
}

fn the_input(inputs: &[ValueInfoProto], initializers: &HashMap<String, TensorProto>) -> Result<Input, ImportError> {
    let inputs: Vec<&ValueInfoProto> = inputs.iter().filter(|v| !initializers.contains_key(&v.name)).collect();
    let [input] = inputs[..] else {
        let found = if inputs.is_empty() { "no input".into() } else { format!("the inputs {}", listed(&inputs)) };
        return Err(ImportError::Model(format!(
            "a network has one input, the model has {found}: export the part with one input"
        )));
    };
    let tensor = input.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let Some((tensor, shape)) = tensor.and_then(|t| Some((t, t.shape.as_ref()?))) else {
        return Err(ImportError::Model(format!(
            "the input `{}` has no shape: export the model with a fixed image size",
            input.name
        )));
    };
    use data_type::*;
    if ![FLOAT, DOUBLE, UINT8, INT8, UINT16, INT16, INT32].contains(&tensor.elem_type) {
        return Err(ImportError::Model(format!(
            "the input `{}` has the element type {}; float32 is expected",
            input.name,
            data_type::name(tensor.elem_type)
        )));
    }
    Ok(Input { name: input.name.clone(), dims: input_dims(&input.name, &shape.dim)? })
}

/// The dimensions with a batch of 1.
fn input_dims(name: &str, dims: &[DimensionProto]) -> Result<Vec<usize>, ImportError> {
    let fail = |problem: String| Err(ImportError::Model(format!("the input `{name}` {problem}")));
    let mut sizes = Vec::new();
    for (axis, dim) in dims.iter().enumerate() {
        // A size of 0 or -1 is how some exporters write "any".
        match (dim.dim_value.filter(|v| *v > 0), axis) {
            (Some(1) | None, 0) => sizes.push(1),
            (Some(batch), 0) => {
                return fail(format!(
                    "has a batch of {batch}; one image at a time is computed: export with a batch of 1 or a dynamic one"
                ));
            }
            (Some(size), _) => match usize::try_from(size) {
                Ok(size) if size <= MAX_DIM => sizes.push(size),
                _ => return fail(format!("has a dimension of {size}, which no network here can have")),
            },
            (None, _) => {
                let what = if dim.dim_param.is_empty() { "unknown".into() } else { format!("`{}`", dim.dim_param) };
                return fail(format!(
                    "has the dynamic dimension {what} on axis {axis}; height, width and channels have to be fixed: \
                     export with a fixed image size"
                ));
            }
        }
    }
    if !(2..=4).contains(&sizes.len()) {
        return fail(format!(
            "has {} axes; [batch, features], [batch, height, width] or a batch of images is expected",
            sizes.len()
        ));
    }
    if crate::constant::elements(&sizes).is_none_or(|n| n > MAX_ELEMENTS) {
        return fail(format!("has the shape {sizes:?}, which is too large"));
    }
    Ok(sizes)
}

/// The largest height, width or channel count of the input.
const MAX_DIM: usize = 1 << 20;

fn the_output(outputs: &[ValueInfoProto]) -> Result<String, ImportError> {
    match outputs {
        [output] => Ok(output.name.clone()),
        [] => Err(ImportError::Model("a network has one output, the model has no output".into())),
        many => Err(ImportError::Model(format!(
            "a network has one output, the model has the outputs {}: export the part with one output",
            listed(&many.iter().collect::<Vec<_>>())
        ))),
    }
}

/// The nodes on which `output` depends, in an order in which they can run: the file's where that is one.
fn needed_in_order(
    nodes: Vec<NodeProto>,
    output: &str,
    input: &str,
    initializers: &HashMap<String, TensorProto>,
) -> Result<Vec<NodeProto>, ImportError> {
    let mut producer: HashMap<&str, usize> = HashMap::new();
    for (index, node) in nodes.iter().enumerate() {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if producer.insert(name, index).is_some() || name == input || initializers.contains_key(name) {
                return Err(ImportError::Model(format!("the tensor `{name}` is defined twice")));
            }
        }
    }
    if !producer.contains_key(output) {
        let problem = if output == input || initializers.contains_key(output) {
            format!("the output `{output}` depends on no nodes: the network has no layers")
        } else {
            format!("the output `{output}` is not defined by any node")
        };
        return Err(ImportError::Model(problem));
    }

    // For each needed node the nodes that wait for it and how many it waits for.
    let mut needed: BTreeSet<usize> = BTreeSet::from([producer[output]]);
    let mut to_visit = vec![producer[output]];
    let mut waiting: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut missing = vec![0usize; nodes.len()];
    while let Some(index) = to_visit.pop() {
        let mut sources = BTreeSet::new();
        for name in nodes[index].input.iter().filter(|name| !name.is_empty()) {
            match producer.get(name.as_str()) {
                Some(source) => {
                    sources.insert(*source);
                }
                None if name == input || initializers.contains_key(name) => {}
                None => {
                    let node = &nodes[index];
                    return Err(ImportError::Model(format!(
                        "{} `{}` reads the tensor `{name}`, which is not defined",
                        node.op_type, node.name
                    )));
                }
            }
        }
        missing[index] = sources.len();
        for source in sources {
            waiting.entry(source).or_default().push(index);
            if needed.insert(source) {
                to_visit.push(source);
            }
        }
    }

    let mut ready: BTreeSet<usize> = needed.iter().copied().filter(|i| missing[*i] == 0).collect();
    let mut order = Vec::with_capacity(needed.len());
    while let Some(index) = ready.pop_first() {
        order.push(index);
        for next in waiting.get(&index).into_iter().flatten() {
            missing[*next] -= 1;
            if missing[*next] == 0 {
                ready.insert(*next);
            }
        }
    }
    if let Some(stuck) = needed.iter().find(|i| missing[**i] > 0) {
        let node = &nodes[*stuck];
        return Err(ImportError::Model(format!(
            "the graph has a cycle: {} `{}` depends on itself",
            node.op_type, node.name
        )));
    }
    let mut nodes: Vec<Option<NodeProto>> = nodes.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|index| nodes[index].take()).collect())
}

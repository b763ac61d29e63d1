//! From the raw protobuf message to a graph that can be walked: inputs, outputs, and the nodes that the outputs need in
//! an order in which they can run.

use crate::error::{ImportError, Refusal};
use crate::input_shape::InputShape;
use crate::names;
use crate::proto::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use crate::signature::{Input, inputs_of, refuse_further_outputs};
use prost::Message;
use std::collections::{BTreeSet, HashMap, HashSet};

/// The operator sets that are understood.
pub(crate) const OPSETS: std::ops::RangeInclusive<i64> = 7..=25;

/// A graph whose references hold.
pub(crate) struct Graph {
    /// Version of the standard operator set.
    pub(crate) opset: i64,
    /// Those that are no constants and that something reads, or any one; the first is taken as the network's.
    pub(crate) inputs: Vec<Input>,
    /// Inputs that nothing reads.
    pub(crate) unread_inputs: Vec<String>,
    /// Names of the outputs, at least one; the first is taken as the network's.
    pub(crate) outputs: Vec<String>,
    /// What of inputs and outputs is not supported.
    pub(crate) refusals: Vec<Refusal>,
    /// What the outputs need, in an order in which it can run.
    pub(crate) nodes: Vec<NodeProto>,
    /// The constants that those nodes read, by name.
    pub(crate) initializers: HashMap<String, TensorProto>,
    /// How often each tensor is read: by those nodes, and as an output.
    pub(crate) reads: HashMap<String, usize>,
    /// Size of the file.
    pub(crate) bytes: usize,
}

/// Decodes a file and checks what holds the graph together.
pub(crate) fn read(bytes: &[u8], input_shape: Option<&InputShape>) -> Result<Graph, ImportError> {
    if bytes.is_empty() {
        return Err(ImportError::NotOnnx("the file is empty".into()));
    }
    crate::wire::check(bytes).map_err(ImportError::NotOnnx)?;
    let model = ModelProto::decode(bytes).map_err(|e| ImportError::NotOnnx(e.to_string()))?;
    let opset = opset_of(&model);
    let mut graph = model.graph.ok_or_else(|| ImportError::NotOnnx("it contains no graph".into()))?;
    let opset = opset?;
    names::show(&mut graph);
    let GraphProto { node, name: _, initializer, input, output } = graph;
    if node.is_empty() {
        return Err(ImportError::Model("the model's graph is empty: it has no nodes".into()));
    }
    let mut initializers: HashMap<String, TensorProto> =
        initializer.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
    let inputs: Vec<&ValueInfoProto> = input.iter().filter(|v| !initializers.contains_key(&v.name)).collect();
    let outputs = the_outputs(&output)?;
    let names: HashSet<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
    let nodes = needed_in_order(node, &outputs, &names, &initializers)?;
    let mut reads: HashMap<String, usize> = HashMap::new();
    for name in outputs.iter().chain(nodes.iter().flat_map(|n| &n.input)).filter(|name| !name.is_empty()) {
        match reads.get_mut(name) {
            Some(count) => *count += 1,
            None => {
                reads.insert(name.clone(), 1);
            }
        }
    }
    let (mut read, mut unread): (Vec<&ValueInfoProto>, Vec<&ValueInfoProto>) =
        inputs.iter().partition(|input| reads.contains_key(&input.name));
    if read.is_empty() {
        if unread.is_empty() {
            return Err(ImportError::Model("a network has one input, the model has no input".into()));
        }
        // The walk says that the output does not depend on it.
        read.push(unread.remove(0));
    }
    let unread_inputs: Vec<String> = unread.iter().map(|input| input.name.clone()).collect();
    let mut refusals = Vec::new();
    let inputs = inputs_of(&read, input_shape, &mut refusals);
    refuse_further_outputs(&outputs, &mut refusals);
    initializers.retain(|name, _| reads.contains_key(name));
    Ok(Graph { opset, inputs, unread_inputs, outputs, refusals, nodes, initializers, reads, bytes: bytes.len() })
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

fn the_outputs(outputs: &[ValueInfoProto]) -> Result<Vec<String>, ImportError> {
    if outputs.is_empty() {
        return Err(ImportError::Model("a network has one output, the model has no output".into()));
    }
    let mut names = Vec::new();
    let mut known = HashSet::new();
    for output in outputs {
        if known.insert(&output.name) {
            names.push(output.name.clone());
        }
    }
    Ok(names)
}

/// The nodes on which `outputs` depend, in an order in which they can run: the file's where that is one.
fn needed_in_order(
    nodes: Vec<NodeProto>,
    outputs: &[String],
    inputs: &HashSet<&str>,
    initializers: &HashMap<String, TensorProto>,
) -> Result<Vec<NodeProto>, ImportError> {
    let mut producer: HashMap<&str, usize> = HashMap::new();
    for (index, node) in nodes.iter().enumerate() {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if producer.insert(name, index).is_some()
                || inputs.contains(name.as_str())
                || initializers.contains_key(name)
            {
                return Err(ImportError::Model(format!("the tensor `{name}` is defined twice")));
            }
        }
    }
    let mut needed: BTreeSet<usize> = BTreeSet::new();
    for output in outputs {
        match producer.get(output.as_str()) {
            Some(index) => {
                needed.insert(*index);
            }
            None if inputs.contains(output.as_str()) || initializers.contains_key(output) => {
                let problem = format!("the output `{output}` depends on no nodes: the network has no layers");
                return Err(ImportError::Model(problem));
            }
            None => return Err(ImportError::Model(format!("the output `{output}` is not defined by any node"))),
        }
    }

    // For each needed node the nodes that wait for it and how many it waits for.
    let mut to_visit: Vec<usize> = needed.iter().copied().collect();
    let mut waiting: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut missing = vec![0usize; nodes.len()];
    while let Some(index) = to_visit.pop() {
        let mut sources = BTreeSet::new();
        for name in nodes[index].input.iter().filter(|name| !name.is_empty()) {
            match producer.get(name.as_str()) {
                Some(source) => {
                    sources.insert(*source);
                }
                None if inputs.contains(name.as_str()) || initializers.contains_key(name) => {}
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

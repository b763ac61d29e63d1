//! Models under construction, and what importing them gives.

use crate::proto::*;
use crate::{ImportError, Imported, InputShape, import_onnx_sized};
use bitesize_ir::reference::run_float;
use prost::Message;
use std::io;

/// A model under construction.
pub(super) struct Model {
    pub(super) proto: ModelProto,
}

/// An attribute's value.
pub(super) enum Attribute<'a> {
    Int(i64),
    Ints(&'a [i64]),
    Text(&'a str),
    Float(f32),
}

pub(super) use Attribute::{Int, Ints, Text};

impl Model {
    pub(super) fn new(opset: i64, input: &[i64]) -> Self {
        let dim = |d: &i64| DimensionProto { dim_value: Some(*d), ..Default::default() };
        let shape = TensorShapeProto { dim: input.iter().map(dim).collect() };
        let tensor = TensorTypeProto { elem_type: data_type::FLOAT, shape: Some(shape) };
        let input = ValueInfoProto { name: "x".into(), r#type: Some(TypeProto { tensor_type: Some(tensor) }) };
        let graph = GraphProto { input: vec![input], ..Default::default() };
        let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: opset }];
        Self { proto: ModelProto { ir_version: 8, graph: Some(graph), opset_import } }
    }

    pub(super) fn graph(&mut self) -> &mut GraphProto {
        self.proto.graph.as_mut().unwrap()
    }

    pub(super) fn floats(mut self, name: &str, dims: &[i64], values: &[f32]) -> Self {
        let tensor = TensorProto {
            name: name.into(),
            dims: dims.to_vec(),
            data_type: data_type::FLOAT,
            float_data: values.to_vec(),
            ..Default::default()
        };
        self.graph().initializer.push(tensor);
        self
    }

    pub(super) fn ints(mut self, name: &str, values: &[i64]) -> Self {
        let tensor = TensorProto {
            name: name.into(),
            dims: vec![values.len() as i64],
            data_type: data_type::INT64,
            int64_data: values.to_vec(),
            ..Default::default()
        };
        self.graph().initializer.push(tensor);
        self
    }

    /// A node that writes `name`; the last one writes the output.
    pub(super) fn node(mut self, op: &str, inputs: &[&str], name: &str, attributes: &[(&str, Attribute)]) -> Self {
        let attribute = |(name, value): &(&str, Attribute)| {
            let mut attribute = AttributeProto { name: (*name).into(), ..Default::default() };
            match value {
                Int(i) => (attribute.i, attribute.kind) = (*i, attribute_kind::INT),
                Ints(ints) => (attribute.ints, attribute.kind) = (ints.to_vec(), attribute_kind::INTS),
                Attribute::Float(f) => (attribute.f, attribute.kind) = (*f, attribute_kind::FLOAT),
                Text(text) => (attribute.s, attribute.kind) = (text.as_bytes().to_vec(), attribute_kind::STRING),
            }
            attribute
        };
        let node = NodeProto {
            op_type: op.into(),
            input: inputs.iter().map(|i| (*i).into()).collect(),
            output: vec![name.into()],
            attribute: attributes.iter().map(attribute).collect(),
            ..Default::default()
        };
        self.graph().node.push(node);
        self.graph().output = vec![ValueInfoProto { name: name.into(), r#type: None }];
        self
    }

    pub(super) fn import(&self) -> Result<Imported, ImportError> {
        self.import_sized(None)
    }

    /// With the sizes of the input that `shape` says.
    pub(super) fn import_sized(&self, shape: Option<&str>) -> Result<Imported, ImportError> {
        let none = |_: &str, _: u64, _: usize| Err(io::Error::other("no such file"));
        let shape: Option<InputShape> = shape.map(|shape| shape.parse().unwrap());
        import_onnx_sized(&self.proto.encode_to_vec(), &none, "test", shape.as_ref())
    }

    /// The same with axis `axis` of the input open, and called `name`.
    pub(super) fn open(mut self, axis: usize, name: &str) -> Self {
        let kind = self.graph().input[0].r#type.as_mut().unwrap();
        let shape = kind.tensor_type.as_mut().unwrap().shape.as_mut().unwrap();
        shape.dim[axis] = DimensionProto { dim_value: None, dim_param: name.into() };
        self
    }

    /// Checks the number of nodes.
    pub(super) fn node_count(self, count: usize) -> Self {
        assert_eq!(self.import().unwrap().network.nodes.len(), count);
        self
    }

    /// Checks that it is refused for just these: operator, place, and a part of the reason.
    pub(super) fn check_refusals(&self, expected: &[(&str, &str, &str)]) {
        let Err(ImportError::Unsupported(refusals)) = self.import() else { panic!("it is not refused") };
        let found: Vec<_> = refusals.iter().map(|r| (r.operator.as_str(), r.place.as_str())).collect();
        let places: Vec<_> = expected.iter().map(|(operator, place, _)| (*operator, *place)).collect();
        assert_eq!(found, places, "{refusals:?}");
        for (refusal, (.., reason)) in refusals.iter().zip(expected) {
            assert!(refusal.reason.contains(reason), "{reason:?} is not in: {refusal}");
        }
    }

    /// Checks the input's shape as read, and the output over `0, 1, 2, ...` in the order of the file.
    pub(super) fn check(&self, input: &str, expected: &[f32]) {
        let imported = self.import().unwrap();
        let network = &imported.network;
        let shape = network.shape(network.input);
        assert_eq!(shape.to_string(), input, "{network}");
        let values: Vec<f32> = (0..shape.elements()).map(|i| i as f32).collect();
        let found = run_float(network, &imported.input.layout.to_nhwc(shape, &values));
        let output = imported.output.layout.from_nhwc(network.shape(network.output), &found[network.output.0]);
        assert_eq!(output, expected, "{network}");
    }

    /// Checks that it is refused in a text with each of `words`.
    pub(super) fn check_refused(&self, words: &[&str]) {
        let error = self.import().unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{word:?} is not in: {error}");
        }
    }
}

//! ONNX files made on the spot.

/// A message of protobuf with its parts.
#[derive(Default)]
pub(super) struct Message(pub(super) Vec<u8>);

impl Message {
    pub(super) fn number(mut self, field: u8, value: u64) -> Self {
        self.0.push(field << 3);
        self.varint(value);
        self
    }

    pub(super) fn bytes(mut self, field: u8, bytes: &[u8]) -> Self {
        self.0.push(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    pub(super) fn text(self, field: u8, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    pub(super) fn part(self, field: u8, part: Self) -> Self {
        self.bytes(field, &part.0)
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// An input or output of `dims` floats.
pub(super) fn value(name: &str, dims: &[u64]) -> Message {
    let dims = dims.iter().fold(Message::default(), |shape, &dim| shape.part(1, Message::default().number(1, dim)));
    let kind = Message::default().part(1, Message::default().number(1, 1).part(2, dims));
    Message::default().text(1, name).part(2, kind)
}

/// The element `i` of every constant.
pub(super) fn element(i: u64) -> f32 {
    (i * 37 % 17) as f32 / 16.0 - 0.4
}

/// A constant of `dims` floats.
pub(super) fn constant(name: &str, dims: &[u64]) -> Message {
    let count = dims.iter().product::<u64>();
    let values = (0..count).flat_map(|i| element(i).to_le_bytes()).collect::<Vec<u8>>();
    let start = dims.iter().fold(Message::default(), |tensor, &dim| tensor.number(1, dim));
    start.number(2, 1).text(8, name).bytes(9, &values)
}

/// A network of `nodes` one behind the other, from `x` of `input` to an output of `output`; each is an operator with the
/// dimensions of its constant, where it has one.
pub(super) fn chain(input: &[u64], nodes: &[(&str, &[u64])], output: &[u64]) -> Vec<u8> {
    let name = |i: usize| if i == 0 { "x".to_owned() } else { format!("t{i}") };
    let graph = nodes.iter().enumerate().fold(Message::default(), |graph, (i, (op, dims))| {
        let node = Message::default().text(1, &name(i));
        let node = if dims.is_empty() { node } else { node.text(1, &format!("w{i}")) };
        let node = node.text(2, &name(i + 1)).text(3, &format!("node{i}")).text(4, op);
        let graph = graph.part(1, node);
        if dims.is_empty() { graph } else { graph.part(5, constant(&format!("w{i}"), dims)) }
    });
    let graph = graph.text(2, "graph").part(11, value("x", input)).part(12, value(&name(nodes.len()), output));
    let opset = Message::default().text(1, "").number(2, 13);
    Message::default().number(1, 8).part(7, graph).part(8, opset).0
}

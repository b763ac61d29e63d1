//! Memory plans of rows: every byte that is read is there, in chains, with pushed rows, and where a tensor is written
//! over one that dies; and what is placed too near is found.

use bitesize_integer::arena::{Piece, Placed, Problem};
use bitesize_integer::{IntNetwork, IntNode, IntOp, IntTensor, Interpreter};
use bitesize_ir::code::Implementation;
use bitesize_ir::memory::{
    InputRows, MemoryPlan, PlannedSegment, RowNode, Schedule, Segment, chain_gap, layer_gap, tensor_bytes, word,
};
use bitesize_ir::op::KernelKind;
use bitesize_ir::requantize::Multiplier;
use bitesize_ir::shape::{Pads, Window};
use bitesize_ir::{BitWidth, Shape, TensorId};
use conformance::draw::{Draw, to_width};
use conformance::plan::{plan_apart, row_nodes};
use conformance::{random_layer, random_network};
use rand::RngExt;
use std::ops::Range;

/// A network that grows node by node.
struct Grown {
    draw: Draw,
    tensors: Vec<IntTensor>,
    nodes: Vec<IntNode>,
}

impl Grown {
    fn new(seed: u64, shape: Shape) -> Self {
        let mut draw = Draw::new(seed);
        let tensors = vec![draw.tensor("in", shape, BitWidth::B8)];
        Self { draw, tensors, nodes: Vec::new() }
    }

    /// A node from `inputs` to a tensor of `shape`; its number.
    fn push(
        &mut self,
        inputs: &[usize],
        shape: Shape,
        bits: BitWidth,
        op: impl FnOnce(&mut Self, &IntTensor) -> IntOp,
    ) -> usize {
        let id = self.tensors.len();
        let drawn = self.draw.tensor(&format!("t{id}"), shape, bits);
        let op = op(self, &drawn);
        let passes_on = matches!(op, IntOp::MaxPool { .. } | IntOp::Clamp { .. } | IntOp::Pad { .. });
        let zero = if passes_on { self.tensors[inputs[0]].zero } else { drawn.zero };
        let bits = if passes_on { self.tensors[inputs[0]].bits } else { bits };
        let inputs = inputs.iter().map(|input| TensorId(*input)).collect();
        self.nodes.push(IntNode { name: format!("node{}", id - 1), op, inputs, output: TensorId(id) });
        self.tensors.push(IntTensor { zero, bits, ..drawn });
        id
    }

    fn made(&self, from: usize, window: Window, c: usize) -> Shape {
        let [h, w] = window.output(self.tensors[from].shape).expect("the window fits");
        Shape::new(h, w, c)
    }

    fn conv(&mut self, from: usize, window: Window, groups: usize, c: usize, bits: BitWidth) -> usize {
        let shape = self.made(from, window, c);
        self.push(&[from], shape, bits, |grown, output| {
            grown.draw.layer((&grown.tensors[from], output), window, Some(groups), false)
        })
    }

    fn depthwise(&mut self, from: usize, window: Window, bits: BitWidth) -> usize {
        let shape = self.made(from, window, self.tensors[from].shape.c);
        self.push(&[from], shape, bits, |grown, output| {
            grown.draw.layer((&grown.tensors[from], output), window, None, false)
        })
    }

    fn max_pool(&mut self, from: usize, window: Window) -> usize {
        let (shape, bits) = (self.made(from, window, self.tensors[from].shape.c), self.tensors[from].bits);
        self.push(&[from], shape, bits, |_, _| IntOp::MaxPool { window })
    }

    fn average_pool(&mut self, from: usize, window: Window, bits: BitWidth) -> usize {
        let shape = self.made(from, window, self.tensors[from].shape.c);
        self.push(&[from], shape, bits, |grown, output| grown.draw.average(&grown.tensors[from], output, window))
    }

    fn add(&mut self, inputs: [usize; 2], bits: BitWidth) -> usize {
        self.push(&inputs, self.tensors[inputs[0]].shape, bits, |grown, output| grown.draw.add(output))
    }

    fn concat(&mut self, inputs: [usize; 2], bits: BitWidth) -> usize {
        let [a, b] = inputs.map(|input| self.tensors[input].shape);
        self.push(&inputs, Shape { c: a.c + b.c, ..a }, bits, |grown, _| IntOp::Concat {
            multipliers: [255; 2].map(|sum| grown.draw.multiplier(sum)).into(),
        })
    }

    fn clamp(&mut self, from: usize) -> usize {
        let (shape, bits) = (self.tensors[from].shape, self.tensors[from].bits);
        self.push(&[from], shape, bits, |_, _| IntOp::Clamp { lo: 1, hi: bits.max_code() })
    }

    fn pad(&mut self, from: usize, pads: Pads) -> usize {
        let (shape, bits) = (
            self.made(from, Window { pads, ..Window::of([1, 1]) }, self.tensors[from].shape.c),
            self.tensors[from].bits,
        );
        self.push(&[from], shape, bits, |_, _| IntOp::Pad { pads })
    }

    /// Hands `from` on at another width.
    fn to(&mut self, from: usize, bits: BitWidth) -> usize {
        let before = self.tensors[from].bits;
        self.push(&[from], self.tensors[from].shape, bits, |_, _| to_width(before, bits))
    }

    /// The network whose output is the last tensor.
    fn network(self) -> IntNetwork {
        let network = IntNetwork {
            name: "grown".into(),
            nodes: self.nodes,
            input: TensorId(0),
            output: TensorId(self.tensors.len() - 1),
            tensors: self.tensors,
            input_scale: Multiplier::ZERO,
            output_scale: Multiplier::ZERO,
            output_channels: Vec::new(),
            input_is_pixels: false,
            tail: None,
        };
        network.validate().unwrap_or_else(|error| panic!("{error}\n{network}"));
        network
    }
}

/// How many networks are drawn.
fn test_networks() -> u64 {
    let count = std::env::var("BITESIZE_TEST_NETWORKS");
    count.map_or(40, |text| text.parse().expect("BITESIZE_TEST_NETWORKS is a number"))
}

fn noise(network: &IntNetwork, seed: u64) -> Vec<u8> {
    let mut draw = Draw::new(seed ^ 0xa5a5);
    (0..network.tensor(network.input).shape.elements()).map(|_| draw.0.random()).collect()
}

/// The plan gives the interpreter's bytes.
fn check(network: &IntNetwork, plan: &MemoryPlan, what: &str) {
    for seed in 0..2 {
        let image = noise(network, seed);
        let output = Placed::new(network, plan).and_then(|placed| placed.run(&image));
        let output = output.unwrap_or_else(|violation| panic!("{what}: {violation}\n{network}\n{plan:?}"));
        assert!(output == Interpreter::new(network).run(&image), "{what}: other bytes\n{network}");
    }
}

/// What is wrong with the plan.
fn problem(network: &IntNetwork, plan: &MemoryPlan) -> Option<Problem> {
    Placed::new(network, plan)
        .and_then(|placed| placed.run(&noise(network, 0)))
        .err()
        .map(|violation| *violation.problem)
}

/// Where `schedule` has the nodes `rolling` in turns and the others one by one.
fn schedule(nodes: usize, rolling: impl IntoIterator<Item = Range<usize>>, input: InputRows) -> Schedule {
    let rolling: Vec<Range<usize>> = rolling.into_iter().collect();
    let mut segments = Vec::new();
    let mut next = 0;
    while next < nodes {
        let chain = rolling.iter().find(|range| range.start == next);
        let nodes = chain.cloned().unwrap_or(next..next + 1);
        next = nodes.end;
        segments.push(Segment { nodes, is_rolling: chain.is_some() });
    }
    Schedule { segments, in_place: false, input }
}

fn same(kernel: usize) -> Window {
    Window { pads: Pads::all(kernel / 2), ..Window::of([kernel; 2]) }
}

/// Networks of every kind of layer that has rows, with residuals that wait in a chain.
fn networks() -> Vec<(&'static str, IntNetwork)> {
    let (b2, b4, b8) = (BitWidth::B2, BitWidth::B4, BitWidth::B8);
    let strided = |kernel| Window { stride: [2, 2], ..same(kernel) };
    let mut all = Vec::new();
    let mut net = Grown::new(1, Shape::new(11, 7, 3));
    let a = net.conv(0, strided(3), 1, 8, b4);
    let b = net.conv(a, same(1), 1, 12, b8);
    let c = net.depthwise(b, same(3), b4);
    let d = net.conv(c, same(1), 1, 8, b2);
    let e = net.add([d, a], b8);
    net.average_pool(e, Window::of([6, 4]), b8);
    all.push(("an inverted residual", net.network()));
    let mut net = Grown::new(2, Shape::new(9, 6, 4));
    let a = net.pad(0, Pads { top: 2, left: 0, bottom: 1, right: 1 });
    let b = net.max_pool(a, Window { stride: [2, 1], ..Window::of([3, 2]) });
    let c = net.conv(b, Window { dilation: [2, 1], pads: Pads::all(2), ..Window::of([3, 5]) }, 2, 8, b2);
    let d = net.clamp(c);
    let e = net.concat([d, c], b4);
    net.conv(e, same(3), 1, 5, b8);
    all.push(("pads, pools, dilation and a concatenation", net.network()));
    let mut net = Grown::new(3, Shape::new(8, 5, 4));
    let a = net.depthwise(0, same(3), b8);
    let b = net.add([a, 0], b8);
    let c = net.depthwise(b, strided(5), b8);
    let d = net.conv(b, Window { stride: [2, 2], ..Window::of([1, 1]) }, 1, 4, b4);
    net.add([c, d], b8);
    all.push(("residuals from the image on", net.network()));
    let mut net = Grown::new(4, Shape::new(7, 4, 4));
    // Rows of the image that no layer of the first chain reads, and a tensor that nobody reads.
    let a = net.conv(0, Window { stride: [3, 1], ..Window::of([1, 1]) }, 1, 4, b8);
    net.clamp(0);
    let c = net.max_pool(0, Window { stride: [3, 1], ..Window::of([1, 1]) });
    net.add([a, c], b8);
    all.push(("rows that are not read", net.network()));
    all
}

#[test]
fn chains_give_the_interpreters_bytes() {
    for (name, network) in networks() {
        let nodes = network.nodes.len();
        for by_rows in [false, true] {
            for input in InputRows::ALL {
                for first in 0..nodes {
                    if first > 0 && input == InputRows::Pushed {
                        continue;
                    }
                    for end in first + 1..=nodes {
                        let schedule = schedule(nodes, Some(first..end), input);
                        let plan = plan_apart(&network, &schedule, by_rows);
                        check(&network, &plan, &format!("{name}, {first}..{end} by rows {by_rows} {}", input.name()));
                    }
                }
            }
        }
    }
}

#[test]
fn chains_keep_fewer_rows() {
    let (_, network) = networks().swap_remove(0);
    let bytes = |rolling: Option<Range<usize>>, input| {
        plan_apart(&network, &schedule(network.nodes.len(), rolling, input), false).arena_bytes
    };
    let layers = bytes(None, InputRows::Image);
    let chain = bytes(Some(0..6), InputRows::Image);
    let pushed = bytes(Some(0..6), InputRows::Pushed);
    assert!(pushed < chain && chain < layers, "{pushed} {chain} {layers}");
}

/// A layer between two that change the width of its input and output.
struct Between {
    name: String,
    network: IntNetwork,
    /// Number of the layer.
    node: usize,
}

/// Every kind of layer that may write over its input, at every combination of widths.
fn between() -> Vec<Between> {
    let mut all = Vec::new();
    for dying in BitWidth::ALL {
        for born in BitWidth::ALL {
            let mut one = |name: &str, shape: Shape, layer: &dyn Fn(&mut Grown, usize) -> usize| {
                let mut net = Grown::new(7, shape);
                let from = net.to(0, dying);
                let made = layer(&mut net, from);
                net.to(made, BitWidth::B8);
                all.push(Between { name: format!("{name} {dying} to {born}"), network: net.network(), node: made - 1 });
            };
            let shape = Shape::new(7, 5, 8);
            one("addition", shape, &|net, from| net.add([from, 0], born));
            for (c, out_c) in [(8, 8), (8, 12), (3, 17), (16, 4)] {
                one("1x1", Shape::new(6, 5, c), &|net, from| net.conv(from, same(1), 1, out_c, born));
            }
            one("1x1 of groups", Shape::new(6, 5, 8), &|net, from| net.conv(from, same(1), 2, 16, born));
            one("3x3", shape, &|net, from| net.conv(from, same(3), 1, 12, born));
            let strided = Window { stride: [2, 2], ..same(3) };
            one("3x3, strided", shape, &|net, from| net.conv(from, strided, 1, 40, born));
            one("depthwise", shape, &|net, from| net.depthwise(from, same(3), born));
            one("depthwise 5x5", shape, &|net, from| net.depthwise(from, same(5), born));
            one("depthwise, strided", shape, &|net, from| net.depthwise(from, strided, born));
            one("average", shape, &|net, from| net.average_pool(from, same(3), born));
            if born == dying {
                one("clamp", shape, &|net, from| net.clamp(from));
                one("maximum", shape, &|net, from| net.max_pool(from, same(3)));
                let pads = Pads { top: 2, left: 1, bottom: 0, right: 1 };
                one("pad", shape, &|net, from| net.pad(from, pads));
            }
        }
    }
    all
}

/// `plan` with `born` behind all that is there, `nearer` bytes less than `gap` before `dying`.
fn overlapping(mut plan: MemoryPlan, [born, dying]: [usize; 2], gap: usize, nearer: usize) -> MemoryPlan {
    let free = plan.arena_bytes;
    plan.tensors[born] = free + nearer;
    plan.tensors[dying] = free + gap;
    // Room for either, at the end of what is there.
    plan.arena_bytes = 4 * free + gap;
    plan
}

#[test]
fn layers_write_over_their_inputs_at_the_gap_and_no_nearer() {
    let (mut tight, mut at_once) = (0, [0; 2]);
    for Between { name, network, node } in between() {
        for by_rows in [false, true] {
            let rows = row_nodes(&network, by_rows).swap_remove(node).expect("it has rows");
            let (dying, born) = (rows.inputs[0], rows.output);
            let [dying_bits, born_bits] = [dying, born].map(|id| network.tensor(id).bits);
            let gap = layer_gap(&rows, 0, born_bits, dying_bits).unwrap_or_else(|| panic!("{name} may overlap"));
            let mut plan = plan_apart(&network, &schedule(3, None, InputRows::Image), by_rows);
            plan.at_once[node] = rows.at_once();
            let ids = [born.0, dying.0];
            check(&network, &overlapping(plan.clone(), ids, gap, 0), &format!("{name} by rows {by_rows} at {gap}"));
            let bytes = |id: TensorId| tensor_bytes(network.tensor(id).shape, network.tensor(id).bits);
            assert!(gap <= bytes(born), "{name}: {gap}");
            if gap == 0 {
                continue;
            }
            // The last two pixels are lanes before they are written; the gap knows of the last one only.
            let lanes = rows.implementation == Implementation::Rows
                && rows.layer.kind == KernelKind::Conv2d
                && rows.layer.groups == 1
                && rows.layer.window.is_pointwise();
            let [dying_row, born_row] =
                [dying, born].map(|id| network.tensor(id).bits.row_bytes(network.tensor(id).shape.c));
            let slack = if lanes { born_row.abs_diff(dying_row) } else { 0 };
            let found = problem(&network, &overlapping(plan.clone(), ids, gap, slack + 1));
            match found {
                Some(Problem::Overwrites {
                    writes: Piece::Pixel { tensor, .. },
                    holds: Piece::Pixel { tensor: held, .. },
                    ..
                }) => {
                    let expected = [born, dying].map(|id| network.tensor(id).name.clone());
                    assert_eq!([tensor, held], expected, "{name}");
                }
                other => panic!("{name} by rows {by_rows} at {gap} - {}: {other:?}", slack + 1),
            }
            tight += 1;
            // All rows of a depthwise convolution at once read until the end, unless its strips lie over one another.
            if rows.implementation == Implementation::Rows && rows.layer.kind == KernelKind::DepthwiseConv2d {
                plan.at_once[node] = rows.height();
                let fails = problem(&network, &overlapping(plan, ids, gap, 0)).is_some();
                let aligned = rows.strips_align([dying_row, born_row], gap);
                assert_eq!(fails, !aligned, "{name} at once at {gap}");
                at_once[usize::from(aligned)] += 1;
            }
        }
    }
    assert!(tight > 100 && at_once.iter().all(|count| *count > 4), "{tight} {at_once:?}");
}

/// Windows of any stride, dilation and padding. `BITESIZE_TEST_NETWORKS` says how many layers (40).
#[test]
fn random_layers_write_over_their_inputs() {
    for (seed, network) in (0..test_networks()).filter_map(|seed| Some((seed, random_layer(3_000_000 + seed)?))) {
        for by_rows in [false, true] {
            for (node, rows) in row_nodes(&network, by_rows).into_iter().flatten().enumerate() {
                let (dying, born) = (rows.inputs[0], rows.output);
                let [dying_bits, born_bits] = [dying, born].map(|id| network.tensor(id).bits);
                let Some(gap) = layer_gap(&rows, 0, born_bits, dying_bits) else { continue };
                let nodes = network.nodes.len();
                let mut plan = plan_apart(&network, &schedule(nodes, None, InputRows::Image), by_rows);
                plan.at_once[node] = rows.at_once();
                let plan = overlapping(plan, [born.0, dying.0], gap, 0);
                check(&network, &plan, &format!("layer {seed}, node {node} by rows {by_rows} at {gap}"));
            }
        }
    }
}

#[test]
fn a_chain_writes_over_its_input_at_the_gap_and_no_nearer() {
    let mut tight = 0;
    for (name, network) in networks() {
        let nodes = network.nodes.len();
        for by_rows in [false, true] {
            for end in 2..=nodes {
                let plan = plan_apart(&network, &schedule(nodes, Some(0..end), InputRows::Image), by_rows);
                let PlannedSegment::Chain { chain, .. } = &plan.segments[0] else { panic!("the first is a chain") };
                let (born, dying) = (network.nodes[end - 1].output, network.input);
                let stays = network.nodes[end..].iter().any(|node| node.inputs.contains(&dying));
                let bits = |id: TensorId| (id, network.tensor(id).bits);
                let Some(gap) = chain_gap(chain, bits(born), bits(dying)).filter(|_| !stays) else { continue };
                let ids = [born.0, dying.0];
                let what = format!("{name}, 0..{end} by rows {by_rows} at {gap}");
                check(&network, &overlapping(plan.clone(), ids, gap, 0), &what);
                if gap > 0 {
                    let found = problem(&network, &overlapping(plan.clone(), ids, gap, 1));
                    assert!(matches!(found, Some(Problem::Overwrites { .. })), "{what}, one byte nearer: {found:?}");
                    tight += 1;
                }
            }
        }
    }
    assert!(tight > 5, "{tight}");
}

/// The first network with all nodes but the last in one chain.
fn rolling() -> (IntNetwork, MemoryPlan) {
    let (_, network) = networks().swap_remove(0);
    let plan = plan_apart(&network, &schedule(6, Some(0..5), InputRows::Image), true);
    check(&network, &plan, "whole");
    (network, plan)
}

fn with_chain(plan: &mut MemoryPlan, damage: impl FnOnce(&mut bitesize_ir::memory::Chain, &mut usize)) {
    match &mut plan.segments[0] {
        PlannedSegment::Chain { chain, state } => damage(chain, state),
        PlannedSegment::Layer(id) => panic!("{id:?} is no chain"),
    }
}

/// A plan damaged by `damage` does something wrong of which `is` holds.
fn check_damage(damage: impl FnOnce(&IntNetwork, &mut MemoryPlan), is: impl Fn(&Problem) -> bool) {
    let (network, mut plan) = rolling();
    damage(&network, &mut plan);
    let found = problem(&network, &plan);
    assert!(found.as_ref().is_some_and(is), "{found:?}");
}

#[test]
fn what_is_wrong_is_told() {
    // A row too few of the residual, which waits, of the rows under the depthwise window, and of what is added.
    for band in 1..=4 {
        let drop_row = |_: &IntNetwork, plan: &mut MemoryPlan| with_chain(plan, |chain, _| chain.bands[band].rows -= 1);
        check_damage(drop_row, |problem| matches!(problem, Problem::Dropped { .. } | Problem::Overwrites { .. }));
    }
    let of_state = |problem: &Problem| match problem {
        Problem::Overwrites { writes, holds, .. } => [writes, holds].contains(&&Piece::State),
        _ => false,
    };
    let image = |_: &IntNetwork, plan: &mut MemoryPlan| {
        let at = plan.tensors[0];
        with_chain(plan, |_, state| *state = at);
    };
    check_damage(image, of_state);
    let of_scratch = |problem: &Problem| match problem {
        Problem::Overwrites { writes, .. } => matches!(writes, Piece::Scratch { .. }),
        _ => false,
    };
    check_damage(|_, plan| plan.scratch[2] = Some(plan.tensors[1]), of_scratch);
    check_damage(|_, plan| plan.tensors[6] = plan.arena_bytes, |problem| matches!(problem, Problem::Outside { .. }));
    check_damage(|_, plan| plan.tensors[6] = usize::MAX, |problem| matches!(problem, Problem::Outside { .. }));
    let unkept = |_: &IntNetwork, plan: &mut MemoryPlan| {
        with_chain(plan, |chain, _| {
            let end = chain.members.len() - 1;
            chain.members[end].is_wanted = false;
        });
    };
    check_damage(unkept, |problem| matches!(problem, Problem::Missing { .. }));
    let disagrees = |problem: &Problem| matches!(problem, Problem::Disagrees(_));
    check_damage(|_, plan| plan.scratch[2] = None, disagrees);
    check_damage(|_, plan| plan.segments.truncate(1), disagrees);
    check_damage(|_, plan| plan.at_once[3] = 0, disagrees);
    check_damage(|_, plan| plan.input = InputRows::Pushed, disagrees);
    check_damage(|_, plan| with_chain(plan, |chain, _| chain.members[1].rows.inputs[0] = TensorId(0)), disagrees);
    let (network, mut plan) = rolling();
    plan.tensors[2] = plan.tensors[1];
    let violation = Placed::new(&network, &plan).unwrap().run(&noise(&network, 0)).unwrap_err();
    let text = violation.to_string();
    assert!(
        text.contains("node1: pixel 0 of row 0 of `t2` is written over byte") && text.contains("of `t1`"),
        "{text}"
    );
}

/// Chains drawn at random from the nodes of `network` that have rows.
fn random_schedule(network: &IntNetwork, draw: &mut Draw) -> Schedule {
    let nodes: Vec<RowNode> = row_nodes(network, false).into_iter().flatten().collect();
    let (mut rolling, mut next) = (Vec::new(), 0);
    while next < nodes.len() {
        let most = nodes[next..].iter().take_while(|node| node.has_rows()).count();
        let length = if most == 0 { 0 } else { draw.0.random_range(0..=most) };
        if length > 0 {
            rolling.push(next..next + length);
        }
        next += length.max(1);
    }
    let begins = rolling.first().is_some_and(|first| first.start == 0);
    let input = if begins && draw.0.random_bool(0.5) { InputRows::Pushed } else { InputRows::Image };
    schedule(nodes.len(), rolling, input)
}

/// `BITESIZE_TEST_NETWORKS` says how many (40).
#[test]
fn random_networks_in_random_chains_give_the_interpreters_bytes() {
    for seed in 0..test_networks() {
        let network = random_network(2_000_000 + seed);
        let mut draw = Draw::new(seed);
        let schedule = random_schedule(&network, &mut draw);
        let plan = plan_apart(&network, &schedule, draw.0.random_bool(0.5));
        assert_eq!(plan.arena_bytes, word(plan.arena_bytes));
        check(&network, &plan, &format!("network {seed}, {schedule:?}"));
    }
}

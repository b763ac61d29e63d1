use super::*;
use bitesize_ir::{Op, TensorId};

fn made(text: &str) -> Network {
    network(&text.parse().unwrap())
}

/// Parameters as frameworks count them: in the place of a folded bias a batch-norm with a scale and a shift for each
/// channel, and where `with_statistics` a mean and a variance too.
fn published_parameters(network: &Network, with_statistics: bool) -> usize {
    let convolutions = network.nodes.iter().filter(|node| matches!(node.op, Op::Conv2d(_) | Op::DepthwiseConv2d(_)));
    let channels: usize = convolutions.map(|node| network.shape(node.output).c).sum();
    network.parameters() + channels * if with_statistics { 3 } else { 1 }
}

/// Parameters of Keras' `MobileNet(alpha=...)`, which counts statistics, and MACs of Howard et al., tables 6 and 7, who
/// round them to millions up or down.
#[test]
fn mobilenet_v1_has_the_published_figures() {
    let figures = [("0.25", 475_544, 41), ("0.5", 1_342_536, 149), ("0.75", 2_601_976, 325), ("1", 4_253_864, 569)];
    for (width, parameters, millions) in figures {
        let network = made(&format!("zoo:mobilenet-v1?width={width}"));
        network.validate().unwrap();
        assert_eq!(network.nodes.len(), 29);
        assert_eq!(published_parameters(&network, true), parameters, "{width}");
        assert!(network.macs().abs_diff(millions * 1_000_000) < 1_000_000, "{width}");
    }
    let full = made("zoo:mobilenet-v1");
    assert_eq!((full.parameters(), full.macs()), (4_221_032, 568_740_352));
    for (resolution, millions) in [(192, 418), (160, 290), (128, 186)] {
        let network = made(&format!("zoo:mobilenet-v1?resolution={resolution}"));
        assert!(network.macs().abs_diff(millions * 1_000_000) < 1_000_000, "{resolution}");
    }
}

/// Parameters of torchvision's `mobilenet_v2` and of Keras' `MobileNetV2(alpha=...)`.
#[test]
fn mobilenet_v2_has_the_published_figures() {
    let full = made("zoo:mobilenet-v2");
    full.validate().unwrap();
    assert_eq!(published_parameters(&full, false), 3_504_872);
    assert_eq!(published_parameters(&full, true), 3_538_984);
    assert_eq!((full.parameters(), full.macs()), (3_487_816, 300_774_272));
    assert_eq!(full.nodes.iter().filter(|node| matches!(node.op, Op::Add(_))).count(), 10);
    assert_eq!(published_parameters(&made("zoo:mobilenet-v2?width=0.5"), true), 1_987_224);
    assert_eq!(published_parameters(&made("zoo:mobilenet-v2?width=1.4"), true), 6_156_712);
}

/// Parameters of torchvision's `mnasnet0_5` to `mnasnet1_3`.
#[test]
fn mnasnet_has_the_published_figures() {
    for (width, parameters) in [("0.5", 2_218_512), ("0.75", 3_170_208), ("1", 4_383_312), ("1.3", 6_282_256)] {
        let network = made(&format!("zoo:mnasnet?width={width}"));
        network.validate().unwrap();
        assert_eq!(published_parameters(&network, false), parameters, "{width}");
    }
    let full = made("zoo:mnasnet");
    assert_eq!((full.parameters(), full.macs()), (4_364_352, 314_415_872));
    assert_eq!(full.nodes.iter().filter(|node| matches!(node.op, Op::Add(_))).count(), 10);
}

/// Input and output of the largest layer at 8 bits, in KiB, and weights without biases.
#[test]
fn activations_and_weights_take_what_the_papers_budgets_say() {
    let peak = |network: &Network| {
        let elements = |id: &TensorId| network.shape(*id).elements();
        let without_skips = network.nodes.iter().filter(|node| !matches!(node.op, Op::Add(_)));
        without_skips.map(|node| elements(&node.inputs[0]) + elements(&node.output)).max().unwrap() / 1024
    };
    let cases = [
        ("zoo:mobilenet-v1", 1176),
        ("zoo:mobilenet-v1?width=0.75", 882),
        ("zoo:mobilenet-v1?width=0.75&resolution=160", 450),
        ("zoo:mobilenet-v1?width=0.5&resolution=192", 432),
        ("zoo:mobilenet-v2", 1470),
        ("zoo:mobilenet-v2?width=0.5&resolution=160", 375),
        ("zoo:mnasnet", 784),
        ("zoo:mnasnet?width=0.5", 392),
    ];
    for (text, kibibytes) in cases {
        assert_eq!(peak(&made(text)), kibibytes, "{text}");
    }
    let weights = |text: &str| {
        let network = made(text);
        network.nodes.iter().filter_map(|node| node.op.parameters()).map(|p| p.weights.len()).sum::<usize>()
    };
    assert_eq!(weights("zoo:mobilenet-v1"), 4_209_088);
    assert_eq!(weights("zoo:mobilenet-v2"), 3_469_760);
    assert_eq!(weights("zoo:mnasnet"), 4_344_392);
}

/// With fewer strides the maps stay larger and nothing else changes: 12.2 M MACs, as of MobileNetV1 0.5 for CIFAR-10 with 1x1
/// maps of 2 pixels a side at its end.
#[test]
fn small_images_lose_the_first_strides() {
    let small = made("zoo:mobilenet-v1?width=0.5&resolution=32&classes=10&downsample=16");
    assert_eq!((small.parameters(), small.macs()), (818_250, 12_167_168));
    for architecture in Architecture::ALL {
        let of = |more: &str| made(&format!("zoo:{}?resolution=32{more}", architecture.name()));
        let papers = of("");
        for (downsample, side) in [(8, 4), (16, 2)] {
            let network = of(&format!("&downsample={downsample}"));
            network.validate().unwrap();
            let pool = network.nodes.iter().find(|node| matches!(node.op, Op::AveragePool(_))).unwrap();
            assert_eq!(network.shape(pool.inputs[0]).h, side, "{}", architecture.name());
            assert_eq!((network.parameters(), network.nodes.len()), (papers.parameters(), papers.nodes.len()));
            assert!(network.macs() > papers.macs());
        }
    }
}

#[test]
fn every_network_in_bounds_is_one_that_can_be_quantized() {
    for architecture in Architecture::ALL {
        for settings in ["width=0.05&resolution=32&classes=1", "width=2&resolution=1024&classes=2", "resolution=96"] {
            let name: ZooName = format!("zoo:{}?{settings}", architecture.name()).parse().unwrap();
            let imported = imported(&name);
            imported.network.validate().unwrap();
            let classes = imported.network.shape(imported.network.output).elements();
            assert_eq!(classes, name.classes(), "{name}");
            assert_eq!(imported.output_order.text(), None, "{name}");
            bitesize_ir::rewrite::rewrite(imported.network).unwrap();
        }
    }
}

/// Means and variances of the large layers, and all bits of one network.
#[test]
fn weights_are_drawn_alike_everywhere_and_keep_the_size_of_values() {
    let network = made("zoo:mobilenet-v2?width=0.5");
    assert_eq!(network, made("zoo:mobilenet-v2?width=0.5"));
    for (number, node) in network.iter() {
        let Some(parameters) = node.op.parameters().filter(|p| p.weights.len() > 10_000) else { continue };
        let fan_in = parameters.weights.len() / parameters.bias.len();
        let count = parameters.weights.len() as f64;
        let sum: f64 = parameters.weights.iter().map(|w| f64::from(*w)).sum();
        let squares: f64 = parameters.weights.iter().map(|w| f64::from(*w).powi(2)).sum();
        let variance = 2.0 / fan_in as f64;
        assert!((sum / count).abs() < 5.0 * (variance / count).sqrt(), "{number:?}");
        assert!((squares / count / variance - 1.0).abs() < 0.06, "{number:?}");
    }
    let bits = |text: &str| {
        let network = made(text);
        let all = network.nodes.iter().filter_map(|node| node.op.parameters()).flat_map(|p| p.weights.to_vec());
        let bytes: Vec<u8> = all.flat_map(f32::to_le_bytes).collect();
        crate::hash::sha256(&bytes)
    };
    assert_eq!(
        bits("zoo:mobilenet-v1?width=0.25&classes=10"),
        "f398d5d286c119f8d22e20cd4ee40849f18e81bfd9a489c1d9277c5fcc389d1d"
    );
}

"""Writes PyTorch's gradients of a small network with every operator: what `bitesize-train/tests/pytorch.rs` compares with.

    python benches/pytorch/gradients.py > crates/bitesize-train/tests/pytorch/gradients.json

In double precision; in float, and fake-quantized with straight-through rounding and learned scales (LSQ). Biases are
multiples of what the integer network's accumulator counts, so that it rounds none. The loss is `sum(f * y + y^2 / 4)` with
`f = i % 7 - 3` for element i of the output.
"""

import json

import torch

from network import clamped, linear, other, own_layout, passes_on, weights_of

IMAGES, SEED = 3, 5
NONE, RELU, RELU6 = [None, None], [0, None], [0, 6]


def description():
    """The network; shapes are filled in by running it."""
    nodes = []

    def node(op, inputs, **rest):
        nodes.append({"op": op, "inputs": inputs, "output": len(nodes) + 1, "clamp": NONE, **rest})
        return len(nodes)

    def window(kernel, stride=(1, 1), dilation=(1, 1), pads=(0, 0, 0, 0)):
        return {"kernel": list(kernel), "stride": list(stride), "dilation": list(dilation), "pads": list(pads)}

    same = window([3, 3], pads=[1] * 4)
    stem = node("conv2d", [0], groups=1, out_c=12, **window([3, 3], pads=[1, 1, 1, 0]) | {"clamp": RELU})
    fine = node("depthwise_conv2d", [stem], out_c=12, **same | {"clamp": RELU6})
    wide = node("depthwise_conv2d", [stem], out_c=12, **window([5, 5], pads=[2] * 4))
    total = node("add", [fine, wide], clamp_=RELU)
    half = node("depthwise_conv2d", [total], out_c=12, **window([3, 3], stride=[2, 2], pads=[1] * 4))
    odd = node("depthwise_conv2d", [half], out_c=12, **window([3, 2], dilation=[1, 2], pads=[1] * 4))
    grouped = node("conv2d", [half], groups=3, out_c=9, **window([3, 3], dilation=[1, 2], pads=[1, 1, 1, 0]) | {"clamp": RELU})
    around = node("pad", [grouped], pads=[0, 1, 0, 2])
    pooled = node("max_pool", [around], **window([2, 3], pads=[1, 1, 0, 1]))
    narrow = node("conv2d", [odd], groups=1, out_c=5, **window([1, 1]))
    bounded = node("clamp", [narrow], clamp_=[-0.6, 0.9])
    joined = node("concat", [pooled, bounded, pooled])
    average = node("average_pool", [joined], count_include_pad=True, **window([2, 2], stride=[2, 2], pads=[1, 0, 0, 1]))
    mean = node("average_pool", [average], count_include_pad=False, **window([2, 2], pads=[0, 1, 1, 0]))
    flat = node("flatten", [mean], order=["channels", "height", "width"])
    node("fully_connected", [flat], groups=1, out_c=4, **window([1, 1]))
    for n in nodes:
        n["clamp"] = n.pop("clamp_", n["clamp"])
    return {"shapes": [[9, 8, 3]], "input": 0, "output": len(nodes), "nodes": nodes}


def is_layer(node):
    return "out_c" in node or "weights" in node


class Round(torch.autograd.Function):
    """Rounds to whole numbers, exactly, so that equal codes stay equal; backwards the identity."""

    @staticmethod
    def forward(_, x):
        return torch.floor(x + 0.5)

    @staticmethod
    def backward(_, gradient):
        return gradient


class Run:
    """One pass with leaves for everything that gets a gradient."""

    def __init__(self, net, weights, biases, quants=None, weight_scales=None):
        self.net, self.quants = net, quants
        leaf = lambda x: x.detach().clone().requires_grad_()
        self.latent = {i: leaf(w) for i, w in weights.items()}
        self.biases = {i: leaf(b) for i, b in biases.items()}
        self.weight_scales = {i: leaf(s) for i, s in weight_scales.items()} if quants else {}
        self.scales = {t: leaf(torch.tensor(q["scale"], dtype=torch.float64)) for t, q in (quants or {}).items()}
        self.real = {}
        for i, w in self.latent.items():
            real = w
            if quants:
                s = self.weight_scales[i].reshape(-1, 1, 1, 1)
                real = s * Round.apply(torch.clamp(w / s, -8, 7))
            if quants:
                real.retain_grad()
            self.real[i] = real

    def code(self, tensor, x, clamp):
        if not self.quants:
            return x
        s, zero = self.scales[tensor], self.quants[tensor]["zero"]
        return s * Round.apply(torch.clamp(x / s, -zero, 15 - zero))

    def clamp_codes(self, tensor, x, clamp):
        s = self.scales[tensor]
        lo, hi = (s * Round.apply(bound / s) for bound in clamp)
        return torch.where(x < clamp[0], lo, torch.where(x > clamp[1], hi, x))

    def forward(self, x):
        nodes, shapes = self.net["nodes"], self.net["shapes"]
        tensors, roots = {0: x}, {0: 0}
        for i, node in enumerate(nodes):
            inputs, output = [tensors[t] for t in node["inputs"]], node["output"]
            if passes_on(node):
                y = other(node, inputs, shapes)
                root = roots[node["inputs"][0]]
                if node["op"] == "clamp":
                    y = self.clamp_codes(root, y, node["clamp"]) if self.quants else clamped(y, node["clamp"])
                tensors[output], roots[output] = y, root
                continue
            if is_layer(node):
                y = linear(node, inputs[0], self.real[i], self.biases[i], shapes)
            else:
                y = other(node, inputs, shapes)
            tensors[output], roots[output] = self.code(output, clamped(y, node["clamp"]), None), output
        self.tensors, self.roots = tensors, roots
        return tensors[self.net["output"]]


def rows(x):
    """A tensor of several images in NHWC order."""
    return x.permute(0, 2, 3, 1).reshape(-1).tolist()


def infer_shapes(net):
    tensors = {0: torch.zeros(1, 3, 9, 8)}
    for node in net["nodes"]:
        inputs = [tensors[t] for t in node["inputs"]]
        net["shapes"].append(None)
        if is_layer(node):
            h, w = 0, 0
            in_c = inputs[0].shape[1]
            groups = in_c if node["op"] == "depthwise_conv2d" else node["groups"]
            net["shapes"][-1] = [h, w, node["out_c"]]
            y = linear(node, inputs[0], torch.zeros(node["out_c"], in_c // groups, *node["kernel"]), None, net["shapes"])
        else:
            y = other(node, inputs, net["shapes"])
        net["shapes"][-1] = [y.shape[2], y.shape[3], y.shape[1]]
        tensors[node["output"]] = y


def results(run, x):
    x = x.clone().requires_grad_()
    y = run.forward(x)
    flat = y.permute(0, 2, 3, 1).reshape(-1)
    factor = torch.arange(flat.numel()) % 7 - 3
    loss = (factor * flat + flat**2 / 4).sum()
    loss.backward()
    nodes = run.net["nodes"]
    layers = {}
    for i in run.latent:
        layers[i] = {"weights": own_layout(run.real[i].grad, nodes[i]).tolist(), "bias": run.biases[i].grad.tolist()}
        if run.quants:
            layers[i]["latent"] = own_layout(run.latent[i].grad, nodes[i]).tolist()
            layers[i]["scales"] = run.weight_scales[i].grad.tolist()
    found = {"loss": loss.item(), "output": rows(y), "input": rows(x.grad), "layers": layers}
    if run.quants:
        found["scales"] = {t: s.grad.item() for t, s in run.scales.items() if s.grad is not None}
    return found


def shortened(value):
    if isinstance(value, float):
        return float(f"{value:.8g}")
    if isinstance(value, dict):
        return {key: shortened(v) for key, v in value.items()}
    return [shortened(v) for v in value] if isinstance(value, list) else value


def main():
    net = description()
    infer_shapes(net)
    generator = torch.Generator().manual_seed(SEED)
    weights, biases, scales = {}, {}, {}
    for i, node in enumerate(net["nodes"]):
        if is_layer(node):
            w, _ = weights_of(node, net["shapes"], generator)
            weights[i] = w
            biases[i] = torch.randn(w.shape[0], generator=generator) * 0.3
            # Short of the largest weight, so that some lie beyond the grid.
            scales[i] = (w.abs().amax((1, 2, 3)) / 9).double()
    x = torch.rand(IMAGES, 3, 9, 8, generator=generator) * 2 - 1
    input_scale = 2.0 / 255
    x = (torch.floor(x / input_scale + 0.5).clamp(-128, 127) * input_scale).double()
    weights = {i: w.double() for i, w in weights.items()}
    real = Run(net, weights, {i: b.double() for i, b in biases.items()})
    real.forward(x)
    quants = {0: {"scale": input_scale, "zero": 128, "bits": 8}}
    for t, values in real.tensors.items():
        if t and real.roots[t] == t:
            # Another part of each range: with equal scales, averages of two or four codes would lie on ties.
            part = 0.8 - 0.013 * t
            lo, hi = part * min(values.min().item(), 0.0), part * max(values.max().item(), 0.0)
            scale = (hi - lo) / 15
            quants[t] = {"scale": scale, "zero": int(min(15, -lo / scale + 0.5)), "bits": 4}
    for i, node in enumerate(net["nodes"]):
        if is_layer(node):
            unit = quants[real.roots[node["inputs"][0]]]["scale"] * scales[i]
            # Whole ones and a half: no sum is 0, where the slope of a ReLU would hang on the last digit.
            biases[i] = (torch.floor(biases[i] / unit) + 0.5) * unit
            node["weights"] = own_layout(weights[i], node).tolist()
            node["bias"] = biases[i].tolist()
            node["scales"] = scales[i].tolist()
            node.pop("out_c")
    of_float = results(Run(net, weights, biases), x)
    of_codes = results(Run(net, weights, biases, quants, scales), x)
    # Elements of inputs must not decide ties of single and double precision: scales keep all their digits.
    text = {"network": net, "roots": real.roots, "quants": quants, "x": rows(x), "float": shortened(of_float)}
    print(json.dumps(text | {"codes": shortened(of_codes)}))


main()

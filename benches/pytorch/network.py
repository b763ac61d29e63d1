"""A network as `cargo xtask train-speed` and the tests of the gradient engine write it, in PyTorch.

The description is JSON: `shapes` (height, width, channels of each tensor), `input`, `output`, `nodes` (operator, inputs,
output, geometry, clamp, and weights and bias where they are not to be drawn).
"""

import torch
import torch.nn.functional as F


def weight_shape(node, shapes):
    kernel, out_c = node["kernel"], shapes[node["output"]][2]
    in_c = shapes[node["inputs"][0]][2]
    if node["op"] == "depthwise_conv2d":
        return (out_c, 1, *kernel)
    return (out_c, in_c // node["groups"], *kernel)


def weights_of(node, shapes, generator):
    """Weights [out][in][h][w] and biases; theirs where the description has them, else drawn."""
    shape = weight_shape(node, shapes)
    if "weights" not in node:
        fan_in = shape[1] * shape[2] * shape[3]
        weights = torch.randn(shape, generator=generator) * (2.0 / fan_in) ** 0.5
        return weights, torch.zeros(shape[0])
    weights = torch.tensor(node["weights"])
    if node["op"] == "depthwise_conv2d":
        weights = weights.reshape(shape[2], shape[3], shape[0]).permute(2, 0, 1).unsqueeze(1)
    else:
        weights = weights.reshape(shape[0], shape[2], shape[3], shape[1]).permute(0, 3, 1, 2)
    return weights.contiguous(), torch.tensor(node["bias"])


def own_layout(gradient, node):
    """A gradient by weights in the order in which the description has them."""
    if node["op"] == "depthwise_conv2d":
        return gradient.squeeze(1).permute(1, 2, 0).reshape(-1)
    return gradient.permute(0, 2, 3, 1).reshape(-1)


def padded(x, pads, value=0.0):
    top, left, bottom, right = pads
    return F.pad(x, (left, right, top, bottom), value=value) if any(pads) else x


def symmetric(pads):
    top, left, bottom, right = pads
    return top == bottom and left == right


def clamped(x, clamp):
    lo, hi = clamp
    if lo == 0 and hi is None:
        return F.relu(x)
    if lo == 0 and hi == 6:
        return F.relu6(x)
    return x if lo is None and hi is None else torch.clamp(x, lo, hi)


def linear(node, x, weights, bias, shapes):
    """The layer `node` without its clamp."""
    groups = shapes[node["output"]][2] if node["op"] == "depthwise_conv2d" else node["groups"]
    pads = node["pads"]
    padding = (pads[0], pads[1]) if symmetric(pads) else 0
    x = x if symmetric(pads) else padded(x, pads)
    return F.conv2d(x, weights, bias, node["stride"], padding, node["dilation"], groups)


def other(node, inputs, shapes):
    """A node without weights, without its clamp."""
    x, op = inputs[0], node["op"]
    if op == "add":
        return x + inputs[1]
    if op == "concat":
        return torch.cat(inputs, 1)
    if op == "average_pool":
        kernel, pads = node["kernel"], node["pads"]
        if list(x.shape[2:]) == kernel and not any(pads):
            return x.mean((2, 3), keepdim=True)
        sums = F.avg_pool2d(padded(x, pads), kernel, node["stride"], divisor_override=1)
        ones = torch.ones(1, 1, *x.shape[2:])
        count = F.avg_pool2d(padded(ones, pads), kernel, node["stride"], divisor_override=1)
        return sums / (kernel[0] * kernel[1] if node["count_include_pad"] else count)
    if op == "max_pool":
        return F.max_pool2d(padded(x, node["pads"], float("-inf")), node["kernel"], node["stride"], 0, node["dilation"])
    if op == "pad":
        return padded(x, node["pads"])
    if op == "flatten":
        axes = {"height": 2, "width": 3, "channels": 1}
        order = [axes[name] for name in node["order"]]
        return x.permute(0, *order).reshape(x.shape[0], -1, 1, 1)
    if op == "clamp":
        return x
    raise ValueError(f"no operator {op}")


def passes_on(node):
    """Whether the output has its input's encoding."""
    return node["op"] in ("max_pool", "clamp", "pad", "flatten")

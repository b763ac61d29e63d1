"""Cases exported by PyTorch: by the TorchScript exporter and by the newer one built on torch.export ("dynamo").

Each network below is exported with the settings listed in `cases`; a network may appear several times.
"""

import io
import re
import tempfile
import warnings
import zlib
from pathlib import Path

import onnx
import torch
from torch import nn
from torch.nn import functional as F
from torch.onnx import TrainingMode

from common import Case


def cases():
    """Yields every case: each network by both exporters, then settings of the exporters."""
    for network, (shape, covers) in NETWORKS.items():
        label = re.sub("(?<!^)(?=[A-Z])", "_", network.__name__).lower()
        yield torchscript(f"torchscript_{label}", network, shape, covers)
        yield dynamo(f"dynamo_{label}", network, shape, covers)
    for opset in (7, 9, 11, 13, 20):
        covers = [f"TorchScript exporter at opset {opset}"]
        yield torchscript(f"torchscript_opset_{opset:02}", Small, SHAPES[Small], covers, opset=opset)
    for opset in (18, 19, 20, 21, 22):
        yield dynamo(f"dynamo_opset_{opset}", Small, SHAPES[Small], [f"new exporter at opset {opset}"], opset=opset)

    yield torchscript(
        "torchscript_bn_kept",
        MobileBlocks,
        SHAPES[MobileBlocks],
        ["batch-norm kept (TrainingMode.PRESERVE)"],
        training=TrainingMode.PRESERVE,
    )
    yield torchscript(
        "torchscript_initializers_as_inputs",
        MobileBlocks,
        SHAPES[MobileBlocks],
        ["keep_initializers_as_inputs"],
        keep_initializers_as_inputs=True,
    )
    yield torchscript(
        "torchscript_not_folded",
        Padded,
        SHAPES[Padded],
        ["constants left unfolded: the arithmetic of F.pad's sizes"],
        do_constant_folding=False,
    )
    yield torchscript(
        "torchscript_view_fixed",
        ViewBySize,
        SHAPES[ViewBySize],
        ["x.view(x.size(0), -1) with a fixed batch"],
        dynamic=False,
    )
    yield dynamo(
        "dynamo_view_fixed", ViewBySize, SHAPES[ViewBySize], ["x.view(x.size(0), -1) with a fixed batch"], dynamic=False
    )
    for label, network in [("small", Small), ("squeezes", Squeezes)]:
        covers = ["exported with optimize=False: batch-norm and size arithmetic kept, CastLike of constants"]
        yield dynamo(f"dynamo_not_optimized_{label}", network, SHAPES[network], covers, optimize=False)


def conv_bn(channels_in, channels_out, kernel=3, activation=nn.ReLU, **settings):
    layers = [nn.Conv2d(channels_in, channels_out, kernel, bias=False, **settings), nn.BatchNorm2d(channels_out)]
    return nn.Sequential(*layers, *([activation()] if activation else []))


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            conv_bn(3, 5, stride=2, padding=1), nn.MaxPool2d(2, 1), nn.Conv2d(5, 6, 1), nn.ReLU6()
        )
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(6 * 4 * 3, 4))

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))


class FlattenLinear(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(2, 4, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(60, 8),
            nn.BatchNorm1d(8),
            nn.ReLU(),
            nn.Linear(8, 5, bias=False),
            nn.Softmax(dim=1),
        )

    def forward(self, x):
        return self.layers(x)


class ViewBySize(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.linear = nn.Conv2d(2, 4, 3), nn.Linear(60, 5)

    def forward(self, x):
        x = F.relu(self.conv(x))
        x = x.view(x.size(0), -1)
        return F.softmax(self.linear(x), dim=-1)


class ViewBySizes(nn.Module):
    """Sizes computed from several axes, and a 1x1 image made by view."""

    def __init__(self):
        super().__init__()
        self.conv, self.mix, self.linear = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 6, 1), nn.Linear(6, 5)

    def forward(self, x):
        x = F.relu(self.conv(x))
        x = F.adaptive_avg_pool2d(x, 1).view(x.shape[0], x.shape[1])
        x = F.relu(self.mix(x[:, :, None, None]))
        x = x.reshape(x.shape[0], x.shape[1] * x.shape[2] * x.shape[3])
        return self.linear(x)


class MobileBlocks(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv_bn(3, 8, stride=2, padding=1, activation=nn.ReLU6)
        self.expand = conv_bn(8, 16, 1, activation=nn.ReLU6)
        self.depthwise = conv_bn(16, 16, padding=1, groups=16, activation=nn.ReLU6)
        self.project = conv_bn(16, 8, 1, activation=None)
        self.down = conv_bn(8, 16, (5, 3), stride=(2, 1), padding=(2, 1), groups=8)
        self.linear = nn.Linear(16, 4)

    def forward(self, x):
        x = self.stem(x)
        x = x + self.project(self.depthwise(self.expand(x)))
        return self.linear(self.down(x).mean([2, 3]))


class PreActivation(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(6) for _ in range(4))
        self.convs = nn.ModuleList(nn.Conv2d(6, 6, 3, padding=1) for _ in range(2))
        self.linear = nn.Linear(6, 4)

    def forward(self, x):
        x = self.stem(x)
        x = x + self.convs[0](F.relu(self.norms[0](x)))
        x = x + self.convs[1](self.norms[1](x))
        x = F.relu(self.norms[3](self.norms[2](x) + x))
        return self.linear(F.adaptive_avg_pool2d(x, (1, 1)).flatten(1))


class Inception(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 3, (3, 1), padding=(1, 0)), nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(9)
        self.classifier = nn.Conv2d(9, 4, 1)

    def forward(self, x):
        pooled = F.avg_pool2d(x, 3, 1, 1)
        x = torch.cat([F.relu(self.a(x)), self.b(x), F.relu(self.c(pooled))], dim=1)
        x = self.classifier(F.relu(self.norm(x)))
        return F.adaptive_avg_pool2d(x, 1).squeeze(3).squeeze(2)


class Pools(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 1)

    def forward(self, x):
        x = F.max_pool2d(self.first(x), 3, 2, 1)
        x = F.avg_pool2d(self.second(x), 3, 1, 1, count_include_pad=False)
        x = F.avg_pool2d(x, (2, 3), (1, 2), (1, 1), count_include_pad=True)
        return F.max_pool2d(x, 2, 2, ceil_mode=True).mean((-2, -1), keepdim=True)


class Padded(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 4, 3, stride=2))
        self.second = nn.Conv2d(4, 4, 3, padding="same", groups=2)
        self.third = nn.Conv2d(4, 4, (2, 4), padding="same")

    def forward(self, x):
        x = F.relu(self.first(x))
        x = F.max_pool2d(F.pad(self.second(x), (1, 0, 1, 0)), 2)
        return self.third(F.pad(x, [1, 1]))


class Arithmetic(nn.Module):
    """Scales and offsets as parameters and as Python numbers; a tensor used three times."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1))
        self.scale = nn.Parameter(torch.empty(1, 5, 1, 1))
        self.first, self.second = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 5, 1)

    def forward(self, x):
        x = F.relu(self.first((x - self.mean) / self.std))
        y = self.second(x) * self.scale + 0.3
        x = x + 0.5 * y + torch.clamp(x, max=1.0)
        return F.hardtanh(x, -0.8, 1.2).clamp_min(-0.5)


class Squeezes(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.mix, self.linear = nn.Conv2d(2, 5, 3), nn.Conv2d(5, 6, 1), nn.Linear(6, 4)

    def forward(self, x):
        x = F.relu(self.conv(x)).mean(3, keepdim=True).mean(2, keepdim=True)
        x = self.mix(x.squeeze(-1).unsqueeze(-1))
        return self.linear(F.dropout(x.squeeze(3).squeeze(2), 0.5, self.training))


class Permuted(nn.Module):
    """Channels-last inside: flatten in HWC order, a Linear over the channels."""

    def __init__(self):
        super().__init__()
        self.conv, self.linear = nn.Conv2d(2, 4, 3), nn.Linear(60, 5)

    def forward(self, x):
        x = F.relu(self.conv(x)).permute(0, 2, 3, 1)
        return self.linear(torch.flatten(F.relu(x - 0.1), 1))


NETWORKS = {
    FlattenLinear: (
        (2, 5, 7),
        ["Flatten of CxHxW before Linear", "BatchNorm1d after Linear", "Linear without bias", "final Softmax"],
    ),
    ViewBySize: ((2, 5, 7), ["x.view(x.size(0), -1) with a dynamic batch", "final Softmax"]),
    ViewBySizes: (
        (2, 5, 7),
        ["size arithmetic over several axes", "indexing with None", "reshape by a product of sizes"],
    ),
    MobileBlocks: (
        (3, 12, 10),
        [
            "inverted bottleneck with residual",
            "ReLU6",
            "depthwise with channel multiplier 2, kernel 5x3, stride 2x1",
            "mean over space",
        ],
    ),
    PreActivation: ((3, 8, 7), ["batch-norm before padded convolution", "batch-norm after Add, two consumers"]),
    Inception: (
        (3, 8, 9),
        ["concat of three branches", "batch-norm after concat", "1x1 convolution as classifier", "squeeze"],
    ),
    Pools: (
        (3, 11, 12),
        [
            "average pooling with and without padding counted",
            "max pooling of negative values with padding",
            "ceil_mode",
            "mean with keepdim",
        ],
    ),
    Padded: (
        (3, 8, 9),
        ["ZeroPad2d, F.pad", "padding='same' with even kernels", "Pad before MaxPool of negative values"],
    ),
    Arithmetic: (
        (3, 7, 6),
        [
            "normalisation inside the network",
            "Mul and Add of parameters and numbers",
            "one tensor used three times",
            "hardtanh, clamp with one bound",
        ],
    ),
    Squeezes: ((2, 6, 7), ["mean over one axis at a time", "squeeze and unsqueeze", "dropout"]),
    Permuted: ((2, 5, 7), ["permute to channels-last before flatten"]),
}
SHAPES = {Small: (3, 9, 8)} | {network: shape for network, (shape, _) in NETWORKS.items()}


def build(network):
    """The network in evaluation mode with random parameters, those of batch-norm of both signs."""
    torch.manual_seed(zlib.crc32(network.__name__.encode()))
    model = network().eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm1d)):
                sign = torch.where(torch.arange(module.num_features) % 3 == 1, -1.0, 1.0)
                module.weight.copy_(torch.empty_like(module.weight).uniform_(0.4, 1.5) * sign)
                module.bias.uniform_(-1, 1)
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.3, 2)
        for name, parameter in model.named_parameters(recurse=False):
            parameter.uniform_(-1, 1)
    return model


def torchscript(name, network, shape, covers, opset=17, dynamic=True, **settings):
    model, data = build(network), io.BytesIO()
    axes = {"dynamic_axes": {"x": {0: "batch"}, "y": {0: "batch"}}} if dynamic else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (torch.zeros(1, *shape),),
            data,
            dynamo=False,
            opset_version=opset,
            input_names=["x"],
            output_names=["y"],
            **axes,
            **settings,
        )
    model = onnx.load_from_string(data.getvalue())
    return Case(name, model, f"PyTorch {version()}, TorchScript exporter", covers)


def dynamo(name, network, shape, covers, opset=None, dynamic=True, optimize=True):
    model = build(network)
    shapes = {"dynamic_shapes": ({0: torch.export.Dim("batch")},)} if dynamic else {}
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        path = Path(folder) / "model.onnx"
        example = torch.zeros(2 if dynamic else 1, *shape)
        torch.onnx.export(
            model,
            (example,),
            path,
            dynamo=True,
            opset_version=opset,
            external_data=False,
            optimize=optimize,
            input_names=["x"],
            output_names=["y"],
            verbose=False,
            **shapes,
        )
        exported = onnx.load(path)
    return Case(name, exported, f"PyTorch {version()}, exporter on torch.export", covers)


def version():
    return torch.__version__.split("+")[0]

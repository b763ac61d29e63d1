"""Steps of training in PyTorch, which `cargo xtask train-speed` runs beside the engine's.

    python speed.py NETWORK.json BATCH MODE STEPS

MODE is `float`, `fixed` (PyTorch's fake quantization with the scales that the first batch gave: weights per channel,
activations per tensor) or `learned` (the same with learnable scales). A step is forward, cross entropy, backward and an update
by SGD with momentum of everything that is learned. Prints JSON: milliseconds of each step, and the peak memory in KiB.
"""

import json
import sys
import time

import torch
import torch.nn.functional as F

from network import clamped, linear, other, passes_on, weights_of


class Net(torch.nn.Module):
    def __init__(self, description, mode):
        super().__init__()
        self.description, self.mode = description, mode
        generator = torch.Generator().manual_seed(0)
        self.weights, self.biases = torch.nn.ParameterDict(), torch.nn.ParameterDict()
        for i, node in enumerate(description["nodes"]):
            if "kernel" in node and node["op"] in ("conv2d", "depthwise_conv2d", "fully_connected"):
                weights, bias = weights_of(node, description["shapes"], generator)
                weights = weights.to(memory_format=torch.channels_last)
                self.weights[str(i)], self.biases[str(i)] = torch.nn.Parameter(weights), torch.nn.Parameter(bias)
        self.scales = torch.nn.ParameterDict()
        self.observing = False

    def learned(self, name, value):
        if name not in self.scales:
            self.scales[name] = torch.nn.Parameter(value.detach().clone(), requires_grad=self.mode == "learned")
        return self.scales[name]

    def weight(self, name, w):
        if self.mode == "float":
            return w
        scale = self.learned("w" + name, w.abs().amax((1, 2, 3)) / 127)
        zero = torch.zeros_like(scale)
        if self.mode == "fixed":
            return torch.fake_quantize_per_channel_affine(w, scale, zero.int(), 0, -127, 127)
        return torch._fake_quantize_learnable_per_channel_affine(w, scale, zero, 0, -127, 127, 1.0)

    def activation(self, tensor, x, clamp):
        if self.mode == "float":
            return x
        name = f"a{tensor}"
        if name not in self.scales:
            lo, hi = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
            scale = max((hi - lo) / 255, 1e-6)
            self.learned(name, torch.tensor([scale]))
            self.scales[name].zero = int(round(-lo / scale))
        scale = self.scales[name]
        if self.mode == "fixed":
            return torch.fake_quantize_per_tensor_affine(x, scale, torch.tensor([scale.zero], dtype=torch.int32), 0, 255)
        zero = torch.tensor([float(scale.zero)])
        return torch._fake_quantize_learnable_per_tensor_affine(x, scale, zero, 0, 255, 1.0)

    def forward(self, x):
        nodes, shapes = self.description["nodes"], self.description["shapes"]
        tensors = {self.description["input"]: self.activation(self.description["input"], x, None)}
        uses = [[t for t in node["inputs"]] for node in nodes]
        for i, node in enumerate(nodes):
            inputs = [tensors[t] for t in node["inputs"]]
            if str(i) in self.weights:
                w = self.weight(str(i), self.weights[str(i)])
                y = linear(node, inputs[0], w, self.biases[str(i)], shapes)
            else:
                y = other(node, inputs, shapes)
            y = clamped(y, node["clamp"])
            tensors[node["output"]] = y if passes_on(node) else self.activation(node["output"], y, node["clamp"])
            for t in uses[i]:
                if not any(t in later for later in uses[i + 1 :]):
                    tensors.pop(t, None)
        return tensors[self.description["output"]].flatten(1)


def main():
    path, batch, mode, steps = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    torch.set_num_threads(2)
    with open(path) as file:
        description = json.load(file)
    h, w, c = description["shapes"][description["input"]]
    classes = description["shapes"][description["output"]][2]
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch, c, h, w, generator=generator).to(memory_format=torch.channels_last)
    labels = torch.randint(0, classes, (batch,), generator=generator)
    net = Net(description, mode)
    net(x)
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=1e-6, momentum=0.9)
    times = []
    for _ in range(steps + 3):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(net(x), labels).backward()
        optimizer.step()
        times.append((time.perf_counter() - start) * 1000)
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    print(json.dumps({"milliseconds": times[3:], "peak_kib": peak}))


main()

"""Makes the networks and data of this folder: synthetic signals and images, small networks trained on them.

    python make.py        # needs jax, numpy, onnx and onnxruntime

Everything is drawn from fixed seeds. Samples are stored as firmware would have them: int16 of a sensor, 8-bit pixels.
"""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).parent
TRAIN, VAL, LENGTH = 240, 200, 64


def conv(x, w, b, stride, pad):
    y = jax.lax.conv_general_dilated(x, w, stride, pad, dimension_numbers=("NCHW", "OIHW", "NCHW"))
    return y + b[None, :, None, None]


class Network:
    """Layers, as jax runs them and ONNX writes them: ("conv", w, stride, pad), ("relu",), ("mean",), ("dense", out)."""

    def __init__(self, layers, input_shape, seed):
        self.layers, self.input_shape = layers, input_shape
        rng = np.random.default_rng(seed)
        self.weights, shape = [], (1, *input_shape)
        x = np.zeros(shape, np.float32)
        for layer in layers:
            if layer[0] in ("conv", "dense"):
                size = layer[1] if layer[0] == "conv" else (layer[1], int(np.prod(x.shape[1:])))
                fan_in = int(np.prod(size[1:]))
                self.weights.append((rng.normal(0, (2 / fan_in) ** 0.5, size).astype(np.float32), np.zeros(size[0], np.float32)))
            x = np.asarray(self.step(layer, iter(self.weights[-1:]), x))

    @staticmethod
    def step(layer, weights, x):
        kind = layer[0]
        if kind == "conv":
            return conv(x, *next(weights), layer[2], layer[3])
        if kind == "relu":
            return jnp.maximum(x, 0)
        if kind == "mean":
            return x.mean((2, 3))
        w, b = next(weights)
        return x.reshape(x.shape[0], -1) @ w.T + b

    def run(self, weights, x):
        weights = iter(weights)
        for layer in self.layers:
            x = self.step(layer, weights, x)
        return x

    def train(self, loss, x, y, steps, rate):
        """Adam on batches of 40."""
        gradient = jax.jit(jax.grad(lambda weights, x, y: loss(self.run(weights, x), y)))
        tree = jax.tree_util
        mean = tree.tree_map(jnp.zeros_like, self.weights)
        square, weights = mean, self.weights
        rng = np.random.default_rng(0)
        for step in range(1, steps + 1):
            chosen = rng.choice(len(x), 40, replace=False)
            found = gradient(weights, x[chosen], y[chosen])
            mean = tree.tree_map(lambda m, g: 0.9 * m + 0.1 * g, mean, found)
            square = tree.tree_map(lambda s, g: 0.999 * s + 0.001 * g * g, square, found)
            move = rate * (1 - 0.999**step) ** 0.5 / (1 - 0.9**step) * (1 - step / (steps + 1))
            weights = tree.tree_map(lambda w, m, s: w - move * m / (jnp.sqrt(s) + 1e-8), weights, mean, square)
        self.weights = [(np.asarray(w), np.asarray(b)) for w, b in weights]

    def save(self, name, tail, x):
        """Writes `name`.onnx and checks it on `x`; `tail` is an operator behind the last layer."""
        nodes, constants, at, weights = [], [], "input", iter(self.weights)

        def add(kind, inputs, **attributes):
            nonlocal at
            out = f"t{len(nodes)}"
            nodes.append(helper.make_node(kind, inputs, [out], f"{kind.lower()}_{len(nodes)}", **attributes))
            at = out

        def constant(value):
            constants.append(numpy_helper.from_array(value, f"w{len(constants)}"))
            return constants[-1].name

        flat = len(self.input_shape) == 1
        for layer in self.layers:
            if layer[0] == "conv":
                w, b = next(weights)
                (top, bottom), (left, right) = layer[3]
                add("Conv", [at, constant(w), constant(b)], strides=layer[2], pads=[top, left, bottom, right])
            elif layer[0] == "relu":
                add("Relu", [at])
            elif layer[0] == "mean":
                add("GlobalAveragePool", [at])
                add("Flatten", [at])
                flat = True
            else:
                if not flat:
                    add("Flatten", [at])
                    flat = True
                w, b = next(weights)
                add("Gemm", [at, constant(w), constant(b)], transB=1)
        if tail:
            add(tail, [at])
        expected = np.asarray(self.run(self.weights, x[:5]))
        info = lambda tensor, shape: helper.make_tensor_value_info(tensor, TensorProto.FLOAT, [1, *shape])
        graph = helper.make_graph(nodes, name, [info("input", self.input_shape)], [info(at, expected.shape[1:])], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, HERE / f"{name}.onnx")
        session = onnxruntime.InferenceSession(model.SerializeToString())
        found = np.concatenate([session.run(None, {"input": sample[None]})[0] for sample in x[:5]])
        if tail == "Sigmoid":
            expected = 1 / (1 + np.exp(-expected))
        np.testing.assert_allclose(found, expected, atol=1e-4)


def save_data(name, x, y=None):
    for part, chosen in [("train", slice(0, TRAIN)), ("val", slice(TRAIN, None))]:
        labels = {} if y is None else {"y": y[chosen]}
        np.savez_compressed(HERE / f"{name}_{part}.npz", x=x[chosen], **labels)


def signals(channels, seed):
    rng = np.random.default_rng(seed)
    return rng, np.arange(LENGTH), rng.normal(0, 300, (TRAIN + VAL, channels, LENGTH))


def as_network(x, scale):
    """int16 samples (N, C, W) as the network takes them."""
    return (x.astype(np.float32) * np.float32(scale))[:, :, None, :]


def rows(inputs, outputs):
    """Two convolutions over a row, for `outputs` values."""
    pad = ((0, 0), (2, 2))
    return [("conv", (8, inputs, 1, 5), (1, 2), pad), ("relu",), ("conv", (16, 8, 1, 5), (1, 2), pad), ("relu",),
            ("mean",), ("dense", outputs)]


def logistic(outputs, y):
    return jnp.mean(jnp.maximum(outputs, 0) - outputs * y + jnp.log1p(jnp.exp(-jnp.abs(outputs))))


def bearing():
    """Whether a machine's bearing knocks, in three axes of acceleration: one output, a Sigmoid."""
    rng, t, x = signals(3, 1)
    y = rng.integers(0, 2, len(x))
    for i, knocks in enumerate(y):
        x[i] += 1500 * np.sin(2 * np.pi * t / rng.uniform(14, 18) + rng.uniform(0, 6))
        if knocks:
            for at in range(rng.integers(0, 12), LENGTH, 12):
                x[i, :, at : at + 4] += rng.choice([-1, 1]) * rng.uniform(500, 2200) * np.array([1, -1, 0.5, -0.25])[: LENGTH - at]
    x = x.astype(np.int16)
    network = Network(rows(3, 1), (3, 1, LENGTH), 1)
    real = as_network(x, 1 / 4096)
    network.train(lambda out, y: logistic(out[:, 0], y), real[:TRAIN], y[:TRAIN].astype(np.float32), 800, 0.004)
    network.save("bearing", "Sigmoid", real)
    save_data("bearing", x[:, :, None], y.astype(np.uint8))


def tones():
    """Which of four tones sound together: four outputs, a Sigmoid."""
    rng, t, x = signals(1, 2)
    y = rng.integers(0, 2, (len(x), 4))
    for i, sounding in enumerate(y):
        for tone, on in enumerate(sounding):
            x[i, 0] += on * rng.uniform(800, 2500) * np.sin(2 * np.pi * t / [4.1, 7.3, 12.7, 22][tone] + rng.uniform(0, 6))
    x = x.astype(np.int16)
    network = Network(rows(1, 4), (1, 1, LENGTH), 2)
    real = as_network(x, 1 / 4096)
    network.train(logistic, real[:TRAIN], y[:TRAIN].astype(np.float32), 1500, 0.004)
    network.save("tones", "Sigmoid", real)
    save_data("tones", x, y.astype(np.uint8))


def flow():
    """A vortex meter: the flow in litres an hour (200 to 1000) and the share of bubbles (0 to 0.2), two values."""
    rng, t, x = signals(1, 3)
    y = np.stack([rng.uniform(200, 1000, len(x)), rng.uniform(0, 0.2, len(x))], 1).astype(np.float32)
    for i, (litres, bubbles) in enumerate(y):
        x[i, 0] *= 0.3 + 12 * bubbles
        x[i, 0] += 2000 * np.sin(2 * np.pi * t * litres / 6000 + rng.uniform(0, 6))
    x = x.astype(np.int16)
    network = Network(rows(1, 2), (1, 1, LENGTH), 3)
    real = as_network(x, 1 / 4096)
    size = np.array([1000, 0.2], np.float32)
    network.train(lambda out, y: jnp.mean((out - y / size) ** 2), real[:TRAIN], y[:TRAIN], 2000, 0.004)
    w, b = network.weights[-1]
    network.weights[-1] = (w * size[:, None], b * size)
    network.save("flow", None, real)
    save_data("flow", x, y)


def anomaly():
    """An autoencoder of 32 features of a pump's spectrum; there are no labels."""
    rng = np.random.default_rng(4)
    basis = rng.normal(0, 1, (5, 32))
    x = (rng.normal(0, 1, (TRAIN + VAL, 5)) @ basis + rng.normal(0, 0.2, (TRAIN + VAL, 32))).astype(np.float32)
    network = Network([("dense", 24), ("relu",), ("dense", 8), ("dense", 24), ("relu",), ("dense", 32)], (32,), 4)
    network.train(lambda out, y: jnp.mean((out - y) ** 2), x[:TRAIN], x[:TRAIN], 2000, 0.004)
    network.save("anomaly", None, x)
    save_data("anomaly", x)


def weeds():
    """What each pixel of a field is: soil, a round leaf or a long one; a map of 16 x 16 pixels."""
    rng = np.random.default_rng(5)
    count, size = TRAIN + VAL, 16
    x = rng.normal(70, 12, (count, size, size, 1))
    y = np.zeros((count, size, size), np.uint8)
    rows_, columns = np.mgrid[:size, :size]
    for i in range(count):
        for kind in rng.permutation([1, 2]):
            h, w = rng.uniform(3, 13, 2)
            if kind == 1:
                inside = (rows_ - h) ** 2 + (columns - w) ** 2 < rng.uniform(4, 9)
            else:
                angle = rng.uniform(0, np.pi)
                across = (rows_ - h) * np.cos(angle) - (columns - w) * np.sin(angle)
                along = (rows_ - h) * np.sin(angle) + (columns - w) * np.cos(angle)
                inside = (abs(across) < 0.9) & (abs(along) < 6)
            x[i][inside] += 80
            y[i][inside] = kind
    x = np.clip(x, 0, 255).astype(np.uint8)
    pad = ((2, 2), (2, 2))
    layers = [("conv", (8, 1, 5, 5), (1, 1), pad), ("relu",), ("conv", (8, 8, 5, 5), (1, 1), pad), ("relu",),
              ("conv", (3, 8, 3, 3), (1, 1), ((1, 1), (1, 1)))]
    network = Network(layers, (1, size, size), 5)
    real = (x.astype(np.float32) / 255).transpose(0, 3, 1, 2)

    def loss(out, y):
        scores = jax.nn.log_softmax(out, 1)
        return -jnp.mean(jnp.take_along_axis(scores, y[:, None].astype(int), 1))

    network.train(loss, real[:TRAIN], y[:TRAIN], 800, 0.004)
    network.save("weeds", None, real)
    save_data("weeds", x, y)


if __name__ == "__main__":
    for make in (bearing, tones, flow, anomaly, weeds):
        make()

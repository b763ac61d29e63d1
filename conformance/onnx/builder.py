"""A small builder of ONNX graphs for the networks that no exporter writes.

Every method appends nodes and returns the name of the tensor it made. Weights are random, seeded by the case's name.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from common import Case, generator


class Graph:
    """A graph under construction with one input `x` and opset-dependent spellings where ONNX has changed its mind."""

    def __init__(self, name, opset, input_shape, covers, batch=1):
        self.name, self.opset, self.covers = name, opset, covers
        self.random = generator(name)
        self.nodes, self.initializers = [], []
        self.input = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch] + list(input_shape))
        self.batch = batch
        self.node_names = True
        self.typed_data = False
        self.constants_as_nodes = False

    # Tensors

    def constant(self, values, label="constant"):
        """A constant as this graph stores them: an initializer (raw_data, or float_data and int64_data) or a Constant node."""
        array = np.asarray(values)
        array = array.astype(np.int64 if array.dtype.kind == "i" else np.float32)
        name = f"{label}_{len(self.initializers) + len(self.nodes)}"
        if self.typed_data:
            data_type = TensorProto.FLOAT if array.dtype == np.float32 else TensorProto.INT64
            tensor = helper.make_tensor(name, data_type, array.shape, array.ravel())
        else:
            tensor = numpy_helper.from_array(array, name)
        if self.constants_as_nodes:
            return self.node("Constant", [], value=tensor)
        self.initializers.append(tensor)
        return name

    def weights(self, *shape):
        """Weights whose layer keeps values at about the size of its input."""
        fan_in = int(np.prod(shape[1:]))
        return self.random.normal(0, 1.3 / np.sqrt(fan_in), shape)

    def spread(self, count, low=-1.0, high=1.0):
        return self.random.uniform(low, high, count)

    # Nodes

    def node(self, op_type, inputs, outputs=1, **attributes):
        """Any node; returns its first output. An empty string is an input left out."""
        index = len(self.nodes)
        names = [f"t{index}" if i == 0 else f"t{index}_{i}" for i in range(outputs)]
        name = f"{op_type.lower()}_{index}" if self.node_names else None
        self.nodes.append(helper.make_node(op_type, inputs, names, name=name, **attributes))
        return names[0]

    def conv(self, x, channels_in, channels_out, kernel=(3, 3), bias=True, group=1, **attributes):
        weight = self.constant(self.weights(channels_out, channels_in // group, *kernel), "weight")
        inputs = [x, weight] + ([self.constant(self.spread(channels_out), "bias")] if bias else [])
        if group != 1:
            attributes["group"] = group
        return self.node("Conv", inputs, kernel_shape=list(kernel), **attributes)

    def batch_norm(self, x, channels):
        """Batch-norm with scales of both signs."""
        scale = self.spread(channels, 0.4, 1.5) * np.where(np.arange(channels) % 3 == 1, -1, 1)
        statistics = [scale, self.spread(channels), self.spread(channels), self.spread(channels, 0.3, 2.0)]
        inputs = [x] + [self.constant(value, "bn") for value in statistics]
        return self.node("BatchNormalization", inputs, epsilon=1e-3)

    def relu(self, x):
        return self.node("Relu", [x])

    def clip(self, x, low=None, high=None, shape=()):
        """Clip by attributes before opset 11, by inputs of the given shape since."""
        bounds = {key: float(value) for key, value in (("min", low), ("max", high)) if value is not None}
        if self.opset < 11:
            return self.node("Clip", [x], **bounds)
        inputs = [x] + [
            self.constant(np.full(shape, bounds[key]), key) if key in bounds else "" for key in ("min", "max")
        ]
        while inputs[-1] == "":
            inputs.pop()
        return self.node("Clip", inputs)

    def pad(self, x, top, left, bottom, right):
        """Spatial zero padding: attribute before opset 11, inputs since, with axes since opset 18."""
        if self.opset < 11:
            return self.node("Pad", [x], mode="constant", pads=[0, 0, top, left, 0, 0, bottom, right], value=0.0)
        zero = self.constant(np.float32(0), "zero")
        if self.opset < 18:
            return self.node("Pad", [x, self.constant([0, 0, top, left, 0, 0, bottom, right], "pads"), zero])
        axes = self.constant([2, 3], "axes")
        return self.node("Pad", [x, self.constant([top, left, bottom, right], "pads"), zero, axes])

    def with_axes(self, op_type, x, axes, input_since, **attributes):
        """A node whose axes moved from an attribute to an input in opset `input_since`."""
        if self.opset < input_since:
            return self.node(op_type, [x], axes=axes, **attributes)
        return self.node(op_type, [x, self.constant(axes, "axes")], **attributes)

    def squeeze(self, x, axes):
        return self.with_axes("Squeeze", x, axes, 13)

    def unsqueeze(self, x, axes):
        return self.with_axes("Unsqueeze", x, axes, 13)

    def mean(self, x, axes, keepdims):
        return self.with_axes("ReduceMean", x, axes, 18, keepdims=keepdims)

    def dropout(self, x, outputs=1):
        """Dropout: ratio an attribute before opset 12, an input since."""
        if self.opset < 12:
            return self.node("Dropout", [x], outputs, ratio=0.25)
        return self.node("Dropout", [x, self.constant(np.float32(0.25), "ratio")], outputs)

    def flatten(self, x):
        return self.node("Flatten", [x], axis=1)

    def gemm(self, x, inputs, outputs):
        """A fully connected layer as PyTorch writes it."""
        weight = self.constant(self.weights(outputs, inputs), "weight")
        return self.node("Gemm", [x, weight, self.constant(self.spread(outputs), "bias")], transB=1)

    def reshape(self, x, shape):
        return self.node("Reshape", [x, self.constant(shape, "shape")])

    # The end

    def case(self, output):
        """The finished case; `output` is renamed `y`."""
        for node in self.nodes:
            node.input[:] = ["y" if name == output else name for name in node.input]
            node.output[:] = ["y" if name == output else name for name in node.output]
        inputs = [self.input]
        if self.opset < 9:  # Before opset 9 (IR version 4) every initializer is an input too.
            inputs += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in self.initializers]
        value = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, self.name, inputs, [value], self.initializers)
        model = helper.make_model(
            graph,
            producer_name="bitesize conformance",
            opset_imports=[helper.make_opsetid("", self.opset)],
            ir_version=ir_version(self.opset),
        )
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph.output[0]
        if inferred.type.tensor_type.HasField("shape"):
            model.graph.output[0].CopyFrom(inferred)
        else:  # Behind a Reshape to a computed shape, as exporters write it too.
            value = helper.make_tensor_value_info("y", TensorProto.FLOAT, [self.batch, None])
            model.graph.output[0].CopyFrom(value)
        onnx.checker.check_model(model)
        return Case(self.name, model, "onnx.helper", self.covers)


def ir_version(opset):
    """The IR version that came out with the opset."""
    since = [(7, 3), (9, 4), (10, 5), (11, 6), (12, 7), (15, 8), (19, 9), (21, 10)]
    return max(ir for first, ir in since if first <= opset)

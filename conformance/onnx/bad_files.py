"""Files the importer must refuse, and `bad/cases.json`: for each file the words its error must contain.

Every entry of a file's list must occur, without regard to case; in "one|other" either will do.
"""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper

from builder import Graph
from common import FOLDER

BAD = FOLDER / "bad"


def write():
    BAD.mkdir(exist_ok=True)
    mentions = {}
    for name, data, words in files():
        (BAD / name).write_bytes(data)
        mentions[name] = words
    lines = [f"  {json.dumps(name)}: {json.dumps(words)}" for name, words in sorted(mentions.items())]
    (BAD / "cases.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"bad: {len(mentions)} files")


def files():
    """Yields (file name, bytes, words of the error)."""
    yield from not_models()
    for graph, output, words in unsupported_graphs():
        yield f"{graph.name}.onnx", graph.case(output).model.SerializeToString(deterministic=True), words
    for name, model, words in damaged_models():
        yield f"{name}.onnx", model.SerializeToString(deterministic=True), words


def small_model(name, opset=13):
    g = Graph(name, opset, (2, 6, 5), [])
    x = g.relu(g.conv("x", 2, 4))
    return g.case(g.conv(x, 4, 3, (1, 1))).model


def not_models():
    data = small_model("whole").SerializeToString(deterministic=True)
    yield "truncated.onnx", data[: len(data) * 2 // 3], [
        "truncated.onnx",
        "truncated|not an onnx|damaged|decode|incomplete",
    ]
    yield "truncated_in_weights.onnx", data[: data.index(b"weight_0") - 40], [
        "truncated_in_weights.onnx",
        "truncated|not an onnx|damaged|decode|incomplete",
    ]
    yield "text.onnx", b"This is a text file, not a network.\n" * 8, ["text.onnx", "not an onnx|decode"]
    yield "empty.onnx", b"", ["empty.onnx", "empty|not an onnx"]
    yield "image.onnx", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(64), ["image.onnx", "not an onnx|decode"]
    yield "zeros.onnx", bytes(256), ["zeros.onnx", "not an onnx|decode|no graph"]


def unsupported_graphs():
    g = Graph("unsupported_nodes", 13, (2, 8, 6), [])
    x = g.node("Sigmoid", [g.conv("x", 2, 4)])
    x = g.node("Resize", [x, "", g.constant([1.0, 1.0, 2.0, 2.0], "scales")], mode="nearest")
    x = g.node("Tanh", [x])
    x = g.node("Reshape", [x, g.constant([12, 1, 32], "shape")])
    weights = [g.constant(g.weights(1, 20, 32)), g.constant(g.weights(1, 20, 5))]
    x = g.node("LSTM", [x, *weights], outputs=2, hidden_size=5)
    words = ["Sigmoid", "sigmoid_", "Resize", "resize_", "Tanh", "tanh_", "LSTM", "lstm_"]
    yield g, g.node("Reshape", [x, g.constant([1, 60], "shape")]), words

    g = Graph("channel_shuffle", 13, (4, 6, 5), [])
    x = g.reshape(g.conv("x", 4, 8, group=2), [1, 2, 4, 4, 3])
    x = g.reshape(g.node("Transpose", [x], perm=[0, 2, 1, 3, 4]), [1, 8, 4, 3])
    yield g, g.conv(x, 8, 4, group=2), ["Reshape|Transpose", "reshape_|transpose_"]

    g = Graph("reshape_repacks", 13, (4, 6, 5), [])
    yield g, g.conv(g.reshape(g.conv("x", 4, 4), [1, 2, 8, 3]), 2, 3, (1, 1)), ["Reshape", "reshape_"]

    g = Graph("transpose_height_width", 13, (4, 6, 5), [])
    yield g, g.conv(g.node("Transpose", [g.conv("x", 4, 4)], perm=[0, 1, 3, 2]), 4, 3, (1, 1)), [
        "Transpose",
        "transpose_",
    ]

    g = Graph("add_broadcasts_in_space", 13, (3, 6, 5), [])
    x = g.relu(g.conv("x", 3, 4))
    gate = g.conv(g.node("GlobalAveragePool", [x]), 4, 4, (1, 1))
    yield g, g.conv(g.node("Add", [x, gate]), 4, 3, (1, 1)), ["Add", "add_", "broadcast|shape"]

    g = Graph("mul_of_activations", 13, (3, 6, 5), [])
    x = g.relu(g.conv("x", 3, 4))
    gate = g.clip(g.conv(g.node("GlobalAveragePool", [x]), 4, 4, (1, 1)), 0, 1)
    yield g, g.conv(g.node("Mul", [x, gate]), 4, 3, (1, 1)), ["Mul", "mul_", "constant"]

    g = Graph("softmax_inside", 13, (3, 6, 5), [])
    x = g.node("Softmax", [g.gemm(g.flatten("x"), 90, 6)], axis=1)
    yield g, g.gemm(x, 6, 4), ["Softmax", "softmax_"]

    g = Graph("concat_in_space", 13, (3, 6, 5), [])
    x = g.conv("x", 3, 4)
    yield g, g.conv(g.node("Concat", [x, x], axis=2), 4, 3, (1, 1)), ["Concat", "concat_", "channel"]

    g = Graph("mean_over_channels", 13, (3, 6, 5), [])
    yield g, g.conv(g.mean(g.conv("x", 3, 4), [1], keepdims=1), 1, 3, (1, 1)), ["ReduceMean", "reducemean_"]

    g = Graph("pad_reflect", 13, (3, 6, 5), [])
    pads = g.constant([0, 0, 1, 1, 0, 0, 1, 1], "pads")
    yield g, g.conv(g.node("Pad", ["x", pads], mode="reflect"), 3, 4), ["Pad", "pad_", "reflect"]

    g = Graph("weights_from_input", 13, (4, 3, 3), [])
    yield g, g.node("Conv", [g.constant(g.weights(1, 4, 9, 9)), "x"]), ["Conv", "conv_", "weight|constant"]

    g = Graph("image_size_unknown", 13, ("height", "width", 3), [])
    g.input = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, "height", "width"])
    x = g.node("GlobalAveragePool", [g.conv("x", 3, 4)])
    yield g, g.flatten(x), ["height|width|dynamic|unknown|shape"]


def damaged_models():
    for name, value in [("nan_weights", np.nan), ("infinite_weights", np.inf)]:
        model = small_model(name)
        tensor = model.graph.initializer[0]
        values = onnx.numpy_helper.to_array(tensor).copy()
        values[1, 1, 2, 0] = value
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
        yield name, model, ["conv_|weight_", "NaN|not finite|infinite|inf"]

    model = small_model("external_weights_missing")
    tensor = model.graph.initializer[0]
    size = len(tensor.raw_data)
    onnx.external_data_helper.set_external_data(tensor, "external_weights_missing.bin", offset=0, length=size)
    tensor.ClearField("raw_data")
    yield model.graph.name, model, ["external_weights_missing.bin", tensor.name]

    model = small_model("external_weights_outside")
    tensor = model.graph.initializer[0]
    onnx.external_data_helper.set_external_data(tensor, "../../../outside.bin", offset=0, length=size)
    tensor.ClearField("raw_data")
    yield model.graph.name, model, ["outside.bin"]

    model = small_model("two_inputs")
    model.graph.input.append(helper.make_tensor_value_info("second", TensorProto.FLOAT, [1, 3, 4, 3]))
    model.graph.node.append(helper.make_node("Add", ["y", "second"], ["sum"], name="join"))
    model.graph.output[0].name = "sum"
    yield model.graph.name, model, ["input", "second"]

    model = small_model("two_outputs")
    model.graph.output.append(helper.make_tensor_value_info(model.graph.node[1].output[0], TensorProto.FLOAT, None))
    yield model.graph.name, model, ["output"]

    model = small_model("empty_graph")
    for part in (model.graph.node, model.graph.input, model.graph.output, model.graph.initializer):
        del part[:]
    yield model.graph.name, model, ["empty|no nodes|no operators|no output|no input"]

    model = small_model("no_layers")
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.output[0].CopyFrom(model.graph.input[0])
    yield model.graph.name, model, ["empty|no nodes|no operators|no layer"]

    model = small_model("opset_too_old")
    model.opset_import[0].version = 6
    yield model.graph.name, model, ["opset", "6"]

    model = small_model("opset_too_new")
    model.opset_import[0].version = 99
    yield model.graph.name, model, ["opset", "99"]

    model = small_model("weights_too_short")
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]
    yield model.graph.name, model, ["weight_0"]

    model = small_model("channels_disagree")
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 3
    yield model.graph.name, model, ["conv_0", "channel|shape"]

    model = small_model("tensor_missing")
    model.graph.node[1].input[0] = "nowhere"
    yield model.graph.name, model, ["nowhere"]

    model = small_model("cycle")
    model.graph.node[0].input[0] = model.graph.node[1].output[0]
    yield model.graph.name, model, ["cycle|order|depends on itself|not defined"]

    model = small_model("dimensions_overflow")
    model.graph.initializer[0].dims[:] = [2**40, 2**40, 3, 3]
    yield model.graph.name, model, ["weight_0"]

    model = small_model("kernel_larger_than_image")
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 2
    yield model.graph.name, model, ["conv_0"]

    model = small_model("custom_domain")
    model.graph.node[1].domain = "com.example"
    model.graph.node[1].op_type = "FancyRelu"
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    yield model.graph.name, model, ["FancyRelu", "relu_"]

    for name, attribute, values in [
        ("stride_zero", "strides", [0, 1]),
        ("pads_negative", "pads", [-1, 0, 0, 0]),
        ("kernel_shape_disagrees", "kernel_shape", [5, 5]),
        ("group_zero", "group", 0),
    ]:
        model = small_model(name)
        kept = [old for old in model.graph.node[0].attribute if old.name != attribute]
        del model.graph.node[0].attribute[:]
        model.graph.node[0].attribute.extend(kept + [helper.make_attribute(attribute, values)])
        yield name, model, ["conv_0", attribute.rstrip("s").split("_")[0]]

    g = Graph("variance_negative", 13, (2, 6, 5), [])
    model = g.case(g.batch_norm(g.conv("x", 2, 4), 4)).model
    variance = model.graph.initializer[-1]
    variance.raw_data = np.array([1, -0.5, 1, 1], np.float32).tobytes()
    yield g.name, model, ["batchnormalization_1", "variance|NaN|not finite"]

"""Cases made by hand: features that become images, what scales a flattened image, half precision, shape arithmetic."""

import numpy as np
from onnx import numpy_helper

from builder import Graph


def cases():
    yield from features()
    yield from flattened()
    yield from sums()
    yield from half_weights()
    yield from shape_arithmetic()
    yield from weights_as_expressions()


def features():
    for name, shape in {"nhwc": [1, 7, 5, 1], "nchw": [-1, 1, 7, 5]}.items():
        g = Graph(f"features_to_image_{name}", 13, (35,), [f"an input of features reshaped to {shape}"])
        x = g.reshape("x", shape)
        if name == "nhwc":
            x = g.node("Transpose", [x], perm=[0, 3, 1, 2])
        x = g.conv(g.relu(g.conv(x, 1, 4, (3, 2))), 4, 3, (2, 2))
        yield g.case(g.gemm(g.flatten(x), 3 * 4 * 3, 4))

    g = Graph("features_to_chunks", 13, (30,), ["features as 6 chunks of 5, transposed to channels first", "Conv of rows"])
    x = g.node("Transpose", [g.reshape("x", [1, 6, 5])], perm=[0, 2, 1])
    yield g.case(g.conv(x, 5, 4, (3,)))


def flattened():
    for opset in (9, 17):
        g = Graph(
            f"bn_flattened_before_gemm_{opset}",
            opset,
            (4, 5, 3),
            ["batch-norm of a flattened image before a Gemm", "behind a Conv and a Relu", "batch-norm of the vector behind"],
        )
        x = g.flatten(g.relu(g.conv("x", 4, 6, (2, 2))))
        x = g.gemm(g.batch_norm(x, 48), 48, 7)
        yield g.case(g.gemm(g.relu(g.batch_norm(x, 7)), 7, 4))

    g = Graph(
        "constants_for_each_pixel",
        13,
        (2, 3, 4),
        ["Sub and Div of a constant image, Add and Mul of constants of features", "MatMul over the whole image"],
    )
    x = g.node("Sub", ["x", g.constant(g.spread(24).reshape(2, 3, 4))])
    x = g.node("Div", [x, g.constant(g.spread(24, 0.5, 2).reshape(1, 2, 3, 4))])
    x = g.node("Add", [g.constant(g.spread(2).reshape(2, 1, 1)), x])
    x = g.node("Mul", [g.flatten(x), g.constant(g.spread(24))])
    yield g.case(g.node("MatMul", [x, g.constant(g.weights(24, 5))]))


def sums():
    g = Graph("sum_of_four", 13, (3, 6, 5), ["Sum of three activations and a constant for each channel", "Sum of one"])
    a, b = g.conv("x", 3, 4), g.relu(g.conv("x", 3, 4))
    x = g.node("Sum", [a, g.constant(g.spread(4).reshape(4, 1, 1)), b, a])
    yield g.case(g.conv(g.node("Sum", [x]), 4, 2))


def half_weights():
    g = Graph("half_weights", 13, (3, 6, 5), ["weights of float16, cast to float32"])

    def half(values):
        name = f"half_{len(g.initializers) + len(g.nodes)}"
        g.initializers.append(numpy_helper.from_array(np.asarray(values, np.float16), name))
        return g.node("Cast", [name], to=1)

    x = g.node("Conv", ["x", half(g.weights(4, 3, 3, 3)), half(g.spread(4))], kernel_shape=[3, 3])
    yield g.case(g.relu(x))


def shape_arithmetic():
    """SAME padding computed from the input's shape, as tools write it that trace Python."""
    g = Graph("same_padding_computed", 17, (3, 9, 7), ["padding by Shape, Gather, Div, Ceil, Max, Floor, Concat and Cast"])
    ints = lambda *values: g.constant(np.array(values, dtype=np.int64))
    floats = lambda *values: g.constant(np.array(values, dtype=np.float32))
    sizes = g.node("Cast", [g.node("Gather", [g.node("Shape", ["x"]), ints(2, 3)], axis=0)], to=1)
    steps = g.node("Sub", [g.node("Ceil", [g.node("Div", [sizes, floats(2)])]), floats(1)])
    total = g.node("Add", [g.node("Mul", [steps, floats(2)]), floats(3)])
    total = g.node("Max", [g.node("Sub", [total, sizes]), floats(0)])
    before = g.node("Floor", [g.node("Div", [total, floats(2)])])
    after = g.node("Sub", [total, before])
    amounts = [g.node("Cast", [amount], to=7) for amount in (before, after)]
    zeros = g.node("ConstantOfShape", [ints(2)], value=numpy_helper.from_array(np.zeros(1, np.int64), "zero"))
    pads = g.node("Concat", [zeros, amounts[0], zeros, amounts[1]], axis=0)
    yield g.case(g.conv(g.node("Pad", ["x", pads]), 3, 4, strides=[2, 2]))

    g = Graph("reshape_computed", 17, (4, 3, 5), ["a shape by Range, Where, Equal, ReduceProd, Mod, Split and NonZero"])
    ints = lambda *values: g.constant(np.array(values, dtype=np.int64))
    number = lambda value: g.constant(np.array(value, dtype=np.int64))
    shape = g.node("Shape", [g.conv("x", 4, 6)])
    axes = g.node("Range", [number(0), number(4), number(1)])
    is_batch = g.node("Equal", [axes, ints(0)])
    kept = g.node("Where", [is_batch, ints(1), shape])
    features = g.node("ReduceProd", [kept], keepdims=1)
    first = g.node("NonZero", [is_batch])
    batch = g.node("GatherND", [kept, g.node("Transpose", [first], perm=[1, 0])])
    batch = g.node("Mod", [batch, ints(5)])
    halves = g.node("Split", [g.node("Concat", [batch, features, features], axis=0), ints(2, 1)], 2, axis=0)
    x = g.nodes[0].output[0]
    yield g.case(g.gemm(g.node("Reshape", [x, halves]), 6 * 1 * 3, 4))


def weights_as_expressions():
    g = Graph(
        "weights_computed",
        17,
        (3, 5, 4),
        ["weights normalised by ReduceSum, Pow, Sqrt and Reciprocal", "Exp, Log, Abs, Sign, Round, ReduceMin, ReduceMean"],
    )
    weight = g.constant(g.weights(4, 3, 3, 3))
    squares = g.node("ReduceSum", [g.node("Pow", [weight, g.constant(np.float32(2))]), g.constant([1, 2, 3])], keepdims=1)
    weight = g.node("Mul", [weight, g.node("Reciprocal", [g.node("Sqrt", [squares])])])
    bias = g.constant(g.spread(4))
    bias = g.node("Mul", [g.node("Sign", [bias]), g.node("Log", [g.node("Exp", [g.node("Abs", [bias])])])])
    x = g.node("Conv", ["x", weight, bias], kernel_shape=[3, 3])
    scale = g.node("ReduceMin", [g.constant(g.spread(4, 0.5, 2).reshape(2, 2))], axes=[0], keepdims=0)
    scale = g.node("ReduceMean", [g.node("Round", [g.node("Mul", [scale, g.constant(np.float32(4))])])], keepdims=0)
    yield g.case(g.node("Mul", [x, scale]))

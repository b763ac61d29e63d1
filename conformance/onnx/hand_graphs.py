"""Cases made by hand: arithmetic with constants, batch-norm in odd places, joins, reshapes and what folds away."""

import numpy as np

from builder import Graph


def cases():
    yield from batch_norms()
    yield from constant_arithmetic()
    yield from joins()
    yield from reshapes()
    yield from transposes()
    yield from what_folds_away()


def batch_norms():
    g = Graph("bn_after_add", 13, (3, 8, 7), ["batch-norm after Add", "Relu after it"])
    x = g.relu(g.conv("x", 3, 5))
    x = g.node("Add", [g.conv(x, 5, 5, pads=[1, 1, 1, 1]), x])
    yield g.case(g.conv(g.relu(g.batch_norm(x, 5)), 5, 4, (1, 1)))

    g = Graph(
        "bn_before_conv",
        13,
        (3, 8, 7),
        [
            "batch-norm right before a Conv with and without padding",
            "batch-norm of the network's input",
            "pre-activation residual",
        ],
    )
    x = g.conv(g.batch_norm("x", 3), 3, 6, pads=[1, 1, 1, 1])
    for _ in range(2):
        y = g.conv(g.relu(g.batch_norm(x, 6)), 6, 6, pads=[1, 1, 1, 1], bias=False)
        x = g.node("Add", [x, g.conv(g.batch_norm(y, 6), 6, 6, (1, 1))])
    x = g.node("GlobalAveragePool", [g.relu(g.batch_norm(x, 6))])
    yield g.case(g.gemm(g.flatten(x), 6, 4))

    g = Graph(
        "bn_after_concat",
        13,
        (3, 8, 7),
        ["batch-norm after Concat", "Relu after it", "the Concat has one input used elsewhere"],
    )
    a, b = g.conv("x", 3, 4), g.relu(g.conv("x", 3, 3))
    x = g.relu(g.batch_norm(g.node("Concat", [a, b], axis=1), 7))
    yield g.case(g.node("Add", [g.conv(x, 7, 4, (1, 1)), a]))

    g = Graph(
        "bn_after_shared_conv",
        13,
        (3, 8, 7),
        [
            "batch-norm after a Conv whose output is used elsewhere: it cannot be folded",
            "two batch-norms of one tensor",
        ],
    )
    x = g.conv("x", 3, 4)
    a, b = g.relu(g.batch_norm(x, 4)), g.batch_norm(x, 4)
    yield g.case(g.conv(g.node("Add", [g.node("Add", [a, x]), b]), 4, 3, (1, 1)))

    g = Graph(
        "bn_around_pools",
        13,
        (3, 10, 9),
        ["batch-norm after MaxPool, AveragePool, GlobalAveragePool and Relu", "two batch-norms in a row"],
    )
    x = g.node("MaxPool", [g.relu(g.conv("x", 3, 5))], kernel_shape=[2, 2], strides=[2, 1])
    x = g.relu(g.batch_norm(g.batch_norm(x, 5), 5))
    x = g.node("AveragePool", [g.batch_norm(x, 5)], kernel_shape=[2, 2])
    x = g.node("GlobalAveragePool", [g.batch_norm(x, 5)])
    yield g.case(g.gemm(g.flatten(g.batch_norm(x, 5)), 5, 4))

    g = Graph(
        "bn_at_the_end",
        7,
        (3, 6, 8),
        ["batch-norm as the last node", "batch-norm after depthwise and group convolution"],
    )
    x = g.relu(g.batch_norm(g.conv("x", 3, 6, group=3), 6))
    yield g.case(g.batch_norm(g.conv(x, 6, 4, group=2, bias=False), 4))


def constant_arithmetic():
    g = Graph(
        "mul_scalar_and_channel",
        13,
        (3, 7, 8),
        [
            "Mul by a scalar and per channel after Conv, shapes [], [1], [C,1,1], [1,C,1,1]",
            "the constant as first operand",
            "negative factors",
        ],
    )
    x = g.relu(g.node("Mul", [g.conv("x", 3, 5), g.constant(0.7)]))
    x = g.relu(g.node("Mul", [g.constant(g.spread(5).reshape(5, 1, 1)), g.conv(x, 5, 5, (1, 1))]))
    x = g.relu(g.node("Mul", [g.conv(x, 5, 5, (1, 1)), g.constant(g.spread(5).reshape(1, 5, 1, 1))]))
    yield g.case(g.node("Mul", [g.conv(x, 5, 4, (3, 2), group=1), g.constant([-1.5])]))

    g = Graph(
        "mul_not_after_conv",
        13,
        (3, 7, 8),
        [
            "Mul by constants after Relu, pooling and Add, where no weights precede it",
            "Mul by a scalar of the network's output",
        ],
    )
    x = g.node("Mul", [g.relu(g.conv("x", 3, 5)), g.constant(g.spread(5).reshape(5, 1, 1))])
    x = g.node("Mul", [g.node("MaxPool", [x], kernel_shape=[2, 2]), g.constant(-0.5)])
    y = g.conv(x, 5, 5, (1, 1))
    x = g.node("Mul", [g.node("Add", [x, y]), g.constant(g.spread(5).reshape(1, 5, 1, 1))])
    yield g.case(g.node("Mul", [g.gemm(g.flatten(g.node("GlobalAveragePool", [x])), 5, 4), g.constant(2.0)]))

    g = Graph(
        "add_sub_div_constant",
        13,
        (3, 7, 8),
        ["Add, Sub, Div by a constant, scalar and per channel, after Conv and after Relu", "constant minus tensor"],
    )
    x = g.relu(g.node("Add", [g.conv("x", 3, 5), g.constant(g.spread(5).reshape(5, 1, 1))]))
    x = g.relu(g.node("Sub", [g.conv(x, 5, 5, (1, 1)), g.constant(g.spread(5).reshape(1, 5, 1, 1))]))
    x = g.relu(g.node("Div", [g.conv(x, 5, 5, (1, 1)), g.constant(g.spread(5, 0.5, 2).reshape(5, 1, 1))]))
    x = g.node("Sub", [g.constant(0.8), g.relu(g.conv(x, 5, 5, (1, 1)))])
    x = g.node("Div", [g.node("Add", [x, g.constant(g.spread(5).reshape(5, 1, 1))]), g.constant(-2.0)])
    yield g.case(g.conv(x, 5, 4, pads=[1, 0, 0, 1]))

    g = Graph(
        "preprocessing_in_graph",
        13,
        (3, 8, 7),
        ["(x - mean) / std per channel before a padded Conv", "scalar Mul of the input"],
        batch="N",
    )
    x = g.node("Mul", ["x", g.constant(0.5)])
    x = g.node("Sub", [x, g.constant(np.array([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1))])
    x = g.node("Div", [x, g.constant(np.array([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1))])
    yield g.case(g.conv(g.relu(g.conv(x, 3, 6, strides=[2, 2], pads=[1, 1, 1, 1])), 6, 4, (1, 1)))


def joins():
    g = Graph(
        "concat_inception",
        13,
        (3, 8, 9),
        ["Concat of three branches of different channel counts", "Concat axis -3", "Concat of a Concat"],
        batch="N",
    )
    a = g.relu(g.conv("x", 3, 2, (1, 1)))
    b = g.relu(g.conv("x", 3, 3, pads=[1, 1, 1, 1]))
    c = g.conv(g.node("MaxPool", ["x"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]), 3, 4, (1, 1))
    x = g.node("Concat", [a, b, c], axis=1)
    y = g.relu(g.conv(x, 9, 5, (1, 1)))
    x = g.node("Concat", [x, y], axis=-3)
    yield g.case(g.gemm(g.flatten(g.node("GlobalAveragePool", [x])), 14, 4))

    g = Graph(
        "concat_unusual",
        13,
        (3, 8, 7),
        [
            "Concat of one tensor twice, with the network's input, of a single tensor",
            "Concat before depthwise and before Flatten",
            "Concat of vectors",
        ],
    )
    x = g.relu(g.conv("x", 3, 4, pads=[1, 1, 1, 1]))
    x = g.node("Concat", [x, x, "x"], axis=1)
    x = g.relu(g.conv(g.node("Concat", [x], axis=1), 11, 11, group=11))
    a, b = g.conv(x, 11, 2, (3, 3)), g.conv(x, 11, 1, (3, 3))
    x = g.relu(g.gemm(g.flatten(g.node("Concat", [a, b], axis=1)), 36, 6))
    yield g.case(g.gemm(g.node("Concat", [x, g.gemm(x, 6, 3)], axis=1), 9, 4))

    g = Graph(
        "residual_adds",
        13,
        (3, 8, 7),
        [
            "Add of a tensor with itself",
            "one tensor used three times",
            "Add of the network's input",
            "Relu after Add",
            "chain of Adds",
        ],
    )
    x = g.relu(g.node("Add", [g.conv("x", 3, 3, pads=[1, 1, 1, 1]), "x"]))
    x = g.node("Add", [x, x])
    a = g.conv(x, 3, 3, (1, 1))
    b = g.relu(g.conv(x, 3, 3, pads=[1, 1, 1, 1]))
    x = g.node("Add", [g.node("Add", [a, b]), x])
    yield g.case(g.conv(g.clip(x, 0, 6), 3, 4, strides=[2, 1]))

    g = Graph(
        "residual_resnet",
        8,
        (3, 12, 10),
        ["ResNet blocks with a 1x1 strided shortcut", "Adds of two folded batch-norms"],
        batch="N",
    )
    x = g.relu(g.batch_norm(g.conv("x", 3, 4, pads=[1, 1, 1, 1], bias=False), 4))
    for channels_in, channels_out, stride in [(4, 4, 1), (4, 6, 2)]:
        y = g.relu(
            g.batch_norm(
                g.conv(x, channels_in, channels_out, strides=[stride, stride], pads=[1, 1, 1, 1], bias=False),
                channels_out,
            )
        )
        y = g.batch_norm(g.conv(y, channels_out, channels_out, pads=[1, 1, 1, 1], bias=False), channels_out)
        if stride == 2:
            x = g.batch_norm(g.conv(x, channels_in, channels_out, (1, 1), strides=[2, 2], bias=False), channels_out)
        x = g.relu(g.node("Add", [y, x]))
    x = g.node("AveragePool", [x], kernel_shape=[6, 5])
    yield g.case(g.gemm(g.flatten(x), 6, 4))

    g = Graph("add_of_vectors", 13, (2, 5, 6), ["Add of two fully connected branches", "Relu of the network's input"])
    x = g.flatten(g.relu("x"))
    a, b = g.relu(g.gemm(x, 60, 5)), g.gemm(x, 60, 5)
    yield g.case(g.gemm(g.node("Add", [a, b]), 5, 4))

    g = Graph("multipliers_of_one_tensor", 13, (2, 6, 5), ["a convolution's weights shared by two convolutions"])
    weight = g.constant(g.weights(2, 2, 3, 3))
    x = g.relu(g.node("Conv", ["x", weight], pads=[1, 1, 1, 1]))
    x = g.batch_norm(g.node("Conv", [x, weight], pads=[1, 1, 1, 1]), 2)
    yield g.case(g.node("Add", [x, "x"]))


def reshapes():
    for opset in (11, 13):
        form = "attribute" if opset < 13 else "input"
        g = Graph(
            f"squeeze_opset_{opset}",
            opset,
            (2, 6, 5),
            [f"Squeeze and Unsqueeze with axes as {form}, negative axes", "Unsqueeze before Conv"],
        )
        x = g.node("GlobalAveragePool", [g.relu(g.conv("x", 2, 5))])
        x = g.squeeze(g.squeeze(x, [-1]), [2])
        x = g.relu(g.conv(g.unsqueeze(g.unsqueeze(x, [2]), [-1]), 5, 6, (1, 1)))
        yield g.case(g.gemm(g.squeeze(x, [2, 3]), 6, 4))

    for name, batch, shape in [("minus_1", "N", [-1, 60]), ("zero_minus_1", "N", [0, -1]), ("one_minus_1", 1, [1, -1])]:
        g = Graph(f"reshape_{name}", 13, (2, 5, 6), [f"Reshape of CxHxW to {shape} before Gemm"], batch=batch)
        x = g.reshape(g.relu(g.conv("x", 2, 5)), shape)
        yield g.case(g.gemm(x, 60, 4))

    g = Graph(
        "reshape_chain",
        14,
        (2, 5, 6),
        ["Reshapes in a row that together flatten", "Reshape to the same shape", "Reshape with allowzero 0"],
    )
    x = g.reshape(g.relu(g.conv("x", 2, 5)), [0, 5, 3, 4])
    x = g.reshape(g.reshape(x, [0, 0, -1]), [1, 60])
    yield g.case(g.gemm(g.node("Reshape", [x, g.constant([-1, 60])], allowzero=0), 60, 4))

    g = Graph(
        "shape_arithmetic",
        11,
        (2, 5, 6),
        ["Shape, Gather, Unsqueeze, Concat, Reshape that fold to a flatten", "dynamic batch"],
        batch="N",
    )
    x = g.relu(g.conv("x", 2, 5))
    batch = g.node("Gather", [g.node("Shape", [x]), g.constant(0)], axis=0)
    shape = g.node("Concat", [g.unsqueeze(batch, [0]), g.constant([-1])], axis=0)
    yield g.case(g.gemm(g.node("Reshape", [x, shape]), 60, 4))

    g = Graph(
        "shape_arithmetic_slice",
        13,
        (2, 5, 6),
        ["Shape, Slice, Cast, Mul, ReduceProd, Squeeze, Concat that fold", "Constant nodes"],
        batch="N",
    )
    g.constants_as_nodes = True
    x = g.relu(g.conv("x", 2, 5))
    shape = g.node("Cast", [g.node("Cast", [g.node("Shape", [x])], to=6)], to=7)
    batch = g.node("Slice", [shape, g.constant([0]), g.constant([1]), g.constant([0])])
    channels = g.node("Gather", [shape, g.constant([1])], axis=0)
    area = g.node("ReduceProd", [g.node("Slice", [shape, g.constant([-2]), g.constant([2**40])])], keepdims=1)
    shape = g.node("Concat", [batch, g.node("Mul", [channels, area])], axis=0)
    yield g.case(g.gemm(g.node("Reshape", [x, shape]), 60, 4))

    g = Graph(
        "shape_arithmetic_attributes",
        15,
        (2, 5, 6),
        ["Shape with start and end", "Constant with value_ints, value_int, value_float"],
        batch="N",
    )
    x = g.clip(g.conv("x", 2, 5), 0)
    x = g.node("Mul", [x, g.node("Constant", [], value_float=0.5)])
    batch = g.node("Shape", [x], start=0, end=1)
    shape = g.node("Concat", [batch, g.node("Constant", [], value_ints=[-1])], axis=0)
    x = g.gemm(g.node("Reshape", [x, shape]), 60, 4)
    width = g.unsqueeze(g.node("Constant", [], value_int=4), [0])
    yield g.case(g.node("Reshape", [x, g.node("Concat", [batch, width], axis=0)]))

    g = Graph(
        "flatten_after_pools",
        13,
        (2, 9, 7),
        ["Flatten of CxHxW after MaxPool and after Concat", "Dropout between Flatten and Gemm"],
    )
    a = g.node("MaxPool", [g.relu(g.conv("x", 2, 3))], kernel_shape=[2, 2], strides=[2, 2])
    x = g.flatten(g.node("Concat", [a, g.conv(a, 3, 2, (1, 1))], axis=1))
    yield g.case(g.gemm(g.dropout(x), 30, 4))


def transposes():
    g = Graph(
        "transpose_pairs",
        13,
        (3, 7, 6),
        ["Transposes to NHWC and back that cancel", "Relu, Add of a constant [C] and Clip between them"],
    )
    x = g.node("Transpose", [g.conv("x", 3, 5)], perm=[0, 2, 3, 1])
    x = g.node("Add", [g.relu(x), g.constant(g.spread(5))])
    x = g.conv(g.node("Transpose", [x], perm=[0, 3, 1, 2]), 5, 4)
    x = g.node("Transpose", [g.node("Transpose", [x], perm=[0, 2, 3, 1])], perm=[0, 3, 1, 2])
    yield g.case(g.relu(x))

    g = Graph("transpose_nhwc_flatten", 13, (3, 7, 6), ["Transpose to NHWC, then Flatten in HWC order before Gemm"])
    x = g.node("Transpose", [g.relu(g.conv("x", 3, 5))], perm=[0, 2, 3, 1])
    yield g.case(g.gemm(g.flatten(x), 100, 4))

    g = Graph(
        "transpose_nhwc_input",
        11,
        (7, 6, 3),
        ["NHWC input, Transpose first", "Concat, Add and mean in NHWC", "Transpose to NHWC before the output"],
    )
    x = g.conv(g.node("Transpose", ["x"], perm=[0, 3, 1, 2]), 3, 4, pads=[1, 1, 1, 1])
    x = g.node("Transpose", [x], perm=[0, 2, 3, 1])
    x = g.node("Concat", [g.relu(x), x], axis=3)
    x = g.node(
        "Add",
        [
            x,
            g.node("Transpose", [g.conv(g.node("Transpose", [x], perm=[0, 3, 1, 2]), 8, 8, (1, 1))], perm=[0, 2, 3, 1]),
        ],
    )
    yield g.case(g.gemm(g.mean(x, [1, 2], keepdims=0), 8, 4))

    g = Graph("transpose_of_vector", 13, (2, 6, 5), ["Transpose of a 1x1 image before Flatten"])
    x = g.node("GlobalAveragePool", [g.relu(g.conv("x", 2, 6))])
    yield g.case(g.gemm(g.flatten(g.node("Transpose", [x], perm=[0, 2, 3, 1])), 6, 4))

    g = Graph("output_nhwc", 13, (2, 6, 5), ["output of HxWxC left in NHWC"])
    yield g.case(g.node("Transpose", [g.conv(g.relu(g.conv("x", 2, 4)), 4, 3, (1, 1))], perm=[0, 2, 3, 1]))

    yield from flattened_outputs()


def flattened_outputs():
    """A map that is flattened into the output, in every spelling; no Gemm behind it."""
    for axis in (0, 1, 2, 3, 4, -2):
        name = f"output_flatten_axis_{'minus_2' if axis == -2 else axis}"
        g = Graph(name, 13, (2, 6, 7), [f"Flatten of CxHxW with axis {axis} as the output"])
        yield g.case(g.node("Flatten", [g.relu(g.conv("x", 2, 5))], axis=axis))

    for label, shape in [("vector", [-1]), ("row", [0, -1]), ("column", [-1, 1]), ("rectangle", [5, -1]), ("image", [1, -1, 1, 1])]:
        g = Graph(f"output_reshape_{label}", 13, (2, 6, 7), [f"Reshape of CxHxW to {shape} as the output"])
        yield g.case(g.reshape(g.relu(g.conv("x", 2, 5)), shape))

    g = Graph("output_flatten_max_pool", 13, (2, 9, 8), ["MaxPool, then Flatten as the output"])
    x = g.node("MaxPool", [g.conv("x", 2, 5)], kernel_shape=[2, 2], strides=[2, 2])
    yield g.case(g.flatten(x))

    g = Graph("output_flatten_average_pool", 13, (2, 9, 8), ["AveragePool, Flatten and Relu as the output"])
    x = g.node("AveragePool", [g.conv("x", 2, 5)], kernel_shape=[2, 2], strides=[2, 2])
    yield g.case(g.relu(g.flatten(x)))

    g = Graph("output_flatten_nhwc", 13, (2, 6, 7), ["Transpose to NHWC, then Flatten as the output"])
    yield g.case(g.flatten(g.node("Transpose", [g.relu(g.conv("x", 2, 5))], perm=[0, 2, 3, 1])))

    g = Graph("output_flatten_hcw", 13, (2, 6, 7), ["Transpose to HxCxW, then Flatten as the output"])
    yield g.case(g.flatten(g.node("Transpose", [g.relu(g.conv("x", 2, 5))], perm=[0, 2, 1, 3])))

    g = Graph("output_flatten_softmax", 13, (2, 6, 7), ["Flatten of CxHxW, then a final Softmax over all of it"])
    yield g.case(g.node("Softmax", [g.flatten(g.conv("x", 2, 5))], axis=-1))

    g = Graph("output_rank_3", 13, (2, 6, 7), ["a map whose pixels are one axis: it stays HxWxC"])
    yield g.case(g.reshape(g.relu(g.conv("x", 2, 5)), [0, 5, -1]))


def what_folds_away():
    for opset in (7, 10, 13):
        g = Graph(
            f"identity_dropout_opset_{opset}",
            opset,
            (2, 6, 5),
            ["Identity and Dropout everywhere, also as the last node", "Dropout with its mask output, unused"],
        )
        x = g.node("Identity", ["x"])
        x = g.dropout(g.relu(g.dropout(g.conv(x, 2, 4))), outputs=2)
        x = g.dropout(g.gemm(g.flatten(g.node("GlobalAveragePool", [x])), 4, 3))
        yield g.case(g.node("Identity", [x]))

    g = Graph(
        "constant_expressions",
        13,
        (2, 6, 5),
        [
            "weights through Identity, Transpose, Reshape, Mul, Unsqueeze of initializers",
            "initializers in float_data and int64_data",
        ],
    )
    g.typed_data = True
    weight = g.node("Transpose", [g.constant(g.weights(4, 3, 3, 2))], perm=[0, 3, 1, 2])
    x = g.relu(g.node("Conv", ["x", weight, g.node("Identity", [g.constant(g.spread(4))])]))
    weight = g.node(
        "Mul", [g.node("Reshape", [g.constant(g.weights(4, 4)), g.constant([4, 4, 1, 1])]), g.constant(0.5)]
    )
    x = g.node("Add", [g.node("Conv", [x, weight]), g.unsqueeze(g.constant(g.spread(4)), [0, 2, 3])])
    x = g.relu(g.flatten(g.node("GlobalAveragePool", [x])))
    weight = g.node("Transpose", [g.constant(g.weights(3, 4))])
    yield g.case(g.node("MatMul", [x, weight]))

    g = Graph(
        "unused_parts",
        13,
        (2, 6, 5),
        ["initializers and nodes whose output nobody uses, one of an operator that is not supported"],
    )
    g.constant(g.spread(7), "unused")
    x = g.relu(g.conv("x", 2, 4))
    g.node("Sigmoid", [x])
    g.node("Shape", [x])
    yield g.case(g.conv(x, 4, 3, (1, 1)))

    g = Graph(
        "names_with_symbols",
        13,
        (2, 6, 5),
        [
            "node and tensor names with slashes, colons, quotes, spaces and non-ASCII letters",
            "names that differ only in symbols or case",
        ],
    )
    x = g.node("Relu", [g.conv("x", 2, 4)])
    y = g.conv(g.conv(x, 4, 3, (1, 1)), 3, 3, (1, 1))
    for node, name in zip(g.nodes, ['/features/0: Größe "x"', "", "a/b", "a.b"]):
        node.name = name
    for node in g.nodes:
        node.input[:] = ["A_b:0" if name == x else name for name in node.input]
        node.output[:] = ["A_b:0" if name == x else name for name in node.output]
    yield g.case(g.node("Identity", [y]))

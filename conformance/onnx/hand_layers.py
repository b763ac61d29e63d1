"""Cases made by hand: every opset, and the spellings of convolution, padding, pooling and dense layers."""

import numpy as np

from builder import Graph

OPSETS = range(7, 26)


def cases():
    for opset in OPSETS:
        yield every_opset(opset)
    yield from convolutions()
    yield from automatic_pads()
    yield from pads()
    yield from pools()
    yield from clips()
    yield from dense_layers()
    yield from softmaxes()


def every_opset(opset):
    """The same network in the words of each opset; even opsets have a dynamic batch."""
    g = Graph(
        f"opset_{opset:02}",
        opset,
        (3, 11, 8),
        [f"every operator's spelling at opset {opset}"],
        batch="N" if opset % 2 == 0 else 1,
    )
    x = g.pad("x", 0, 0, 1, 1)
    x = g.conv(x, 3, 6, strides=[2, 2], bias=False)
    x = g.clip(g.batch_norm(x, 6), 0, 6)
    x = g.node("MaxPool", [x], kernel_shape=[2, 2], strides=[1, 1])
    x = g.conv(x, 6, 8, (1, 1))
    x = g.relu(g.batch_norm(x, 8))
    skip = x
    x = g.conv(x, 8, 8, group=8, pads=[1, 1, 1, 1], bias=False)
    x = g.node("Add", [g.batch_norm(x, 8), skip])
    x = g.dropout(g.node("Concat", [x, skip], axis=1))
    x = g.node("AveragePool", [x], kernel_shape=[2, 1], strides=[2, 1])
    x = g.mean(x, [2, 3], keepdims=1)
    x = g.unsqueeze(g.squeeze(x, [2, 3]), [2])
    x = g.reshape(g.node("Identity", [x]), [-1, 16])
    return g.case(g.node("Softmax", [g.gemm(x, 16, 5)], axis=1))


def convolutions():
    g = Graph(
        "conv_kernels", 13, (3, 10, 13), ["kernels 1x3, 3x1, 5x5, 3x2", "strides that differ in height and width"]
    )
    x = g.relu(g.conv("x", 3, 6, (1, 3), pads=[0, 1, 0, 1]))
    x = g.relu(g.conv(x, 6, 5, (3, 1), strides=[2, 1], pads=[1, 0, 1, 0]))
    x = g.relu(g.conv(x, 5, 4, (5, 5), strides=[1, 3], pads=[2, 2, 2, 2]))
    yield g.case(g.conv(x, 4, 3, (3, 2)))

    g = Graph("conv_groups", 13, (4, 9, 7), ["groups 2 and 4", "group convolution with strides"], batch="N")
    x = g.relu(g.conv("x", 4, 6, group=2, pads=[1, 1, 1, 1]))
    x = g.relu(g.conv(x, 6, 8, group=2, strides=[2, 1]))
    yield g.case(g.conv(x, 8, 12, (1, 1), group=4))

    g = Graph(
        "conv_depthwise",
        11,
        (3, 10, 7),
        ["depthwise", "depthwise with channel multiplier 2", "depthwise 5x3, stride 2"],
    )
    x = g.relu(g.conv("x", 3, 6, group=3, pads=[1, 1, 1, 1]))
    x = g.relu(g.conv(x, 6, 6, (5, 3), group=6, strides=[2, 2], pads=[2, 1, 2, 1], bias=False))
    x = g.conv(x, 6, 12, group=6, pads=[1, 1, 1, 1])
    yield g.case(g.conv(x, 12, 4, (1, 1)))

    g = Graph(
        "conv_dilation",
        13,
        (2, 13, 11),
        ["dilation 2", "dilation that differs in height and width", "dilated depthwise"],
    )
    x = g.relu(g.conv("x", 2, 4, dilations=[2, 2], pads=[2, 2, 2, 2]))
    x = g.relu(g.conv(x, 4, 4, dilations=[3, 1], strides=[1, 2]))
    yield g.case(g.conv(x, 4, 4, group=4, dilations=[1, 2]))

    g = Graph("conv_asymmetric_pads", 13, (3, 8, 11), ["asymmetric pads", "asymmetric pads with strides"])
    x = g.relu(g.conv("x", 3, 5, pads=[0, 1, 2, 3]))
    x = g.relu(g.conv(x, 5, 5, strides=[2, 2], pads=[0, 0, 1, 1]))
    yield g.case(g.conv(x, 5, 4, (2, 3), group=1, pads=[1, 0, 0, 2], strides=[1, 2]))

    g = Graph(
        "conv_without_attributes",
        13,
        (3, 7, 9),
        ["Conv without kernel_shape, pads, strides, bias", "nodes without names"],
    )
    g.node_names = False
    x = g.relu(g.node("Conv", ["x", g.constant(g.weights(5, 3, 3, 2))]))
    yield g.case(g.node("Conv", [x, g.constant(g.weights(4, 5, 1, 1)), g.constant(g.spread(4))]))

    g = Graph(
        "conv_separable_blocks",
        12,
        (3, 12, 10),
        ["depthwise-separable blocks with batch-norm and Clip", "residual of an inverted bottleneck"],
        batch="N",
    )
    x = g.clip(g.batch_norm(g.conv("x", 3, 8, strides=[2, 2], pads=[1, 1, 1, 1], bias=False), 8), 0, 6)
    for channels_in, channels_out, stride in [(8, 12, 1), (12, 12, 2), (12, 12, 1)]:
        skip = x
        x = g.clip(g.batch_norm(g.conv(x, channels_in, 2 * channels_in, (1, 1), bias=False), 2 * channels_in), 0, 6)
        x = g.conv(
            x,
            2 * channels_in,
            2 * channels_in,
            group=2 * channels_in,
            strides=[stride, stride],
            pads=[1, 1, 1, 1],
            bias=False,
        )
        x = g.clip(g.batch_norm(x, 2 * channels_in), 0, 6)
        x = g.batch_norm(g.conv(x, 2 * channels_in, channels_out, (1, 1), bias=False), channels_out)
        if stride == 1 and channels_in == channels_out:
            x = g.node("Add", [skip, x])
    yield g.case(g.gemm(g.flatten(g.node("GlobalAveragePool", [x])), 12, 4))

    g = Graph("conv_classifier", 13, (2, 9, 8), ["1x1 convolution as classifier, then Flatten", "final Softmax"])
    x = g.relu(g.conv("x", 2, 6, strides=[2, 2]))
    x = g.conv(g.node("GlobalAveragePool", [x]), 6, 5, (1, 1))
    yield g.case(g.node("Softmax", [g.flatten(x)], axis=-1))

    g = Graph(
        "conv_whole_image_kernel",
        13,
        (2, 5, 4),
        ["convolution whose kernel is the whole image", "Squeeze of its output"],
    )
    x = g.relu(g.conv("x", 2, 6, (3, 3), pads=[1, 1, 1, 1]))
    yield g.case(g.squeeze(g.conv(x, 6, 4, (5, 4)), [2, 3]))

    g = Graph("conv_dead_channels", 13, (2, 8, 7), ["batch-norm with scale 0, variance near 0, weights of 0 and 1e-30"])
    weight = g.weights(6, 2, 3, 3)
    weight[1], weight[2] = 0, 1e-30
    x = g.node("Conv", ["x", g.constant(weight)], pads=[1, 1, 1, 1])
    scale, variance = np.array([1, 0.5, 1, 0, -1, 1e-6]), np.array([1, 0, 1e-12, 1, 0.5, 1])
    statistics = [scale, g.spread(6), [0, 0, 0, 0.3, -0.3, 0.2], variance]
    x = g.relu(g.node("BatchNormalization", [x] + [g.constant(value) for value in statistics], epsilon=1e-5))
    yield g.case(g.conv(x, 6, 4))


def automatic_pads():
    for height, width in [(8, 11), (9, 6)]:
        for mode in ("SAME_UPPER", "SAME_LOWER"):
            g = Graph(
                f"auto_pad_{mode.lower()}_{height}x{width}",
                13,
                (2, height, width),
                [f"auto_pad {mode} of Conv, depthwise, MaxPool, AveragePool; strides 1 and 2, even and odd sizes"],
            )
            x = g.relu(g.conv("x", 2, 4, strides=[2, 2], auto_pad=mode))
            x = g.relu(g.conv(x, 4, 4, (2, 4), auto_pad=mode))
            x = g.relu(g.conv(x, 4, 4, group=4, strides=[1, 2], auto_pad=mode))
            x = g.node("MaxPool", [x], kernel_shape=[2, 2], strides=[1, 1], auto_pad=mode)
            yield g.case(g.node("AveragePool", [x], kernel_shape=[3, 2], strides=[2, 1], auto_pad=mode))

    g = Graph(
        "auto_pad_valid",
        13,
        (2, 12, 9),
        ["auto_pad VALID of Conv, MaxPool, AveragePool with stride 2", "auto_pad NOTSET with pads"],
    )
    x = g.relu(g.conv("x", 2, 4, strides=[2, 1], auto_pad="VALID"))
    x = g.node("MaxPool", [x], kernel_shape=[2, 2], strides=[1, 2], auto_pad="VALID")
    x = g.relu(g.conv(x, 4, 4, pads=[1, 1, 0, 0], auto_pad="NOTSET"))
    yield g.case(g.node("AveragePool", [x], kernel_shape=[2, 2], auto_pad="VALID"))


def pads():
    for opset, form in [(10, "attribute"), (11, "inputs"), (18, "inputs with axes")]:
        g = Graph(
            f"pad_opset_{opset}", opset, (3, 8, 9), [f"explicit Pad ({form}) before Conv, depthwise and strided Conv"]
        )
        x = g.relu(g.conv(g.pad("x", 0, 1, 1, 0), 3, 4))
        x = g.relu(g.conv(g.pad(x, 1, 1, 1, 1), 4, 4, group=4))
        yield g.case(g.conv(g.pad(x, 0, 0, 1, 1), 4, 4, strides=[2, 2], pads=[1, 1, 0, 0]))

    g = Graph(
        "pad_before_pools",
        13,
        (3, 9, 8),
        ["Pad with 0 before MaxPool of negative values", "Pad before AveragePool", "Pad before MaxPool after Relu"],
    )
    x = g.node("MaxPool", [g.pad(g.conv("x", 3, 4), 1, 0, 0, 1)], kernel_shape=[2, 2], strides=[2, 1])
    x = g.node("AveragePool", [g.pad(x, 1, 1, 1, 1)], kernel_shape=[3, 3], strides=[1, 1])
    x = g.relu(g.conv(x, 4, 4, (1, 1)))
    yield g.case(g.node("MaxPool", [g.pad(x, 1, 1, 0, 0)], kernel_shape=[2, 2], strides=[2, 2]))

    g = Graph(
        "pad_unusual",
        13,
        (2, 7, 9),
        ["Pad by zero pixels", "Pad without a value input", "two Pads in a row", "Pad whose output is used twice"],
    )
    x = g.node("Pad", ["x", g.constant([0] * 8)])
    x = g.node("Pad", [x, g.constant([0, 0, 1, 0, 0, 0, 0, 1])])
    x = g.relu(g.conv(g.pad(x, 0, 1, 1, 0), 2, 4))
    x = g.pad(x, 1, 1, 1, 1)
    yield g.case(g.node("Add", [g.conv(x, 4, 3), g.conv(x, 4, 3)]))


def pools():
    g = Graph(
        "pool_average",
        13,
        (3, 9, 11),
        ["AveragePool with and without count_include_pad", "pads that differ on each side"],
    )
    x = g.node("AveragePool", ["x"], kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])
    x = g.conv(x, 3, 4, (1, 1))
    x = g.node("AveragePool", [x], kernel_shape=[3, 2], strides=[1, 2], pads=[1, 1, 1, 0], count_include_pad=1)
    x = g.relu(g.conv(x, 4, 4, (1, 1)))
    yield g.case(
        g.node("AveragePool", [x], kernel_shape=[2, 3], strides=[2, 1], pads=[0, 1, 1, 0], count_include_pad=0)
    )

    g = Graph("pool_ceil", 13, (3, 10, 8), ["ceil_mode of AveragePool and MaxPool where it adds a last row or column"])
    x = g.node("MaxPool", ["x"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    x = g.conv(x, 3, 4, (1, 1))
    yield g.case(g.node("AveragePool", [x], kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1))

    g = Graph(
        "pool_max",
        8,
        (3, 10, 9),
        [
            "MaxPool with pads on negative values",
            "MaxPool first in the network",
            "strides that differ",
            "unused Indices output",
        ],
    )
    x = g.node("MaxPool", ["x"], kernel_shape=[2, 3], strides=[1, 2], pads=[0, 1, 1, 0])
    x = g.conv(x, 3, 4, (1, 1))
    x = g.node("MaxPool", [x], 2, kernel_shape=[3, 3], strides=[2, 1], pads=[1, 1, 1, 1])
    yield g.case(g.node("MaxPool", [x], kernel_shape=[2, 2]))

    g = Graph(
        "pool_global",
        13,
        (3, 7, 6),
        ["GlobalAveragePool then Squeeze", "GlobalAveragePool kept as 4-D output of a branch"],
        batch="N",
    )
    x = g.relu(g.conv("x", 3, 6))
    x = g.squeeze(g.node("GlobalAveragePool", [x]), [2, 3])
    yield g.case(g.gemm(x, 6, 4))

    g = Graph(
        "pool_global_reshape_conv",
        13,
        (3, 7, 6),
        ["GlobalAveragePool, Reshape to 1x1, Conv, Reshape, Softmax (Keras MobileNet's end)"],
    )
    x = g.relu(g.conv("x", 3, 6))
    x = g.reshape(g.node("GlobalAveragePool", [x]), [-1, 6, 1, 1])
    x = g.reshape(g.conv(x, 6, 5, (1, 1)), [-1, 5])
    yield g.case(g.node("Softmax", [x], axis=-1))

    for opset, axes, keepdims in [(11, [2, 3], 0), (13, [-1, -2], 1), (18, [3, 2], 0), (18, [2, 3], 1)]:
        g = Graph(
            f"reduce_mean_opset_{opset}_keepdims_{keepdims}",
            opset,
            (3, 6, 9),
            [f"ReduceMean over axes {axes}, keepdims {keepdims}, axes as {'attribute' if opset < 18 else 'input'}"],
            batch="N",
        )
        x = g.mean(g.relu(g.conv("x", 3, 5)), axes, keepdims)
        yield g.case(g.gemm(g.flatten(x) if keepdims else x, 5, 4))


def clips():
    g = Graph(
        "clip_attributes",
        10,
        (2, 7, 6),
        ["Clip by attributes: both, min alone, max alone, bounds that are not 0", "Clip after Relu"],
    )
    x = g.clip(g.conv("x", 2, 4), 0, 1.5)
    x = g.clip(g.conv(x, 4, 4, (1, 1)), low=0)
    x = g.clip(g.conv(x, 4, 4, (1, 1)), high=0.5)
    x = g.clip(g.relu(g.conv(x, 4, 4, (1, 1))), high=1)
    yield g.case(g.clip(g.conv(x, 4, 4, (1, 1)), -0.4, 0.6))

    for name, shape in [("scalars", ()), ("shape_1", (1,))]:
        g = Graph(
            f"clip_inputs_{name}",
            13,
            (2, 7, 6),
            [f"Clip by inputs of shape {list(shape)}: both, min alone, max alone", "Clip of the network's input"],
        )
        x = g.clip("x", -1, 1.5, shape)
        x = g.clip(g.conv(x, 2, 4), 0, 6, shape)
        x = g.clip(g.conv(x, 4, 4, (1, 1)), low=0, shape=shape)
        x = g.clip(g.conv(x, 4, 4, (1, 1)), high=0.5, shape=shape)
        yield g.case(g.clip(g.conv(x, 4, 4, (1, 1)), -0.4, 0.6, shape))

    g = Graph(
        "clip_constant_nodes",
        11,
        (2, 7, 6),
        ["bounds, weights and axes in Constant nodes", "Clip without bounds", "Relu twice"],
    )
    g.constants_as_nodes = True
    x = g.clip(g.batch_norm(g.conv("x", 2, 4), 4), 0, 6)
    x = g.clip(g.relu(g.relu(g.conv(x, 4, 4, (1, 1)))))
    yield g.case(g.gemm(g.squeeze(g.node("GlobalAveragePool", [x]), [2, 3]), 4, 3))

    g = Graph(
        "clip_of_shared_tensor",
        13,
        (2, 7, 6),
        ["Relu and Clip of a tensor that is used elsewhere too: they cannot be fused"],
    )
    x = g.conv("x", 2, 4)
    yield g.case(g.node("Add", [g.node("Add", [g.relu(x), g.clip(x, -0.5, 0.5)]), x]))


def dense_layers():
    g = Graph(
        "flatten_gemm_plain",
        13,
        (2, 5, 7),
        ["Flatten of CxHxW before Gemm with transB 0, alpha 0.5, beta 2"],
        batch="N",
    )
    x = g.flatten(g.relu(g.conv("x", 2, 4)))
    x = g.node("Gemm", [x, g.constant(g.weights(6, 60).T), g.constant(g.spread(6))], alpha=0.5, beta=2.0)
    yield g.case(g.gemm(g.relu(x), 6, 4))

    g = Graph("gemm_biases", 13, (2, 5, 7), ["Gemm without bias, with bias of shape [1], [], [1, N]", "alpha and beta"])
    x = g.flatten(g.relu(g.conv("x", 2, 3)))
    x = g.relu(g.node("Gemm", [x, g.constant(g.weights(8, 45))], transB=1))
    x = g.relu(g.node("Gemm", [x, g.constant(g.weights(8, 8)), g.constant([0.3])], transB=1, beta=0.5))
    x = g.relu(g.node("Gemm", [x, g.constant(g.weights(8, 8)), g.constant(-0.2)], alpha=1.5))
    yield g.case(g.node("Gemm", [x, g.constant(g.weights(8, 5)), g.constant(g.spread(5).reshape(1, 5))]))

    g = Graph(
        "flatten_matmul_add",
        13,
        (2, 5, 7),
        ["Flatten of CxHxW before MatMul + Add, Add with the constant first", "MatMul without Add"],
    )
    x = g.flatten(g.relu(g.conv("x", 2, 3)))
    x = g.relu(g.node("Add", [g.node("MatMul", [x, g.constant(g.weights(6, 45).T)]), g.constant(g.spread(6))]))
    x = g.relu(g.node("MatMul", [x, g.constant(g.weights(6, 6))]))
    yield g.case(
        g.node("Add", [g.constant(g.spread(4).reshape(1, 4)), g.node("MatMul", [x, g.constant(g.weights(6, 4))])])
    )

    g = Graph(
        "flatten_negative_axis",
        13,
        (3, 4, 5),
        [
            "Flatten with axis -3",
            "input flattened at once, no convolution",
            "initializers in float_data",
            "batch neither named nor fixed",
        ],
        batch=None,
    )
    g.typed_data = True
    x = g.relu(g.gemm(g.node("Flatten", ["x"], axis=-3), 60, 8))
    yield g.case(g.gemm(x, 8, 4))

    g = Graph(
        "gemm_batch_norm",
        13,
        (2, 4, 6),
        ["batch-norm, Mul and Add of constants after Gemm and MatMul", "Clip after them"],
    )
    x = g.flatten(g.relu(g.conv("x", 2, 3)))
    x = g.relu(g.batch_norm(g.gemm(x, 24, 6), 6))
    x = g.node("Mul", [g.node("MatMul", [x, g.constant(g.weights(6, 6))]), g.constant(g.spread(6))])
    x = g.clip(g.node("Add", [x, g.constant(g.spread(6))]), 0, 6)
    yield g.case(g.gemm(x, 6, 4))


def softmaxes():
    for name, opset, attributes in [
        ("axis_1", 13, {"axis": 1}),
        ("axis_default_old", 11, {}),
        ("axis_default_new", 13, {}),
    ]:
        g = Graph(
            f"softmax_{name}", opset, (2, 5, 6), [f"final Softmax, opset {opset}, attributes {attributes}"], batch="N"
        )
        x = g.gemm(g.flatten(g.relu(g.conv("x", 2, 3))), 36, 5)
        yield g.case(g.node("Softmax", [x], **attributes))

    g = Graph("softmax_4d", 13, (2, 5, 6), ["final Softmax over channels of a 1x1 image, then Flatten"])
    x = g.conv(g.node("GlobalAveragePool", [g.relu(g.conv("x", 2, 6))]), 6, 5, (1, 1))
    yield g.case(g.flatten(g.node("Softmax", [x], axis=1)))

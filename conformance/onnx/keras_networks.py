"""Cases made by Keras and converted by tf2onnx: channels-last inside, with the Transposes the converter leaves.

There is no group convolution: on the CPU Keras compiles it to a call that tf2onnx cannot convert.
"""

import os
import zlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import tensorflow as tf
import tf2onnx
from tensorflow import keras
from tensorflow.keras import layers

from common import Case, generator


def cases():
    for build, (shape, covers) in NETWORKS.items():
        yield convert(f"keras_{build.__name__}", build, shape, covers)
    for opset in (8, 9, 10, 11, 13, 15, 18):
        yield convert(
            f"keras_opset_{opset:02}", mobile, NETWORKS[mobile][0], [f"tf2onnx at opset {opset}"], opset=opset
        )
    yield convert("keras_nchw_input", mobile, NETWORKS[mobile][0], ["inputs_as_nchw"], inputs_as_nchw=["x"])
    yield convert(
        "keras_nchw_input_fixed",
        same_padding,
        NETWORKS[same_padding][0],
        ["inputs_as_nchw", "batch fixed at 1"],
        batch=1,
        inputs_as_nchw=["x"],
    )
    yield convert(
        "keras_flatten_fixed", flatten_dense, NETWORKS[flatten_dense][0], ["Flatten with the batch fixed at 1"], batch=1
    )


def conv_bn(x, filters, kernel=3, activation="relu", **settings):
    x = layers.BatchNormalization()(layers.Conv2D(filters, kernel, use_bias=False, **settings)(x))
    return activate(x, activation)


def depthwise_bn(x, kernel=3, activation="relu6", **settings):
    x = layers.BatchNormalization()(layers.DepthwiseConv2D(kernel, use_bias=False, **settings)(x))
    return activate(x, activation)


def activate(x, activation):
    if activation == "relu6":
        return layers.ReLU(max_value=6.0)(x)
    return layers.ReLU()(x) if activation else x


def mobile(x):
    """Blocks of Keras' MobileNetV1 and V2, with its padding before strided convolutions, to Softmax."""
    x = layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
    x = conv_bn(x, 6, strides=2, padding="valid", activation="relu6")
    y = depthwise_bn(conv_bn(x, 12, 1, activation="relu6"), padding="same")
    x = layers.Add()([x, conv_bn(y, 6, 1, activation=None)])
    x = conv_bn(depthwise_bn(x, strides=2, padding="same"), 8, 1)
    x = layers.GlobalAveragePooling2D()(x)
    return layers.Dense(4, activation="softmax")(layers.Dropout(0.2)(x))


def mobile_v1_top(x):
    """The top of Keras' MobileNetV1: keepdims, Dropout, 1x1 convolution, Reshape, Softmax."""
    x = depthwise_bn(conv_bn(x, 6, strides=2, padding="same"), padding="same")
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Conv2D(5, 1, padding="same")(layers.Dropout(0.1)(x))
    return layers.Activation("softmax")(layers.Reshape((5,))(x))


def flatten_dense(x):
    x = layers.MaxPooling2D(2)(layers.Conv2D(4, 3, activation="relu")(x))
    x = layers.Dense(8, activation="relu")(layers.Flatten()(x))
    return layers.Dense(5)(layers.BatchNormalization()(x))


def same_padding(x):
    x = layers.Conv2D(4, (5, 3), strides=2, padding="same", activation="relu")(x)
    x = layers.DepthwiseConv2D((2, 4), padding="same", activation="relu")(x)
    x = layers.MaxPooling2D(3, 1, padding="same")(x)
    x = layers.AveragePooling2D((2, 3), (1, 2), padding="same")(x)
    return layers.Conv2D(3, 1)(x)


def inception(x):
    a = layers.Conv2D(2, 1, activation="relu")(x)
    b = layers.Conv2D(3, (1, 3), padding="same")(x)
    c = layers.Conv2D(4, 1)(layers.AveragePooling2D(3, 1, padding="same")(x))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Concatenate()([a, b, c])))
    x = layers.Flatten()(layers.AveragePooling2D((4, 3))(x))
    return layers.Dense(4, activation="softmax")(x)


def resnet(x):
    x = conv_bn(x, 4, padding="same")
    for filters, strides in [(4, 1), (6, 2)]:
        y = conv_bn(x, filters, strides=strides, padding="same")
        y = conv_bn(y, filters, activation=None, padding="same")
        if strides != 1:
            x = layers.Conv2D(filters, 1, strides=strides, padding="same")(x)
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.Flatten()(layers.AveragePooling2D((4, 5))(x))
    return layers.Dense(4, activation="softmax")(x)


def pre_activation(x):
    x = layers.Conv2D(5, 3, padding="same")(layers.BatchNormalization()(x))
    y = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Add()([x, layers.Conv2D(5, 3, padding="same")(y)])
    y = layers.Conv2D(5, 3, padding="same")(layers.BatchNormalization()(x))
    x = layers.Add()([x, y, x])
    return layers.Dense(4)(layers.GlobalAveragePooling2D()(layers.ReLU()(layers.BatchNormalization()(x))))


def preprocessing(x):
    x = layers.Rescaling(1 / 1.5, offset=-0.25)(x)
    x = layers.Normalization(mean=[0.1, -0.2, 0.3], variance=[0.5, 1.5, 0.8])(x)
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation=tf.nn.relu6)(x)
    return layers.Dense(4)(layers.GlobalAveragePooling2D()(x))


def separable(x):
    x = layers.SeparableConv2D(6, 3, padding="same", depth_multiplier=2, activation="relu")(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="valid")(x)
    x = layers.Conv2D(4, 3, dilation_rate=2, padding="valid", activation="relu")(x)
    return layers.Conv2D(4, (2, 1), padding="same")(x)


def arithmetic(x):
    x = layers.Conv2D(4, 3)(x)
    y = tf.nn.relu(x) * tf.constant([0.5, -1.0, 2.0, 0.8]) + 0.2
    x = x + y
    x = tf.pad(x / 2.0 - tf.constant([0.1, 0.2, 0.3, 0.4]), [[0, 0], [1, 0], [0, 1], [0, 0]])
    return tf.reduce_mean(layers.Conv2D(3, 2)(x), axis=[1, 2])


def clip_by_value(x):
    x = tf.clip_by_value(layers.Conv2D(4, 3)(x), -0.5, 1.0)
    return tf.minimum(layers.Conv2D(4, 2)(x), 0.8)


def reshapes(x):
    x = layers.Conv2D(6, 3, activation="relu")(x)
    x = layers.Reshape((1, 1, 6))(layers.GlobalAveragePooling2D()(x))
    x = tf.squeeze(layers.Conv2D(5, 1, activation="relu")(x), [1, 2])
    return layers.Dense(4)(layers.Reshape((5,))(layers.Permute((1,))(x)))


def speech(x):
    """DS-CNN's shape: one input channel, 2-D filters of uneven sides, Reshape inside the network."""
    x = layers.Reshape((13, 6, 1))(layers.Flatten()(x))
    x = conv_bn(x, 6, (10, 4), strides=(2, 2), padding="same")
    x = conv_bn(depthwise_bn(x, padding="same", activation="relu"), 6, 1)
    x = layers.AveragePooling2D((7, 3))(layers.Dropout(0.4)(x))
    return layers.Dense(5, activation="softmax")(layers.Flatten()(x))


NETWORKS = {
    mobile: ((12, 10, 3), ["ZeroPadding2D", "ReLU6", "inverted bottleneck", "global average", "Softmax"]),
    mobile_v1_top: (
        (9, 8, 3),
        ["global average with keepdims", "1x1 convolution as classifier", "Reshape then Softmax"],
    ),
    flatten_dense: ((9, 8, 2), ["Flatten in HWC order before Dense", "batch-norm after Dense"]),
    same_padding: (
        (9, 10, 3),
        ["padding 'same' with even kernels, strides, odd and even sizes, for every kind of layer"],
    ),
    inception: ((9, 8, 3), ["Concatenate of three branches", "batch-norm after concat", "AveragePooling then Flatten"]),
    resnet: ((8, 10, 3), ["residual blocks as in ResNet8"]),
    pre_activation: (
        (7, 8, 3),
        ["batch-norm before convolution, of the input, after Add", "Add of three with one repeated"],
    ),
    preprocessing: ((8, 9, 3), ["Rescaling and Normalization inside the network"]),
    separable: ((10, 11, 2), ["SeparableConv2D with depth multiplier 2", "dilation", "output left in NHWC"]),
    arithmetic: ((8, 7, 3), ["Mul, Add, Div, Sub of constants, pad and mean as TensorFlow operators"]),
    clip_by_value: ((7, 6, 3), ["clamps that tf2onnx writes as Min and Max with a constant"]),
    reshapes: ((6, 7, 3), ["Reshape to a 1x1 image", "squeeze", "Permute that does nothing"]),
    speech: ((13, 6, 1), ["one input channel, 10x4 filter", "Reshape that does nothing", "Softmax"]),
}


def convert(name, build, shape, covers, opset=17, batch=None, **settings):
    keras.backend.clear_session()
    tf2onnx.utils.INTERNAL_NAME = 1  # Names count from here, so that a case does not depend on those before it.
    keras.utils.set_random_seed(zlib.crc32(build.__name__.encode()))
    x = keras.Input(shape, batch_size=batch, name="x")
    model = keras.Model(x, build(x))
    randomize(model, generator(build.__name__))
    signature = [tf.TensorSpec((batch, *shape), tf.float32, name="x")]
    exported, _ = tf2onnx.convert.from_keras(model, signature, opset=opset, **settings)
    versions = f"Keras of TensorFlow {tf.__version__}, tf2onnx {tf2onnx.__version__}"
    return Case(name, exported, versions, covers)


def randomize(model, random):
    """Random biases and batch-norm parameters; Keras starts them at 0 and 1."""
    for weight in model.weights:
        kind = weight.name.split("/")[-1].split(":")[0]
        if kind == "gamma":
            sign = [-1.0 if i % 3 == 1 else 1.0 for i in range(weight.shape[0])]
            weight.assign(random.uniform(0.4, 1.5, weight.shape) * sign)
        elif kind in ("bias", "beta", "moving_mean"):
            weight.assign(random.uniform(-0.5, 0.5, weight.shape))
        elif kind == "moving_variance":
            weight.assign(random.uniform(0.3, 2, weight.shape))

"""What all makers of cases share: seeded numbers, ONNX Runtime as the reference, and the files of a case.

A case is two files: `<name>.onnx` and `<name>.json`, described in README.md.
"""

import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper

FOLDER = Path(__file__).resolve().parent
SAMPLES = 2
LARGEST_FILE_BYTES = 100_000


@dataclass
class Case:
    """A network and what is said about it in its JSON file."""

    name: str
    model: onnx.ModelProto
    exporter: str
    covers: list = field(default_factory=list)


def generator(name):
    """Random numbers that depend on the case's name only, so that cases can be added without changing others."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def write_case(case):
    """Runs the network in ONNX Runtime and writes the two files of the case."""
    model = case.model
    remove_source_paths(model)
    input_shape = batch_one_shape(model)
    samples = sample_inputs(case.name, input_shape)
    outputs = [run(model, sample) for sample in samples]
    check_worth_testing(case.name, outputs)

    record = {
        "input_shape": input_shape,
        "output_shape": list(outputs[0].shape),
        "exporter": case.exporter,
        "opset": next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx")),
        "operators": sorted({node.op_type for node in model.graph.node}),
        "covers": case.covers,
        "inputs": [numbers(sample) for sample in samples],
        "outputs": [numbers(output) for output in outputs],
    }
    logits = softmax_input(model)
    if logits is not None:
        record["outputs_before_softmax"] = [numbers(run(model, sample, logits)) for sample in samples]

    data = model.SerializeToString(deterministic=True)
    assert len(data) < LARGEST_FILE_BYTES, f"{case.name}: {len(data)} bytes"
    (FOLDER / f"{case.name}.onnx").write_bytes(data)
    (FOLDER / f"{case.name}.json").write_text(json_lines(record))
    print(f"{case.name:42} {len(data):6} bytes  {' '.join(record['operators'])}")


def remove_source_paths(model):
    """Removes documentation and metadata that name files of the machine the network was exported on."""
    for function in [model.graph, *model.functions]:
        for node in function.node:
            node.ClearField("doc_string")
            kept = [entry for entry in node.metadata_props if "stack_trace" not in entry.key]
            del node.metadata_props[:]
            node.metadata_props.extend(kept)
    data = model.SerializeToString()
    assert not any(path in data for path in (b"site-packages", b"/home/", b"/root/", b"/tmp/", str(FOLDER).encode()))


def batch_one_shape(model):
    """The shape of the network's only true input; an unknown or symbolic batch counts as 1."""
    initializers = {tensor.name for tensor in model.graph.initializer}
    (true_input,) = [value for value in model.graph.input if value.name not in initializers]
    dims = [dim.dim_value for dim in true_input.type.tensor_type.shape.dim]
    assert all(dims[1:]), dims
    return [1] + dims[1:]


def sample_inputs(name, shape):
    """Values of about -2..2, rounded so that JSON holds exactly what the reference was given."""
    random = generator(name + " inputs")
    return [np.round(random.uniform(-2, 2, shape), 3).astype(np.float32) for _ in range(SAMPLES)]


def run(model, sample, output=None):
    """ONNX Runtime's value of `output` (the network's first output unless another tensor is named), not optimised."""
    if output is not None:
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        copy.graph.output.insert(0, helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None))
        model = copy
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    initializers = {tensor.name for tensor in model.graph.initializer}
    (name,) = [value.name for value in model.graph.input if value.name not in initializers]
    return session.run(None, {name: sample})[0]


def softmax_input(model):
    """The tensor that goes into the final Softmax, looking through Identity and reshapes; None if there is none."""
    producers = {output: node for node in model.graph.node for output in node.output}
    node = producers[model.graph.output[0].name]
    while node.op_type in ("Identity", "Reshape", "Flatten", "Squeeze"):
        node = producers.get(node.input[0])
        if node is None:
            return None
    return node.input[0] if node.op_type == "Softmax" else None


def check_worth_testing(name, outputs):
    """A case whose output is constant, or does not depend on the input, would test nothing."""
    first, second = (output.ravel() for output in outputs[:2])
    assert np.isfinite(first).all() and np.isfinite(second).all(), name
    assert np.abs(first - second).max() > 1e-3 * np.abs(first).max(), f"{name}: the output ignores the input"
    assert first.size == 1 or first.std() > 1e-4, f"{name}: the output is constant"


def numbers(array):
    """The shortest decimal that reads back as the same 32-bit float, for each value in memory order."""
    return [float(str(value)) for value in array.astype(np.float32).ravel()]


def json_lines(record):
    """One line per key: short to scroll through, and a diff shows which part changed."""
    lines = [
        f"  {json.dumps(key)}: {json.dumps(value, separators=(',', ':') if 'puts' in key else None)}"
        for key, value in record.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"

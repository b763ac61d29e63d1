"""The engine beside ONNX Runtime's CPU execution of the same network as int8 QDQ.

    python3 -m venv /tmp/venv
    /tmp/venv/bin/pip install -r benches/onnxruntime/requirements.txt
    cargo build --release -p bitesize-integer --example engine_speed
    /tmp/venv/bin/python benches/onnxruntime/compare.py target/release/examples/engine_speed NETWORK.onnx...

Each network is quantized by ONNX Runtime's own tool: static QDQ, unsigned 8-bit activations, signed 8-bit weights per
channel, after its pre-processing, calibrated on normal random numbers (speed does not depend on them). Then the runners
take turns of SECONDS each, ROUNDS times; the table shows medians of images a second and of the ratios within a round.

Two clocks are shown. By the wall clock, with the same number of threads. By the processor's time (all threads
together, on Linux), with one thread only: this is the fairer of the two on a machine that does other work meanwhile.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process


class RandomImages(CalibrationDataReader):
    def __init__(self, name, shape, count=16):
        generator = np.random.default_rng(1)
        self.images = iter([{name: generator.normal(size=shape).astype(np.float32)} for _ in range(count)])

    def get_next(self):
        return next(self.images, None)


def quantize(path, folder):
    """The network as int8 QDQ: its file and the shape of one image, with the batch."""
    prepared, quantized = folder / f"{path.stem}.prepared.onnx", folder / f"{path.stem}.qdq.onnx"
    quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
    entry = onnx.load(prepared).graph.input[0]
    shape = [d.dim_value or 1 for d in entry.type.tensor_type.shape.dim]
    quantize_static(
        str(prepared),
        str(quantized),
        RandomImages(entry.name, shape),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
    )
    return quantized


class OnnxRuntime:
    def __init__(self, path, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0]

    def takes(self, batch):
        first = self.input.shape[0]
        return not isinstance(first, int) or first <= 0 or first == batch

    def speed(self, batch, seconds):
        images = np.random.default_rng(0).normal(size=[batch, *self.input.shape[1:]]).astype(np.float32)
        self.session.run(None, {self.input.name: images})
        done, clock, processor = 0, time.perf_counter(), time.process_time()
        while time.perf_counter() - clock < seconds:
            self.session.run(None, {self.input.name: images})
            done += batch
        return done / (time.perf_counter() - clock), done / (time.process_time() - processor)


class Ours:
    def __init__(self, program, path, threads):
        environment = {**os.environ, "RAYON_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen(
            [program, str(path), "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def speed(self, runner, batch, seconds):
        self.process.stdin.write(f"{runner} {batch} {seconds}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if len(answer) != 2:
            raise SystemExit(f"the engine's program ended: is `{runner}` available on this machine?")
        return float(answer[0]), float(answer[1])


def compare(program, path, quantized, threads, arguments):
    peer, ours = OnnxRuntime(quantized, threads), Ours(program, path, threads)
    clock = 1 if threads == 1 else 0
    for batch in arguments.batch:
        runners = {runner: (lambda s, r=runner: ours.speed(r, batch, s)) for runner in arguments.runners}
        if peer.takes(batch):
            runners = {"onnxruntime": lambda s: peer.speed(batch, s), **runners}
        rounds = [
            {runner: speed(arguments.seconds)[clock] for runner, speed in runners.items()}
            for _ in range(arguments.rounds)
        ]
        base = next(iter(runners))
        for runner in runners:
            speed = statistics.median(r[runner] for r in rounds)
            ratio = statistics.median(r[runner] / r[base] for r in rounds)
            print(f"{path.stem} | {threads} | {batch} | {runner} | {speed:,.0f} | {ratio:.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the example engine_speed")
    parser.add_argument("networks", nargs="+", type=Path, help="float ONNX files")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 32])
    parser.add_argument("--runners", nargs="+", default=["avx512-vnni"], help="instruction sets, or `interpreter`")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.3)
    arguments = parser.parse_args()
    print(f"onnxruntime {onnxruntime.__version__}; one thread: by the processor's time; more: by the wall clock")
    print("network | threads | batch | runner | images/s | times the first")
    with tempfile.TemporaryDirectory() as folder:
        for path in arguments.networks:
            quantized = quantize(path, Path(folder))
            for threads in arguments.threads:
                compare(arguments.program, path, quantized, threads, arguments)


if __name__ == "__main__":
    main()

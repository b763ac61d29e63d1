"""Makes the networks in this folder and ONNX Runtime's outputs for them.

    python make_networks.py hand bad torch      # with the packages of requirements.txt
    python make_networks.py keras               # with the packages of requirements-keras.txt

Each word is a maker, a file beside this one. TensorFlow and PyTorch want different versions of numpy and protobuf,
hence two environments. Everything is seeded by the name of the case: with the pinned packages the same files come out.
"""

import argparse
import importlib
import itertools

from common import write_case

MAKERS = {
    "hand": ["hand_layers", "hand_graphs", "hand_forms"],
    "bad": ["bad_files"],
    "torch": ["torch_networks"],
    "keras": ["keras_networks"],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("makers", nargs="+", choices=MAKERS, metavar="maker", help=f"any of {', '.join(MAKERS)}")
    for module in itertools.chain.from_iterable(MAKERS[maker] for maker in parser.parse_args().makers):
        maker = importlib.import_module(module)
        if module == "bad_files":
            maker.write()
            continue
        for case in maker.cases():
            write_case(case)


if __name__ == "__main__":
    main()

"""Would another engine run the networks faster on CPUs? One tile of a shipped refiner through each, in one run.

    python Testing/benchmarks/bench_engines.py --size 96 --repeats 3

The first line is today's engine (`medsr.methods.engines.refining_engine`), as the installed CPU has it run: in bfloat16
where it multiplies that itself, else in float32. The others are given the same network for the same acquisition as one
graph in float32, and what they may do to it. Engines that are not installed are named and passed over. `torch.compile`
needs a C++ compiler, the others `pip install openvino onnxruntime onnx onnxscript`.

Times are seconds of the CPU, not of the clock, so that what else the machine does counts little; engines take turns,
and the least counts. The difference is the largest against today's network in float32, in the scale of the network and
relative to the largest correction. Prints Markdown.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

import medsr
from medsr.methods.engines import load_network, multiplies_bfloat16, refining_engine
from medsr.models.layers import fold, unfold
from medsr.models.profile_refiner import CENTRE
from medsr.models.specialised_refiner import SpecialisedRefiner
from medsr.physics.condition import acquisition_condition
from medsr.physics.profiles import Profile
from medsr.physics.sampling import Acquisition

Array = NDArray[np.float32]
Run = Callable[[Array], Array]


class Graph(nn.Module):
    """A specialised refiner as one graph without slabs, as compilers take it."""

    def __init__(self, refiner: SpecialisedRefiner) -> None:
        super().__init__()
        self.head, self.tail, self.pairs = refiner.head, refiner.tail, refiner.pairs

    def forward(self, x: Tensor) -> Tensor:
        """``(1, 1, *size)`` -> the same."""
        features = self.head(fold(x - CENTRE))
        for pair in self.pairs:
            first, second = pair.children()
            features = features + second(torch.relu(first(features)))
        return x + unfold(self.tail(features))


class Reduced(Graph):
    """The same with all but the first layer in bfloat16, as `SpecialisedRefiner.reduce_precision` has it."""

    def __init__(self, refiner: SpecialisedRefiner) -> None:
        super().__init__(refiner)
        for part in (self.pairs, self.tail):
            part.to(torch.bfloat16)

    def forward(self, x: Tensor) -> Tensor:
        """As `Graph.forward`."""
        features = self.head(fold(x - CENTRE)).to(torch.bfloat16)
        for pair in self.pairs:
            first, second = pair.children()
            features = features + second(torch.relu(first(features)))
        return x + unfold(self.tail(features).float())


def torch_run(network: nn.Module) -> Run:
    """PyTorch, channels last."""
    network = network.eval().to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def run(tile: Array) -> Array:
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(tile)[None, None])[0, 0].numpy(), dtype=np.float32)

    return run


def onnx_file(graph: nn.Module, tile: Array, folder: Path) -> Path:
    """The graph as an ONNX file."""
    path = folder / "graph.onnx"
    torch.onnx.export(graph, (torch.from_numpy(tile)[None, None],), str(path), dynamo=True, verbose=False)
    return path


def openvino_run(path: Path, precision: str, threads: int) -> Run:
    """OpenVINO, in "f32" or "bf16"."""
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(str(path), "CPU", settings)
    return lambda tile: np.asarray(compiled(tile[None, None])[0][0, 0], dtype=np.float32)


def onnxruntime_run(path: Path, threads: int) -> Run:
    """ONNX Runtime, in float32."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda tile: np.asarray(session.run(None, {name: tile[None, None]})[0][0, 0], dtype=np.float32)


def engines(model: str, tile: Array, folder: Path, threads: int) -> dict[str, Callable[[], Run]]:
    """Name -> what makes it ready; today's first."""
    entry = medsr.load_catalog()[model]
    network = load_network(entry)
    axes = Acquisition.from_factors(tile.shape, (4.0, 1.0, 1.0), tuple(Profile() for _ in range(3))).axes
    condition = acquisition_condition(axes)

    def specialised() -> SpecialisedRefiner:
        return SpecialisedRefiner(network, torch.tensor(condition))  # type: ignore[arg-type]

    def exported() -> Path:
        path = folder / "graph.onnx"
        return path if path.exists() else onnx_file(Graph(specialised()), tile, folder)

    made: dict[str, Callable[[], Run]] = {
        f"today ({'bfloat16' if multiplies_bfloat16() else 'float32'})": lambda: refining_engine(
            entry, network, condition, "cpu"
        ),
        "today, float32": lambda: torch_run(specialised()),
        "torch.compile, float32": lambda: torch_run(torch.compile(Graph(specialised()))),  # type: ignore[arg-type]
        "torch.compile, bfloat16": lambda: torch_run(torch.compile(Reduced(specialised()))),  # type: ignore[arg-type]
        "ONNX Runtime, float32": lambda: onnxruntime_run(exported(), threads),
        "OpenVINO, float32": lambda: openvino_run(exported(), "f32", threads),
        "OpenVINO, bfloat16": lambda: openvino_run(exported(), "bf16", threads),
    }
    return made


def ready(makers: dict[str, Callable[[], Run]], tile: Array) -> tuple[dict[str, Run], dict[str, str]]:
    """The engines that are there, run once; of the others, why not."""
    there: dict[str, Run] = {}
    missing: dict[str, str] = {}
    for name, make in makers.items():
        try:
            there[name] = make()
            there[name](tile)
        except Exception as error:  # whatever a compiler or a package says is the answer
            there.pop(name, None)
            missing[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
    return there, missing


def seconds_of(there: dict[str, Run], tile: Array, repeats: int) -> dict[str, float]:
    """The least time of each, taken in turns."""
    least = dict.fromkeys(there, float("inf"))
    for _ in range(repeats):
        for name, run in there.items():
            started = time.process_time()
            run(tile)
            least[name] = min(least[name], time.process_time() - started)
    return least


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mr-3d")
    parser.add_argument("--size", type=int, default=96, help="side of the tile in voxels")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    noise = np.random.default_rng(0).standard_normal((arguments.size,) * 3)
    tile: Array = np.clip(ndimage.gaussian_filter(noise, 1.5) * 2 + 0.5, 0, 1).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        there, missing = ready(engines(arguments.model, tile, Path(folder), arguments.threads), tile)
        least = seconds_of(there, tile, arguments.repeats)
        exact = there["today, float32"](tile)
        largest = float(np.abs(exact - tile).max())
        print(f"{arguments.model}, {arguments.size}^3, {arguments.threads} thread(s), load {os.getloadavg()[0]:.1f}\n")
        print("| engine | CPU seconds | times as fast as today | largest difference | of the largest correction |")
        print("|---|---|---|---|---|")
        today = next(iter(least.values()))
        for name, seconds in least.items():
            apart = float(np.abs(there[name](tile) - exact).max())
            print(f"| {name} | {seconds:.2f} | {today / seconds:.2f} | {apart:.1e} | {100 * apart / largest:.2g} % |")
    for name, why in missing.items():
        print(f"\n{name} did not run: {why}")


if __name__ == "__main__":
    main()

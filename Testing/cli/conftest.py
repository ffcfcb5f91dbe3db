"""What the tests of the command line share: running it, phantoms, and a stand-in for shipped networks."""

import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from medsr import catalog
from medsr.cli.main import main


@dataclasses.dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def medsr(capsys):
    """Runs the command in this process; an error must be one line (a list may follow) without a traceback."""

    def run(*arguments):
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        if code in (130, 143):
            # The signal was meant for the tests: pass it on.
            os.kill(os.getpid(), code - 128)
        if "--debug" not in arguments:
            assert "Traceback" not in captured.err
        if code:
            assert captured.err.count("medsr: error: ") == 1
        return Ended(code, captured.out, captured.err)

    return run


@pytest.fixture
def medsr_process():
    """Starts the command as a process of its own, which Ctrl-C reaches even if the tests run in the background."""
    processes = []

    def start(*arguments, python_options=(), **settings):
        def take_signals():
            signal.signal(signal.SIGINT, signal.SIG_DFL)

        environment = {**os.environ, "OMP_NUM_THREADS": "1", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, *python_options, "-m", "medsr", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            preexec_fn=take_signals if os.name == "posix" else None,
            **settings,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def blobs(size_xyz=(24, 20, 12), seed=0):
    """Smooth random structure, int16 from 0 to about 1500."""
    array = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(size_xyz[::-1]), 1.5)
    return np.clip(array / array.std() * 250 + 500, 0, None).astype(np.int16)


@pytest.fixture
def a_volume(tmp_path):
    """Writes a phantom; `array` replaces its voxels, which are ``(z, y, x)``."""

    def write(name="in.nii.gz", array=None, spacing=(1.0, 1.0, 3.0), size_xyz=(24, 20, 12), direction=None):
        image = sitk.GetImageFromArray(blobs(size_xyz) if array is None else array)
        image.SetSpacing(spacing[: image.GetDimension()])
        if direction is not None:
            image.SetDirection(direction)
        path = tmp_path / name
        sitk.WriteImage(image, str(path))
        return path

    return write


@pytest.fixture
def a_network(tmp_path, monkeypatch):
    """Adds a network to the catalog, whose weights are `weights`; the checksum is theirs unless `sha256` is given."""
    bundles = tmp_path / "bundles"
    bundles.mkdir()
    monkeypatch.setattr(catalog, "BUNDLES", bundles)
    catalog.load_catalog.cache_clear()

    def add(name="sharp-net", dims=3, modalities=("MR",), weights=b"weights", sha256=None):
        folder = bundles / name
        (folder / "configs").mkdir(parents=True)
        (folder / "models").mkdir()
        (folder / "models" / "model.pt").write_bytes(weights)
        card = {
            "modalities": list(modalities),
            "spatial_dims": [dims],
            "network": {
                "architecture": "profile-refiner",
                "spatial_dims": dims,
                "options": {"channels": 8, "blocks": 1},
                "weights": 1000,
            },
            "halo": 9,
            "smoothness": 0.01,
            "gain": "+1.0 dB over tikhonov",
            "sha256": hashlib.sha256(weights).hexdigest() if sha256 is None else sha256,
        }
        metadata = {
            "name": name,
            "description": "A network for tests.",
            "version": "1.0",
            "copyright": "Apache-2.0",
            "data_source": "phantoms",
            "medsr": card,
        }
        (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
        catalog.load_catalog.cache_clear()
        return name

    yield add
    monkeypatch.undo()
    catalog.load_catalog.cache_clear()


@pytest.fixture
def a_recipe(tmp_path):
    """A recipe of a tiny network."""
    path = tmp_path / "tiny.json"
    options = {"channels": 8, "blocks": 1}
    network = {"architecture": "profile-refiner", "spatial_dims": 3, "options": options}
    path.write_text(json.dumps({"name": "tiny", "network": network}))
    return path

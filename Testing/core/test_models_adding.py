"""The page on adding a model is walked through: its network, its recipe, its training, its result."""

import json
import re
import textwrap
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

import numpy as np  # noqa: E402
import SimpleITK as sitk  # noqa: E402

from medsr.cli.main import main  # noqa: E402
from medsr.models import registry  # noqa: E402

pytestmark = pytest.mark.network

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "add-a-model.md"


def block(language):
    fence = re.compile(rf"^ *```{language}\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
    (found,) = fence.findall(PAGE.read_text(encoding="utf-8"))
    return textwrap.dedent(found)


@pytest.fixture
def with_espcn(monkeypatch, tmp_path):
    module = {"__name__": "medsr.models.espcn"}
    exec(block("python"), module)
    monkeypatch.setitem(registry.ARCHITECTURES, "espcn", module["ESPCN"])
    monkeypatch.chdir(tmp_path)
    return module["ESPCN"]


def test_the_network_of_the_page_looks_as_far_as_it_says(with_espcn):
    network = with_espcn(features=4).double()
    for parameter in network.parameters():
        parameter.data.uniform_(0.05, 0.1)
    coarse = torch.rand(1, 1, 15, 15, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(coarse)[0, 0, 28:32, 28:32].sum(), coarse)
    assert int((torch.nonzero(gradient[0, 0]) - 7).abs().max()) == network.halo == 4


def test_the_page_can_be_followed_to_its_end(with_espcn, tmp_path, capsys):
    Path("espcn.json").write_text(block("json"), encoding="utf-8")
    assert main(["train", "espcn.json", "--smoke", "--output", "espcn"]) == 0, capsys.readouterr().err
    image = sitk.GetImageFromArray(np.random.default_rng(0).random((3, 20, 20)).astype(np.float32) * 900)
    sitk.WriteImage(image, "brain.nii.gz")
    words = ["upscale", "brain.nii.gz", "fine.nii.gz", "--model", "espcn/bundle", "--modality", "MR"]
    assert main(words) == 0, capsys.readouterr().err
    assert sitk.ReadImage("fine.nii.gz").GetSize() == (80, 80, 3)
    capsys.readouterr()
    assert main(["models", "espcn/bundle"]) == 0
    shown = capsys.readouterr().out
    assert "espcn" in shown and "4 of its own" in shown
    metadata = json.loads(Path("espcn/bundle/configs/metadata.json").read_text())
    assert metadata["medsr"]["halo"] == 4

"""What the module adds to Slicer once the application is up: sample data and the entry of the Data tree's menu."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import slicer.util

from MedSRLib.Translation import tr as _

logger = logging.getLogger(__name__)

CATEGORY = "MedSR"
_HOME = "https://github.com/Slicer/SlicerTestingData/releases/download/SHA256/"
SAMPLES = (
    # name, SHA-256 (also the address), file, node
    ("MRHead", "cc211f0dfd9a05ca3841ce1141b292898b2dd2d3f08286affadf823a7e58df93", "MR-head.nrrd", "MRHead"),
    ("CTChest", "4507b664690840abb6cb9af2d919377ffc4ef75b167cb6fd0f747befdb12e38e", "CT-chest.nrrd", "CTChest"),
)
LICENCES = _(
    "Sample data: the phantom is computed on this computer and free for any use (CC0 1.0). MRHead and CTChest are "
    "those of Slicer's own Sample Data module, from the same place and under its terms."
)
_THICK = 4


def registerSampleData(iconsFolder: Path) -> None:
    """Add the volumes of the tutorial to the Sample Data module, where there is one."""
    try:
        import SampleData
    except ImportError:  # a custom application without it
        return
    logic = SampleData.SampleDataLogic
    if hasattr(logic, "registerCustomSampleDataCategory"):  # since 5.10
        logic.registerCustomSampleDataCategory(CATEGORY, title=_("MedSR"))
    logic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=_("MedSR phantom"),
        thumbnailFileName=str(iconsFolder / "MedSR.png"),
        customDownloader=makePhantom,
    )
    for name, digest, fileName, nodeName in SAMPLES:
        logic.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName=f"MedSR {name}",
            thumbnailFileName=str(iconsFolder / "MedSR.png"),
            uris=_HOME + digest,
            fileNames=fileName,
            checksums="SHA256:" + digest,
            nodeNames=nodeName,
        )


def makePhantom(_source: Any = None) -> slicer.vtkMRMLScalarVolumeNode:
    """A head of ellipsoids with folds, in axial slices four times as thick as the pixels; nothing is downloaded."""
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in (128, 192, 160)], indexing="ij")
    brain = (x / 0.72) ** 2 + (y / 0.82) ** 2 + (z / 0.80) ** 2
    folds = 0.75 + 0.13 * np.sin(17 * np.arctan2(y, x) + 3 * np.sin(11 * z)) * np.cos(9 * z + 2 * np.sin(5 * x))
    head = (x / 0.85) ** 2 + (y / 0.95) ** 2 + (z / 0.95) ** 2
    voxels = np.where(head < 1, 620.0, 0.0)
    voxels[(brain < 1.12) & (head < 0.93)] = 120
    voxels[brain < 1] = 420
    voxels[brain < folds] = 760
    for side in (-1, 1):
        voxels[((x - 0.14 * side) / 0.09) ** 2 + ((y + 0.05) / 0.34) ** 2 + (z / 0.25) ** 2 < 1] = 90
    voxels += np.random.default_rng(1).normal(0, 8, voxels.shape) * (head < 1.1)
    thick = voxels.reshape(-1, _THICK, *voxels.shape[1:]).mean(axis=1)
    node = slicer.util.addVolumeFromArray(np.rint(thick).astype(np.int16), name=_("MedSR phantom"))
    node.SetSpacing(1, 1, _THICK)
    # Rows run to the back and columns to the left, as in a transversal MR series.
    node.SetIJKToRASDirections(-1, 0, 0, 0, -1, 0, 0, 0, 1)
    node.SetOrigin(80, 96, -64)
    node.GetDisplayNode().SetAutoWindowLevel(False)
    node.GetDisplayNode().SetWindowLevel(900, 430)
    return node


def registerDataTreeAction() -> bool:
    """Add "Super-resolve..." to the menu of volumes in the Data tree; False, silently, where there are no plug-ins."""
    if not hasattr(slicer, "qSlicerSubjectHierarchyScriptedPlugin"):
        return False
    plugin = slicer.qSlicerSubjectHierarchyScriptedPlugin(None)
    plugin.setPythonSource(str(Path(__file__).with_name("MedSRSubjectHierarchyPlugin.py")))
    return True

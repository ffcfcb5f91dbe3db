"""What the module adds to Slicer once the application is up: sample data and the entry of the Data tree's menu."""

from __future__ import annotations

import logging
from pathlib import Path

import slicer

from MedSRLib.Translation import tr as _

logger = logging.getLogger(__name__)

CATEGORY = "MedSR"
_HOME = "https://github.com/Slicer/SlicerTestingData/releases/download/SHA256/"
SAMPLES = (
    # name, SHA-256 (also the address), file, node
    ("MRHead", "cc211f0dfd9a05ca3841ce1141b292898b2dd2d3f08286affadf823a7e58df93", "MR-head.nrrd", "MRHead"),
    ("CTChest", "4507b664690840abb6cb9af2d919377ffc4ef75b167cb6fd0f747befdb12e38e", "CT-chest.nrrd", "CTChest"),
)


def registerSampleData(iconsFolder: Path) -> None:
    """Add the volumes of the tutorial to the Sample Data module, where there is one."""
    try:
        import SampleData
    except ImportError:  # a custom application without it
        return
    logic = SampleData.SampleDataLogic
    if hasattr(logic, "registerCustomSampleDataCategory"):  # since 5.10
        logic.registerCustomSampleDataCategory(CATEGORY, title=_("MedSR"))
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


def registerDataTreeAction() -> bool:
    """Add "Super-resolve..." to the menu of volumes in the Data tree; False, silently, where there are no plug-ins."""
    if not hasattr(slicer, "qSlicerSubjectHierarchyScriptedPlugin"):
        return False
    plugin = slicer.qSlicerSubjectHierarchyScriptedPlugin(None)
    plugin.setPythonSource(str(Path(__file__).with_name("MedSRSubjectHierarchyPlugin.py")))
    return True

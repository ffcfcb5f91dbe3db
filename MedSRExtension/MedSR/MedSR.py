"""The MedSR module of 3D Slicer: choose a volume, click, compare."""

from __future__ import annotations

import sys
import unittest
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

from MedSRLib import Startup
from MedSRLib.Arguments import atTheConsole
from MedSRLib.Connectors import showTips
from MedSRLib.Parameter import MedSRParameterNode, choices, forgetUnknown
from MedSRLib.SceneJob import SceneJob
from MedSRLib.SeriesChecker import CheckJob
from MedSRLib.TrainingJob import TrainingJob

__all__ = ["MedSR", "MedSRLogic", "MedSRParameterNode", "MedSRTest", "MedSRWidget"]

RESOURCES = Path(__file__).resolve().parent / "Resources"


class MedSR(ScriptedLoadableModule):
    """What Slicer shows about the module."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = "MedSR"
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Filtering")]
        self.parent.dependencies = []
        self.parent.contributors = ["The MedSR contributors"]
        self.parent.helpText = _(
            "Super-resolution of MR and CT volumes: choose a volume and a target, click Super-resolve, compare. "
            'See the <a href="https://github.com/medsr/SlicerMedSR">documentation</a>. '
            "Not a medical device, not for clinical decisions."
        )
        licence = _("MedSR is free software under the Apache licence, version 2.0.")
        self.parent.acknowledgementText = f"{licence} {Startup.LICENCES}"
        slicer.app.connect("startupCompleted()", onStartupCompleted)


def onStartupCompleted() -> None:
    """Add sample data and the entry of the Data tree's menu."""
    Startup.registerSampleData(RESOURCES / "Icons")
    Startup.registerDataTreeAction()


class MedSRWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel; its parts are in MedSRLib."""

    def __init__(self, parent: Any = None) -> None:
        self.logic: Any = None
        self.panel: Any = None
        self._parameterNode: Any = None
        self._guiTag: Any = None
        self._guiObservers: list[int] = []
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)

    def setup(self) -> None:
        """Build the panel; called once, before it is shown first."""
        from MedSRLib.Panel import Panel

        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/MedSR.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = MedSRLogic()
        self.panel = Panel(self.ui, self.logic)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndSaveEvent, self.logic.writeSidecars)
        self.initializeParameterNode()

    def cleanup(self) -> None:
        """Stop everything: the application closes or the module is reloaded."""
        self.setParameterNode(None)
        self.removeObservers()
        if self.panel is not None:
            self.panel.close()
        if self.logic is not None:
            self.logic.shutdown()

    def enter(self) -> None:
        """The person opens the module."""
        self.initializeParameterNode()

    def exit(self) -> None:
        """The person opens another module; a running job goes on."""
        if self._parameterNode:
            self._untie()
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersChanged)
            self._parameterNode = None

    def onSceneStartClose(self, caller: Any, event: str) -> None:
        """The scene and its parameters are about to go."""
        self.logic.cancelAll(_("The scene was closed."))
        self.setParameterNode(None)
        self.panel.forgetScene()

    def onSceneEndClose(self, caller: Any, event: str) -> None:
        """Start anew in the empty scene."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneEndImport(self, caller: Any, event: str) -> None:
        """A scene was loaded: its parameters replace those before, and its results can be compared."""
        self.logic.adoptFiles()
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self) -> None:
        """Take the parameters of the scene; choose the first image when none is chosen."""
        from MedSRLib import SceneIO

        self.setParameterNode(self.logic.getParameterNode())
        if not self._parameterNode.inputVolume:
            node = next(filter(SceneIO.isImage, slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")), None)
            if node:
                self.setInputVolume(node)

    def setInputVolume(self, node: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Choose the volume to super-resolve, as a click in the Data tree does."""
        if self._parameterNode is None:
            self.initializeParameterNode()
        self._parameterNode.inputVolume = node

    def setParameterNode(self, parameterNode: MedSRParameterNode | None) -> None:
        """Show and observe these parameters instead of the ones before."""
        if self._parameterNode:
            self._untie()
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersChanged)
        self._parameterNode = parameterNode
        if parameterNode:
            self._tie(parameterNode)
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersChanged)
        self._onParametersChanged()

    def _tie(self, parameterNode: Any) -> None:
        """Tie the widgets to their parameters.

        Before Slicer 5.12, `connectGui` gives no tag, so that nothing can be disconnected, and the observer that ties
        them stays: it keeps the wrapper until Python collects garbage, which crashes in the middle of a change of the
        node. So what is observed is noted here.
        """
        widgets, add = self._boundWidgets(), parameterNode.AddObserver

        def noted(*arguments: Any) -> int:
            tag: int = add(*arguments)
            self._guiObservers.append(tag)
            return tag

        parameterNode.AddObserver = noted
        try:
            self._guiTag = parameterNode.connectParametersToGui({**widgets, **self.panel.connectors})
        finally:
            del parameterNode.AddObserver
        for name, kind in choices().items():
            showTips(widgets[name], [choice.tip for choice in kind])

    def _untie(self) -> None:
        """Let go of the widgets."""
        self._parameterNode.disconnectGui(self._guiTag)
        for tag in self._guiObservers:
            self._parameterNode.RemoveObserver(tag)
        self._guiTag, self._guiObservers = None, []

    def _boundWidgets(self) -> dict[str, Any]:
        """Parameter -> widget, as the .ui file says."""
        bound = {widget.property("SlicerParameterName"): widget for widget in vars(self.ui).values()}
        return {str(name): widget for name, widget in bound.items() if name}

    def onReload(self) -> None:
        """Reload the parts too, for developers."""
        for name in [name for name in sys.modules if name.partition(".")[0] == "MedSRLib"]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def _onParametersChanged(self, caller: Any = None, event: Any = None) -> None:
        if self.panel is not None:
            self.panel.setParameters(self._parameterNode)


class MedSRLogic(ScriptedLoadableModuleLogic):
    """Super-resolution from Python.

    Example:
        >>> logic = slicer.util.getModuleLogic("MedSR")
        >>> sharp = logic.superResolve(slicer.util.getNode("MRHead"), scale=2)
        >>> job = logic.start(volumeNode, spacing=(1, 1, 1), completed=lambda job: print(job.output))
    """

    def __init__(self) -> None:
        from MedSRLib.InstallLogic import InstallLogic
        from MedSRLib.Provenance import SidecarKeeper
        from MedSRLib.QtPump import QtPump
        from MedSRLib.SeriesChecker import SeriesChecker
        from MedSRLib.SeriesSaver import SeriesSaver
        from MedSRLib.StackFuser import StackFuser
        from MedSRLib.SuperResolver import SuperResolver
        from MedSRLib.Timing import Timing
        from MedSRLib.TrainingSetMaker import TrainingSetMaker
        from MedSRLib.VolumeQueue import VolumeQueue

        ScriptedLoadableModuleLogic.__init__(self)
        self.installLogic = InstallLogic(
            RESOURCES / "requirements.txt", slicer.util.confirmYesNoDisplay, isTesting=slicer.app.testingEnabled
        )
        self.resolver = SuperResolver(
            QtPump(), slicer.app.processEvents, prepare=self._installIfNeeded, timing=Timing(slicer.app.settings())
        )
        self.queue = VolumeQueue(self.resolver.start)
        self.trainingSets = TrainingSetMaker(
            QtPump(), self._startWorker, slicer.app.processEvents, prepare=self._installForRecipes
        )
        self.seriesSaver = SeriesSaver(QtPump(), self._startWorker, slicer.app.processEvents)
        self.seriesChecker = SeriesChecker(QtPump(), self._startWorker, slicer.app.processEvents)
        self.stackFuser = StackFuser(
            QtPump(), self._startWorker, slicer.app.processEvents, prepare=self._installForFusion
        )
        self._keeper = SidecarKeeper()
        self._keeperPump = QtPump()
        self._keeperPump.start(self.writeSidecars, 3000)

    def getParameterNode(self) -> MedSRParameterNode:
        """The parameters of this scene."""
        node = ScriptedLoadableModuleLogic.getParameterNode(self)
        forgetUnknown(node)
        return MedSRParameterNode(node)

    @atTheConsole
    def superResolve(
        self, volumeNode: slicer.vtkMRMLScalarVolumeNode, **arguments: Any
    ) -> slicer.vtkMRMLScalarVolumeNode:
        """Super-resolve a volume and wait, with the application alive; see `SuperResolver.start` for the arguments.

        Raises:
            MedSRLib.Errors.ModuleError: the job failed or was cancelled; the text says why.
            medsr.errors.MedSRError: options that make no sense.
        """
        return self.resolver.superResolve(volumeNode, **arguments)

    @atTheConsole
    def start(self, volumeNode: slicer.vtkMRMLScalarVolumeNode, **arguments: Any) -> SceneJob:
        """Start super-resolving a volume and return the job at once; see `SuperResolver.start` for the arguments."""
        return self.resolver.start(volumeNode, **arguments)

    @atTheConsole
    def saveAsDicom(self, resultNode: slicer.vtkMRMLScalarVolumeNode, folder: str) -> str:
        """Save a result as a series derived from the one that its input was loaded from, and wait.

        Args:
            resultNode: a result of this module.
            folder: where to; a folder that holds something gets a new one in it.

        Returns:
            The folder of the series.

        Raises:
            MedSRLib.Errors.ModuleError: it was not saved, and nothing was written; the text says why.
        """
        return str(self.seriesSaver.save(resultNode, folder))

    @atTheConsole
    def checkAgainst(
        self, resultNode: slicer.vtkMRMLScalarVolumeNode, againstNode: slicer.vtkMRMLScalarVolumeNode
    ) -> CheckJob:
        """Check a result against another series of the patient, and wait.

        Args:
            resultNode: a result of this module.
            againstNode: the other series.

        Returns:
            The job, done: ``report``, and ``output``, a map of what is confirmed.

        Raises:
            MedSRLib.Errors.ModuleError: nothing can be said; the text says why.
        """
        return self.seriesChecker.check(resultNode, againstNode)

    @atTheConsole
    def measureSegments(
        self, resultNode: slicer.vtkMRMLScalarVolumeNode, segmentationNode: slicer.vtkMRMLSegmentationNode
    ) -> slicer.vtkMRMLTableNode:
        """Volume (ml) and mean of every segment, with intervals that follow from the error map of the result.

        Args:
            resultNode: a result of this module, made with the map "error".
            segmentationNode: drawn on it.

        Returns:
            The table, whose description has the sentences; measuring the same two again fills it anew.

        Raises:
            MedSRLib.Errors.ModuleError: they cannot be measured; the text says why.
        """
        from MedSRLib.SegmentMeasures import measure

        return measure(resultNode, segmentationNode).table

    @atTheConsole
    def fuse(self, nodes: Sequence[slicer.vtkMRMLScalarVolumeNode], **arguments: Any) -> slicer.vtkMRMLScalarVolumeNode:
        """Fuse stacks of one sitting into one isotropic volume, and wait; see `StackFuser.start` for the arguments.

        Args:
            nodes: two or more volumes; the first gives field and orientation.
            **arguments: ``networks=True``, ``spacing=0.8``, ``name="Fused"``, ...

        Raises:
            MedSRLib.Errors.ModuleError: they were not fused; the text says why.
            medsr.errors.MedSRError: options that make no sense.
        """
        return self.stackFuser.fuse(nodes, **arguments)

    @atTheConsole
    def makeTrainingSet(self, source: Any, output: str, **arguments: Any) -> TrainingJob:
        """Make a training set and wait, with the application alive; see `TrainingSetMaker.start` for the arguments.

        Args:
            source: pairs of a volume node and a segmentation node, or the path of a dataset.
            output: folder of the new training set.
            **arguments: ``recipes``, ``per_image``, ``seed``, ``format``, ...

        Raises:
            MedSRLib.Errors.ModuleError: the job failed or was cancelled; the text says why.
            medsr.errors.MedSRError: options that make no sense.
        """
        return self.trainingSets.make(source, output, **arguments)

    @atTheConsole
    def checkTrainingSet(self, source: Any, output: str, **arguments: Any) -> dict[str, Any]:
        """What `makeTrainingSet` would make, and what is wrong with the pairs; nothing is written."""
        return self.trainingSets.make(source, output, check=True, **arguments).report

    @atTheConsole
    def startTrainingSet(self, source: Any, output: str, **arguments: Any) -> TrainingJob:
        """Start making a training set; see `TrainingSetMaker.start` for the arguments."""
        return self.trainingSets.start(source, output, **arguments)

    def cancelAll(self, reason: str = "") -> None:
        """Cancel every super-resolution that runs or waits; a training set needs the scene no more and goes on."""
        self.queue.cancel(reason)
        self.resolver.cancelAll(reason)

    def shutdown(self) -> None:
        """Cancel everything and end the worker process."""
        self._keeperPump.stop()
        self.queue.clear()
        self.resolver.shutdown()
        self.trainingSets.shutdown()
        self.seriesSaver.shutdown()
        self.seriesChecker.shutdown()
        self.stackFuser.shutdown()

    def adoptFiles(self) -> None:
        """Take the files of the results in the scene as loaded, not as saved: no report is written beside them."""
        self._keeper.adopt(slicer.mrmlScene)

    def writeSidecars(self, *_arguments: Any) -> None:
        """Write the reports beside the results that the person saved."""
        if slicer.mrmlScene is not None:
            self._keeper.check(slicer.mrmlScene)

    def _installIfNeeded(self, plan: Any) -> None:
        if plan.packages and not self.resolver.usesAnotherPython:
            self.installLogic.ensure(plan.entry.name, plan.packages)

    def _installForRecipes(self, spec: Any) -> None:
        from MedSRLib.InstallLogic import recipesNeedTorch

        if not self.resolver.usesAnotherPython and recipesNeedTorch(spec.recipes, spec.model):
            self.installLogic.ensure(", ".join(spec.recipes), instead=_("choose a recipe with bspline in its name"))

    def _installForFusion(self) -> None:
        if not self.resolver.usesAnotherPython:
            self.installLogic.ensure(_("Fusing with networks"), instead=_("fuse without networks"))

    def _startWorker(self) -> Any:
        from MedSRLib.Environment import chosenInterpreter

        return chosenInterpreter(self.resolver.interpreterPath).startWorker()


class MedSRTest(ScriptedLoadableModuleTest):
    """The self test: a real super-resolution in a real Slicer."""

    def setUp(self) -> None:
        """Start from an empty scene, with a logic of its own: test runners call this, one test, and `tearDown`."""
        slicer.mrmlScene.Clear()
        self.logic = MedSRLogic()

    def tearDown(self) -> None:
        """End the worker."""
        self.logic.shutdown()

    def runTest(self) -> None:
        """Run all tests, as the button of the developer mode does."""
        for test in (
            self.test_Physics, self.test_ShippedNetwork, self.test_Cancel, self.test_Segments, self.test_Stacks,
            self.test_TrainingSet,
        ):  # fmt: skip
            self.setUp()
            try:
                test()
            except unittest.SkipTest as why:
                self.delayDisplay(f"Left out: {why}")
            finally:
                self.tearDown()

    def test_Physics(self) -> None:
        """Interpolation and Tikhonov, which need nothing installed: finer grid, same place."""
        for model in ("linear", "tikhonov"):
            self.delayDisplay(f"Super-resolving with {model}")
            volume = self._makeVolume()
            sharp = self.logic.superResolve(volume, scale=2, model=model)
            self.assertEqual(sharp.GetImageData().GetDimensions(), (48, 40, 24))
            before, after = [0.0] * 6, [0.0] * 6
            volume.GetRASBounds(before)
            sharp.GetRASBounds(after)
            for a, b in zip(before, after):
                self.assertAlmostEqual(a, b, places=4)
            self.assertEqual(sharp.GetAttribute("MedSR.model"), model)

    def test_ShippedNetwork(self) -> None:
        """The network that comes with the module, where PyTorch is installed."""
        import importlib.util

        from MedSRLib.CorePath import ensureCore

        ensureCore()
        from medsr.catalog import load_catalog

        names = [entry.name for entry in load_catalog().values() if entry.needs_torch and "MR" in entry.modalities]
        isThere = self.logic.resolver.usesAnotherPython or importlib.util.find_spec("torch") is not None
        if not names or not isThere:
            self.skipTest("PyTorch or the network is not installed")
        self.delayDisplay(f"Super-resolving with {names[0]}")
        sharp = self.logic.superResolve(self._makeVolume(), scale=2, model=names[0], modality="MR")
        self.assertEqual(sharp.GetAttribute("MedSR.model"), names[0])

    def test_Cancel(self) -> None:
        """A cancelled job leaves the scene as it was."""
        volume = self._makeVolume()
        count = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
        job = self.logic.start(volume, scale=4, model="lanczos")
        job.cancel()
        self.assertEqual(job.state, "cancelled")
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode"), count)

    def test_Segments(self) -> None:
        """Segments of a result have a volume with an interval."""
        sharp = self.logic.superResolve(self._makeVolume(), scale=2, model="tikhonov", modality="MR", maps="error")
        table = self.logic.measureSegments(sharp, self._makeBall(sharp))
        volume, low, high = (table.GetTable().GetColumn(column).GetValue(0) for column in (1, 2, 3))
        self.assertAlmostEqual(volume, 0.905, delta=0.03)  # a ball of 6 mm radius
        self.assertTrue(low < volume < high)

    def test_Stacks(self) -> None:
        """Two stacks that cross become one isotropic volume."""
        import numpy as np

        z, y, x = np.indices((32, 32, 32))
        head = 300 + 100 * np.sin(x / 3 + y / 5) * np.cos(y / 4 - z / 6) * np.sin(z / 3.5)
        axial = slicer.util.addVolumeFromArray(head.reshape(8, 4, 32, 32).mean(axis=1), name="MedSRTestAxial")
        sagittal = slicer.util.addVolumeFromArray(head.reshape(32, 32, 8, 4).mean(axis=3), name="MedSRTestSagittal")
        for node, spacing, origin in ((axial, (1, 1, 4), (0, 0, 1.5)), (sagittal, (4, 1, 1), (1.5, 0, 0))):
            node.SetSpacing(*spacing)
            node.SetOrigin(*origin)
        fused = self.logic.fuse([axial, sagittal])
        self.assertEqual(fused.GetImageData().GetDimensions(), (32, 32, 32))
        error = slicer.util.arrayFromVolume(fused)[4:-4, 4:-4, 4:-4] - head[4:-4, 4:-4, 4:-4]
        self.assertLess(np.sqrt(np.mean(error**2)), 15)

    def test_TrainingSet(self) -> None:
        """A volume and a segmentation become a training set on disk, and the scene stays as it is."""
        import tempfile

        volume = self._makeVolume()
        segmentation = self._makeBall(volume)
        count = slicer.mrmlScene.GetNumberOfNodes()
        with tempfile.TemporaryDirectory() as folder:
            job = self.logic.makeTrainingSet([(volume, segmentation)], folder, recipes="bspline-x2")
            self.assertEqual((job.report["made"], job.report["failed"]), (1, []))
            self.assertTrue(job.page is not None and job.page.is_file())
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), count)

    @staticmethod
    def _makeBall(volume: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLSegmentationNode:
        bounds = [0.0] * 6
        volume.GetRASBounds(bounds)
        ball = vtk.vtkSphereSource()
        ball.SetCenter(*[(bounds[2 * axis] + bounds[2 * axis + 1]) / 2 for axis in range(3)])
        ball.SetRadius(6)
        ball.SetThetaResolution(32)
        ball.SetPhiResolution(32)
        ball.Update()
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "MedSRTestLabels")
        segmentation.CreateDefaultDisplayNodes()  # without one, Slicer's lists log errors
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        segmentation.AddSegmentFromClosedSurfaceRepresentation(ball.GetOutput(), "Ball", [1, 0, 0])
        return segmentation

    @staticmethod
    def _makeVolume() -> slicer.vtkMRMLScalarVolumeNode:
        import numpy as np

        z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in (12, 20, 24)], indexing="ij")
        array = 500 * np.exp(-2 * (x**2 + y**2 + z**2)) + 80 * (np.sin(7 * x) > 0) + 5 * np.cos(40 * y * z)
        node = slicer.util.addVolumeFromArray(array.astype(np.int16), name="MedSRTest")
        node.SetSpacing(0.8, 0.9, 2.5)
        node.SetOrigin(-10, 20, 30)
        return node

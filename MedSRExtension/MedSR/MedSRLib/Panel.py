"""What the panel does: shows the parameters, previews the job, runs it, offers the comparison.

Widgets are tied to the parameter node by their ``SlicerParameterName``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ctk
import qt
import slicer
import slicer.util
import vtk

from MedSRLib import Choices, Maps, Parameter, Provenance, SceneIO
from MedSRLib.BatchPanel import BatchPanel
from MedSRLib.Choices import SliceAxis, Target
from MedSRLib.Connectors import ListConnector, PathConnector
from MedSRLib.FusePanel import FusePanel
from MedSRLib.Line import Line
from MedSRLib.MapBoxes import MapBoxes
from MedSRLib.Preview import InputFacts, Previewer
from MedSRLib.PreviewView import PreviewView
from MedSRLib.Report import doneText
from MedSRLib.ResultView import ResultView
from MedSRLib.RunView import RunView
from MedSRLib.SceneJob import SceneJob
from MedSRLib.Sequences import framesOf
from MedSRLib.TrainingPanel import TrainingPanel
from MedSRLib.Translation import tr as _

_PREVIEW_DELAY_MS = 120


class Panel:
    """The behaviour of the panel's widgets.

    Args:
        ui: the widgets by name.
        logic: `MedSRLogic`, or anything with its ``resolver``, ``queue``, ``seriesSaver``, ``seriesChecker``,
            ``stackFuser``, ``trainingSets`` and ``installLogic``.
    """

    def __init__(self, ui: Any, logic: Any) -> None:
        self.ui = ui
        self.logic = logic
        self.job: SceneJob | None = None
        self._parameters: Any = None
        self._made: Any = None
        self._suggestedFor = ""
        self._suggestedTarget: Target | None = None
        self._observed: tuple[Any, list[int]] = (None, [])
        self._why = ""
        previewer = Previewer(logic.resolver.planner, logic.resolver.expectedSeconds)
        self.view = PreviewView(ui, previewer, self._installHint)
        self.runView = RunView(ui, ui.applyButton, ui.progressBar, Line(ui.statusLabel), doneText)
        self.resultView = ResultView(ui, self._whatToCompare, self._setFade, logic.seriesSaver, logic.seriesChecker)
        self.fuse = FusePanel(ui, logic.stackFuser, lambda job: self._showMade(job.inputs[0], job.output))
        self.batch = BatchPanel(ui, logic.queue, previewer, self.resultView.update)
        self.training = TrainingPanel(ui, logic)
        self.mapBoxes = MapBoxes(ui.mapsWidget, ui.outputSelector, _declaredMaps())
        self.connectors = self._makeConnectors()
        self._previewTimer = qt.QTimer()
        self._previewTimer.setSingleShot(True)
        self._previewTimer.timeout.connect(self.updatePreview)
        ui.applyButton.clicked.connect(self.onApply)

    def close(self) -> None:
        """Let go of everything that could call back."""
        self._previewTimer.stop()
        self._parameters = None
        self._observe(None)
        self.resultView.close()
        self.batch.close()
        self.training.close()

    def setParameters(self, parameters: Any) -> None:
        """Show these parameters; None while the scene is being closed."""
        self._parameters = parameters
        for part in (self.batch, self.fuse, self.resultView.measure):
            part.setParameters(parameters)
        self.training.setParameters(parameters)
        if parameters is None:
            self._previewTimer.stop()
            self._observe(None)
            self._suggestedFor = ""
            return
        self._observe(parameters.inputVolume)
        self.logic.resolver.interpreterPath = parameters.interpreterPath
        self.logic.resolver.runner.keepWarm = parameters.keepWarm
        self.logic.installLogic.wheelFolder = parameters.wheelFolder
        self._showNeededControls()
        self._updateInput()
        self.resultView.update(parameters.fade)
        # Typing a number changes it many times; the plan is made once it rests.
        self._previewTimer.start(_PREVIEW_DELAY_MS)
        self._updateApply()

    def forgetScene(self) -> None:
        """Say nothing more of a scene that was closed."""
        self.job = self._made = None
        self.runView.reset()
        self.batch.forgetScene()
        self.fuse.forgetScene()

    def _observe(self, node: Any) -> None:
        """Look again when the voxels or the grid of the input change, which its selector does not tell."""
        if node is self._observed[0]:
            return
        before, tags = self._observed
        if before is not None:
            for tag in tags:
                before.RemoveObserver(tag)
        events = (vtk.vtkCommand.ModifiedEvent, slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent)
        self._observed = (node, [node.AddObserver(event, self._onInputModified) for event in events] if node else [])

    def _onInputModified(self, *_arguments: Any) -> None:
        if self._parameters is not None:
            self._previewTimer.start(_PREVIEW_DELAY_MS)

    # -- what the volume is and what will come out -----------------------------------------------------------------

    def _updateInput(self) -> None:
        """Describe the input when it is another one, or when its voxels have changed."""
        node = self._parameters.inputVolume
        if self.view.showInput(node) and self.view.facts and self._suggestedFor != node.GetID():
            isOther, self._suggestedFor = bool(self._suggestedFor), node.GetID()
            self._suggest(self.view.facts, isOther)

    def _suggest(self, facts: InputFacts, isOther: bool) -> None:
        """Start values that fit a newly chosen input; what the person chose on purpose stays.

        A slice thickness does not, where another input was chosen before: it was that of the other one.
        """
        parameters = self._parameters
        targets = (Target.ISOTROPIC, Target.TWICE)
        fitting = Target.TWICE if facts.isIsotropic else Target.ISOTROPIC
        fitting = Target.TWICE_IN_PLANE if facts.isOneSlice else fitting
        with slicer.util.NodeModify(parameters.parameterNode):
            unfit = targets if facts.isOneSlice else targets[:1] if facts.isIsotropic else ()
            if parameters.target in unfit:
                parameters.target = self._suggestedTarget = fitting
            elif self._suggestedTarget and parameters.target == self._suggestedTarget:
                parameters.target = fitting
                self._suggestedTarget = None if fitting == Target.ISOTROPIC else fitting
            if parameters.target != Target.SPACING:
                finest = max(0.05, min(facts.spacing))
                parameters.spacingX = parameters.spacingY = parameters.spacingZ = round(finest, 3)
            if isOther:
                parameters.sliceThickness = 0.0

    def updatePreview(self) -> None:
        """Say what the job will make, before the click; or why it cannot be done."""
        parameters = self._parameters
        if parameters is None:
            return
        self._updateInput()
        node = parameters.inputVolume
        if node is None or self.view.facts is None:
            self._why = _("Choose a volume first") if node is None else self.view.problem
            self.view.showNoPlan()
        elif parameters.target == Target.REFERENCE and parameters.referenceVolume is None:
            self._why = _("Choose the volume whose grid the result takes.")
            self.view.showNoPlan(self._why)
        else:
            frames = self.view.facts.frames if parameters.allFrames else 0
            self._why = self.view.showPlan(node, self._options(), self._reference(), frames or 1)
        self.view.showModel(parameters.model)
        self.mapBoxes.forbid(self.view.plan.withoutMaps if self.view.plan else {})
        self._updateApply()

    def _installHint(self, packages: Sequence[str]) -> str:
        missing = [] if self.logic.resolver.usesAnotherPython else self.logic.installLogic.missing(packages)
        return _("The first run asks to install {packages}.").format(packages=", ".join(missing)) if missing else ""

    def _showNeededControls(self) -> None:
        target = self._parameters.target
        for widget in (self.ui.spacingLabel, self.ui.spacingWidget):
            widget.setVisible(target == Target.SPACING)
        for widget in (self.ui.referenceLabel, self.ui.referenceSelector):
            widget.setVisible(target == Target.REFERENCE)
        node = self._parameters.inputVolume
        isSequence = self._parameters.allFrames and framesOf(node) is not None
        self.ui.mapsWidget.setEnabled(not SceneIO.isColour(node) and not isSequence)
        self.ui.outputSelector.setEnabled(not isSequence)

    def _updateApply(self) -> None:
        button = self.ui.applyButton
        if self.isRunning:
            button.setEnabled(True)
            button.setToolTip(_("Stop the work; nothing is changed"))
            return
        plan = self.view.plan
        ready = self._parameters is not None and plan is not None and plan.fits
        button.setEnabled(ready)
        why = self._why or (plan.warnings[0] if plan and not plan.fits else "") or _("Choose a volume first")
        button.setToolTip(_("Make the volume sharper") if ready else why)

    # -- running ---------------------------------------------------------------------------------------------------

    @property
    def isRunning(self) -> bool:
        """True while the panel's job runs or waits."""
        return self.job is not None and not self.job.isFinished

    def onApply(self, *_arguments: Any) -> None:
        """Start the job; while it runs, cancel it."""
        if self.job is not None and self.isRunning:
            self.job.cancel()
            return
        parameters = self._parameters
        self.updatePreview()
        facts = self.view.facts
        if facts is None or self.view.plan is None:
            return
        self.job = None
        withoutMaps = self.view.plan.withoutMaps
        self.job = self.runView.start(
            _("Super-resolving {name}").format(name=parameters.inputVolume.GetName()),
            lambda: self.logic.resolver.start(
                parameters.inputVolume, reference=self._reference(), progress=self.onProgress,
                completed=self.onCompleted, **self._options(),
                **Parameter.outcomeOf(
                    parameters, parameters.outputVolume, facts.isColour, facts.frames > 0, withoutMaps
                ),
            ),
        )  # fmt: skip
        self._updateApply()

    def onProgress(self, job: SceneJob) -> None:
        """A step of the running job."""
        self.runView.showRunning(job)

    def onCompleted(self, job: SceneJob) -> None:
        """The job has ended, one way or the other."""
        self.runView.showEnd(job)
        if job.output is not None:
            if self._parameters is not None and self._parameters.outputVolume is not job.output:
                self._parameters.outputVolume = None
            self._showMade(job.input, job.output)
        if self._parameters is not None:
            self._previewTimer.start(_PREVIEW_DELAY_MS)  # the time to expect is known better now
        self._updateApply()

    def _showMade(self, source: Any, result: Any) -> None:
        self._made = result
        self.resultView.showResult(source, result)

    def _options(self) -> dict[str, Any]:
        return Parameter.optionsOf(self._parameters, self._sliceAxis())

    def _sliceAxis(self) -> str:
        axis, facts = self._parameters.sliceAxis, self.view.facts
        return axis.value if axis is not SliceAxis.AUTO else (facts.sliceAxis if facts else None) or ""

    def _reference(self) -> Any:
        return self._parameters.referenceVolume if self._parameters.target == Target.REFERENCE else None

    def _setFade(self, fade: float) -> None:
        if self._parameters is not None:
            self._parameters.fade = fade

    def _whatToCompare(self) -> tuple[Any, Any] | None:
        """Input and result to look at: of the chosen output or input, else the last result in the scene."""
        if self._parameters is None:
            return None
        chosen = self._parameters.inputVolume
        made = [node for node in _results() if chosen and node.GetNodeReference(Provenance.ROLE_INPUT) is chosen]
        for node in (self._made, self._parameters.outputVolume, chosen, *made, *_results()):
            if node is None or node.GetScene() is None:
                continue
            source = node.GetNodeReference(Provenance.ROLE_INPUT)
            if source is not None:
                return source, node
        return None

    def _makeConnectors(self) -> dict[str, Any]:
        """Parameter -> what ties it to its widget, where Slicer itself does not."""
        ui, paths = self.ui, ctk.ctkPathLineEdit
        return {
            "profile": ListConnector(ui.profileCombo, _entries(Choices.profileEntries, Choices.automaticProfile())),
            "model": ListConnector(ui.modelCombo, _entries(Choices.modelEntries, Choices.automaticModel())),
            "maps": self.mapBoxes,
            "interpreterPath": PathConnector(ui.interpreterLineEdit, paths.Files),
            "wheelFolder": PathConnector(ui.wheelLineEdit, paths.Dirs),
            **self.training.connectors,
        }


def _entries(
    entries: Callable[[], list[tuple[str, str, str]]], automatic: tuple[str, str, str]
) -> list[tuple[str, str, str]]:
    """Entries of the library; without it only the automatic one, so that the panel opens and says what is wrong."""
    from MedSRLib.CorePath import ensureCore

    try:
        ensureCore()
        return entries()
    except Exception as error:  # no library, an old Python, a damaged bundle
        return [(*automatic[:2], str(error))]


def _declaredMaps() -> Mapping[str, Any]:
    """The maps of the library; none without it."""
    try:
        return Maps.declared()
    except Exception:  # as above; the line about the volume says what is wrong
        return {}


def _results() -> list[Any]:
    return list(reversed(Provenance.resultsIn(slicer.mrmlScene)))

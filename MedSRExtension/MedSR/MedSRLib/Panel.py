"""What the panel does: shows the parameters, previews the job, runs it, offers the comparison.

Node selectors, numbers, texts and check boxes are bound to the parameter node by their ``SlicerParameterName``; combo
boxes by `ComboBinding`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
import slicer.util
import vtk

from MedSRLib import Choices, Parameter, Provenance
from MedSRLib.Messages import forPanel
from MedSRLib.Preview import InputFacts, PlanPreview, Previewer
from MedSRLib.Report import doneText
from MedSRLib.ResultView import ResultView
from MedSRLib.RunView import RunView
from MedSRLib.SceneJob import SceneJob
from MedSRLib.TrainingPanel import TrainingPanel
from MedSRLib.Translation import tr as _

_PREVIEW_DELAY_MS = 120
_WARNING_COLOUR = "#b45f06"


class Panel:
    """The behaviour of the panel's widgets.

    Args:
        ui: the widgets by name.
        logic: `MedSRLogic`, or anything with its ``start``, ``resolver`` and ``installLogic``.
    """

    def __init__(self, ui: Any, logic: Any) -> None:
        self.ui = ui
        self.logic = logic
        self.facts: InputFacts | None = None
        self.plan: PlanPreview | None = None
        self.job: SceneJob | None = None
        self._parameters: Any = None
        self._previewer = Previewer(logic.resolver.planner)
        self._previewedInput: str | None = None
        self._suggestedFor = ""
        self._suggestedTarget = ""
        self._observed: tuple[Any, list[int]] = (None, [])
        self._why = ""
        self.runView = RunView(ui, ui.applyButton, ui.progressBar, ui.statusLabel, doneText)
        self.resultView = ResultView(ui, self._whatToCompare)
        self.training = TrainingPanel(ui, logic)
        self._combos = self._bindCombos()
        self._previewTimer = qt.QTimer()
        self._previewTimer.setSingleShot(True)
        self._previewTimer.timeout.connect(self.updatePreview)
        ui.applyButton.clicked.connect(self.onApply)
        ui.interpreterButton.clicked.connect(self.onChooseInterpreter)
        ui.wheelButton.clicked.connect(self.onChooseWheelFolder)
        for label in (ui.inputWarningLabel, ui.previewWarningLabel):
            label.setStyleSheet(f"color: {_WARNING_COLOUR}")

    def close(self) -> None:
        """Let go of everything that could call back."""
        self._previewTimer.stop()
        self._parameters = None
        self._observe(None)
        self.resultView.close()
        self.training.close()

    def setParameters(self, parameters: Any) -> None:
        """Show these parameters; None while the scene is being closed."""
        self._parameters = parameters
        self.training.setParameters(parameters)
        if parameters is None:
            self._previewTimer.stop()
            self._observe(None)
            self._suggestedFor = ""
            return
        self._observe(parameters.inputVolume)
        for binding in self._combos:
            binding.show(parameters.getValue(binding.name))
        self.logic.resolver.interpreterPath = parameters.interpreterPath
        self.logic.resolver.runner.keepWarm = parameters.keepWarm
        self.logic.installLogic.wheelFolder = parameters.wheelFolder
        self._showNeededControls()
        self._updateInput()
        self.resultView.update(parameters.fade)
        # Typing a number changes it many times; the plan is made once it rests.
        self._previewTimer.start(_PREVIEW_DELAY_MS)
        self._updateApply()

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
        image = node.GetImageData() if node else None
        key = f"{node.GetID()} {image.GetMTime() if image else 0} {node.GetMTime()}" if node else ""
        if key == self._previewedInput:
            return
        self._previewedInput = key
        self.facts, problem = None, ""
        if node is not None:
            try:
                self.facts = self._previewer.inputFacts(node)
            except Exception as error:
                problem = forPanel(str(error))
        self.ui.inputInfoLabel.setText(self.facts.text if self.facts else _("Choose a volume.") if not node else "")
        warnings = "\n".join(self.facts.warnings) if self.facts else problem
        _showText(self.ui.inputWarningLabel, warnings)
        if self.facts and self._suggestedFor != node.GetID():
            isOther, self._suggestedFor = bool(self._suggestedFor), node.GetID()
            self._suggest(isOther)

    def _suggest(self, isOther: bool) -> None:
        """Start values that fit a newly chosen input; what the person chose on purpose stays.

        A slice thickness does not, where another input was chosen before: it was that of the other one.
        """
        parameters, facts = self._parameters, self.facts
        with slicer.util.NodeModify(parameters.parameterNode):
            if facts.isIsotropic and parameters.target == Parameter.ISOTROPIC:
                parameters.target = self._suggestedTarget = Parameter.TWICE
            elif not facts.isIsotropic and parameters.target == self._suggestedTarget == Parameter.TWICE:
                parameters.target, self._suggestedTarget = Parameter.ISOTROPIC, ""
            if parameters.target != Parameter.SPACING:
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
        self.plan, self._why = None, ""
        warnings = ""
        node = parameters.inputVolume
        if node is None or self.facts is None:
            self._why = _("Choose a volume first") if node is None else self.ui.inputWarningLabel.text
        elif parameters.target == Parameter.REFERENCE and parameters.referenceVolume is None:
            self._why = warnings = _("Choose the volume whose grid the result takes.")
        else:
            try:
                self.plan = self._previewer.preview(node, self._options(), self._reference())
                warnings = "\n".join(self.plan.warnings)
            except Exception as error:  # every problem of the preview is one that the click would have
                self._why = warnings = forPanel(str(error))
        _showText(self.ui.acquisitionLabel, self.plan.acquisition if self.plan else "")
        _showText(self.ui.previewLabel, self.plan.text if self.plan else "")
        _showText(self.ui.previewWarningLabel, warnings)
        self._showModel()
        self._updateApply()

    def _showModel(self) -> None:
        name = self._parameters.model
        try:
            text = Choices.modelText(name, self.plan.model if self.plan else "")
        except Exception as error:
            text = str(error)
        if self.plan and self.plan.why:
            text += " " + self.plan.why
        if self.plan and not self.logic.resolver.usesAnotherPython:
            missing = self.logic.installLogic.missing(self.plan.packages)
            if missing:
                text += " " + _("The first run asks to install {packages}.").format(packages=", ".join(missing))
        _showText(self.ui.modelInfoLabel, text)

    def _showNeededControls(self) -> None:
        target = self._parameters.target
        for widget in (self.ui.spacingLabel, self.ui.spacingWidget):
            widget.setVisible(target == Parameter.SPACING)
        for widget in (self.ui.referenceLabel, self.ui.referenceSelector):
            widget.setVisible(target == Parameter.REFERENCE)

    def _updateApply(self) -> None:
        button = self.ui.applyButton
        if self.isRunning:
            button.setEnabled(True)
            button.setToolTip(_("Stop the work; nothing is changed"))
            return
        ready = self._parameters is not None and self.plan is not None and self.plan.fits
        button.setEnabled(ready)
        button.setToolTip(_("Make the volume sharper") if ready else self._why or _("Choose a volume first"))

    # -- running ---------------------------------------------------------------------------------------------------

    @property
    def isRunning(self) -> bool:
        """True while the panel's job runs or waits."""
        return self.job is not None and not self.job.isFinished

    def onApply(self, *_arguments: Any) -> None:
        """Start the job; while it runs, cancel it."""
        if self.isRunning:
            self.job.cancel()
            return
        parameters = self._parameters
        self.updatePreview()
        if self.plan is None:
            return
        self.job = None
        self.runView.showStarting(_("Super-resolving {name}").format(name=parameters.inputVolume.GetName()))
        try:
            self.job = self.logic.start(
                parameters.inputVolume, output=parameters.outputVolume, maps=Parameter.mapsOf(parameters),
                reference=self._reference(), progress=self.onProgress, completed=self.onCompleted, **self._options(),
            )  # fmt: skip
        except Exception as error:
            self.runView.showFailure(error)
        else:
            if not self.job.isFinished:
                self.runView.showRunning(self.job)
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
            self.resultView.showResult(job.input, job.output)
        self._updateApply()

    def _options(self) -> dict[str, Any]:
        return Parameter.optionsOf(self._parameters, self._sliceAxis())

    def _sliceAxis(self) -> str:
        axis = self._parameters.sliceAxis
        return axis if axis in ("x", "y", "z") else (self.facts.sliceAxis if self.facts else None) or ""

    def _reference(self) -> Any:
        return self._parameters.referenceVolume if self._parameters.target == Parameter.REFERENCE else None

    def _whatToCompare(self) -> tuple[Any, Any] | None:
        """Input and result to look at: of the chosen output or input, else the last result in the scene."""
        if self._parameters is None:
            return None
        last = self.job.output if self.job is not None else None
        for node in (last, self._parameters.outputVolume, self._parameters.inputVolume, *_results()):
            if node is None or node.GetScene() is None:
                continue
            source = node.GetNodeReference(Provenance.ROLE_INPUT)
            if source is not None:
                return source, node
        return None

    # -- choosing paths --------------------------------------------------------------------------------------------

    def onChooseInterpreter(self, *_arguments: Any) -> None:
        """Ask for another Python."""
        path = qt.QFileDialog.getOpenFileName(self.ui.interpreterButton, _("A Python that has medsr"))
        self._take("interpreterPath", path)

    def onChooseWheelFolder(self, *_arguments: Any) -> None:
        """Ask for a folder of wheels."""
        path = qt.QFileDialog.getExistingDirectory(self.ui.wheelButton, _("Folder with wheels"))
        self._take("wheelFolder", path)

    def _take(self, name: str, path: Any) -> None:
        text = path[0] if isinstance(path, (tuple, list)) else path  # PySide and PythonQt differ
        if text and self._parameters is not None:
            self._parameters.setValue(name, str(text))

    # -- combo boxes -----------------------------------------------------------------------------------------------

    def _bindCombos(self) -> list[Choices.ComboBinding]:
        ui = self.ui
        boxes = [
            (ui.targetCombo, "target", Choices.targetEntries()),
            (ui.profileCombo, "profile", _fromLibrary(Choices.profileEntries, Choices.automaticProfile())),
            (ui.modelCombo, "model", _fromLibrary(Choices.modelEntries, Choices.automaticModel())),
            (ui.modeCombo, "mode", Choices.modeEntries()),
            (ui.modalityCombo, "modality", Choices.modalityEntries()),
            (ui.axisCombo, "sliceAxis", Choices.axisEntries()),
            (ui.deviceCombo, "device", Choices.deviceEntries()),
            (ui.precisionCombo, "precision", Choices.precisionEntries()),
        ]
        return [Choices.ComboBinding(combo, name, entries, self._chosen) for combo, name, entries in boxes]

    def _chosen(self, name: str, value: str) -> None:
        if self._parameters is not None:
            self._parameters.setValue(name, value)


def _fromLibrary(
    entries: Callable[[], list[tuple[str, str, str]]], automatic: tuple[str, str, str]
) -> list[tuple[str, str, str]]:
    """Entries of the library; without it only the automatic one, so that the panel opens and says what is wrong."""
    from MedSRLib.CorePath import ensureCore

    try:
        ensureCore()
        return entries()
    except Exception as error:  # no library, an old Python, a damaged bundle
        return [(*automatic[:2], str(error))]


def _results() -> list[Any]:
    return list(reversed(Provenance.resultsIn(slicer.mrmlScene)))


def _showText(label: Any, text: str) -> None:
    label.setText(text)
    label.setVisible(bool(text))

"""What the section "Training set" of the panel does: lists pairs, checks, makes, opens the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ctk
import qt
import slicer

from MedSRLib import Choices, Parameter
from MedSRLib.Choices import TrainingSource
from MedSRLib.Connectors import ListConnector, PathConnector
from MedSRLib.Messages import forPanel
from MedSRLib.RunView import RunView
from MedSRLib.SegmentLabels import FIRST, REFUSE, drawnOn
from MedSRLib.TrainingJob import TrainingJob
from MedSRLib.TrainingReport import doneText, pageIn
from MedSRLib.Translation import tr as _


class TrainingPanel:
    """The behaviour of the section's widgets.

    Args:
        ui: the widgets by name.
        logic: `MedSRLogic`, or anything with its ``trainingSets``.
    """

    def __init__(self, ui: Any, logic: Any) -> None:
        self.ui = ui
        self.logic = logic
        self.job: TrainingJob | None = None
        self._parameters: Any = None
        self._listed: list[tuple[Any, Any]] = []
        self._suggestedFor = ""
        self.runView = RunView(ui, ui.trainingApplyButton, ui.trainingProgressBar, ui.trainingStatusLabel, doneText)
        recipes, paths = _recipeEntries(), ctk.ctkPathLineEdit
        self._recipeTexts = {name: about for name, _text, about in recipes}
        self.connectors = {
            "trainingRecipe": ListConnector(ui.trainingRecipeCombo, recipes),
            "trainingFolder": PathConnector(ui.trainingFolderLineEdit, paths.Dirs),
            "trainingOutput": PathConnector(ui.trainingOutputLineEdit, paths.Dirs),
        }
        for button, slot in (
            (ui.trainingAddButton, self.onAdd),
            (ui.trainingRemoveButton, self.onRemove),
            (ui.trainingCheckButton, self.onCheck),
            (ui.trainingApplyButton, self.onApply),
            (ui.trainingReportButton, self.onReport),
        ):
            button.clicked.connect(slot)
        ui.trainingPairsList.currentRowChanged.connect(self._updateButtons)
        self._tag = slicer.mrmlScene.AddObserver(slicer.vtkMRMLScene.NodeRemovedEvent, self._onNodeRemoved)

    def close(self) -> None:
        """Let go of everything that could call back."""
        self._parameters = None
        slicer.mrmlScene.RemoveObserver(self._tag)

    def setParameters(self, parameters: Any) -> None:
        """Show these parameters; None while the scene is being closed."""
        self._parameters = parameters
        if parameters is None:
            return
        isScene = parameters.trainingSource is TrainingSource.SCENE
        self.ui.trainingPairsWidget.setVisible(isScene)
        for widget in (self.ui.trainingFolderLabel, self.ui.trainingFolderLineEdit):
            widget.setVisible(not isScene)
        self.ui.trainingRecipeInfoLabel.setText(self._recipeTexts.get(parameters.trainingRecipe, ""))
        self._suggestSegmentation()
        self._showPairs()
        self._updateButtons()

    # -- the list of pairs -----------------------------------------------------------------------------------------

    def onAdd(self, *_arguments: Any) -> None:
        """Put the chosen volume and segmentation on the list; a volume that is on it gets the other segmentation."""
        volume, segmentation = self._parameters.trainingVolume, self._parameters.trainingSegmentation
        others = [pair for pair in Parameter.pairsOf(self._parameters) if pair[0] is not volume]
        Parameter.setPairs(self._parameters, [*others, (volume, segmentation)])

    def onRemove(self, *_arguments: Any) -> None:
        """Take the chosen pair off the list."""
        row = self.ui.trainingPairsList.currentRow
        pairs = Parameter.pairsOf(self._parameters)
        Parameter.setPairs(self._parameters, pairs[:row] + pairs[row + 1 :])

    def _showPairs(self) -> None:
        pairs = Parameter.pairsOf(self._parameters)
        if pairs == self._listed:
            return
        self._listed = pairs
        names = self.ui.trainingPairsList
        row = names.currentRow
        names.clear()
        for volume, segmentation in pairs:
            names.addItem(f"{volume.GetName()}  +  {segmentation.GetName()}")
        names.setCurrentRow(min(max(row, 0), len(pairs) - 1))

    def _suggestSegmentation(self) -> None:
        """Choose the segmentation that was drawn on a newly chosen volume."""
        volume = self._parameters.trainingVolume
        if volume is None or volume.GetID() == self._suggestedFor:
            return
        node = drawnOn(volume)
        if node is not None:
            self._suggestedFor = volume.GetID()
            self._parameters.trainingSegmentation = node

    def _onNodeRemoved(self, *_arguments: Any) -> None:
        if self._parameters is not None and self._parameters.parameterNode.GetScene() is not None:
            self._showPairs()
            self._updateButtons()

    # -- running ---------------------------------------------------------------------------------------------------

    @property
    def isRunning(self) -> bool:
        """True while a training set is made or checked."""
        return self.job is not None and not self.job.isFinished

    def onCheck(self, *_arguments: Any) -> None:
        """Say what would be made, what it takes, and what is wrong."""
        self._start(_("Checking the training set"), check=True)

    def onApply(self, *_arguments: Any) -> None:
        """Make the training set; while that runs, cancel it."""
        if self.job is not None and self.isRunning:
            self.job.cancel()
            return
        self._start(_("Making the training set {folder}").format(folder=self._parameters.trainingOutput), check=False)

    def onReport(self, *_arguments: Any) -> None:
        """Open the page of pictures in the web browser."""
        page = self._page()
        if page is not None:
            qt.QDesktopServices.openUrl(qt.QUrl(page.absolute().as_uri()))

    def onProgress(self, job: TrainingJob) -> None:
        """A step of the running job."""
        self.job = job
        self.runView.showRunning(job)
        self._updateButtons()

    def onCompleted(self, job: TrainingJob) -> None:
        """The job has ended, one way or the other."""
        self.runView.showEnd(job)
        self._updateButtons()

    def _start(self, what: str, check: bool) -> None:
        self.job = None
        self.job = self.runView.start(
            what,
            lambda: self.logic.trainingSets.start(
                self._source(), self._parameters.trainingOutput, check=check, progress=self.onProgress,
                completed=self.onCompleted, **Parameter.trainingOptionsOf(self._parameters),
                overlap=FIRST if self._parameters.trainingFirstWins else REFUSE,
            ),
        )  # fmt: skip
        self._updateButtons()

    def _source(self) -> Any:
        if self._parameters.trainingSource is TrainingSource.SCENE:
            return Parameter.pairsOf(self._parameters)
        return self._parameters.trainingFolder

    def _page(self) -> Path | None:
        """The report of the chosen output folder, also one that was made another day."""
        folder = self._parameters.trainingOutput if self._parameters is not None else ""
        return pageIn(Path(folder).expanduser()) if folder else None

    def _updateButtons(self, *_arguments: Any) -> None:
        ui, parameters = self.ui, self._parameters
        if parameters is None:
            return
        ui.trainingAddButton.setEnabled(None not in (parameters.trainingVolume, parameters.trainingSegmentation))
        ui.trainingRemoveButton.setEnabled(ui.trainingPairsList.currentRow >= 0)
        ui.trainingReportButton.setEnabled(self._page() is not None)
        why = self._whyNot()
        ui.trainingCheckButton.setEnabled(not self.isRunning and not why)
        look = _("Look at every pair and say what would be made; nothing is written")
        ui.trainingCheckButton.setToolTip(_("Wait until the work is done") if self.isRunning else why or look)
        ui.trainingApplyButton.setEnabled(self.isRunning or not why)
        tip = _("Stop; copies that are complete stay, and the next run goes on from there")
        ui.trainingApplyButton.setToolTip(tip if self.isRunning else why or _("Make the copies"))

    def _whyNot(self) -> str:
        """What is still to be chosen; empty when all is."""
        if not self._source():
            isScene = self._parameters.trainingSource is TrainingSource.SCENE
            return _("Add a volume with its segmentation first") if isScene else _("Choose a dataset first")
        output = self._parameters.trainingOutput
        if not output:
            return _("Choose an output folder first")
        # Relative to what? Slicer's own folder is not what anybody means.
        isFull = Path(output).expanduser().is_absolute()
        return "" if isFull else _("Give the whole path of the output folder, or choose one with the button beside it")


def _recipeEntries() -> list[tuple[str, str, str]]:
    """The recipes; without the library only the default, so that the panel opens and says what is wrong."""
    from MedSRLib.CorePath import ensureCore

    try:
        ensureCore()
        return Choices.recipeEntries()
    except Exception as error:  # no library, an old Python, a damaged recipe
        return [("sr-x2", "sr-x2", forPanel(str(error)))]

"""What the section "Several volumes" of the panel does: the list, its start and its progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from MedSRLib import Parameter
from MedSRLib.Choices import Target
from MedSRLib.Job import DONE, FAILED, RUNNING
from MedSRLib.Line import ERROR, PLAIN, Line
from MedSRLib.Messages import forPanel
from MedSRLib.Preview import Previewer, timeText
from MedSRLib.Translation import tr as _
from MedSRLib.VolumeQueue import VolumeQueue, itemText, studyOf


class BatchPanel:
    """The behaviour of the section's widgets.

    Args:
        ui: the widgets by name.
        queue: the list; it goes on without the panel.
        previewer: looks at each volume when its turn comes.
        resultMade: called when there may be another result to compare.
    """

    def __init__(self, ui: Any, queue: VolumeQueue, previewer: Previewer, resultMade: Callable[[], None]) -> None:
        self.ui = ui
        self.queue = queue
        self._previewer = previewer
        self._resultMade = resultMade
        self._parameters: Any = None
        self._done = 0
        self._idleText = ui.batchApplyButton.text
        self._status = Line(ui.batchStatusLabel)
        ui.batchAddButton.clicked.connect(self.onAdd)
        ui.batchStudyButton.clicked.connect(self.onAddStudy)
        ui.batchRemoveButton.clicked.connect(self.onRemove)
        ui.batchApplyButton.clicked.connect(self.onApply)
        ui.batchList.currentRowChanged.connect(self._updateButtons)
        queue.changed = self.refresh
        self.refresh()

    def close(self) -> None:
        """Let go of everything that could call back."""
        self._parameters = None
        self.queue.changed = lambda: None

    def setParameters(self, parameters: Any) -> None:
        """Take choices from here; None while the scene is being closed."""
        self._parameters = parameters
        self._updateButtons()

    def forgetScene(self) -> None:
        """The scene is another one."""
        self.queue.clear()

    def onAdd(self, *_arguments: Any) -> None:
        """Put the chosen volume on the list."""
        self.queue.add([self._parameters.inputVolume])

    def onAddStudy(self, *_arguments: Any) -> None:
        """Put all volumes of its study on the list."""
        self.queue.add(studyOf(self._parameters.inputVolume))

    def onRemove(self, *_arguments: Any) -> None:
        """Take the chosen row off the list."""
        self.queue.remove(self.ui.batchList.currentRow)

    def onApply(self, *_arguments: Any) -> None:
        """Start the list; while it runs, stop it."""
        if self.queue.isRunning:
            self.queue.cancel()
            return
        chosen = Parameter.snapshot(self._parameters)
        self.queue.start(lambda node: self._argumentsFor(node, chosen))

    def refresh(self) -> None:
        """Show the list as it is."""
        names, items = self.ui.batchList, self.queue.items
        row = names.currentRow
        texts = [itemText(item) for item in items]
        if names.count != len(texts):
            names.clear()
            for text in texts:
                names.addItem(text)
            names.setCurrentRow(min(max(row, 0), len(texts) - 1))
        for index, (text, item) in enumerate(zip(texts, items)):
            names.item(index).setText(text)
            names.item(index).setToolTip(forPanel(item.why))
        self._showStatus()
        self._updateButtons()
        done = sum(item.state == DONE for item in items)
        if done > self._done:
            self._resultMade()
        self._done = done

    def _argumentsFor(self, node: Any, chosen: Any) -> dict[str, Any]:
        """The arguments of one volume; what fits one may not fit another, so it is decided for each."""
        facts = self._previewer.inputFacts(node)
        options = Parameter.optionsOf(chosen, facts.sliceAxis or "")
        if chosen.target == Target.REFERENCE:
            options["reference"] = chosen.referenceVolume
        elif facts.isOneSlice:
            options = {**options, **Parameter.inPlane(facts.sliceAxis or "z")}
        elif facts.isIsotropic and chosen.target == Target.ISOTROPIC:
            options = {**options, "isotropic": False, "scale": (2.0, 2.0, 2.0)}
        outcome = Parameter.outcomeOf(chosen, None, facts.isColour, facts.frames > 0)
        if outcome.get("maps"):  # the plan is kept, and taken over by the job
            given = {name: value for name, value in options.items() if name != "reference"}
            without = self._previewer.preview(node, given, options.get("reference")).withoutMaps
            outcome["maps"] = [name for name in outcome["maps"] if name not in without]
        return {**options, **outcome}

    def _showStatus(self) -> None:
        items = self.queue.items
        done, failed = (sum(item.state == state for item in items) for state in (DONE, FAILED))
        if self.queue.isRunning:
            left = next((i.job.secondsLeft for i in items if i.state == RUNNING and i.job), None)
            text = _("{done} of {count} done, {percent:.0f} %").format(
                done=done, count=len(items), percent=100 * self.queue.fraction
            )
            rest = _("{time} left for this one").format(time=timeText(left)) if left else ""
            self._status.show(", ".join(part for part in (text, rest) if part))
        elif done or failed:
            texts = [_("{done} of {count} done").format(done=done, count=len(items))]
            texts += [f"{item.name}: {forPanel(item.why)}" for item in items if item.state == FAILED]
            self._status.show(*texts, tone=ERROR if failed else PLAIN)
        else:
            self._status.show()

    def _updateButtons(self, *_arguments: Any) -> None:
        ui = self.ui
        hasVolume = self._parameters is not None and self._parameters.inputVolume is not None
        for button in (ui.batchAddButton, ui.batchStudyButton):
            button.setEnabled(hasVolume)
        ui.batchRemoveButton.setEnabled(ui.batchList.currentRow >= 0)
        running = self.queue.isRunning
        ui.batchApplyButton.setText(_("Stop") if running else self._idleText)
        waiting = any(item.state != DONE for item in self.queue.items)
        ui.batchApplyButton.setEnabled(running or (waiting and self._parameters is not None))
        tip = _("Super-resolve the volumes on the list with the target and method chosen now")
        ui.batchApplyButton.setToolTip(tip if waiting or running else _("Put volumes on the list first"))

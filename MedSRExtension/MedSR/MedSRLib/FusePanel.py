"""What the section "Fuse with other stacks" of the panel does: chooses stacks, fuses, shows the volume."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from MedSRLib import Parameter
from MedSRLib.FusionReport import movementText
from MedSRLib.Line import Line
from MedSRLib.Report import doneText
from MedSRLib.RunView import RunView
from MedSRLib.StackFuser import FuseJob, StackFuser, checkedStacks
from MedSRLib.Translation import tr as _


class FusePanel:
    """The behaviour of the section's widgets.

    Args:
        ui: the widgets by name.
        fuser: fuses stacks.
        done: called with the job when the fused volume is there.
    """

    def __init__(self, ui: Any, fuser: StackFuser, done: Callable[[FuseJob], None]) -> None:
        self.ui = ui
        self.job: FuseJob | None = None
        self._fuser, self._done = fuser, done
        self._parameters: Any = None
        self._runView = RunView(ui, ui.fuseButton, ui.fuseProgressBar, Line(ui.fuseStatusLabel), doneText)
        self._moved = Line(ui.fuseMovedLabel)
        ui.fuseButton.clicked.connect(self.onClick)
        self._update()

    @property
    def isRunning(self) -> bool:
        """True while stacks are being fused."""
        return self.job is not None and not self.job.isFinished

    def setParameters(self, parameters: Any) -> None:
        """Take the stacks from here; None while the scene is being closed."""
        self._parameters = parameters
        self._update()

    def forgetScene(self) -> None:
        """Say nothing more of a scene that was closed."""
        if self.job is not None:
            self.job.cancel(_("The scene was closed."))
        self.job = None
        self._runView.reset()
        self._moved.show()
        self._update()

    def onClick(self, *_arguments: Any) -> None:
        """Fuse; while that runs, cancel it."""
        if self.job is not None and self.isRunning:
            self.job.cancel()
            return
        self._moved.show()
        first, *others = Parameter.stacksOf(self._parameters)
        self.job = self._runView.start(
            _("Fusing {name} with {others}").format(
                name=first.GetName(), others=", ".join(node.GetName() for node in others)
            ),
            lambda: self._fuser.start(
                [first, *others], progress=self._runView.showRunning, completed=self._onCompleted,
                **Parameter.fuseOptionsOf(self._parameters),
            ),
        )  # fmt: skip
        self._update()

    def _onCompleted(self, job: FuseJob) -> None:
        self._runView.showEnd(job)
        self._update()
        if job.output is not None:
            self._moved.show(movementText(job.report))
            self._done(job)

    def _update(self) -> None:
        button = self.ui.fuseButton
        if self.isRunning:
            button.setEnabled(True)
            button.setToolTip(_("Stop the work; nothing is changed"))
            return
        why = self._whyNot()
        button.setEnabled(not why)
        button.setToolTip(why or _("Make one isotropic volume of the stacks"))

    def _whyNot(self) -> str:
        """What is still to be chosen, or chosen otherwise; empty when all is well."""
        if self._parameters is None or self._parameters.inputVolume is None:
            return _("Choose a volume first")
        try:
            checkedStacks(Parameter.stacksOf(self._parameters))
        except Exception as error:
            return str(error)
        return ""

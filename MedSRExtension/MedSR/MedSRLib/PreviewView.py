"""The part of the panel that says what the volume is and what will come out, before the click."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from MedSRLib import Choices
from MedSRLib.Line import WARNING, Line
from MedSRLib.Messages import forPanel
from MedSRLib.Preview import InputFacts, PlanPreview, Previewer
from MedSRLib.Sequences import framesOf
from MedSRLib.Translation import tr as _


class PreviewView:
    """Shows a volume and the plan for it in lines; all there is to know stands behind "More".

    Args:
        ui: the widgets by name.
        previewer: looks at volumes and plans.
        installHint: packages -> what a person should know about installing them, or nothing.
    """

    def __init__(self, ui: Any, previewer: Previewer, installHint: Any) -> None:
        self.ui = ui
        self.facts: InputFacts | None = None
        self.plan: PlanPreview | None = None
        self.problem = ""
        """Why the volume cannot be super-resolved."""
        self._previewer = previewer
        self._installHint = installHint
        self._seen = ""
        self._warnings: tuple[str, ...] = ()
        self._about = ""
        self._input, self._resolution = Line(ui.inputInfoLabel), Line(ui.resolutionLabel)
        self._inputWarning = Line(ui.inputWarningLabel, WARNING)
        self._result, self._resultWarning = Line(ui.previewLabel), Line(ui.previewWarningLabel, WARNING)
        ui.moreButton.toggled.connect(self._onMore)

    def showInput(self, node: Any) -> bool:
        """Describe a volume, or None; False where it is the one that is shown, with the same voxels."""
        image = node.GetImageData() if node else None
        frames = framesOf(node)
        shown = f"{frames.number} of {frames.count}" if frames else ""
        key = f"{node.GetID()} {image.GetMTime() if image else 0} {node.GetMTime()} {shown}" if node else "none"
        if key == self._seen:
            return False
        self._seen = key
        self.facts, self.plan, self.problem = None, None, ""
        if node is not None:
            try:
                self.facts = self._previewer.inputFacts(node)
            except Exception as error:  # every problem is one that the click would have
                self.problem = forPanel(str(error))
        self._input.show(self.facts.text if self.facts else "" if node else _("Choose a volume."))
        self._showFrames()
        self._inputWarning.show(*(self.facts.warnings if self.facts else (self.problem,)))
        self._showResolution()
        return True

    def showPlan(self, node: Any, options: Mapping[str, Any], reference: Any, frames: int = 1) -> str:
        """Say what a job with these options will make; return why it cannot be done, empty where it can."""
        why, warnings = "", tuple[str, ...]()
        self.plan = None
        try:
            self.plan = self._previewer.preview(node, options, reference, frames)
            warnings = self.plan.warnings
        except Exception as error:  # every problem of the preview is one that the click would have
            why = forPanel(str(error))
            warnings = (why,)
        self._showOutcome(warnings)
        return why

    def showNoPlan(self, *why: str) -> None:
        """There is nothing to plan yet."""
        self.plan = None
        self._showOutcome(why)

    def showModel(self, name: str) -> None:
        """What a person who sets things should know of the chosen method."""
        try:
            text = Choices.modelText(name, self.plan.model if self.plan else "")
        except Exception as error:
            text = str(error)
        if self.plan:
            text = " ".join(part for part in (text, self.plan.why, self._installHint(self.plan.packages)) if part)
        self._about = text
        self.ui.modelInfoLabel.setText(text)
        self._showDetails()

    def _showOutcome(self, warnings: tuple[str, ...]) -> None:
        self._warnings = warnings
        acquisition = self.plan.acquisition if self.plan else ""
        self.ui.acquisitionLabel.setText(acquisition)
        self.ui.acquisitionLabel.setVisible(bool(acquisition))
        self._result.show(_("About {what}").format(what=self.plan.text) if self.plan else "")
        self._resultWarning.show(*warnings)
        self._showResolution()

    def _showFrames(self) -> None:
        count = self.facts.frames if self.facts else 0
        self.ui.allFramesCheckBox.setVisible(count > 0)
        if self.facts and count:
            text = _("All {count} frames of the sequence, not only frame {number}")
            self.ui.allFramesCheckBox.setText(text.format(count=count, number=self.facts.frame))

    def _showResolution(self) -> None:
        parts = [self.facts.slices if self.facts else "", self.plan.resolution if self.plan else ""]
        text = ", ".join(part for part in parts if part)
        self._resolution.show(text[:1].upper() + text[1:])

    def _showDetails(self) -> None:
        facts, plan = self.facts, self.plan
        parts = [
            (_("Volume"), [facts.text, facts.slices, *facts.warnings] if facts else [self.problem]),
            (_("Acquisition"), [plan.resolution, plan.acquisition] if plan else []),
            (_("Result"), [plan.cost] if plan else []),
            (_("To know"), list(self._warnings)),
            (_("Method"), [self._about]),
        ]
        told = [(title, [text for text in texts if text]) for title, texts in parts]
        self.ui.detailsText.setPlainText("\n".join(f"{title}: " + "\n  ".join(texts) for title, texts in told if texts))

    def _onMore(self, shown: bool) -> None:
        self.ui.detailsText.setVisible(shown)
        if shown:
            self.ui.moreArea.ensureWidgetVisible(self.ui.detailsText)

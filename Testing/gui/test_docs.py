"""The examples of the documentation, run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import slicer
import slicer.util

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "how-to" / "slicer-console.md"


def test_console_examples_run_from_top_to_bottom(module, capsys):
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) >= 8
    names = {"slicer": slicer, "__name__": "__main__"}
    for example in examples:
        exec(compile(example, str(PAGE), "exec"), names)
    said = capsys.readouterr().out
    assert "MRHead SR" in said
    assert "cancelled" in said
    assert "between 1 and 8" in said


@pytest.mark.parametrize("page", ["tutorials/slicer.md", "how-to/slicer-console.md"])
def test_links_and_pictures_are_there(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    targets = [t for t in re.findall(r"\]\(([^)]+)\)", text) if not t.startswith("http")]
    assert targets
    for target in targets:
        name, _, heading = target.partition("#")
        linked = (DOCS / page).parent.joinpath(name).resolve()
        assert linked.is_file(), target
        titles = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE) if heading else []
        anchors = [re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles]
        assert not heading or heading in anchors, target


def test_the_tutorial_names_the_controls_as_the_panel_does(module, ui):
    text = (DOCS / "tutorials" / "slicer.md").read_text(encoding="utf-8")
    for button in (
        ui.applyButton, ui.sideBySideButton, ui.reportButton, ui.trainingAddButton,
        ui.trainingCheckButton, ui.trainingApplyButton, ui.trainingReportButton, ui.saveDicomButton, ui.checkButton,
        ui.measureButton, ui.fuseButton, ui.measureSection, ui.fuseSection, ui.batchSection,
    ):  # fmt: skip
        assert f"**{button.text}**" in text
    assert f"*{ui.trainingFirstWinsCheckBox.text}*" in text
    for row in range(ui.trainingSourceCombo.count):
        assert f"*{ui.trainingSourceCombo.itemText(row)}*" in text
    for box in module.widget.panel.mapBoxes.boxes.values():
        assert f"*{box.text}*" in text
    for row in range(ui.targetCombo.count):
        assert f"| {ui.targetCombo.itemText(row)} |" in text

"""The module is left and entered again, in a panel that keeps stale sizes as Slicer's does."""

from __future__ import annotations

import pytest
from PySide6 import QtCore, QtGui, QtWidgets


def squeezed(module):
    """Widgets that the person sees and that got less height than they need; folded sections are left out."""
    found = []
    folded = [getattr(module.widget.ui, name) for name in vars(module.widget.ui) if name.endswith("Section")]
    folded = [section for section in folded if section.collapsed]
    for widget in module.parent.findChildren(QtWidgets.QWidget):
        if not widget.visible or not widget.objectName or widget.objectName.startswith("qt_"):
            continue
        if any(section is widget or section.isAncestorOf(widget) for section in folded):
            continue
        needed = widget.minimumSizeHint().height()
        if isinstance(widget, QtWidgets.QLabel) and widget.text and widget.hasHeightForWidth():
            needed = widget.heightForWidth(widget.width)
        if widget.height < needed - 1:
            found.append((widget.objectName, widget.height, needed))
    return found


def come_again(module, settle):
    module.panel.show()
    settle()
    module.leave()
    settle()
    module.enter()
    settle()


def test_nothing_is_squeezed_after_the_module_was_left(module, ui, parameters, choices, make_volume, settle):
    come_again(module, settle)
    parameters.inputVolume = make_volume("Photo", (20, 20, 20), (1, 1, 1), "uint8")
    parameters.target, parameters.model = choices.Target.SPACING, "auto"
    parameters.spacingX = parameters.spacingY = parameters.spacingZ = 0.3
    for section in ("advanced", "training", "log", "result"):
        getattr(ui, f"{section}Section").collapsed = False
    settle()
    settle()
    assert squeezed(module) == []


def test_button_progress_and_result_are_seen_on_a_small_screen(module, ui, parameters, choices, make_volume, settle):
    """1366 x 768 with Data Probe open leaves about 420 pixels; the module was entered for the second time."""
    come_again(module, settle)
    volume = make_volume("Photo", (20, 20, 20), (1, 1, 1), "uint8")
    parameters.inputVolume, parameters.target, parameters.model = volume, choices.Target.TWICE, "linear"
    settle()
    ui.applyButton.click()
    settle(lambda: module.widget.panel.job.fraction > 0 or module.widget.panel.job.isFinished)
    module.widget.panel.runView.showRunning(module.widget.panel.job)
    ui.progressBar.setVisible(True)
    module.app.processEvents()
    for widget in (ui.applyButton, ui.progressBar, ui.statusLabel, ui.sideBySideButton, ui.reportButton):
        corner = widget.mapTo(module.panel, QtCore.QPoint(0, widget.height))
        assert 0 <= corner.y() <= module.panel.height, widget.objectName
        assert widget.visibleRegion().boundingRect().height() == widget.height, widget.objectName
    settle(lambda: not module.widget.panel.isRunning)


def test_lines_are_one_line_and_tell_the_rest_when_asked(module, ui, parameters, make_volume, settle):
    module.panel.show()
    parameters.inputVolume = make_volume("Photo", (20, 20, 20), (1, 1, 1), "uint8")
    settle()
    settle()
    line = ui.inputWarningLabel
    assert "\n" not in line.text
    assert line.fontMetrics().horizontalAdvance(line.text) <= line.width
    for part in ("8 bits", "isotropic"):
        assert part in line.toolTip
        assert part in line.accessibleName
    assert not ui.detailsText.visible
    ui.moreButton.click()
    assert ui.detailsText.visible
    for part in ("8 bits", "isotropic", "20 x 20 x 20", "memory"):
        assert part in ui.detailsText.plainText


def contrast(first, second):
    """Ratio of the luminances of two colours (WCAG 2.1); 4.5 is asked for texts."""

    def luminance(colour):
        parts = (colour.redF(), colour.greenF(), colour.blueF())
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("window", ["#efefef", "#323232"])
def test_warnings_and_errors_can_be_read_on_light_and_dark_windows(module, window):
    from MedSRLib.Line import ERROR, WARNING, Line

    palette = QtGui.QPalette()
    palette.setColor(QtGui.QPalette.Window, QtGui.QColor(window))
    label = QtWidgets.QLabel()
    label.setPalette(palette)
    for tone in (WARNING, ERROR):
        Line(label, tone).show("Look")
        assert contrast(QtGui.QColor(label.styleSheet.split("color: ")[1]), QtGui.QColor(window)) >= 4.5

"""The part of the panel that lays a map over the result and says how far the voxel under the mouse may be off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer.util

from MedSRLib import Compare, Maps, Overlay, Provenance
from MedSRLib.Connectors import showTips
from MedSRLib.ErrorReport import errorText
from MedSRLib.Line import Line
from MedSRLib.Probe import Probe
from MedSRLib.Translation import tr as _


class MapView:
    """Wires the list of maps of the result section; none is shown until it is chosen.

    Args:
        ui: the widgets by name.
        arrange: called before a map is laid over the result, to bring back the ordinary views.
        takeAway: shows the result without a map.
    """

    def __init__(self, ui: Any, arrange: Callable[[], None], takeAway: Callable[[], None]) -> None:
        self.ui = ui
        self._arrange, self._takeAway = arrange, takeAway
        self._pair: tuple[Any, Any] | None = None
        self._names: list[str] = []
        self._line = Line(ui.probeLabel)
        self._ofAll = ""
        self.probe = Probe(lambda text: self._line.show(text or self._ofAll))
        self._fill([])
        ui.mapCombo.currentIndexChanged.connect(self.onChosen)

    def close(self) -> None:
        """Follow the mouse no more."""
        self.showPair(None)

    def showPair(self, pair: tuple[Any, Any] | None) -> None:
        """Offer the maps of (input node, result node), None for none; another result is shown without a map."""
        isOther = (pair and pair[1]) is not (self._pair and self._pair[1])
        self._pair = pair
        result = pair[1] if pair else None
        made = Maps.madeOf(result) if result else {}
        names = [name for name in Maps.shown() if name in made or name == Compare.DIFFERENCE] if result else []
        if names != self._names:
            self._fill(names)
        if isOther:
            self.forget()
        hasWidths = result is not None and Maps.halfWidthsOf(result) is not None
        told = (Provenance.reportOf(result) or {}).get("error", {}) if hasWidths else {}
        self._ofAll = errorText(told) or _("Point at a voxel to see how far it may be off.")
        if isOther or not hasWidths:
            self._line.show(self._ofAll if hasWidths else "")
        self.probe.watch(result if hasWidths else None)

    def choose(self, name: str) -> None:
        """Show this map, as a click on the list does."""
        if name in self._names:
            self.ui.mapCombo.setCurrentIndex(self._names.index(name) + 1)

    def forget(self) -> None:
        """The views show no map any more."""
        self.ui.mapCombo.blockSignals(True)
        self.ui.mapCombo.setCurrentIndex(0)
        self.ui.mapCombo.blockSignals(False)

    def onChosen(self, *_arguments: Any) -> None:
        """Show the chosen map over the result, or the result alone."""
        row = self.ui.mapCombo.currentIndex
        if self._pair is None or row < 0:
            return
        if row == 0:
            self._takeAway()
            return
        name = self._names[row - 1]
        with slicer.util.tryWithErrorDisplay(_("The map could not be shown."), waitCursor=True):
            node = Maps.madeOf(self._pair[1]).get(name) or Compare.differenceOf(*self._pair)
            self._arrange()
            unit = Maps.unitOf(Provenance.reportOf(self._pair[1]) or {})
            reach = Maps.reachOf(name)  # a share has no unit
            Overlay.show(self._pair[1], node, Maps.shown()[name], "" if reach else unit, reach)

    def _fill(self, names: list[str]) -> None:
        combo, kinds = self.ui.mapCombo, Maps.shown() if names else {}
        shown = self._names[combo.currentIndex - 1] if self._names and combo.currentIndex > 0 else ""
        self._names = names
        combo.blockSignals(True)
        combo.clear()
        for text in (_("No map"), *(_(kinds[name].title) for name in names)):
            combo.addItem(text)
        combo.setCurrentIndex(names.index(shown) + 1 if shown in names else 0)
        combo.blockSignals(False)
        showTips(combo, [_("The result alone"), *(kinds[name].help for name in names)])

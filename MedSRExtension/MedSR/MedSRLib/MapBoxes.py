"""The check boxes of the panel for the maps that a job makes too: one for each that the library declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import qt

from MedSRLib.Connectors import Connector
from MedSRLib.Translation import tr as _

_COLUMNS = 3


class MapBoxes(Connector):
    """Makes the boxes, and ties them to the text parameter that names the chosen maps.

    Args:
        holder: widget with a grid layout for the boxes.
        before: the widget before them in the order of the tab key.
        kinds: name -> `medsr.maps.MapKind`.
    """

    def __init__(self, holder: Any, before: Any, kinds: Mapping[str, Any]) -> None:
        super().__init__(holder)
        self._kinds = kinds
        self.boxes = {name: qt.QCheckBox(_(kind.title), holder) for name, kind in kinds.items()}
        for number, (name, box) in enumerate(self.boxes.items()):
            box.setObjectName(f"{name}MapCheckBox")
            holder.layout().addWidget(box, number // _COLUMNS, number % _COLUMNS)
            qt.QWidget.setTabOrder(before, box)
            before = box
        self.forbid({})

    def forbid(self, why: Mapping[str, str]) -> None:
        """Grey the boxes of maps that cannot be made, with the reason; the others can be chosen."""
        for name, box in self.boxes.items():
            about = self._kinds[name].help
            box.setEnabled(name not in why)
            box.setToolTip(why.get(name) or about[:1].upper() + about[1:])

    def read(self) -> str:
        """The names of the maps that are ticked."""
        return " ".join(name for name, box in self.boxes.items() if box.checked)

    def write(self, value: str) -> None:
        """Tick these maps and no others."""
        for name, box in self.boxes.items():
            box.blockSignals(True)  # half of the ticks are no choice
            box.setChecked(name in value.split())
            box.blockSignals(False)

    def _connect(self) -> None:
        for box in self.boxes.values():
            box.toggled.connect(self.changed)

    def _disconnect(self) -> None:
        for box in self.boxes.values():
            box.toggled.disconnect(self.changed)

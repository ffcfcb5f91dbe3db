"""Texts of the library, which speak of the command line's options, in the words of the panel."""

from __future__ import annotations

import re

from MedSRLib.Translation import tr as _


def forPanel(text: str) -> str:
    """`text` with ``--spacing`` and the like replaced by the names of the panel's controls."""
    names = {
        "scale": _("factor"),
        "spacing": _("spacing"),
        "memory": _("memory limit (Advanced)"),
        "modality": _("modality (Advanced)"),
        "mode": _("dimension"),
        "model": _("method"),
        "slice-thickness": _("slice thickness"),
        "slice-axis": _("slice axis (Advanced)"),
        "profile": _("slice profile"),
        "dtype": _("precision (Advanced)"),
        "device": _("device (Advanced)"),
        "overwrite": _("overwrite=True in the Python console"),
        "not-labels": _("not_labels=True in the Python console"),
    }
    named = re.sub(r"--([a-z]+(?:-[a-z]+)*)", lambda match: names.get(match[1], match[1].replace("-", " ")), text)
    return named.replace(" (`medsr models`)", "")

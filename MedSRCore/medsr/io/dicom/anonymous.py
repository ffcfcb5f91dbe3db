"""The headers of a source without its patient.

This is the Basic Application Confidentiality Profile of DICOM (PS3.15, annex E). Its table and its actions are those of
the package dicom-anonymizer, applied to every level of a header. What is derived from such headers knows nothing that
they do not say.
"""

from __future__ import annotations

import copy
import dataclasses
from importlib.metadata import version
from typing import Any

from medsr.errors import InvalidValueError, MissingDependencyError
from medsr.io.dicom import elements
from medsr.io.dicom.source import Source

PACKAGE = "dicom-anonymizer"
_PROFILE = ("113100", "DCM", "Basic Application Confidentiality Profile")


def anonymised(source: Source) -> Source:
    """`source` with headers that the profile has been applied to. Identifiers are exchanged, alike in all headers.

    Raises:
        MissingDependencyError: dicom-anonymizer is not installed.
        InvalidValueError: the pixels show who the patient is.
    """
    profile = _Profile()
    for header in source.headers:
        if elements.code(header, "BurnedInAnnotation") == "YES":
            raise InvalidValueError(
                "The header says that the name of the patient, or other text, may be part of the picture (Burned In "
                "Annotation YES), which --anonymize does not change. Blank it first, or leave out --anonymize."
            )
    return dataclasses.replace(source, headers=tuple(profile.applied(header) for header in source.headers))


class _Profile:
    """The actions of the profile, made once."""

    def __init__(self) -> None:
        try:
            from dicomanonymizer import simpledicomanonymizer as library
        except ImportError as error:
            raise MissingDependencyError(
                f"--anonymize needs the package {PACKAGE}, which is not installed: pip install {PACKAGE}."
            ) from error
        self._library = library
        self._actions = library.initialize_actions_2024b()
        self._name = f"PS3.15 Basic Profile, {PACKAGE} {version(PACKAGE)}"

    def applied(self, header: Any) -> Any:
        """A copy of a header without the patient."""
        pydicom = elements.pydicom_module()
        # The headers that are kept are read in part, which their type remembers; a plain one is what can be changed.
        clean = pydicom.Dataset()
        with elements.unheard():
            clean.update(copy.deepcopy(header))
            self._clean(clean)
            code = pydicom.Dataset()
            code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = _PROFILE
            clean.PatientIdentityRemoved, clean.LongitudinalTemporalInformationModified = "YES", "REMOVED"
            clean.DeidentificationMethod, clean.DeidentificationMethodCodeSequence = self._name, [code]
        return clean

    def _clean(self, dataset: Any) -> None:
        self._library.anonymize_dataset(dataset, base_rules_gen=lambda: dict(self._actions))
        for element in list(dataset):
            if element.VR == "SQ":
                for item in element.value:
                    self._clean(item)

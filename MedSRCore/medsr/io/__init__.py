"""Files and DICOM folders to volumes and back.

Every reader returns voxels as they are stored (rescaled where the header says so) on a grid in LPS millimetres, or
raises an InputError that says what is wrong with the file. Every writer writes beside the target first and renames.
"""

from __future__ import annotations

from medsr.io.describing import describe
from medsr.io.dicom.instance import database_facts, database_tags, instance_facts
from medsr.io.dicom.writing import write_dicom
from medsr.io.formats import READABLE, WRITABLE
from medsr.io.outputs import check_output, files_of
from medsr.io.reading import read_channels, read_channels_geometry, read_geometry, read_volume
from medsr.io.staging import Staging
from medsr.io.writing import stage_volume, write_volume

__all__ = [
    "READABLE",
    "WRITABLE",
    "Staging",
    "check_output",
    "database_facts",
    "database_tags",
    "describe",
    "files_of",
    "instance_facts",
    "read_channels",
    "read_channels_geometry",
    "read_geometry",
    "read_volume",
    "stage_volume",
    "write_dicom",
    "write_volume",
]

"""BIDS: images of the subjects, and label maps (``_dseg``) among the derivatives.

Copies are written as a derivative of their own, ``derivatives/medsr``: BIDS keeps what a scanner acquired apart from
what was computed (Brain Imaging Data Structure 1.10, "Derivatives").
"""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import medsr
from medsr.augmentation.cases import Case, Dataset
from medsr.augmentation.datasets.bids_names import SUFFIXES, entities_of, suffixes_of
from medsr.augmentation.datasets.layout import (
    PROVENANCE,
    RECORD,
    SPLITS,
    Places,
    label_names,
    read_record,
    read_splits,
    splits_data,
    with_background,
    with_origin,
)
from medsr.augmentation.datasets.paths import folder_of, read_json, stem_of
from medsr.errors import InputError

VERSION = "1.10.0"
DERIVATIVE = "medsr"
_ENDINGS = (".nii.gz", ".nii")
_OF_THE_LABEL = ("space", "res", "label", "desc", "den", "seg", "atlas")


def is_bids(root: Path) -> bool:
    """True for a folder whose description states a BIDS version."""
    file = root / "dataset_description.json"
    return file.is_file() and "BIDSVersion" in (read_json(file) or {})


def read(root: Path, contrasts: Sequence[str] = ()) -> Dataset:
    """The images of a BIDS folder that have a ``_dseg`` among the derivatives.

    Args:
        root: the folder.
        contrasts: suffixes of the images that are the channels of a case, such as T1w and FLAIR; none for one image of
            each case, and for a set that was made here its own.

    Raises:
        InputError: there is no such label map, or one fits several images.
    """
    root = folder_of(root)
    description = read_json(root / "dataset_description.json")
    maps = sorted(f for f in (root / "derivatives").glob("**/*_dseg.nii*") if f.name.endswith(_ENDINGS))
    if not maps:
        raise InputError(
            f"{root.name!r} has no label maps: files such as derivatives/NAME/sub-01/anat/sub-01_dseg.nii.gz are read."
        )
    records = root / "derivatives" / DERIVATIVE
    contrasts = tuple(contrasts) or _own_contrasts(records)
    cases, warnings = [], []
    for label in maps:
        images = [_image_of(label, root, suffix) for suffix in contrasts or ("",)]
        found = [image for image in images if image is not None]
        if len(found) < len(images):
            missing = contrasts[images.index(None)] if contrasts else "image"
            warnings.append(f"No {missing} fits {label.name}; it is left out.")
            continue
        entities = entities_of(found[0].name)
        cases.append(Case(stem_of(found[0].name), entities["sub"], tuple(map(str, found)), str(label)))
    twice = [name for name, count in Counter(case.name for case in cases).items() if count > 1]
    if twice:
        raise InputError(f"Image {twice[0]!r} has several label maps among the derivatives. Keep one of them there.")
    marked = with_origin(cases, records)
    suffixes = sorted({case.name.rpartition("_")[2] for case in marked})
    return Dataset(
        root=str(root),
        format="bids",
        name=str(description.get("Name") or root.name),
        cases=marked,
        channels=contrasts or ("/".join(suffixes),),
        labels=_label_names(root, maps),
        splits=read_splits(records / SPLITS, [case.name for case in marked]),
        description={"dataset_description": description},
        carried=_other_files(root, {image for case in marked for image in case.images}),
        warnings=tuple(warnings),
    )


@dataclass(frozen=True)
class BidsLayout:
    """Originals below `root`, label maps below ``derivatives/labels``, copies below ``derivatives/medsr``.

    Attributes:
        root: the folder.
        suffixes: of the channels, where a case has several.
    """

    root: Path
    suffixes: tuple[str, ...] = ()

    @property
    def records(self) -> Path:
        """Report, splits and sidecars belong to the derivative, where no rules for their names apply."""
        return self.root / "derivatives" / DERIVATIVE

    def places(self, case: Case, image_ending: str, label_ending: str) -> Places:
        """``sub-01/anat/sub-01_T1w.nii.gz``; a copy is ``sub-01_desc-srx2c1_T1w.nii.gz`` in the derivative."""
        if case.channels > 1 and len(self.suffixes) != case.channels:
            raise InputError(f"{case.name} has {case.channels} channels, of which {len(self.suffixes)} have a name.")
        if image_ending not in _ENDINGS:
            raise InputError(f"BIDS holds NIfTI images, not {image_ending}. Choose --format nnunet or paired.")
        entities = entities_of(case.name)
        folder = Path(f"sub-{entities['sub']}", *([f"ses-{entities['ses']}"] if "ses" in entities else []), "anat")
        images = self.records if case.is_synthetic else self.root
        labels = self.records if case.is_synthetic else self.root / "derivatives" / "labels"
        body, _, own = case.name.rpartition("_")
        suffixes = self.suffixes if case.channels > 1 else (own,)
        label = f"{body}_dseg{label_ending if label_ending in _ENDINGS else '.nii.gz'}"
        return Places(
            tuple(images / folder / f"{body}_{suffix}{image_ending}" for suffix in suffixes),
            labels / folder / label,
            self.records / PROVENANCE / f"{case.name}.json",
        )

    def documents(self, dataset: Dataset) -> Mapping[Path, str]:
        """Descriptions of the set and of both derivatives, label names, participants, splits."""
        own = {"Name": dataset.name, "BIDSVersion": VERSION, **dataset.description.get("dataset_description", {})}
        if licence := dataset.description.get("licence") or dataset.description.get("license"):
            own.setdefault("License", licence)
        made = {"Name": "MedSR", "Version": medsr.__version__}
        names = "index\tname\n" + "".join(f"{v}\t{n}\n" for n, v in with_background(dataset.labels).items())
        subjects = sorted({entities_of(case.name)["sub"] for case in dataset.cases})
        derivatives = self.root / "derivatives"
        texts = {
            self.root / "dataset_description.json": _json(own),
            self.root / "README": f"{dataset.name}\n\nCopies made by MedSR are in derivatives/{DERIVATIVE}.\n",
            self.root / "participants.tsv": "participant_id\n" + "".join(f"sub-{s}\n" for s in subjects),
            self.records / ".bidsignore": f"{PROVENANCE}\n{PROVENANCE}/\n{RECORD}\n{SPLITS}\n*.html\n",
            derivatives / "labels" / "dataset_description.json": _json(_derivative("Label maps", {"Name": "unknown"})),
            self.records / "dataset_description.json": _json(_derivative("Super-resolved copies", made)),
            self.records / SPLITS: _json(splits_data(dataset.splits)),
        }
        for folder in (derivatives / "labels", self.records):
            texts[folder / "dseg.tsv"] = names
        for suffix in self.suffixes or {case.name.rpartition("_")[2] for case in dataset.synthetic}:
            # What a validator wants to know of derived images; it holds for all of them.
            texts[self.records / f"{suffix}.json"] = _json({"SkullStripped": _skull_stripped(dataset)})
        # What the source says of itself stays.
        kept = {self.root / place for place in dataset.carried}
        readme = any(place.startswith("README") for place in dataset.carried)
        return {
            path: text for path, text in texts.items() if path not in kept and not (readme and path.name == "README")
        }


def _own_contrasts(records: Path) -> tuple[str, ...]:
    """The contrasts that are channels in a set that was made here."""
    said = read_record(records).get("channels")
    return suffixes_of([str(name) for name in said]) if isinstance(said, list) and len(said) > 1 else ()


def _image_of(label: Path, root: Path, suffix: str = "") -> Path | None:
    """The image, of a contrast, that a label map belongs to: same subject and session, no entity that contradicts."""
    wanted = entities_of(label.name)
    if "sub" not in wanted:
        return None
    own = label.parent
    described = [f for f in own.iterdir() if "desc" in entities_of(f.name) and "_dseg" not in f.name]
    if "desc" in wanted:
        fitting = [f for f in described if entities_of(f.name) == wanted and _is_image(f, suffix)]
        if fitting:
            return _single(fitting, label)
    folder = root / f"sub-{wanted['sub']}"
    if "ses" in wanted:
        folder /= f"ses-{wanted['ses']}"
    free = {key: value for key, value in wanted.items() if key not in _OF_THE_LABEL}
    fitting = [
        f
        for f in sorted((folder / "anat").glob("*.nii*"))
        if _is_image(f, suffix) and free.items() <= entities_of(f.name).items()
    ]
    return _single(fitting, label) if fitting else None


def _is_image(file: Path, suffix: str) -> bool:
    return file.name.endswith(_ENDINGS) and (not suffix or stem_of(file.name).endswith(f"_{suffix}"))


def _single(files: list[Path], label: Path) -> Path:
    """The one file, or the one of the plainest contrast."""
    exact = [f for f in files if entities_of(f.name) == entities_of(label.name)] or files
    for suffix in SUFFIXES:
        found = [f for f in exact if stem_of(f.name).endswith(f"_{suffix}")]
        if len(found) == 1:
            return found[0]
    if len(exact) == 1:
        return exact[0]
    names = ", ".join(f.name for f in exact)
    raise InputError(f"{label.name} fits several images: {names}. Name it with the entities of one of them.")


def _label_names(root: Path, maps: list[Path]) -> dict[str, int]:
    """Names from a ``dseg.tsv``: beside the label maps or in a folder above, up to that of the derivatives."""
    for folder in dict.fromkeys(p for label in maps for p in label.parents if p != root and root in p.parents):
        for file in sorted(folder.glob("*dseg.tsv")):
            try:
                with file.open(encoding="utf-8", newline="") as lines:
                    rows = list(csv.DictReader(lines, delimiter="\t"))
            except (OSError, ValueError, csv.Error) as error:
                raise InputError(f"{str(file)!r} is no readable table of labels: {error}.") from error
            if rows and {"index", "name"} <= rows[0].keys():
                return label_names({row["name"]: row["index"] for row in rows})
    return {}


def _other_files(root: Path, images: Collection[str]) -> dict[str, str]:
    """What else a BIDS folder holds of its subjects and says of itself, without derivatives: place -> file."""
    found = {}
    tops = sorted(p.name for p in root.iterdir() if p.name.startswith("sub-") and p.is_dir())
    for top in tops:
        for folder, _, names in os.walk(root / top):
            found.update({(Path(folder) / name).relative_to(root).as_posix(): f"{folder}/{name}" for name in names})
    for file in sorted(root.iterdir()):
        if file.name == ".bidsignore" or (not file.name.startswith(".") and file.name != "dataset_description.json"):
            found[file.name] = str(file)
    return {place: file for place, file in found.items() if file not in images and Path(file).is_file()}


def _skull_stripped(dataset: Dataset) -> bool:
    """Whether the sidecars of the originals say so; acquired images are not."""
    sidecars = [file for place, file in dataset.carried.items() if place.endswith(".json") and "/anat/" in place]
    said = [read_json(Path(file)) for file in sidecars]
    return any(isinstance(one, Mapping) and one.get("SkullStripped") is True for one in said)


def _derivative(name: str, made_by: Mapping[str, str]) -> dict[str, object]:
    return {"Name": name, "BIDSVersion": VERSION, "DatasetType": "derivative", "GeneratedBy": [dict(made_by)]}


def _json(data: object) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"

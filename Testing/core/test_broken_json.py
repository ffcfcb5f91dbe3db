"""Recipes, data lists and descriptions that are no good JSON, or whose values have other types: told, never a crash."""

import json

import pytest

from medsr.augmentation.datasets.paths import read_json
from medsr.augmentation.recipes import load_recipe
from medsr.errors import InputError, InvalidValueError, MedSRError
from medsr.fields import convert
from medsr.jsontext import parse_json
from medsr.training.recipe import Recipe

BROKEN = {
    "deep lists": ("[" * 100_000, "nested too deeply"),
    "deep objects": ('{"a":' * 100_000, "nested too deeply"),
    "digits": ('{"name": ' + "9" * 5000 + "}", "too many digits"),
    "cut short": ('{"name": "a', "no JSON"),
    "bytes": (b'{"name": "\xff"}', "no UTF-8"),
    "empty": ("", "no JSON"),
}
broken = pytest.mark.parametrize(("text", "words"), BROKEN.values(), ids=BROKEN)


@pytest.fixture
def a_file(tmp_path):
    def write(text):
        path = tmp_path / "given.json"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def readers():
    pytest.importorskip("torch")
    from medsr.augmentation.study import recipe as study
    from medsr.training.volumes import read_data_list

    return {
        "training recipe": Recipe.load,
        "data list": lambda path: read_data_list(path, "train"),
        "recipe for copies": lambda path: load_recipe(str(path)),
        "description of a set": read_json,
        "segmentation recipe": lambda path: study.SegmentationRecipe.load(path, ()),
    }


@broken
@pytest.mark.parametrize("what", ["training recipe", "data list", "recipe for copies", "description of a set",
                                  "segmentation recipe"])  # fmt: skip
def test_what_is_no_json_is_told(a_file, what, text, words):
    with pytest.raises(InputError) as caught:
        readers()[what](a_file(text))
    assert words in str(caught.value) and "given.json" in str(caught.value)


@broken
def test_parse_json_raises_one_kind_of_error(text, words):
    with pytest.raises(ValueError, match=words):
        parse_json(text)
    assert parse_json(b'{"a": [1, 2.5, null, "\xc3\xa4"]}') == {"a": [1, 2.5, None, "ä"]}


def test_a_setting_of_deep_brackets_is_no_crash():
    with pytest.raises(InvalidValueError, match="steps must be a whole number"):
        Recipe("a").override(["steps=" + "[" * 100_000])


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("losses=5", "expected an object"),
        ("network.options=5", "options must be an object"),
        ("network.options=[1]", "options must be an object"),
        ("acquisition.thick_range=[1]", "must be a list of 2"),
        ("acquisition.thick_range=[1, 2, 3]", "must be a list of 2"),
        ('acquisition.thick_factors=["2"]', "must be a number"),
        ("optimiser.learning_rate=" + "9" * 400, "too large a number"),
        ("name=5", "must be a text"),
    ],
)
def test_a_value_of_another_type_is_refused(setting, words):
    with pytest.raises(InvalidValueError, match=words):
        Recipe("a").override([setting])


def test_a_recipe_without_a_name_is_told(a_file):
    with pytest.raises(InvalidValueError, match="'name' is missing"):
        Recipe.load(a_file("{}"))
    with pytest.raises(InvalidValueError, match="expected an object"):
        Recipe.load(a_file("[1]"))
    assert Recipe.load(a_file('{"name": "a"}')).name == "a"


ENTRY = {"file": "a.nii.gz", "subject": "1"}


@pytest.mark.network
@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"train": [ENTRY], "validation": 5}, "'validation' must be a list of volumes, got 5"),
        ({"train": 5}, "'train' must be a list"),
        ({"train": "a.nii.gz"}, "'train' must be a list"),
        ({"train": [5]}, "an object with 'file' and 'subject'"),
        ({"train": [{"file": "a.nii.gz"}]}, "an object with 'file' and 'subject'"),
        ({"train": [{"file": 5, "subject": "1"}]}, "both texts"),
        ({"train": [{**ENTRY, "weight": "much"}]}, "weight of 'a.nii.gz'"),
        ({"train": [{**ENTRY, "weight": -1}]}, "weight of 'a.nii.gz'"),
        ([ENTRY], "no data list"),
        ({"validation": [ENTRY]}, "lists no volumes under 'train'"),
    ],
)
def test_a_data_list_of_nonsense_is_told(a_file, data, words):
    from medsr.training.volumes import read_data_list

    with pytest.raises(InputError) as caught:
        read_data_list(a_file(json.dumps(data)), "train")
    assert words in str(caught.value)
    assert read_data_list(a_file(json.dumps({"train": [{**ENTRY, "weight": 2}]})), "train") == [{**ENTRY, "weight": 2}]


@pytest.mark.parametrize("text", ['{"a": "b\\ud800"}', '{"\\udfff": 1}', '[["\\ud83d"]]'])
def test_half_a_character_is_found_before_anything_is_made(a_file, text):
    with pytest.raises(InputError, match="half of a character"):
        read_json(a_file(text))
    assert read_json(a_file('{"a": "\\ud83d\\ude00"}')) == {"a": "😀"}


def test_a_table_of_labels_that_is_no_text_is_told(tmp_path):
    from medsr.augmentation.datasets.bids import _label_names

    table = tmp_path / "derivatives" / "dseg.tsv"
    table.parent.mkdir()
    table.write_bytes(b"index\tname\n1\tliver\xff\n")
    with pytest.raises(InputError, match=r"dseg\.tsv"):
        _label_names(tmp_path, [table.parent / "a.nii.gz"])
    table.write_bytes("index\tname\n1\tL\u00e4sion\n".encode())
    assert _label_names(tmp_path, [table.parent / "a.nii.gz"]) == {"L\u00e4sion": 1}


def test_a_file_name_that_is_no_text_can_be_written_about(tmp_path):
    from medsr.augmentation.folder import write_texts

    write_texts({tmp_path / "a.json": json.dumps(["b\udcff"], ensure_ascii=False)})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == ["b\udcff"]


def test_values_are_taken_by_their_type():
    assert convert(float, 3, "x") == 3.0 and isinstance(convert(float, 3, "x"), float)
    assert convert(bool | None, None, "x") is None and convert(bool, True, "x") is True
    assert convert(tuple[float, ...], [1, 2.5], "x") == (1.0, 2.5)
    for hint, value in ((bool, 0), (bool, "true"), (int, True), (int, 2.0), (float, "1"), (float, True), (str, None)):
        with pytest.raises(MedSRError, match="x must be"):
            convert(hint, value, "x")

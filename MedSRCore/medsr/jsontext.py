"""JSON that others wrote, and JSON that others can read.

Whatever is wrong with the first is a ValueError, worded for people. The second knows no NaN.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is none, it is nested too deeply to be read, or it holds a number of thousands of digits.
    """
    try:
        return json.loads(text)
    except RecursionError:
        # `from None`: thousands of equal lines of a traceback help nobody.
        raise ValueError("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: {error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is no UTF-8") from error
    except ValueError as error:  # int() refuses what would take it minutes
        raise ValueError("it holds a number with too many digits") from error


def finite(data: Any) -> Any:
    """`data` with None for every number that is not finite, which JSON has no word for."""
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, Mapping):
        return {key: finite(value) for key, value in data.items()}
    return [finite(value) for value in data] if isinstance(data, list | tuple) else data

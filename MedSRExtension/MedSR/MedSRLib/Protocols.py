"""The parts of Slicer that the module relies on, for the type checker; nodes and widgets have no types of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class WrappedParameters:
    """What `slicer.parameterNodeWrapper.parameterNodeWrapper` adds to a class."""

    parameterNode: Any

    def __init__(self, parameterNode: Any, prefix: str | None = None) -> None:
        """Wrap a parameter node."""

    def connectParametersToGui(self, mapping: Mapping[str, Any]) -> int:
        """Tie parameters to widgets, by name; return a tag."""
        raise NotImplementedError

    def disconnectGui(self, tag: Any) -> None:
        """Untie them."""

    def getValue(self, name: str) -> Any:
        """The value of a parameter."""

    def setValue(self, name: str, value: Any) -> None:
        """Change a parameter."""


class SliceWidgetProtocol(Protocol):
    """A slice view."""

    def sliceLogic(self) -> Any:
        """The logic that draws it."""


class LayoutManagerProtocol(Protocol):
    """Who arranges the views; new ones are built in the event loop."""

    layout: int

    def layoutLogic(self) -> Any:
        """The logic with the layout node."""

    def setLayout(self, layout: int) -> None:
        """Show another layout."""

    def sliceWidget(self, name: str) -> SliceWidgetProtocol | None:
        """The slice view of a name, None before it was built."""

"""PySide6 with the habits of PythonQt: every Qt property is an attribute, and its setter stays callable."""

from __future__ import annotations

import ctypes
import sys

from PySide6 import QtCore, QtGui, QtWidgets

# Virtual methods of layouts and widgets that C++ calls: they stay methods.
_METHODS = ("sizeHint", "minimumSizeHint")


class _PropertyAttribute:
    """Instance access is the property; class access is what the class had, such as a static method."""

    def __init__(self, name, original):
        self._name, self._original = name, original

    def __get__(self, instance, owner=None):
        return self._original if instance is None else instance.property(self._name)

    def __set__(self, instance, value):
        if not instance.setProperty(self._name, value):
            raise TypeError(f"{type(instance).__name__}.{self._name} does not take {value!r}")


def install() -> None:
    """Give all QObject classes property attributes; a second call changes nothing."""
    if hasattr(QtCore.QObject, "className"):
        return
    _keepConstantsAlive()
    for module in (QtCore, QtGui, QtWidgets):
        for name in dir(module):
            cls = getattr(module, name)
            if isinstance(cls, type) and issubclass(cls, QtCore.QObject):
                _addProperties(cls)
    QtCore.QObject.className = lambda self: self.metaObject().className()
    QtCore.QObject.name = property(
        lambda self: self.property("objectName"), lambda self, value: self.setProperty("objectName", value)
    )


def _keepConstantsAlive() -> None:
    """Stop PySide6 6.12 from freeing None: below Python 3.12, where it is mortal, each void call takes a reference."""
    if sys.version_info < (3, 12):
        for constant in (None, True, False):
            ctypes.c_ssize_t.from_address(id(constant)).value += 1 << 40


def _addProperties(cls) -> None:
    meta = cls.staticMetaObject
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        name = meta.property(index).name()
        if name not in _METHODS:
            setattr(cls, name, _PropertyAttribute(name, getattr(cls, name, None)))

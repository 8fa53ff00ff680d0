"""Classes by name: those that both processes can import, and those that a locked cell made in both."""

from __future__ import annotations

import builtins
import sys
import types
from typing import Any


def library_name(kind: type) -> list[str] | None:
    """Module and qualified name of a class that both processes can import; None for one that a notebook made."""
    module = sys.modules.get(kind.__module__) if isinstance(kind.__module__, str) else None
    if module is None or kind.__module__ == "__main__":
        if kind.__module__ == "builtins":
            return ["builtins", kind.__qualname__]
        return None
    found: Any = module
    for part in kind.__qualname__.split("."):
        found = getattr(found, part, None)
    if found is kind:
        return [kind.__module__, kind.__qualname__]
    special = getattr(
        types, _SPECIAL.get(kind.__name__, ""), None
    )  # function, generator, …: not under their names
    return ["types", _SPECIAL[kind.__name__]] if special is kind else None


_SPECIAL = {
    getattr(types, name).__name__: name
    for name in ("FunctionType", "GeneratorType", "CoroutineType", "AsyncGeneratorType", "MethodType",
                 "MappingProxyType", "SimpleNamespace", "MethodWrapperType", "WrapperDescriptorType")
}  # fmt: skip


def library_class(module: Any, qualname: Any) -> type | None:
    if not isinstance(module, str) or not isinstance(qualname, str) or module == "__main__":
        return None
    found: Any = builtins if module == "builtins" else sys.modules.get(module)
    for part in qualname.split("."):
        found = vars(found).get(part) if isinstance(found, (type, types.ModuleType)) else None
    return found if isinstance(found, type) else None


def class_named(names: dict[str, Any], qualname: str) -> type | None:
    """The class of this qualified name among a notebook's names, or None."""
    first, *rest = qualname.split(".")
    found = names.get(first)
    for part in rest:
        found = vars(found).get(part) if isinstance(found, type) else None
    return found if isinstance(found, type) else None

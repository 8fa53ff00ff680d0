"""What packages import only when they are used: in a process that is forked for each notebook, each time anew.

So the zygote imports it together with the package. What is not installed, or is elsewhere in another version of a
package, is left out as any module is that cannot be imported.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SERVERS = "roadmap_progress.servers"  # a room above this one: loaded by name
AT_FIRST_USE = {
    "django": (
        "django.core.management",
        "django.db.backends.postgresql.base",
        "django.template.defaulttags",
        "django.template.loader_tags",
        "django.templatetags.i18n",
        "django.utils.translation.reloader",
        "django.views.debug",
    ),
    "fastapi": ("anyio._backends._asyncio", "pydantic.v1"),
    "httpx": ("httpcore",),
    "rest_framework": (  # what does not ask for settings, which come later
        "rest_framework.authentication",
        "rest_framework.compat",
        "rest_framework.metadata",
        "rest_framework.negotiation",
        "rest_framework.permissions",
        "rest_framework.serializers",
    ),
    "sqlalchemy": ("sqlalchemy.dialects.postgresql.psycopg",),
    "sqlmodel": ("sqlalchemy.dialects.postgresql.psycopg",),
    "uvicorn": (
        "uvicorn.lifespan.on",
        "uvicorn.loops.asyncio",
        "uvicorn.loops.auto",
        "uvicorn.protocols.http.auto",
        "uvicorn.protocols.websockets.auto",
    ),
}


def with_first_use(modules: Iterable[str]) -> list[str]:
    """These modules, and behind them what their packages import at their first use; each once."""
    asked = list(modules)
    further = [one for name in asked for one in AT_FIRST_USE.get(name.partition(".")[0], ())]
    if SERVERS in asked:
        kinds = importlib.import_module(SERVERS).REGISTRY.values()
        further += [f"{SERVERS}._attached", f"{SERVERS}._host", *kinds]
    return list(dict.fromkeys([*asked, *further]))

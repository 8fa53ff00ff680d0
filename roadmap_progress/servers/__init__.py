"""Real servers for the lessons: on loopback, in a temporary directory, gone with the kernel.

::

    from roadmap_progress.servers import web_server

    web = web_server.start(site)        # in a notebook: prints which nginx it is, ends with the kernel
    httpx.get(web.url)

    with web_server(site) as web:       # in a script or test: ends with the block
        httpx.get(web.url)

Each is looked for in the environment, on the system (or in conda), in an embedded wheel, in that order; if
there is none, `ServerUnavailable` names the command that installs it. `roadmap doctor` shows them all.

A new server is a module with a `ServerKind` in it, and one line in `REGISTRY`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from roadmap_progress.servers.chromium import browser
    from roadmap_progress.servers.containers import container_engine
    from roadmap_progress.servers.dns import BOOKSHOP_ZONES, dns_hierarchy
    from roadmap_progress.servers.documents import mongodb
    from roadmap_progress.servers.failover import redis_sentinel
    from roadmap_progress.servers.fulltext import search
    from roadmap_progress.servers.keyvalue import redis_server
    from roadmap_progress.servers.metrics import prometheus
    from roadmap_progress.servers.openid import openid_provider
    from roadmap_progress.servers.packages import package_index
    from roadmap_progress.servers.pooling import pgbouncer
    from roadmap_progress.servers.postgres import postgis, postgresql
    from roadmap_progress.servers.repositories import git_remote
    from roadmap_progress.servers.streams import kafka
    from roadmap_progress.servers.tls import certificate_authority
    from roadmap_progress.servers.web import http_cache, web_server

__all__ = [
    "BOOKSHOP_ZONES",
    "REGISTRY",
    "browser",
    "certificate_authority",
    "container_engine",
    "dns_hierarchy",
    "git_remote",
    "http_cache",
    "kafka",
    "mongodb",
    "openid_provider",
    "package_index",
    "pgbouncer",
    "postgis",
    "postgresql",
    "prometheus",
    "redis_sentinel",
    "redis_server",
    "search",
    "web_server",
]

# The name of a kind → the module that defines it, imported when it is first asked for.
REGISTRY = {
    "dns_hierarchy": "roadmap_progress.servers.dns",
    "certificate_authority": "roadmap_progress.servers.tls",
    "web_server": "roadmap_progress.servers.web",
    "http_cache": "roadmap_progress.servers.web",
    "package_index": "roadmap_progress.servers.packages",
    "git_remote": "roadmap_progress.servers.repositories",
    "postgresql": "roadmap_progress.servers.postgres",
    "postgis": "roadmap_progress.servers.postgres",
    "pgbouncer": "roadmap_progress.servers.pooling",
    "redis_server": "roadmap_progress.servers.keyvalue",
    "redis_sentinel": "roadmap_progress.servers.failover",
    "mongodb": "roadmap_progress.servers.documents",
    "kafka": "roadmap_progress.servers.streams",
    "openid_provider": "roadmap_progress.servers.openid",
    "search": "roadmap_progress.servers.fulltext",
    "prometheus": "roadmap_progress.servers.metrics",
    "browser": "roadmap_progress.servers.chromium",
    "container_engine": "roadmap_progress.servers.containers",
}


def __getattr__(name: str) -> object:
    """Import a server's module when it is first asked for: importing this package costs next to nothing."""
    module = {**REGISTRY, "BOOKSHOP_ZONES": REGISTRY["dns_hierarchy"]}.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; there are {', '.join(__all__)}")
    return getattr(import_module(module), name)

"""The dashboard as a widget: the page's parts, kept up to date, and what a click on them does."""

from __future__ import annotations

import asyncio
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from roadmap_progress.dashboard import page, view
from roadmap_progress.dashboard.session import Session
from roadmap_progress.errors import RoadmapError

if TYPE_CHECKING:
    from roadmap_progress.workspace.passports import Restored

KINDS = ("lesson", "exercises", "solution")
POLL_S = 0.2  # a learner's passed check shows within half a second
LOOK_AROUND = 10  # every so many polls the roadmap and the copies are looked at too


class Dashboard(anywidget.AnyWidget):
    """The page; `parts` are its pieces of HTML by key, `said` is what a screen reader announces."""

    _esm = page.script()
    _css = page.style()
    parts = traitlets.Dict().tag(sync=True)
    said = traitlets.Unicode().tag(sync=True)

    def __init__(self, session: Session) -> None:
        session.refresh()
        super().__init__(parts=session.parts())
        self._session = session
        self._task: asyncio.Task[None] | None = None
        self.on_msg(self._answer)

    def follow(self) -> None:
        """Keep the page up to date from now on, where an event loop runs (in a kernel it does)."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._task = loop.create_task(self._poll(), name="dashboard")

    def update(self, *, thorough: bool) -> None:
        """Send what has changed."""
        before = self._session.progress
        if not self._session.refresh(thorough=thorough):
            return
        after = self._session.progress
        self.parts = self._session.parts()
        if before and after and (said := view.changes(before, after)):
            self.said = said

    async def _poll(self) -> None:
        count = 0
        while self.comm is not None:  # None once the widget was closed
            await asyncio.sleep(POLL_S)
            count += 1
            self.update(thorough=count % LOOK_AROUND == 0)
        self._session.close()

    def _answer(self, _: object, content: dict[str, Any], buffers: list[Any] | None) -> None:
        """Do what a click asks for, and reply to it by its number."""
        reply = {"to": content.get("request")}
        attached = None
        try:
            match content:
                case {"type": "open", "notebook": str(number), "kind": str(kind)} if kind in KINDS:
                    copy = self._session.copy(number, kind, start_over=content.get("over") is True)
                    reply |= {"type": "open", "path": self._server_path(copy, content), "file": str(copy)}
                case {"type": "review", "notebook": str(number), "exercise": str(exercise)}:
                    copy = self._session.review(number, exercise)
                    reply |= {"type": "open", "path": self._server_path(copy, content), "file": str(copy)}
                case {"type": "assess", "check": str(check_id)}:
                    self._session.assess(check_id)
                    reply |= {"type": "done"}
                case {"type": "save"}:
                    name, attached, problems = self._session.save_passport()
                    reply |= {"type": "saved", "name": name, "problems": problems}
                case {"type": "record", "name": str(who)}:
                    name, attached = self._session.record(who)
                    reply |= {"type": "saved", "name": name, "problems": []}
                case {"type": "compare", "notebook": str(number), "exercise": str(exercise)}:
                    reply |= {"type": "compared", "html": self._session.compare(number, exercise)}
                case {"type": "restore"}:
                    data = bytes(buffers[0]) if buffers else b""
                    reply |= {"type": "restored", **_told(self._session.restore_passport(data))}
                case _:
                    return
        except RoadmapError as error:
            text = str(error)
            reply |= {"type": "refused", "text": text[:1].upper() + text[1:] + "."}
        self.send(reply, None if attached is None else [attached])
        self.update(thorough=True)

    def _server_path(self, copy: Path, content: dict[str, Any]) -> str | None:
        """The copy's path as the Jupyter server knows it; None for one that lies outside the server's folder."""
        root = self._session.root or Path()
        if page_path := content.get("page"):  # where Voilà found the dashboard, which lies in the course's root
            return str(PurePosixPath(page_path).parent / copy.relative_to(root).as_posix())
        if server := content.get("server_root"):
            try:
                return copy.resolve().relative_to(Path(server).expanduser().resolve()).as_posix()
            except (ValueError, RuntimeError):  # elsewhere, or a home that this process does not know
                return None
        return copy.relative_to(root).as_posix()

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The widget, and beside it the plain page for wherever widgets do not run."""
        data, metadata = super()._repr_mimebundle_() or ({}, {})
        return {
            **data,
            "text/plain": "The course's dashboard",
            "text/html": page.whole(dict(self.parts)),
        }, metadata


def _told(restored: Restored) -> dict[str, Any]:
    """What came of restoring, in words."""
    results = "one result" if restored.events == 1 else f"{restored.events} results"
    answers = "one answer" if restored.answers == 1 else f"{restored.answers} answers and cells"
    return {
        "text": f"{results} and {answers} of yours that were not here before.",
        "problems": list(restored.problems),
    }


def dashboard() -> Dashboard:
    """The learner's dashboard, for the course in or above the current folder."""
    widget = Dashboard(Session())
    widget.follow()
    return widget

"""What a graded notebook shows to whoever opens it: nothing of a student's that runs in a browser.

Formgrader renders notebooks as pages of the instructor's own Jupyter: a script in one could grade the class.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bleach import ALLOWED_ATTRIBUTES, ALLOWED_TAGS
from nbconvert.preprocessors.sanitize import SanitizeHTML
from nbgrader.utils import is_locked

if TYPE_CHECKING:
    from roadmap_progress.notebooks import NotebookNode

_TAGS = (
    "br caption col colgroup dd del details div dl dt h1 h2 h3 h4 h5 h6 hr ins kbd p pre s span sub summary "
    "sup table tbody td tfoot th thead tr u"
)
_ATTRIBUTES = {**ALLOWED_ATTRIBUTES, "*": ["class"], "td": ["colspan", "rowspan"], "th": ["colspan", "rowspan"]}
_MARKUP = re.compile(r"<[A-Za-z!/?]")
_IMAGES = re.compile(r"[A-Za-z0-9+/=\s]*")


def make_safe(notebook: NotebookNode) -> None:
    """Take active content out of outputs and of Markdown that students wrote; locked cells stay as they are."""
    sanitizer = SanitizeHTML(tags=[*ALLOWED_TAGS, *_TAGS.split()], attributes=_ATTRIBUTES)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            for output in cell.outputs:
                _keep_images_only(output)
            sanitizer.sanitize_code_outputs(cell.outputs)
        elif not is_locked(cell) and (cell.cell_type == "raw" or _MARKUP.search(cell.source)):
            cell.source = sanitizer.sanitize_html_tags(cell.source)


def _keep_images_only(output: NotebookNode) -> None:
    """An image goes into a page as base64: what is none could close the tag."""
    data = output.get("data", {})
    for kind in [kind for kind in data if kind.startswith("image/")]:
        if not (isinstance(data[kind], str) and _IMAGES.fullmatch(data[kind])):
            del data[kind]

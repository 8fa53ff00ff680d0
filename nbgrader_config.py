"""Makes this folder an nbgrader course: every `nbgrader …` command run in it, and the formgrader, read this.

What a class may want to have otherwise is not changed here (this file comes with the course) but in
`classroom/settings.toml`, which `roadmap classroom init` writes. docs/instructor.md explains both.
"""

from __future__ import annotations

import contextlib
import os
import tomllib
from pathlib import Path

c = get_config()  # type: ignore[name-defined]  # noqa: F821  # given by traitlets, which runs this file

root = Path(__file__).resolve().parent
classroom = root / "classroom"
instructor = (root / "solutions").is_dir()
settings = {}
with contextlib.suppress(FileNotFoundError):
    settings = tomllib.loads((classroom / "settings.toml").read_text(encoding="utf-8"))

# A section is an assignment; its folder has the same name everywhere.
c.CourseDirectory.root = str(root)
c.CourseDirectory.course_id = os.environ.get("ROADMAP_COURSE") or settings.get("course", "backend-roadmap")
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "exercises"
c.CourseDirectory.submitted_directory = "classroom/submitted"
c.CourseDirectory.autograded_directory = "classroom/autograded"
c.CourseDirectory.feedback_directory = "classroom/feedback"
c.CourseDirectory.source_with_tests_directory = "classroom/source_with_tests"
c.CourseDirectory.solution_directory = "classroom/solution"
c.ZipCollectApp.downloaded_directory = "classroom/downloaded"
# As Blackboard names downloads: 01-foundations_ada_attempt_2027-01-30-15-00-00_1.1-internet-fundamentals.ipynb
c.FileNameCollectorPlugin.named_regexp = r".*_(?P<student_id>[^_]+)_attempt_(?P<timestamp>[0-9-]+)_(?P<file_id>.+)"

# The gradebook is named absolutely: nbgrader's parts are started in different folders.
gradebook = os.environ.get("ROADMAP_GRADEBOOK") or str(classroom / "gradebook.db")
c.CourseDirectory.db_url = gradebook if "://" in gradebook else f"sqlite:///{Path(gradebook).resolve()}"

# Fetch, submit and the dashboard share work/<section>/. Whichever came first: fetch adds what is missing, and
# never replaces a file that the learner has.
c.Exchange.assignment_dir = str(root / "work")
c.Exchange.timezone = "UTC"  # nbgrader 0.9.6 reads an offset such as "+0100" as a hundred seconds
c.ExchangeFetchAssignment.replace_missing_files = True
if exchange := os.environ.get("ROADMAP_EXCHANGE") or settings.get("exchange"):
    c.Exchange.root = str((root / exchange).resolve())

with contextlib.suppress(OSError):  # a tree that is not ours to write to: nbgrader says so where it matters
    # JupyterLab's assignment list changes into work/ before anything has made it, and reads its settings there.
    (root / "work").mkdir(exist_ok=True)
    pointer = root / "work" / "nbgrader_config.py"
    if not pointer.exists():
        pointer.write_text(
            "# So that nbgrader knows the course from here as well.\n"
            'load_subconfig("nbgrader_config.py", path=__file__.rpartition("/work/")[0])\n',
            encoding="utf-8",
        )
    if instructor:
        classroom.mkdir(exist_ok=True)  # SQLite makes a file but no folder

# What learners find in place of the solutions: nothing that raises before they have begun.
c.ClearSolutions.code_stub = {"python": "# Write your answer here.\n..."}
c.ClearSolutions.text_stub = "*Write your answer here.*"

# A whole notebook's checks run in ten seconds, in twenty where big servers start; one cell gets a minute.
c.Execute.timeout = int(settings.get("timeout_s", 60))
c.Execute.interrupt_on_timeout = True

# As nbgrader has it, and what a learner deleted is put back before OverwriteCells looks at it.
c.Autograde.sanitize_preprocessors = [
    "nbgrader.preprocessors.ClearOutput",
    "nbgrader.preprocessors.DeduplicateIds",
    "roadmap_progress.grading.restore.PutBackDeletedCells",
    "nbgrader.preprocessors.OverwriteKernelspec",
    "nbgrader.preprocessors.OverwriteCells",
    "nbgrader.preprocessors.CheckCellMetadata",
]

late = settings.get("late", {})
c.AssignLatePenalties.plugin_class = "roadmap_progress.grading.late.LatePolicy"
c.LatePolicy.points_per_hour = float(late.get("points_per_hour", 0))
c.LatePolicy.zero_after_days = float(late.get("zero_after_days", 0))
c.LatePolicy.grace_minutes = float(late.get("grace_minutes", 0))

# nbgrader's own feedback prints every hidden check, and the values in it.
c.GenerateFeedback.preprocessors = [
    "nbgrader.preprocessors.GetGrades",
    "roadmap_progress.grading.feedback.HideHiddenChecks",
    "roadmap_progress.grading.feedback.SayNotAttempted",
    "roadmap_progress.grading.feedback.FoldSetup",
    "nbconvert.preprocessors.CSSHTMLHeaderPreprocessor",
]
c.HideHiddenChecks.enabled = not settings.get("feedback", {}).get("show_hidden_checks", False)

# nbgrader's own export counts what waits for a grade by hand as 0 and does not say so.
c.ExportApp.plugin_class = "roadmap_progress.grading.export.ExportWithPending"

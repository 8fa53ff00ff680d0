"""What the instructor's side does: nbgrader's plugins, the classroom's set-up, and the learner's own check.

nbgrader is the system of record. The modules that `nbgrader_config.py` names are loaded by nbgrader itself.
"""

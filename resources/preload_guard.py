"""Imported first by the fork server that starts the steps of a run, and by nothing else: whoever imports this dies with
its parent.

The fork server is a child of the run worker and outlives it while a step lives; a step is a child of the fork server. So
the server arms itself here, and each step arms itself right after its fork, which clears the setting.
"""

from __future__ import annotations

import os

from training.orphan_guard import die_with_parent

die_with_parent()
os.register_at_fork(after_in_child=die_with_parent)

"""What is done once in the process that forks the workers, so that no worker has to.

- Filters and tests are loaded. Ansible templates in the workers, connection variables included, and the first filter or
  test that a worker meets loads every plugin of its kind: about 35 ms of processor time for each task and host, skipped
  tasks too. Without bytecode, an idle run takes half the time and a third of the processor time that it took before.
- What exists is taken out of the garbage collector's sight (`gc.freeze`, made for this), or each worker's collector
  would write to, and so copy, pages that it shares: a tenth of what is left.

Each task asks anew, because a role that is included adds its folder of filters, and Ansible then forgets all of them.
Measured side by side on the lab; `tests/unit/test_before_fork.py` notices when a worker loads plugins again.
"""

from __future__ import annotations

import collections
import gc
from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import filter_loader, test_loader

DOCUMENTATION = """
name: before_fork
type: aggregate
short_description: loads filters and tests before workers are forked
description: Loads filters and tests once in the process that forks the workers, instead of once in each worker.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Prepares the process at the start of each task, before its workers are forked."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "before_fork"
    CALLBACK_NEEDS_ENABLED = False

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Load what is not loaded; costs next to nothing when all is."""
        for loader in (filter_loader, test_loader):
            collections.deque(loader.all(), maxlen=0)
        gc.freeze()

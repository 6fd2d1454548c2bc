"""What the tests of the runtimes share."""

from __future__ import annotations

import pytest

from estate import Estate

from .browser import Browser


@pytest.fixture(scope="session")
def browser(estate: Estate) -> Browser:
    return Browser(estate)

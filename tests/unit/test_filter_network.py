"""The filters of network.py: ports, addresses and ranges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

Filters = Callable[[str], Callable[..., Any]]


@pytest.mark.parametrize(
    ("name", "value", "result"),
    [
        ("network_port", 1, 1),
        ("network_port", 65535, 65535),
        ("network_address", "10.0.0.5", "10.0.0.5"),
        ("network_address", "FD00:0:0::5", "fd00::5"),
        ("network_range", "10.0.0.0/24", "10.0.0.0/24"),
        ("network_range", "10.0.0.5", "10.0.0.5"),
        ("network_range", "10.0.0.5/32", "10.0.0.5/32"),
        ("network_range", "FD00::/64", "fd00::/64"),
        ("network_range", "0.0.0.0/0", "0.0.0.0/0"),
    ],
)
def test_accepted(filters: Filters, name: str, value: object, result: object) -> None:
    assert filters(name)(value) == result


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("network_port", 0, "0 is no port; write an integer from 1 to 65535"),
        ("network_port", 65536, "65536 is no port; write an integer from 1 to 65535"),
        ("network_port", "80", '"80" is no port; write an integer from 1 to 65535'),
        ("network_port", True, "true is no port; write an integer from 1 to 65535"),
        ("network_address", "10.0.0.256", '"10.0.0.256" is no IP address; write one such as 10.0.0.5 or fd00::5'),
        ("network_address", "fe80::1%eth0", '"fe80::1%eth0" names an interface; write an address without %'),
        ("network_range", "fe80::1%eth0", '"fe80::1%eth0" names an interface; write an address without %'),
        ("network_address", "[fd00::5]", '"[fd00::5]" is no IP address; write one such as 10.0.0.5 or fd00::5'),
        ("network_address", 167772165, "167772165 is no IP address; write one such as 10.0.0.5 or fd00::5"),
        ("network_range", "10.0.0.5/24", '"10.0.0.5/24" has bits set outside its network; write 10.0.0.0/24'),
        (
            "network_range",
            "proxies",
            '"proxies" is no address and no network; write one such as 10.0.0.5, 10.0.0.0/24 or fd00::/64',
        ),
    ],
)
def test_refused(filters: Filters, name: str, value: object, message: str) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        filters(name)(value)
    assert error.value.message == message


def test_through_templar(render: Callable[..., Any]) -> None:
    assert render("ports | map('network_port') | list", ports=[80, 443]) == [80, 443]
    assert render("network | network_range", network="10.0.0.0/8") == "10.0.0.0/8"

"""What an operator is promised: a dry run that says the truth, and errors before any host is touched."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from estate import Estate

GROUPS = ("proxies", "storefront", "dashboard")
SITE = {"name": "shop", "server_names": ["shop.lab.test"], "locations": [{"path": "/", "upstream": "storefront"}]}
POOL = {"name": "storefront", "transport": "http", "members": [{"name": "a", "address": "10.21.0.101", "port": 5000}]}


def test_a_dry_run_on_a_converged_estate_reports_no_change(estate: Estate) -> None:
    run = estate.play("site.yml", "--check", "--diff")
    assert run.returncode == 0, run.stdout
    recap = re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", run.stdout, re.MULTILINE)
    assert {name for name, _ in recap} >= {"proxy1", "storefront1", "dashboard3"}
    assert [entry for entry in recap if entry[1] != "0"] == []


# Ten ways to break an inventory: what is written, and what the operator must read. A run says all that it can at once.
MEMBER = {"name": "a", "address": "10.21.0.101", "port": 70000}
FILES = {"source": "files", "chain": "/no/chain.pem", "key": "/no/key.pem"}


def other(name: str, **fields: Any) -> dict[str, Any]:
    """Return a site of another name than SITE's."""
    return SITE | {"name": name, "server_names": [f"{name}.lab.test"]} | fields


SITES = [
    other("a", locations=[{"path": "/", "upstream": "storefrnt"}]),
    SITE,
    SITE | {"server_names": ["b.lab.test"]},
    other("b", server_names=SITE["server_names"]),
    other("c", locations=[{"path": "/", "upstream": "storefront", "cache": {"zone": "asets"}}]),
    other("d", server_name="x"),
    other("e", certificate=FILES),
    other("f", server_names=["x; return 200"]),
]
UPSTREAMS = [POOL | {"members": []}, POOL | {"name": "far", "members": [MEMBER]}]
BROKEN: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    (
        {"proxy_sites": SITES},
        (
            'proxy_sites[0].locations[0].upstream names the upstream "storefrnt", which proxy_upstreams lacks',
            "-> write storefront",
            'proxy_sites[2].name repeats "shop", the name of proxy_sites[1]', "-> give each its own name",
            "server_names[0] shop.lab.test of site b is a server name of site shop too", "-> keep it in one site",
            'proxy_sites[4].locations[0].cache.zone names the cache "asets", which proxy_caches lacks',
            "-> write assets",
            "proxy_sites[5].server_name is unknown", "-> write server_names",
            "proxy_sites[6].certificate.chain names /no/chain.pem, which is no file that can be read",
            "proxy_sites[6].certificate.key names /no/key.pem, which is no file that can be read",
            'proxy_sites[7].server_names[0] "x; return 200" is no server name',
        ),
    ),
    (
        {"proxy_upstreams": UPSTREAMS},
        (
            "proxy_upstreams[0].members of upstream storefront is empty: it has no member",
            "proxy_upstreams[1].members[0].port 70000 is no port", "-> write an integer from 1 to 65535",
        ),
    ),
    ({"proxy_site": []}, ("-e proxy_site=... is no variable of a playbook", "-> write -e proxy_sites=...")),
]  # fmt: skip


def state(estate: Estate) -> dict[str, str]:
    """Return what a run could change on each host: configuration, release, rules, and when its service started."""
    look = """
        readlink /etc/nginx/active /srv/*/current; nft list ruleset | sha256sum; ls -lR /etc/nginx /etc/ssl | sha256sum
        systemctl show nginx storefront dashboard -p MainPID -p ActiveEnterTimestampMonotonic 2>&1
    """
    return {name: estate.host(name).run(look).stdout for group in GROUPS for name in estate.group(group)}


def test_a_broken_inventory_is_refused_before_any_host_is_touched(estate: Estate) -> None:
    before = state(estate)
    for variables, sentences in BROKEN:
        run = estate.play("site.yml", "-e", json.dumps(variables))
        output = " ".join((run.stdout + run.stderr).split())
        assert run.returncode != 0
        assert [sentence for sentence in sentences if sentence not in output] == [], run.stdout
        assert "PLAY [Deploy the applications]" not in output
        assert "Traceback" not in run.stdout + run.stderr
    assert state(estate) == before


def test_the_proxys_previous_configuration_can_be_put_back(estate: Estate) -> None:
    proxy = estate.host("proxy1")
    before = proxy.check_output("readlink /etc/nginx/active")
    changed = estate.play("playbooks/proxies.yml", "-e", "proxy_client_max_body_size=11m")
    assert changed.returncode == 0, changed.stdout
    assert (
        proxy.check_output("grep client_max_body_size /etc/nginx/active/http/base.conf") == "client_max_body_size 11m;"
    )
    back = estate.play("playbooks/rollback_proxies.yml")
    assert back.returncode == 0, back.stdout
    assert proxy.check_output("readlink /etc/nginx/active") == before
    serves = proxy.check_output("curl -s --unix-socket /run/nginx-identity.sock http://identity/")
    assert serves == before.removeprefix("trees/")


def test_services_run_as_their_own_users_and_start_at_boot(estate: Estate) -> None:
    for name, unit in (("proxy1", "nginx"), ("storefront1", "storefront"), ("dashboard1", "dashboard")):
        service = estate.host(name).service(unit)
        assert service.is_running, f"{unit} on {name}"
        assert service.is_enabled, f"{unit} on {name}"
    processes = estate.host("storefront1").check_output("ps -o user= -C gunicorn,python3 | sort -u").split()
    assert "storefront" in processes


@pytest.mark.parametrize("name", ["proxy1", "storefront1", "storefront3"])
def test_nginx_first_started_with_a_proven_configuration(estate: Estate, name: str) -> None:
    """Not with Debian's default site, when its package was installed."""
    host = estate.host(name)
    assert "nginx" in host.check_output("zgrep -h ' installed nginx-common' /var/log/dpkg.log*")
    tree = int(host.check_output("stat -c %W /etc/nginx/trees"))
    log = host.check_output("journalctl --unit nginx --output json --no-pager | head -n 1")
    assert int(json.loads(log)["__REALTIME_TIMESTAMP"]) / 1_000_000 >= tree > 0

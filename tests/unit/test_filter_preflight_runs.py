"""Preflight on small inventories: what it must not say, certificates from files, its speed, and as people run it."""

from __future__ import annotations

import datetime
import time
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.vault import VaultSecretsContext
from ansible_collections.gatehouse.core.plugins.module_utils.preflight import evaluation
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

ROOT = Path(__file__).resolve().parents[2]
PROXY = "group_vars/proxies/proxy.yml"
APP = "group_vars/apps/app.yml"
HOSTS = "hosts.yml"


def test_nothing_is_found_in_a_sound_estate(estate: Any) -> None:
    assert estate.check() == (False, "environment of 4 hosts, 1 site, 1 upstream: no problem found")


def test_a_value_from_another_variable_is_reported_where_it_is_written(estate: Any) -> None:
    estate.edit(PROXY, "proxy_sites:\n", "proxy_sites: '{{ shops }}'\nshops:\n")
    assert estate.check()[0] is False
    estate.edit(PROXY, "zone: pages", "zone: page")
    assert estate.lines(estate.check()[1])[1] == "inventory/group_vars/proxies/proxy.yml:17:23 (proxy1, proxy2)"


def test_one_undefined_name_used_twice_is_one_problem(estate: Any) -> None:
    estate.edit(
        APP, "app_name: storefront", "app_name: '{{ title }}'\ntitle: '{{ titel }}'\napp_note: 'The {{ title }}'"
    )
    assert estate.lines(estate.check()[1]) == [
        "title uses titel, which is not defined",
        "inventory/group_vars/apps/app.yml:2:8 (web1, web2)",
        "-> write title",
    ]


def test_a_template_read_through_hostvars_sees_no_hostvars(estate: Any) -> None:
    estate.edit(
        APP, "app_name: storefront", "app_name: \"{{ hostvars['proxy1'].proxy_upstreams[0].members[0].name }}\""
    )
    assert estate.lines(estate.check()[1]) == [
        "app_name leads to a template that uses hostvars in turn",
        "inventory/group_vars/apps/app.yml:1:11 (web1, web2)",
        "-> use a variable of this host's own groups: what is read through hostvars[...] sees no hostvars",
    ]


def test_a_key_for_ssh_that_is_not_here(estate: Any) -> None:
    estate.write("group_vars/all.yml", "ansible_ssh_private_key_file: .lab/shop/id_ed25519\n")
    failed, report = estate.check()
    assert failed
    assert "ansible_ssh_private_key_file names .lab/shop/id_ed25519, which is not on this machine" in report
    assert "inventory/group_vars/all.yml:1:31" in report
    assert "bring it up first (make lab)" in report
    (estate.root / ".lab" / "shop").mkdir(parents=True)
    (estate.root / ".lab" / "shop" / "id_ed25519").touch()
    assert estate.check()[0] is False


def test_what_only_facts_tell_is_no_problem(estate: Any) -> None:
    estate.edit(APP, "app_name: storefront", "app_name: \"{{ ansible_facts['hostname'] }}\"")
    assert estate.check()[0] is False


def test_a_lookup_that_does_something_waits_for_its_play(estate: Any) -> None:
    made = estate.root / "made"
    lookup = "{{ lookup('ansible.builtin.password', '%s') }}" % made  # noqa: UP031 - braces are Jinja's here
    users = f"app_passphrase: \"{lookup}\"\napp_note: '{{{{ app_passphrase }}}}'\n"
    estate.edit(APP, "app_name: storefront\n", "app_name: storefront\n" + users)
    assert estate.check()[0] is False
    assert not made.exists()


@pytest.mark.parametrize("value", ["[hunter2]", "'{{ [\"hunter2\"] }}'", "\"{{ 'hunter2' | fail_here }}\"", "5551234"])
def test_a_secret_is_never_shown(estate: Any, value: str) -> None:
    estate.edit(APP, "app_secrets: {token: hidden}", f"app_passphrase: {value}\napp_secrets: {{token: hidden}}")
    failed, report = estate.check()
    assert failed
    assert "app_passphrase" in report
    assert not any(secret in report for secret in ("hunter2", "hidden", "5551234"))


def test_a_secret_made_of_another_variable_is_never_shown(estate: Any) -> None:
    estate.edit(APP, "{token: hidden}", "{token: '{{ other }}'}\nother: '{{ \"hunter2\" | network_address }}'")
    failed, report = estate.check()
    assert failed
    assert "hunter2" not in report


def test_a_vaulted_value_without_its_password(estate: Any) -> None:
    if VaultSecretsContext.current(optional=True) is None:
        VaultSecretsContext.initialize(VaultSecretsContext(secrets=[]))
    envelope = "$ANSIBLE_VAULT;1.1;AES256\n" + "6162" * 20
    vaulted = "".join(f"  {line}\n" for line in envelope.splitlines())
    estate.edit(APP, "app_secrets: {token: hidden}", f"app_passphrase: !vault |\n{vaulted}app_secrets: {{}}")
    assert estate.lines(estate.check()[1])[0] == "app_passphrase cannot be evaluated, and being secret is not shown"


def with_endpoints(estate: Any) -> None:
    """Give the applications the real role's endpoint, and the proxies a request for a certificate."""
    for role in ("tls_endpoint", "certificate"):
        for part in ("meta/argument_specs.yml", "defaults/main.yml"):
            path = estate.root / "roles" / role / part
            path.parent.mkdir(parents=True)
            path.write_text((ROOT / "roles" / role / part).read_text())
    estate.write(
        "group_vars/apps/tls_endpoint.yml",
        "tls_endpoint_address: 10.0.0.11\ntls_endpoint_names: [web.test]\n"
        "tls_endpoint_ca: /srv/trust.pem\ntls_endpoint_clients: [proxy1.test]\n",
    )
    name = "'{{ inventory_hostname }}.{{ domain }}'"
    estate.write(
        "group_vars/proxies/certificate.yml",
        f"domain: lab.test\ncertificate_requests:\n  - name: upstreams\n    names: [{name}]\n"
        "    source: internal_ca\n    usage: client\n",
    )


def test_an_endpoint_that_asks_for_certificates_says_whose(estate: Any) -> None:
    with_endpoints(estate)
    assert estate.check()[0] is False
    estate.edit("group_vars/apps/tls_endpoint.yml", "/srv/trust.pem", '""')
    estate.edit("group_vars/apps/tls_endpoint.yml", "tls_endpoint_clients: [proxy1.test]\n", "")
    https = "tls_endpoint_mode: https, which lets in everybody whom the firewall lets in"
    expected = [
        "tls_endpoint_clients is empty with tls_endpoint_mode: mtls: every client's certificate of these authorities"
        " would come in",
        "the variable tls_endpoint_clients (web1, web2)",
        f"-> write the common names in the proxies' certificates, or {https}",
        "tls_endpoint_ca is empty with tls_endpoint_mode: mtls: nothing says whose certificates are good",
        "inventory/group_vars/apps/tls_endpoint.yml:3:18 (web1, web2)",
        f"-> write the PEM file of those who issue them (the internal CA's trust.pem), or {https}",
    ]
    assert estate.lines(estate.check()[1]) == expected
    estate.edit("group_vars/apps/tls_endpoint.yml", "[web.test]\n", "[web.test]\ntls_endpoint_mode: https\n")
    assert estate.check()[0] is False


def test_a_client_with_too_long_a_name_is_refused_where_it_is_written(estate: Any) -> None:
    with_endpoints(estate)
    estate.edit("group_vars/proxies/certificate.yml", "lab.test", f"{'a' * 60}.test")
    found = estate.lines(estate.check()[1])
    assert found[0].startswith("certificate_requests[0].names[0] proxy1.aaaa")
    assert "has 72 characters" in found[0]
    assert found[1] == "inventory/group_vars/proxies/certificate.yml:4:13 (proxy1)"


def test_without_places_the_variables_are_named(estate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "Origin", None)
    estate.edit(APP, "'1.10'", "1.10")
    estate.edit(HOSTS, "web1: {private_address: 10.0.0.11}", "web1:")
    assert [line for line in estate.lines(estate.check()[1]) if not line.startswith("->")] == [
        "host web1 has no address",
        "the host web1",
        "app_version must be text, got 1.1",
        "the variable app_version (web1, web2)",
    ]


def test_warnings_do_not_fail(estate: Any) -> None:
    estate.edit(HOSTS, "all:\n", "all:\n  vars: {private_network: 10.0.0.0/28}\n")
    estate.edit(HOSTS, "10.0.0.12", "10.0.0.16")
    failed, report = estate.check()
    assert not failed
    assert report.splitlines() == [
        "environment of 4 hosts, 1 site, 1 upstream: 1 warning",
        "  1. ansible_host 10.0.0.16 of host web2 is outside 10.0.0.0/28",
        "     inventory/hosts.yml:13:34 (web2)",
        "     -> write an address in 10.0.0.0/28",
    ]


def test_a_public_address_outside_the_edge_network_is_reported(estate: Any) -> None:
    estate.edit(HOSTS, "all:\n", "all:\n  vars: {edge_network: 198.51.100.0/25}\n")
    estate.edit(HOSTS, "{private_address: 10.0.0.1}", "{private_address: 10.0.0.1, public_address: 198.51.100.1}")
    estate.edit(HOSTS, "{private_address: 10.0.0.2}", "{private_address: 10.0.0.2, public_address: 198.51.100.200}")
    failed, report = estate.check()
    assert not failed
    assert estate.lines(report) == [
        "public_address 198.51.100.200 of host proxy2 is outside 198.51.100.0/25",
        "inventory/hosts.yml:7:61 (proxy2)",
        "-> write an address in 198.51.100.0/25",
    ]


def test_a_name_that_the_internal_ca_may_not_sign_for(estate: Any) -> None:
    estate.write("group_vars/all/internal_ca.yml", "internal_ca_permitted_dns: [example.com]\n")
    estate.edit(PROXY, "[shop.example.org]", "[example.com, '*.example.com', shop.example.org]")
    estate.edit(
        PROXY, "proxy_caches:\n", "certificate_requests: '{{ proxy_sites | site_certificates }}'\nproxy_caches:\n"
    )
    failed, report = estate.check()
    assert failed
    assert [line.split(" (")[0] for line in estate.lines(report)] == [
        "proxy_sites[0].server_names[2] shop.example.org is outside example.com, all that the internal CA may sign for",
        "inventory/group_vars/proxies/proxy.yml:11:50",
        "-> add its domain to domains",
    ]


def test_a_role_demands_nothing_where_it_does_not_run(estate: Any) -> None:
    estate.edit(APP, "app_name: storefront\n", "")
    (estate.root / "site.yml").write_text("- hosts: proxies\n  roles: [proxy]\n")
    assert estate.check()[0] is False
    (estate.root / "site.yml").write_text("- hosts: apps\n  roles: [{role: app, app_name: given}]\n")
    assert estate.check()[0] is False
    (estate.root / "site.yml").write_text("- import_playbook: apps.yml\n")
    (estate.root / "apps.yml").write_text("- hosts: web2\n  roles: [app]\n")
    assert estate.lines(estate.check()[1])[:2] == [
        "app_name is missing, and the role app requires it",
        "inventory (web2)",
    ]


def test_a_role_named_by_a_variable_is_followed(estate: Any) -> None:
    play = "- hosts: apps\n  tasks:\n    - ansible.builtin.include_role: {name: '{{ kind }}'}\n"
    (estate.root / "site.yml").write_text(play)
    assert "a play runs the role {{ kind }}, and 'kind' is undefined" in estate.check()[1]
    estate.edit(APP, "app_name: storefront\n", "app_name: storefront\nkind: ap\n")
    assert estate.lines(estate.check()[1]) == [
        "a play runs the role {{ kind }}, which is ap here, and there is no such role",
        "the variables of these hosts (web1, web2)",
        "-> change that variable so that it becomes app",
    ]
    estate.edit(APP, "kind: ap\n", "kind: app\n")
    assert estate.check()[0] is False
    estate.edit(APP, "app_name: storefront\n", "")
    assert "app_name is missing, and the role app requires it" in estate.check()[1]


def test_a_playbook_that_does_not_exist(estate: Any) -> None:
    (estate.root / "site.yml").write_text("- import_playbook: none.yml\n")
    assert estate.lines(estate.check()[1]) == [
        "the playbook none.yml does not exist",
        "preflight_playbooks, or an import_playbook",
        "-> write the path of a playbook there is",
    ]


def write_certificate(folder: Path, days: int, name: str) -> None:
    """Write shop.pem and shop.key: a certificate for `name` that expires in `days` days."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=90))
    builder = builder.not_valid_after(now + datetime.timedelta(days=days, minutes=5))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
    certificate = builder.sign(key, hashes.SHA256())
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "shop.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "shop.key").write_bytes(key.private_bytes(*form))


@pytest.mark.parametrize(
    ("days", "name", "failed", "problems"),
    [
        (90, "shop.example.org", False, []),
        (90, "*.example.org", False, []),
        (20, "shop.example.org", False, ["chain the certificate expires in 20 days, on"]),
        (-1, "shop.example.org", True, ["chain the certificate expired on"]),
        (90, "desk.example.org", True, ["chain does not cover shop.example.org; it is for desk.example.org"]),
    ],
)
def test_certificates_from_files(estate: Any, days: int, name: str, failed: bool, problems: list[str]) -> None:
    write_certificate(estate.root, days, name)
    own = f"certificate: {{source: files, chain: {estate.root}/shop.pem, key: {estate.root}/shop.key}}"
    estate.edit(PROXY, "    locations:\n", f"    {own}\n    locations:\n")
    # The role certificate is wired from the sites: one wrong file is still one problem.
    estate.edit(
        PROXY, "proxy_caches:\n", "certificate_requests: '{{ proxy_sites | site_certificates }}'\nproxy_caches:\n"
    )
    result, report = estate.check()
    assert result == failed
    found = [line for line in estate.lines(report) if line.startswith(("proxy_sites", "certificate"))]
    assert len(found) == len(problems)
    for line, text in zip(found, problems, strict=True):
        assert line.startswith(f"proxy_sites[0].certificate.{text}")


def test_sixteen_hosts_more_take_little_more_work(estate: Any) -> None:
    """What a group gives its hosts is checked once. A ratio of processor time: machines differ, and are busy."""

    def work() -> float:
        start = time.process_time()
        assert estate.check()[0] is False
        return time.process_time() - start

    few = min(work() for _ in range(3))
    more = "".join(f"            web{n}: {{private_address: 10.0.1.{n}}}\n" for n in range(3, 19))
    estate.edit(HOSTS, "            web1:", more + "            web1:")
    assert estate.check() == (False, "environment of 20 hosts, 1 site, 1 upstream: no problem found")
    ratio = min(work() for _ in range(3)) / few
    assert ratio < 2, ratio


def test_as_people_run_it(estate: Any) -> None:
    estate.edit(HOSTS, "web1: {private_address: 10.0.0.11}", "web1:")
    estate.edit(APP, "app_name: storefront\n", "")
    status, output = estate.play("--limit", "proxies", "--check")
    assert status == 2, output
    assert output.count("host web1 has no address") == 1
    assert output.count("inventory/hosts.yml:11:13") == 1
    assert output.count("app_name is missing, and the role app requires it") == 1
    assert "Traceback" not in output
    assert "environment of 4 hosts, 1 site, 1 upstream: 2 errors" in output


def test_as_people_run_it_when_all_is_well(estate: Any) -> None:
    status, output = estate.play("--limit", "proxies")
    assert status == 0, output
    assert "msg: 'environment of 4 hosts, 1 site, 1 upstream: no problem found'" in output
    assert "changed=0" in output

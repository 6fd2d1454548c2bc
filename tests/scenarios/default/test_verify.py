"""What `verify` promises: it sees what the public would see, and says what is wrong and where."""

from __future__ import annotations

from estate import Estate


def test_it_is_content_with_a_sound_estate_and_names_every_member(estate: Estate) -> None:
    run = estate.play("playbooks/verify.yml")
    assert run.returncode == 0, run.stdout
    for name in (*estate.group("storefront"), *estate.group("dashboard")):
        assert name in run.stdout


def test_it_names_the_member_that_does_not_answer(estate: Estate) -> None:
    host = estate.host("dashboard2")
    host.check_output("systemctl stop dashboard")
    try:
        run = estate.play("playbooks/verify.yml")
    finally:
        host.check_output("systemctl start dashboard")
    assert run.returncode != 0
    assert "dashboard2" in run.stdout
    assert "dashboard1" not in run.stdout.split("msg:")[1].split("PLAY RECAP")[0], run.stdout


def test_it_names_the_site_whose_certificate_it_cannot_trust(estate: Estate) -> None:
    run = estate.play("playbooks/verify.yml", "-e", "verify_ca_file=/etc/ssl/certs/ca-certificates.crt")
    assert run.returncode != 0
    assert "storefront.lab.test" in run.stdout
    assert "certificate" in run.stdout


def test_private_keys_stay_on_their_host(estate: Estate) -> None:
    proxy = estate.host("proxy1")
    for site in ("storefront", "dashboard"):
        key = proxy.file(f"/etc/ssl/gatehouse/{site}/privkey.pem")
        assert (key.user, key.group, key.mode) == ("root", "root", 0o600)
        assert key.contains("PRIVATE KEY")
        secret = key.content_string.splitlines()[1]
        assert all(secret not in path.read_text(errors="replace") for path in estate.state.rglob("*") if path.is_file())
    authority = (estate.state / "ca" / "ca.key").read_text()
    assert authority.splitlines()[0].strip("-") == "BEGIN ENCRYPTED PRIVATE KEY"

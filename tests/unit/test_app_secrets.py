"""What looks like a secret is refused by name, in a source and in what was built; what is public passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n"
# The words stand apart, so that nothing takes this file for a key.
KEY = "-----BEGIN {}PRIVATE " + "KEY-----\n"
VAULT = "$ANSIBLE_" + "VAULT;1.1;AES256\n" + "6231" * 20 + "\n"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\n" + BODY + "-----END CERTIFICATE-----\n"
NAMES = (
    ".env", ".env.local", "deploy/prod.env", ".envrc", "server.key", "id_rsa", "id_ed25519",
    "keys/id_ed25519_deploy", ".ssh/config",
    ".aws/credentials", ".gnupg/x", "client.p12", "client.pfx", "Trust.JKS", "x.keystore", ".netrc",
    ".git-credentials", ".pypirc", ".pgpass", ".my.cnf", ".htpasswd", ".vault_pass", ".vault_pass.txt", "vault.yml",
    "terraform.tfstate", "terraform.tfstate.backup", "shop.dump", "dump.sql", "db/prod-dump.sql", "old.sql.gz",
    "db.sqlite3", ".docker/config.json", ".kube/config",
)  # fmt: skip
CONTENTS = {
    "ca.pem": KEY.format("") + BODY,
    "notes.txt": "hello\n" + KEY.format("RSA ") + BODY,
    "old.txt": KEY.format("RSA ") + "Proc-Type: 4,ENCRYPTED\n\n" + BODY,
    "host": KEY.format("OPENSSH ") + BODY,
    "encrypted.txt": KEY.format("ENCRYPTED ") + BODY,
    "service.json": '{"private_key": "' + KEY.format("").strip() + "\\n" + BODY.strip() + '"}',
    "group_vars/all.yml": "password: !vault |\n  " + VAULT.replace("\n", "\n  "),
    "settings.cfg": VAULT,
    ".npmrc": "registry=https://npm.test/\n//npm.test/:_authToken=0123456789\n",
    "web/.npmrc": "_auth = 0123456789\n",
    "auth.json": '{"http-basic": {"composer.test": {"username": "a", "password": "b"}}}',
    "pip.conf": "[global]\nindex-url = https://me:secret@pypi.test/simple\n",
}
PUBLIC = {
    "ca.pem": CERTIFICATE,
    ".env.example": "TOKEN=\n",
    "id_rsa.pub": "ssh-rsa AAAA\n",
    ".npmrc": "registry=https://npm.test/\n//npm.test/:_authToken=${NPM_TOKEN}\n",
    "public/locales/en/auth.json": '{"login": {"title": "Log in"}, "bearer": "Bearer"}',
    "auth.json": '{"http-basic": {}}',
    "keys.py": f'MARK = "{KEY.format("").strip()}"\nif text.startswith(MARK):\n    raise ValueError\n',
    "environment.py": "",
    "db/structure.sql": "CREATE TABLE a ();\n",
    "requirements.txt": "flask @ https://user@host.test/flask.whl\n",
    "docs/id_card.md": "x\n",
}


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "out").mkdir()
    write(tmp_path / "source", {"app.py": "print(1)\n"})
    return {
        "name": "demo", "version": "1.0", "source": str(tmp_path / "source"), "source_archive": {}, "source_git": {},
        "dir": str(tmp_path / "out"), "fetch": [], "commands": [], "files": {}, "exclude": [], "include": [],
        "strip": [], "timeout": 30,
    }  # fmt: skip


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize("files", [dict.fromkeys(NAMES, "x\n"), CONTENTS], ids=["names", "contents"])
def test_every_secret_of_a_source_is_named(builder: Any, options: dict[str, Any], files: dict[str, str]) -> None:
    write(Path(options["source"]), files)
    with pytest.raises(builder.ArchiveError) as error:
        builder.Build(options).run()
    lines = str(error.value).splitlines()
    assert lines[0] == "the source of demo has what looks like a secret, and a release is no place for one:"
    assert {line.split(": ")[0].strip() for line in lines[1:-1]} == set(files)
    assert lines[-1].startswith("Remove it, or name it in app_exclude (a pattern). What the application needs of it")
    # Named there, they stay out.
    assert builder.Build({**options, "exclude": list(files)}).run()


def test_what_is_public_passes(builder: Any, options: dict[str, Any]) -> None:
    write(Path(options["source"]), PUBLIC)
    assert builder.Build(options).run()


def test_what_only_looks_like_a_secret_is_packed_by_its_whole_path(builder: Any, options: dict[str, Any]) -> None:
    write(Path(options["source"]), {"slides/talk.key": "x\n"})
    for pattern in ("*.key", "slides"):
        with pytest.raises(builder.ArchiveError, match=r"slides/talk\.key: a private key"):
            builder.Build({**options, "own_include": [pattern]}).run()
    assert builder.Build({**options, "own_include": ["slides/talk.key"]}).run()


def test_settings_of_a_build_may_hold_no_key(builder: Any, options: dict[str, Any]) -> None:
    write(Path(options["source"]), {".env.production": 'KEY="' + KEY.format("RSA ") + BODY + '"\n'})
    with pytest.raises(builder.ArchiveError, match=r"\.env\.production: a private key"):
        builder.Build(options).run()


def test_a_secret_that_a_build_writes_is_refused(builder: Any, options: dict[str, Any]) -> None:
    options["commands"] = [["sh", "-c", "mkdir dist; echo TOKEN=1 > dist/.env"]]
    said = "the release of demo has what looks like a secret, .*\n  dist/.env: variables of an environment\n"
    with pytest.raises(builder.ArchiveError, match=said):
        builder.Build(options).run()


def test_keys_that_dependencies_bring_for_their_tests_pass(builder: Any, options: dict[str, Any]) -> None:
    options["fetch"] = [["sh", "-c", "mkdir node_modules; echo x > node_modules/test.key"]]
    assert builder.Build(options).run()

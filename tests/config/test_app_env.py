"""Variables of the app that would change which code its programs load."""

from __future__ import annotations

from pathlib import Path

import pytest

from metamcp_deploy import config
from metamcp_deploy.errors import Code, DeployError

# Source: ld.so(8), dyld(1), bash(1), the command-line pages of Node and Python, openssl-env(7).
LOADERS = [
    *("NODE_OPTIONS", "NODE_PATH", "NODE_COMPILE_CACHE", "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT"),
    *("DYLD_INSERT_LIBRARIES", "PATH", "HOME", "SHELL", "BASH_ENV", "ENV", "PYTHONPATH", "PYTHONSTARTUP"),
    *("PYTHONHOME", "PERL5OPT", "PERL5LIB", "RUBYOPT", "RUBYLIB", "OPENSSL_CONF", "OPENSSL_MODULES"),
    *(
        "GCONV_PATH",
        "GLIBC_TUNABLES",
        "JAVA_TOOL_OPTIONS",
        "_JAVA_OPTIONS",
        "CLASSPATH",
        "npm_config_node_options",
    ),
]
HARMLESS = [
    *("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR", "LOG_LEVEL", "HTTPS_PROXY", "TZ", "PATHS"),
    *("PYTHONUNBUFFERED", "npm_config_registry"),
]


def problems(folder: Path, name: str, more: str = "") -> str:
    (folder / "metamcp.yaml").write_text(f"version: 1\napp: {{env: {{{name}: x}}{more}}}\n")
    return "\n".join(map(str, config.check(folder)))


def test_what_loads_code_is_refused_unless_it_is_named(folder: Path) -> None:
    for name in LOADERS:
        assert f"env.{name} changes how programs load" in problems(folder, name), name
    assert "app.allow_env" in problems(folder, "NODE_OPTIONS")
    assert not problems(folder, "NODE_OPTIONS", ", allow_env: [NODE_OPTIONS]")
    assert problems(folder, "LD_PRELOAD", ", allow_env: [NODE_OPTIONS]")


@pytest.mark.parametrize("name", HARMLESS)
def test_other_variables_are_let_be(folder: Path, name: str) -> None:
    assert not problems(folder, name)


def test_the_key_that_signs_records_is_not_given_to_the_app(folder: Path) -> None:
    key = "{secret: metamcp-deploy-signing}"
    for where, text in (
        ("app.env.LOG_LEVEL", f"app: {{env: {{LOG_LEVEL: {key}}}}}"),
        ("app.env.A", "app: {env: {A: {secret: MetaMCP-Deploy-Signing}}}"),  # keys differ by more than case
        ("database.url", f"database: {{kind: external, url: {key}}}"),
        ("database.password", f"database: {{password: {key}}}"),
        ("secrets.better_auth_secret", "secrets: {better_auth_secret: metamcp-deploy-signing}"),
    ):
        (folder / "metamcp.yaml").write_text(f"version: 1\n{text}\ntargets: {{dev: }}\n")
        (problem,) = config.check(folder)
        assert problem.origin.key == where
        assert "signs records and the ledger" in problem.text
        assert "Name a secret of its own" in problem.text
    with pytest.raises(DeployError) as caught:
        config.load(folder)
    assert (caught.value.code, "config check" in caught.value.hint) == (Code.CONFIG_INVALID, True)

from pathlib import Path

import pytest

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.upstream import address


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/metatool-ai/metamcp.git",
        "https://someone@git.example.com/metamcp",
        "ssh://git@git.example.com:2222/metamcp.git",
        "git@git.example.com:team/metamcp.git",
        "http://127.0.0.1:8080/metamcp.git",
    ],
)
def test_passed_on_as_they_are(url: str, tmp_path: Path) -> None:
    assert address.checked(url, tmp_path) == url


@pytest.mark.parametrize("form", ["{0}", "file://{0}", "file://localhost{0}", "./{1}", "{1}"])
def test_a_folder_in_any_form_is_its_absolute_path(form: str, tmp_path: Path) -> None:
    folder = tmp_path / "a clone"
    folder.mkdir()
    url = form.format(folder, folder.name)
    if "://" in url:
        url = url.replace(" ", "%20")

    assert address.checked(url, tmp_path) == str(folder)


def test_home(isolated: Path, tmp_path: Path) -> None:
    (isolated / "clone").mkdir()

    assert address.checked("~/clone", tmp_path) == str(isolated / "clone")


def test_a_folder_with_a_colon_is_no_ssh_host(tmp_path: Path) -> None:
    (tmp_path / "a:b").mkdir()

    assert address.checked("a:b", tmp_path) == str(tmp_path / "a:b")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "empty"),
        ("--upload-pack=touch /tmp/x", "begins with"),
        ("-uhttps://example.com", "begins with"),
        ("git@-oProxyCommand=x:y", "host"),
        ("ssh://-oProxyCommand=x/y", "host"),
        ("ssh://git@-oProxyCommand=x/y", "host"),
        ("ssh://-x@example.com/y", "host"),
        ("ext::sh -c 'touch x'", "start programs"),
        ("fd::3", "start programs"),
        ("git://example.com/x", "git://"),
        ("ftp://example.com/x", "ftp://"),
        ("http://example.com/x", "could change the code"),
        ("https://example.com/a b", "spaces"),
        ("https://example.com/x\n", "control"),
        ("https:///x", "host"),
        ("https://example.com:port/x", "no valid URL"),
        ("file://elsewhere.example.com/x", "this machine"),
    ],
)
def test_refused_before_git_sees_it(url: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(DeployError) as error:
        address.checked(url, tmp_path)

    assert error.value.code is Code.UPSTREAM_REFUSED
    assert why in error.value.message


@pytest.mark.parametrize(
    "url",
    [
        "https://me:s3cret@example.com/x",
        "https://ghp_s3cret@example.com/x",
        "ssh://me:s3cret@example.com/x",
    ],
)
def test_a_secret_in_a_url_is_refused_and_not_repeated(url: str, tmp_path: Path) -> None:
    with pytest.raises(DeployError) as error:
        address.checked(url, tmp_path)

    assert error.value.code is Code.UPSTREAM_REFUSED
    assert "s3cret" not in str(error.value.as_dict())


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DeployError) as error:
        address.checked("clones/metamcp", tmp_path)

    assert error.value.code is Code.UPSTREAM_UNREACHABLE
    assert str(tmp_path / "clones/metamcp") in error.value.message


@pytest.mark.parametrize(
    "tail",
    [
        "?private_token=marked-1",
        "?x=1&access_token=marked-1",
        "?sig=marked-1",
        "?a=ghp_marked-1",
        "#token=marked-1",
    ],
)
def test_a_token_after_the_path_is_refused_as_a_password_is(tail: str, tmp_path: Path) -> None:
    with pytest.raises(DeployError) as refused:
        address.checked(f"https://git.example.com/metamcp.git{tail}", tmp_path)
    assert refused.value.code is Code.UPSTREAM_REFUSED
    assert "marked" not in f"{refused.value.message}{refused.value.hint}{refused.value.detail}"
    assert address.checked("https://git.example.com/x.git?version=2", tmp_path).endswith("?version=2")

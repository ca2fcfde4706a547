import pytest

from metamcp_deploy import events
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.upstream import refs
from metamcp_deploy.upstream.refs import Listing, Pin

A, B, C, D = ("a" * 40, "b" * 40, "c" * 40, "d" * 40)
LISTING = f"""{A}\trefs/heads/main
{B}\trefs/heads/both
{C}\trefs/tags/both
{D}\trefs/tags/v2.4.22
{A}\trefs/tags/v2.4.22^{{}}
{B}\trefs/tags/v2.4.21
"""


@pytest.fixture
def listing() -> Listing:
    return Listing.parse(LISTING)


@pytest.mark.parametrize(
    ("ref", "kind", "commit"),
    [
        ("v2.4.22", "tag", A),  # annotated: the commit, not the tag object
        ("v2.4.21", "tag", B),
        ("refs/tags/v2.4.21", "tag", B),
        ("main", "branch", A),
        ("both", "tag", C),
        ("refs/heads/both", "branch", B),
    ],
)
def test_resolves(listing: Listing, ref: str, kind: str, commit: str) -> None:
    pin = listing.resolve(ref, "url")

    assert (pin.ref, pin.kind, pin.commit) == (ref, kind, commit)


def test_a_name_that_is_both_is_mentioned(listing: Listing, said: list[events.Event]) -> None:
    listing.resolve("both", "url")

    assert "the tag is taken" in str(said)


@pytest.mark.parametrize(
    ("ref", "suggestion"),
    [
        ("v2.4.23", "`v2.4.22`"),
        ("2.4.22", "Did you mean `v2.4.22`?"),
        ("mian", "`main`"),
        ("aaaaaaa", f"`{A}`"),
        ("refs/heads/v2.4.22", "`v2.4.22`"),
    ],
)
def test_an_unknown_name_gets_a_suggestion(listing: Listing, ref: str, suggestion: str) -> None:
    with pytest.raises(DeployError) as error:
        listing.resolve(ref, "url")

    assert error.value.code is Code.REF_UNKNOWN
    assert suggestion in error.value.hint


@pytest.mark.parametrize(
    "ref", ["v2.4.22", "main", "feature/a-b", "refs/heads/main", A, "2.1", "release@1", "sample-v1"]
)
def test_names_that_are_let_through(ref: str) -> None:
    refs.check(ref)


@pytest.mark.parametrize(
    "ref",
    [
        *(
            "",
            "-x",
            "--upload-pack=x",
            "a b",
            "a..b",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
            "a[",
            "a\\b",
            "@{u}",
            "@",
        ),
        *("a//b", "/a", "a/", "a.", ".a", "a/.b", "a.lock", "a\nb", "a\x7f"),
    ],
)
def test_names_that_git_must_not_see(ref: str) -> None:
    with pytest.raises(DeployError) as error:
        refs.check(ref)

    assert error.value.code is Code.UPSTREAM_REFUSED


@pytest.mark.parametrize(
    ("ref", "why"),
    [
        ("v0.5.0", "another program"),
        ("0.4.5-local-access", "another program"),
        ("refs/tags/v0.0.1", "another program"),
        ("v2.0.0", "obeys PORT"),
        ("v2.0.3", "obeys PORT"),
    ],
)
def test_versions_that_cannot_be_deployed(ref: str, why: str) -> None:
    with pytest.raises(DeployError) as error:
        refs.check(ref)

    assert error.value.code is Code.REF_UNSUPPORTED
    assert why in error.value.message


def test_such_a_version_by_its_commit() -> None:
    with pytest.raises(DeployError) as error:
        refs.check_commit("c6ed7434ae2b97b1399ec5ba1a4ad19e95333ac7")

    assert error.value.code is Code.REF_UNSUPPORTED
    assert "v2.0.3" in error.value.message


@pytest.mark.parametrize(
    ("pin", "words"),
    [
        (Pin("main", "branch", A), "is a branch and moves"),
        (Pin("v2.5.7-docker-per-mcp", "tag", A), "abandoned side branch"),
        (Pin("refs/tags/v2.5.0", "tag", A), "abandoned side branch"),
    ],
)
def test_warnings(pin: Pin, words: str, said: list[events.Event]) -> None:
    refs.warn(pin)

    assert words in str(said)


def test_no_warning_for_an_ordinary_tag(said: list[events.Event]) -> None:
    refs.warn(Pin("v2.4.22", "tag", A))

    assert said == []


def test_the_lock() -> None:
    refs.check_lock(Pin("v2.4.22", "tag", A), None)
    refs.check_lock(Pin("v2.4.22", "tag", A), A)
    with pytest.raises(DeployError) as error:
        refs.check_lock(Pin("v2.4.22", "tag", A), B)

    assert error.value.code is Code.REF_MOVED
    assert A in error.value.message
    assert B in error.value.message

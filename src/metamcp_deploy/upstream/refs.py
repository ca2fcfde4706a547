"""Names of tags, branches and commits: which are let through to git, what they stand for, which are supported."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from metamcp_deploy import events
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.upstream import advisories

Kind = Literal["tag", "branch", "commit"]
_COMMIT = re.compile(r"[0-9a-fA-F]{40}")
# What `git check-ref-format` refuses, and what the revision syntax would take for something else.
_FORBIDDEN = re.compile(r"^$|^-|[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|^@$|//|^/|/$|\.$|(^|/)\.|\.lock($|/)")


@dataclass(frozen=True)
class Pin:
    """What a ref stands for now; `full` is the name at the upstream, None for a commit."""

    ref: str
    kind: Kind
    commit: str
    full: str | None = None


@dataclass(frozen=True)
class Listing:
    """The branches and tags of an upstream: commits (tags peeled) by full name."""

    commits: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, listing: str) -> Listing:
        """Reads `<id> TAB <name>` lines; `<name>^{}` is what an annotated tag stands for."""
        commits: dict[str, str] = {}
        for line in listing.splitlines():
            commit, _, name = line.partition("\t")
            if name.endswith("^{}"):
                commits[name.removesuffix("^{}")] = commit
            else:
                commits.setdefault(name, commit)
        return cls(commits)

    def resolve(self, ref: str, url: str) -> Pin:
        """The tag or branch of that name; a tag wins, as in git, and a branch of the same name is mentioned.

        Raises:
            DeployError: REF_UNKNOWN, with names that resemble it.
        """
        short = re.sub(r"^refs/(tags|heads)/", "", ref)
        tag, branch = f"refs/tags/{short}", f"refs/heads/{short}"
        if tag in self.commits and not ref.startswith("refs/heads/"):
            if branch in self.commits and not ref.startswith("refs/tags/"):
                events.emit(
                    events.Warned(
                        f"{url} has a tag and a branch {short}; the tag is taken.", f"Say `{branch}`."
                    )
                )
            return Pin(ref, "tag", self.commits[tag], tag)
        if branch in self.commits and not ref.startswith("refs/tags/"):
            return Pin(ref, "branch", self.commits[branch], branch)
        raise self._unknown(ref, short, url)

    def _unknown(self, ref: str, short: str, url: str) -> DeployError:
        names = [re.sub(r"^refs/(tags|heads)/", "", name) for name in self.commits]
        close = list(dict.fromkeys(difflib.get_close_matches(short, names, n=3, cutoff=0.6)))
        if f"v{short}" in names:
            close = [f"v{short}"]
        hint = f"Did you mean {' or '.join(f'`{c}`' for c in close)}? Set" if close else "Set"
        partly = re.fullmatch(r"[0-9a-f]{6,39}", short)
        if whole := sorted({c for c in self.commits.values() if partly and c.startswith(short)}):
            hint = f"Did you mean `{whole[0]}`? Set"
        expected = (
            "a commit needs all of its 40 digits" if partly else "expected a tag, a branch or a full commit"
        )
        return DeployError(
            Code.REF_UNKNOWN,
            f"{url} has no tag or branch {ref!r}; {expected}.",
            hint=f"{hint} `upstream.ref` in metamcp.yaml or --ref; `git ls-remote {url}` lists all.",
        )


def as_commit(ref: str) -> str | None:
    """The full commit that a ref is, or None for a name."""
    return ref.lower() if _COMMIT.fullmatch(ref) else None


def check(ref: str) -> None:
    """Refuses what git must not see and what cannot be deployed, by name alone, before anything is fetched.

    Raises:
        DeployError: UPSTREAM_REFUSED, REF_UNSUPPORTED.
    """
    if _FORBIDDEN.search(ref):
        why = "begins with `-`" if ref.startswith("-") else "is not a name that git allows"
        raise DeployError(
            Code.UPSTREAM_REFUSED,
            f"`upstream.ref` {why}: {ref!r}; expected a tag, a branch or a full commit.",
            hint="Correct `upstream.ref` in metamcp.yaml, or --ref.",
        )
    if refused := advisories.refusal(ref):
        raise _unsupported(ref, refused)


def check_commit(commit: str) -> None:
    """The same for a commit that is one of the refused tags under its other name."""
    if why := advisories.refusal(commit, commit):
        raise _unsupported(commit, f"is {advisories.release_of(commit, commit)} and {why}")


def warn(pin: Pin) -> None:
    """Says what a person should know about a pin that is accepted."""
    if left := advisories.abandoned(pin.ref, pin.commit):
        hint = "Prefer v2.4.22, the newest release of the main line."
        events.emit(events.Warned(f"{pin.ref} {left}.", hint))
    if pin.kind == "branch":
        events.emit(
            events.Warned(
                f"{pin.ref} is a branch and moves; today it is {pin.commit}.",
                f"Set `upstream.commit: {pin.commit}` to stay there, or pin a tag.",
            )
        )


def warn_moved(ref: str, before: str, now: str) -> None:
    """Says that a tag stands for another commit than at the last run."""
    text = f"The tag {ref} moved from {before} to {now}. Tags are not meant to move."
    events.emit(events.Warned(text, _until_known(before)))


def warn_other(pin: Pin, known: str) -> None:
    """Says that a tag of MetaMCP stands for another commit than the release of that name."""
    text = f"{pin.ref} is commit {pin.commit}, while the release of MetaMCP is known as {known}."
    events.emit(events.Warned(text, _until_known(known)))


def _until_known(commit: str) -> str:
    return f"Find out why before you deploy it; `upstream.commit: {commit}` in metamcp.yaml refuses any other commit."


def check_lock(pin: Pin, locked: str | None) -> None:
    """Compares a pin with `upstream.commit`.

    Raises:
        DeployError: REF_MOVED, naming both commits.
    """
    if locked is None or locked == pin.commit:
        return
    raise DeployError(
        Code.REF_MOVED,
        f"`upstream.commit` locks {pin.ref} to {locked}, but it is {pin.commit} now.",
        hint=f"Find out why it moved; then set `upstream.commit: {pin.commit}`, or `upstream.ref: {locked}` to stay.",
    )


def _unsupported(ref: str, why: str) -> DeployError:
    return DeployError(
        Code.REF_UNSUPPORTED,
        f"`upstream.ref` {ref} {why}.",
        hint="Set `upstream.ref: v2.4.22` (v2.0.4 is the oldest that works) in metamcp.yaml or --ref.",
    )

"""The working folder of a run: where everything is, for one target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.origin import FILE
from metamcp_deploy.config.secret import Secret


@dataclass(frozen=True)
class Project:
    """A user's working folder with the settings of one target.

    Attributes:
        folder: absolute path of the folder that holds metamcp.yaml and build/.
        settings: the target's settings.
        all_targets: settings of every target the file names (databricks.yml is rendered with all of them).
        secrets: secret values found in the environment or .env (BETTER_AUTH_SECRET), by name.
        use_cache: False with --no-cache.
        bare: nothing is known but an app's name and a login (`--app NAME -p PROFILE`).
    """

    folder: Path
    settings: Settings
    all_targets: tuple[Settings, ...] = ()
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    use_cache: bool = True
    bare: bool = False

    @property
    def committed(self) -> tuple[Path, ...]:
        """What a protected target is made of and so must stand in git as it is here: the file and the user's folders.

        Whether it does is asked of git by the stages; this part starts no programs.
        """
        s = self.settings
        named = (self.folder / FILE, s.overrides, s.patches, s.templates)
        return tuple(p for p in named if p is not None and p.exists())

    @property
    def build(self) -> Path:
        """`build/`, all that stages leave behind."""
        return self.folder / "build"

    @property
    def state(self) -> Path:
        """`build/state/`, a record for each stage."""
        return self.build / "state"

    @property
    def upstream(self) -> Path:
        """`build/upstream/`, the pristine checkout."""
        return self.build / "upstream"

    @property
    def patched(self) -> Path:
        """`build/metamcp/`, the patched tree."""
        return self.build / "metamcp"

    @property
    def bundle(self) -> Path:
        """`build/bundle/`, all that is uploaded."""
        return self.build / "bundle"

    @property
    def certificates(self) -> Path | None:
        """Where files of trusted certificates are kept with `--no-cache`; None is the user's cache."""
        return None if self.use_cache else self.build / "certificates"

    @property
    def local(self) -> Path:
        """`build/local/`, state of the embedded workspace."""
        return self.build / "local"

    @property
    def logs(self) -> Path:
        """`build/logs/`, output of the programs that stages run."""
        return self.build / "logs"

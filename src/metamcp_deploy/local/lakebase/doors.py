"""A port for each endpoint and instance of the embedded Lakebase, as each is a host on the platform.

A credential opens the one that it was made for: at another the cluster refuses it as a wrong password (28P01). At a
disabled endpoint (`spec.disabled`) nobody listens, and its port waits for it.
"""

from __future__ import annotations

import asyncio
from functools import partial

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.local.lakebase.autoscaling import Databases
from metamcp_deploy.local.lakebase.provisioned import OF_INSTANCE, Instances
from metamcp_deploy.local.store import Store


class Doors:
    """The doors of all endpoints (by their full names) and instances (`instances/NAME`); ports are remembered."""

    def __init__(self, store: Store, databases: Databases, instances: Instances) -> None:
        self.store = store
        self.lakebase = databases.lakebase
        self.databases = databases
        self.instances = instances
        self._keeping = asyncio.Lock()

    async def keep(self) -> list[str]:
        """Opens the doors that are missing or died, closes those of what is gone; the places of those that died."""
        async with self._keeping:
            there = {*self.databases.endpoints(), *(f"{OF_INSTANCE}{n}" for n in self.instances.records)}
            ports = self.store.family("doors")
            disabled = self.databases.disabled() & ports.keys()
            wanted = there - disabled
            open_now = self.lakebase.doors
            if open_now.keys() == wanted and ports.keys() == there:
                return []
            died = [place for place in wanted & self.lakebase.known_doors if place not in open_now]
            for place in self.lakebase.known_doors - wanted:
                await self.lakebase.close(place)
            for place in ports.keys() - there:
                del ports[place]
            for place in sorted(wanted - open_now.keys()):
                await self.lakebase.close(place)
                ports[place] = await self._opened(place, ports.get(place))
            self.store.save()
            return died

    async def _opened(self, place: str, port: int | None) -> int:
        named = partial(self._named, place)
        try:
            return await self.lakebase.open(place, port, named)
        except DeployError as e:
            if e.code is not Code.PORT_TAKEN or port is None:
                raise
            return await self.lakebase.open(place, None, named)  # apps get the port at each start

    async def port(self, place: str) -> int:
        """The port of an endpoint or instance, also of one that is disabled."""
        await self.keep()
        return int(self.store.family("doors")[place])

    def _named(self, place: str, database: str) -> str | None:
        if place.startswith(OF_INSTANCE):
            return self.instances.named(place.removeprefix(OF_INSTANCE), database)
        return self.databases.named(place.rpartition("/endpoints/")[0], database)


def of_instance(name: str) -> str:
    """The place of an instance."""
    return f"{OF_INSTANCE}{name}"

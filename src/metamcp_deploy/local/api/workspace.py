"""`/api/2.0/workspace` and `/api/2.0/workspace-files`: files and folders."""

from __future__ import annotations

import asyncio
import base64
from binascii import Error as Base64Error
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from aiohttp import BodyPartReader, web

from metamcp_deploy.local.api.authorization import PATHS, Authorization
from metamcp_deploy.local.api.errors import ApiError, invalid, missing
from metamcp_deploy.local.api.requests import Call, body, flag, text
from metamcp_deploy.local.api.routes import Right, Route
from metamcp_deploy.local.files import Files

JSON_LIMIT = 10_485_760  # of content in a base64 JSON import or export
_CHUNK = 1 << 18


class Workspace:
    """HTTP in front of Files; disk work runs in threads."""

    def __init__(self, files: Files, access: Authorization) -> None:
        self.files = files
        self.access = access

    def routes(self) -> list[Route]:
        """The table of this family."""
        read, manage = Right(PATHS, "CAN_READ", "path"), Right(PATHS, "CAN_MANAGE", "path")
        return [
            Route(
                "POST", "/api/2.0/workspace-files/import-file/{path:.*}", self.import_file, manage, raw=True
            ),
            # Its right is checked by the handler: only there a multipart form is read.
            Route("POST", "/api/2.0/workspace/import", self.import_object, raw=True),
            Route("POST", "/api/2.0/workspace/mkdirs", self.mkdirs, manage),
            Route("POST", "/api/2.0/workspace/delete", self.delete, manage),
            Route("GET", "/api/2.0/workspace/get-status", self.get_status, read),
            Route("GET", "/api/2.0/workspace/list", self.list, read),
            Route("GET", "/api/2.0/workspace/export", self.export, read),
        ]

    async def import_file(self, call: Call) -> dict[str, Any]:
        """One file as it is. The path follows the route with each `/` as %2F; a conflict is 409 here."""
        raw = call.request.raw_path.partition("?")[0].partition("/import-file/")[2]
        incoming = await asyncio.to_thread(self.files.temporary)
        try:
            await _save(call.request.content, incoming)
            await asyncio.to_thread(
                self.files.put,
                "/" + unquote(raw).lstrip("/"),
                incoming,
                overwrite=flag(call.query.get("overwrite")),
                conflict_status=409,
            )
        finally:
            await asyncio.to_thread(incoming.unlink, missing_ok=True)
        return {}

    async def import_object(self, call: Call) -> dict[str, Any]:
        """`workspace/import`: a multipart form with the content as a file, or JSON with base64 content."""
        incoming = await asyncio.to_thread(self.files.temporary)
        try:
            fields = (
                await _multipart(call.request, incoming)
                if call.request.content_type == "multipart/form-data"
                else await _json(call.request, incoming)
            )
            path = _named(call, fields)
            self.access.demand(call.principal, PATHS, path, "CAN_MANAGE")
            await asyncio.to_thread(
                self.files.put_as,
                path,
                incoming,
                fields.get("format") or "SOURCE",
                fields.get("language"),
                overwrite=flag(fields.get("overwrite")),
            )
        finally:
            await asyncio.to_thread(incoming.unlink, missing_ok=True)
        return {}

    async def mkdirs(self, call: Call) -> dict[str, Any]:
        """Makes a folder and its parents."""
        await asyncio.to_thread(self.files.mkdirs, _named(call, call.data))
        return {}

    async def delete(self, call: Call) -> dict[str, Any]:
        """Deletes a file, or a folder (`recursive` when it is not empty)."""
        await asyncio.to_thread(
            self.files.delete, _named(call, call.data), recursive=flag(call.data.get("recursive"))
        )
        return {}

    async def get_status(self, call: Call) -> dict[str, Any]:
        """What is at a path."""
        path = _named(call, call.query)
        return await asyncio.to_thread(lambda: self.files.status(self.files.existing(path)))

    async def list(self, call: Call) -> dict[str, Any]:
        """What is in a folder; `objects` is left out when there is nothing, as the platform does."""
        found = await asyncio.to_thread(self.files.listing, _named(call, call.query))
        return {"objects": found} if found else {}

    async def export(self, call: Call) -> Any:
        """A file's content: raw with `direct_download`, else base64 in JSON up to 10 MB."""
        path = _named(call, call.query)
        place = await asyncio.to_thread(self.files.existing, path)
        facts = await asyncio.to_thread(self.files.status, place)
        if facts["object_type"] == "DIRECTORY":
            raise ApiError(501, "NOT_IMPLEMENTED", "The embedded workspace does not export folders.")
        if flag(call.query.get("direct_download")):
            raw = await asyncio.to_thread(place.read_bytes)
            return web.Response(body=raw, content_type="application/octet-stream")
        if facts.get("size", 0) > JSON_LIMIT:
            raise _too_large(facts["size"])
        content = await asyncio.to_thread(place.read_bytes)
        return {"content": base64.b64encode(content).decode(), "file_type": place.suffix.lstrip(".")}


def _named(call: Call, fields: Mapping[str, Any]) -> str:
    """The path that a request names; the record of requests shows it."""
    path = text(fields, "path")
    call.request["file"] = path
    return path


async def _save(content: Any, place: Path) -> None:
    out = await asyncio.to_thread(place.open, "wb")
    try:
        async for chunk in content.iter_chunked(_CHUNK):
            await asyncio.to_thread(out.write, chunk)
    finally:
        await asyncio.to_thread(out.close)


async def _multipart(request: web.Request, incoming: Path) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    got_content = False
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            raise invalid("Nested multipart content is not supported")
        if part.name == "content":
            got_content = True
            out = await asyncio.to_thread(incoming.open, "wb")
            try:
                while chunk := await part.read_chunk(_CHUNK):
                    await asyncio.to_thread(out.write, chunk)
            finally:
                await asyncio.to_thread(out.close)
        elif part.name:
            fields[part.name] = await part.text()
    if not got_content:
        raise missing("Missing required field: content")
    return fields


async def _json(request: web.Request, incoming: Path) -> dict[str, Any]:
    fields = await body(request)
    try:
        content = base64.b64decode(str(fields.get("content") or ""), validate=True)
    except Base64Error as e:
        raise invalid("content must be base64-encoded") from e
    if len(content) > JSON_LIMIT:
        raise _too_large(len(content))
    await asyncio.to_thread(incoming.write_bytes, content)
    return fields


def _too_large(size: int) -> ApiError:
    return ApiError(
        400,
        "MAX_NOTEBOOK_SIZE_EXCEEDED",
        f"File size imported is ({size} bytes), exceeded max size ({JSON_LIMIT} bytes)",
    )

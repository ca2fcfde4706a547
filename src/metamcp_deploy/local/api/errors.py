"""Refusals in the platform's shape: `{"error_code", "message"}` with a fitting status."""

from __future__ import annotations

from aiohttp import web


class ApiError(Exception):
    """A refusal in the platform's shape; `middleware.shaped` turns it into a response."""

    def __init__(self, status: int, error_code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_code = error_code
        self.message = message

    def response(self) -> web.Response:
        """The answer a client gets."""
        content = {"error_code": self.error_code, "message": self.message}
        return web.json_response(content, status=self.status)


def missing(message: str) -> ApiError:
    """404: the named thing does not exist."""
    return ApiError(404, "RESOURCE_DOES_NOT_EXIST", message)


def not_found(message: str) -> ApiError:
    """404 as the newer families (Lakebase autoscaling) spell it."""
    return ApiError(404, "NOT_FOUND", message)


def invalid(message: str) -> ApiError:
    """400: a parameter has the wrong form."""
    return ApiError(400, "INVALID_PARAMETER_VALUE", message)


def exists(message: str, status: int = 409) -> ApiError:
    """409 (some older families: 400): a thing of that name is there already."""
    return ApiError(status, "RESOURCE_ALREADY_EXISTS", message)


def denied(message: str) -> ApiError:
    """403: known, but not allowed to."""
    return ApiError(403, "PERMISSION_DENIED", message)


def conflict(message: str) -> ApiError:
    """400: the thing is not in a state for this."""
    return ApiError(400, "INVALID_STATE", message)

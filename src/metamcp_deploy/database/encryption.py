"""A file that only a passphrase opens: scrypt, then AES-256-GCM over blocks whose order and end are part of the check.

Layout: MAGIC, salt (16), nonce prefix (7), then blocks of 1 MiB, each with its tag. A block's nonce is prefix, number
(4, big-endian) and whether it is the last (1): the construction STREAM, so that no block can be moved, doubled or cut.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from metamcp_deploy.config.secret import Secret
from metamcp_deploy.errors import Code, DeployError

MAGIC = b"metamcp-deploy encrypted 1\n"
SHORTEST = 12  # characters of a passphrase
_SALT, _PREFIX, _TAG = 16, 7, 16
_BLOCK = 1 << 20
_COST = 2**17  # 128 MB and a third of a second for each guess


def is_encrypted(path: Path) -> bool:
    """Whether this tool encrypted a file."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def encrypt(source: Path, target: Path, passphrase: Secret) -> None:
    """Writes the encrypted file, 0600."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    salt, prefix = os.urandom(_SALT), os.urandom(_PREFIX)
    cipher = AESGCM(_key(passphrase, salt))
    head = MAGIC + salt + prefix
    with source.open("rb") as reading, _private(target) as writing:
        writing.write(head)
        for number, (block, last) in enumerate(_blocks(reading, _BLOCK)):
            writing.write(cipher.encrypt(_nonce(prefix, number, last), block, head))


def decrypt(source: Path, target: Path, passphrase: Secret) -> None:
    """Writes the plain file, 0600.

    Raises:
        DeployError: BACKUP_INVALID for another passphrase, and for a file that was cut or changed.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    with source.open("rb") as reading, _private(target) as writing:
        head = reading.read(len(MAGIC) + _SALT + _PREFIX)
        salt, prefix = head[len(MAGIC) :][:_SALT], head[len(MAGIC) + _SALT :]
        cipher = AESGCM(_key(passphrase, salt))
        try:
            for number, (block, last) in enumerate(_blocks(reading, _BLOCK + _TAG)):
                writing.write(cipher.decrypt(_nonce(prefix, number, last), block, head))
        except InvalidTag as e:
            raise DeployError(
                Code.BACKUP_INVALID,
                f"{source} does not open: the passphrase is another one, or the file was cut or changed.",
                hint="Take the passphrase that the backup was made with, or another copy of the file.",
            ) from e


def _key(passphrase: Secret, salt: bytes) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt=salt, length=32, n=_COST, r=8, p=1).derive(passphrase.reveal().encode())


def _nonce(prefix: bytes, number: int, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + bytes([last])


def _blocks(file: IO[bytes], size: int) -> Iterator[tuple[bytes, bool]]:
    """Each block, and whether it is the last; an empty file is one empty block."""
    block = file.read(size)
    while True:
        following = file.read(size)
        yield block, not following
        if not following:
            return
        block = following


def _private(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")

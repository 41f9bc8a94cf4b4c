"""AES-128 of whole segments, as HLS has it (RFC 8216, 4.3.2.4): CBC, filled up as PKCS #7 says."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

_CHUNK = 1 << 20


def encrypt_file(path: Path, key: bytes, iv: bytes) -> bytes:
    """Put what a file holds in its place, encrypted; return the SHA-256 of what it held. Raises `OSError`."""
    digest = sha256()
    cipher, padder = Cipher(AES128(key), CBC(iv)).encryptor(), PKCS7(AES128.block_size).padder()
    unfinished = path.with_name(f"{path.name}.part")
    with path.open("rb") as plain, unfinished.open("wb") as file:
        while chunk := plain.read(_CHUNK):
            digest.update(chunk)
            file.write(cipher.update(padder.update(chunk)))
        file.write(cipher.update(padder.finalize()) + cipher.finalize())
    unfinished.replace(path)
    return digest.digest()


def plain_digest(path: Path, key: bytes, iv: bytes) -> bytes:
    """Return the SHA-256 of what an encrypted file holds.

    Raises `ValueError` where it cannot have been encrypted with that, `OSError`.
    """
    digest = sha256()
    cipher, filling = Cipher(AES128(key), CBC(iv)).decryptor(), PKCS7(AES128.block_size).unpadder()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(filling.update(cipher.update(chunk)))
    digest.update(filling.update(cipher.finalize()) + filling.finalize())
    return digest.digest()

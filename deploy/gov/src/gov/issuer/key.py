"""The issuer's signing key: made once, kept in a file that only its owner can read."""

import os
import secrets
from pathlib import Path

from joserfc.jwk import ECKey, JWKRegistry


class KeyRefused(Exception):
    """The key file can't be used as it is."""


def load_or_make(path: Path) -> ECKey:
    """The key in the file, made where there is none. Raises KeyRefused for a file that others can read or is no key."""
    if not path.exists():
        _write(path, ECKey.generate_key("P-256", {"kid": secrets.token_hex(8), "use": "sig", "alg": "ES256"}))
    if path.stat().st_mode & 0o077:
        raise KeyRefused(f"{path}: others can read the signing key; run chmod 600 on it, or remove it")
    try:
        key = JWKRegistry.import_key(path.read_bytes(), "EC", {"use": "sig", "alg": "ES256"})
        assert isinstance(key, ECKey), "a key of type EC was asked for"
    except Exception as error:
        raise KeyRefused(
            f"{path}: not the issuer's key ({type(error).__name__}); remove it to make a new one"
        ) from None
    return ECKey.import_key(key.as_dict(private=True), {"kid": key.thumbprint(), "use": "sig", "alg": "ES256"})


def _write(path: Path, key: ECKey) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.as_pem(private=True))
    try:
        # A link fails where another process was first: its key then stays.
        os.link(beside, path)
    except FileExistsError:
        pass
    finally:
        beside.unlink()

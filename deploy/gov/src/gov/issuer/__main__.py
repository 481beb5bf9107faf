"""`python -m gov.issuer`: run the demonstration's issuer."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import uvicorn

from gov.issuer.app import application
from gov.issuer.key import KeyRefused, load_or_make
from gov.issuer.people import accounts


def main(environment: Mapping[str, str]) -> int:
    """Serve until told to stop; 2 where the environment does not allow it."""
    if environment.get("GOV_DEMO") != "1":
        print(
            "gov.issuer gives a token to anybody, so it runs in demonstrations only: set GOV_DEMO=1 if this is one.",
            file=sys.stderr,
        )
        return 2
    host = environment.get("GOV_ISSUER_HOST", "127.0.0.1")
    port_text = environment.get("GOV_ISSUER_PORT", "8100")
    if not port_text.isdecimal() or not 0 < int(port_text) < 65536:
        print(f"GOV_ISSUER_PORT: {port_text!r} is no port; give a number from 1 to 65535.", file=sys.stderr)
        return 2
    key_file = environment.get("GOV_ISSUER_KEY_FILE")
    if not key_file:
        print(
            "GOV_ISSUER_KEY_FILE: not set; name a file for the signing key, it is made where missing.", file=sys.stderr
        )
        return 2
    address = f"http://{host}:{port_text}"
    issuer = environment.get("GOV_OIDC_ISSUER", address).rstrip("/")
    try:
        key = load_or_make(Path(key_file))
    except (KeyRefused, OSError) as error:
        print(f"GOV_ISSUER_KEY_FILE: {error}", file=sys.stderr)
        return 2
    app = application(
        issuer=issuer,
        address=address,
        audience=environment.get("GOV_OIDC_AUDIENCE", "gatehouse"),
        key=key,
        people=accounts(),
    )
    uvicorn.run(app, host=host, port=int(port_text), log_level="warning", access_log=False, timeout_graceful_shutdown=5)
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
